package store

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// kept is what the random test knows of a bundle without any code of the product.
type kept struct {
	ci, definition string
	least          int64 // it is kept at least so long; -1: for ever so far
	end            int64 // the greatest end that its row has shown
	ended          bool
}

// placedHold is a hold as the test placed it.
type placedHold struct {
	on
	name string
	over []string // the bundles that it kept when it was placed; those stored later follow
}

// holdLaws draws what managers, applications and the clock do to holds and
// retention.
type holdLaws struct {
	*court
	r      *rapid.T
	known  map[string]*kept
	order  []string
	holds  []placedHold
	seen   uint64
	serial int
}

func (l *holdLaws) some() string {
	if len(l.order) == 0 {
		return "T0"
	}
	return rapid.SampledFrom(l.order).Draw(l.r, "transaction")
}

func (l *holdLaws) at() int64 { return max(base, l.nodes[0].Summary().Clock.Now) }

func (l *holdLaws) put(r *rapid.T) {
	l.r = r
	name := fmt.Sprintf("T%d", l.serial)
	l.serial++
	rule := rapid.SampledFrom([]string{"PT1H", "PT1H", "P1D", "2026-03-02", "one-time:PT1H", "event:PT1H"}).Draw(r, "rule")
	k := &kept{ci: rapid.SampledFrom([]string{"CI1", "CI2"}).Draw(r, "ci"), definition: mds}
	if rule == "P1D" {
		k.definition = mdsFixed
	}
	if k.least = leastKeep(rule, l.at()); rule == "2026-03-02" && k.least <= l.at() {
		return
	}
	l.putFor(name, rule, k.ci, k.definition)
	l.known[name], l.order = k, append(l.order, name)
	for i := range l.holds {
		if h := &l.holds[i]; h.covers(name, k) {
			h.over = append(h.over, name)
		}
	}
}

func (h *placedHold) covers(name string, k *kept) bool {
	return h.scope == format.HoldBundle && h.what == name || h.scope == format.HoldSubject && h.what == k.ci ||
		h.scope == format.HoldDefinition && h.what == k.definition
}

func (l *holdLaws) thing() on {
	switch s := format.HoldScope(rapid.IntRange(1, 3).Draw(l.r, "scope")); s {
	case format.HoldSubject:
		return on{s, rapid.SampledFrom([]string{"CI1", "CI2"}).Draw(l.r, "subject")}
	case format.HoldDefinition:
		return on{s, rapid.SampledFrom([]string{mds, mdsFixed}).Draw(l.r, "definition")}
	default:
		return on{s, l.some()}
	}
}

func (l *holdLaws) placeOne(r *rapid.T) {
	l.r = r
	h := placedHold{on: l.thing(), name: rapid.SampledFrom([]string{"A", "B"}).Draw(r, "name")}
	now := l.nodes[0].Summary().Clock.Now
	if l.place(h.on, h.name).Outcome != Accepted {
		return
	}
	for name, k := range l.known {
		end := l.nodes[0].row(name).Retention
		e := int64(retentionOf(end).End())
		if h.covers(name, k) && !k.ended && (e == 0 || now < e || h.scope == format.HoldBundle) {
			h.over = append(h.over, name)
		}
	}
	l.holds = append(l.holds, h)
}

// releaseOne proposes a release, and has it signed by one or by two.
func (l *holdLaws) releaseOne(r *rapid.T) {
	if l.r = r; len(l.holds) == 0 {
		return
	}
	i := rapid.IntRange(0, len(l.holds)-1).Draw(r, "hold")
	h := l.holds[i]
	row := l.holdOf(h.on, h.name)
	if row == nil {
		r.Fatalf("%s on %v is gone", h.name, h.on)
	}
	nonce := l.id()
	l.accept(l.propose(*row, nonce))
	l.accept(l.sign(nonce, rapid.SampledFrom([]uint64{manager, approver1}).Draw(r, "first")))
	if rapid.IntRange(0, 2).Draw(r, "second") == 0 {
		return
	}
	for _, person := range []uint64{manager, approver1} {
		l.sign(nonce, person)
	}
	l.holds = slices.Delete(l.holds, i, i+1)
}

func (l *holdLaws) extendOne(r *rapid.T) {
	l.r = r
	name := l.some()
	rule := rapid.SampledFrom([]string{"PT1H", "PT3H", "P1D", "2026-03-03", "one-time:PT3H", "event:PT3H"}).Draw(r, "rule")
	if l.extend(name, rule, retention.BasisStatute).Outcome == Accepted {
		if k := l.known[name]; k.least >= 0 && rule[0] == 'P' {
			k.least = max(k.least, map[string]int64{"PT1H": hour, "PT3H": 3 * hour, "P1D": 24 * hour}[rule])
		}
	}
}

func (l *holdLaws) eventOne(r *rapid.T) {
	l.r = r
	name, ahead := l.some(), rapid.Int64Range(-100*hour, 20*hour).Draw(r, "at")
	if now := l.at(); l.event(name, now+ahead).Outcome == Accepted {
		l.known[name].least = now + max(0, ahead) + hour
	}
}

func (l *holdLaws) readOne(r *rapid.T) {
	l.r = r
	name := l.some()
	now, request := l.at(), byte(rapid.IntRange(1, 2).Draw(r, "request"))
	op := l.about(KindRead, app, name, format.ReadEffect{Request: format.ID{request}})
	if res := l.commit(op); res.Outcome == Accepted && res.Bundle.Retention.Rule[0] == 'o' {
		// A read for one of four: the row as it stood before, so look again.
		if row := l.nodes[0].row(name); row.Retention.ViewReads == 1 {
			l.known[name].least, l.known[name].end = now+10*minute, 0
		}
	}
}

// check holds the history since the last step, and every row, against the model.
func (l *holdLaws) check(r *rapid.T) {
	l.equal()
	for _, rec := range l.nodes[0].records(l.seen) {
		if rec.Action != format.ActExpire {
			continue
		}
		k := l.known[rec.Transaction]
		if k.least < 0 || rec.Clock < k.least {
			r.Fatalf("%s ended at %d, before %d", rec.Transaction, rec.Clock, k.least)
		}
		for _, h := range l.holds {
			if slices.Contains(h.over, rec.Transaction) {
				r.Fatalf("%s ended under %s on %v", rec.Transaction, h.name, h.on)
			}
		}
		k.ended = true
	}
	l.seen = l.nodes[0].Summary().Size
	for name, k := range l.known {
		end := int64(retentionOf(l.nodes[0].row(name).Retention).End())
		if end != 0 && end < k.end {
			r.Fatalf("the end of %s went from %d to %d", name, k.end, end)
		}
		k.end = max(k.end, end)
	}
}

// TestP22_P26_P27_P29_P40_HoldsAndExtensionsNeverShorten draws what is done to holds
// and retention: nothing ends before its time or under a hold, no end moves
// earlier, replicas and rebuilds stand alike, and once all is released what is due
// ends.
func TestP22_P26_P27_P29_P40_HoldsAndExtensionsNeverShorten(t *testing.T) {
	fewer(t, 12)
	rapid.Check(t, func(r *rapid.T) {
		l := &holdLaws{court: newCourt(t, r, 2), r: r, known: map[string]*kept{}}
		defer l.close()
		l.began()
		sweep := func(r *rapid.T) {
			l.sweep(uint32(rapid.IntRange(0, 3).Draw(r, "limit")))
			l.endHolds(uint32(rapid.IntRange(0, 3).Draw(r, "holds")))
		}
		r.Repeat(map[string]func(*rapid.T){
			"put": l.put, "put more": l.put, "place": l.placeOne, "place more": l.placeOne, "release": l.releaseOne, "extend": l.extendOne,
			"event": l.eventOne, "read": l.readOne, "sweep": sweep, "sweep more": sweep,
			"time": func(r *rapid.T) {
				l.tick(rapid.SampledFrom([]int64{1000, minute, 30 * minute, hour, 20 * hour}).Draw(r, "by"))
			},
			"rebuild": func(*rapid.T) { l.rebuilt() },
			"":        l.check,
		})
		for len(l.holds) > 0 {
			h := l.holds[0]
			l.release(h.on, h.name)
			l.holds = l.holds[1:]
		}
		l.began()
		l.tick(2000 * hour)
		l.endHolds(1000)
		l.sweep(1000)
		l.check(r)
		for name := range l.known {
			if row := l.nodes[0].row(name); row.Expire == 0 && row.Retention.Deadline != 0 {
				r.Fatalf("%s is kept for ever: %+v", name, row.Retention)
			}
		}
		l.rebuilt()
	})
}
