package store

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func TestAOneTimeViewIsOneReaders(t *testing.T) {
	w := newWorld(t, t, 2)
	w.put("T0", "one-time")
	w.began()
	read := func(actor uint64, request byte) Result {
		return w.commit(w.about(KindRead, actor, "T0", format.ReadEffect{Request: format.ID{request}}))
	}
	none := w.about(KindRead, app, "T0", format.ReadEffect{})
	w.denied(none, format.ReasonInvalid) // without a request id it could not be repeated
	w.accept(read(app, 1))
	w.refuse(read(app, 2), format.ReasonOneTimeUsed)
	w.refuse(read(officer, 1), format.ReasonOneTimeUsed)
	w.nodes[1].rebuild(true)
	w.accept(read(app, 1))
	w.nodes[0].restart()
	w.accept(read(app, 1))
	w.accept(read(app, 1))
	w.refuse(read(app, 1), format.ReasonOneTimeUsed) // a fourth repeat
	if w.sweep(10); w.nodes[0].row("T0").Expire != 0 {
		t.Fatal("expired without a clock entry")
	}
	w.began() // the grace starts
	w.tick(10*minute - 10_000)
	if w.sweep(10); w.nodes[0].row("T0").Expire != 0 {
		t.Fatal("expired within the grace")
	}
	w.refuse(read(app, 2), format.ReasonOneTimeUsed)
	w.tick(20_000)
	w.refuse(read(app, 1), format.ReasonExpired)
	if w.sweep(10); w.nodes[0].row("T0").Expire == 0 {
		t.Fatal("not expired behind the grace")
	}
	w.equal()
}

func TestAOneTimeViewEndsUnreadAtItsLimit(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "one-time:PT1H")
	w.put("T1", "one-time:PT1H")
	w.began()
	w.tick(hour - minute)
	w.accept(w.commit(w.about(KindRead, app, "T1", format.ReadEffect{Request: format.ID{1}})))
	w.tick(2 * minute) // beyond the limit: the one that is taken has its grace
	if w.sweep(10); w.nodes[0].row("T0").Expire == 0 || w.nodes[0].row("T1").Expire != 0 {
		t.Fatalf("%+v, %+v", w.nodes[0].row("T0"), w.nodes[0].row("T1"))
	}
}

func TestP11_WhenAPeriodStarts(t *testing.T) {
	w := newWorld(t, t, 2)
	w.tick(1000)
	held := w.clockOp(w.vote(1, w.now+1000), w.vote(2, w.now+1000)) // votes cast before the put
	w.put("period", "PT1H")
	w.put("date", "2026-03-01")
	w.put("event", "event:PT1H")
	if got := w.nodes[0].row("date").Retention; got.Deadline == 0 {
		t.Fatal("a date does not wait for a clock entry")
	}
	w.accept(w.commit(held))
	if got := w.nodes[0].row("period").Retention; got.Start != 0 {
		t.Fatalf("started at %d by votes that may be older than it", got.Start)
	}
	w.tick(5_000_000)
	start := base + w.now + 1000 // the greatest latest bound
	w.tick(minute)
	w.nodes[1].rebuild(true)
	for _, n := range w.nodes {
		if got := n.row("period").Retention; got.Start != start || got.Deadline != start+hour {
			t.Fatalf("started at %d, ends at %d; want %d and an hour", got.Start, got.Deadline, start)
		}
		if got := n.row("event").Retention; got.Start != 0 || got.Deadline != 0 {
			t.Fatalf("an event that nobody set: %+v", got)
		}
	}
	w.tick(48 * hour)
	w.sweep(10)
	expired := func(name string) bool { return w.nodes[0].row(name).Expire != 0 }
	if !expired("period") || !expired("date") || expired("event") {
		t.Fatal("period and date have ended, the event has not come")
	}
	w.readable("event")
	w.equal()
}
