package store

import (
	"flag"
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

// randomLog draws what a cluster's proposers could send, sound and unsound.
type randomLog struct {
	*world
	r       *rapid.T
	stored  []string
	sent    []logged
	serial  int
	waiting []format.SignedVote // votes cast and held back
}

func (l *randomLog) pick(name string, from ...string) string {
	return rapid.SampledFrom(from).Draw(l.r, name)
}

func (l *randomLog) actor() uint64 {
	return rapid.SampledFrom([]uint64{app, app, app, app, auditor, stranger, officer, nobody}).Draw(l.r, "actor")
}

// transaction is mostly one that is stored.
func (l *randomLog) transaction() string {
	if len(l.stored) == 0 || rapid.IntRange(0, 9).Draw(l.r, "unknown") == 0 {
		return "unknown"
	}
	return rapid.SampledFrom(l.stored).Draw(l.r, "transaction")
}

func (l *randomLog) send(op Op, chunks ...format.Chunk) {
	before := l.next
	l.commit(op, chunks...)
	if l.next != before {
		l.sent = append(l.sent, l.log[len(l.log)-1])
	}
}

func (l *randomLog) put(r *rapid.T) {
	l.r = r
	name := l.transaction()
	if rapid.IntRange(0, 4).Draw(r, "new") > 0 {
		l.serial++
		name = fmt.Sprintf("T%d", l.serial)
	}
	rule := l.pick("rule", "PT1H", "PT1H", "P1D", "2026-03-02", "one-time", "one-time:PT1H", "event:P3Y", "P101Y", "junk", "")
	op, chunks := l.storeOp(name, rule, content(name))
	op.Actor = l.actor()
	if rapid.IntRange(0, 9).Draw(r, "slot") == 0 {
		e, err := format.DecodeStoreEffect(op.Body)
		l.must(err)
		e.Slot = format.Slot{Block: l.blocks[0].ID, Index: rapid.SampledFrom([]uint32{0, 2, 64, 1 << 31}).Draw(r, "index")} // taken, or none
		op.Body, chunks = format.EncodeEffect(e), nil
	}
	if l.commit(op, chunks...).Outcome == Accepted {
		l.stored = append(l.stored, name)
	}
	l.sent = append(l.sent, l.log[len(l.log)-1])
}

func (l *randomLog) ask(r *rapid.T) {
	l.r = r
	kind := rapid.SampledFrom([]Kind{KindRead, KindRead, KindShow, KindVerify, KindUse, KindList, KindDeny, KindChunk}).Draw(r, "kind")
	op := l.about(kind, l.actor(), l.transaction(), nil)
	switch kind {
	case KindRead:
		op.Body = format.EncodeEffect(format.ReadEffect{Request: format.ID{byte(rapid.IntRange(0, 2).Draw(r, "request"))}})
	case KindList:
		op.Body = format.EncodeEffect(format.ListEffect{Kind: format.ListKind(rapid.IntRange(1, 3).Draw(r, "list"))})
	case KindDeny:
		op.Body, op.Reason = format.EncodeEffect(format.DenyEffect{Verb: format.ActRead, Count: 3}), format.ReasonRate
		op.Institution = rapid.SampledFrom([]uint32{0, 1, 2, 9}).Draw(r, "institution")
	}
	l.send(op)
}

func (l *randomLog) time(r *rapid.T) {
	l.r = r
	by := rapid.SampledFrom([]int64{1000, minute, hour, 20 * hour}).Draw(r, "by")
	votes := []format.SignedVote{l.vote(1, l.now+by), l.vote(2, l.now+by), l.vote(3, l.now+by)}
	switch l.pick("votes", "good", "good", "good", "few", "forged", "foreign", "held back") {
	case "few":
		votes = votes[:1]
	case "forged":
		votes[1].Earliest++
	case "foreign":
		votes[2].Incarnation[0] ^= 1
	case "held back":
		l.waiting, votes = votes, l.waiting
	default:
		l.now += by
	}
	l.send(l.clockOp(votes...))
}

func (l *randomLog) sweepSome(r *rapid.T) {
	l.send(l.sweepOp(uint32(rapid.IntRange(0, 4).Draw(r, "limit"))))
}

// erase lets one voter do its duty: checkpoint, destroy, attest; or a part of it.
func (l *randomLog) erase(r *rapid.T) {
	c := l.mark()
	e := l.cosigned(c, 1, 2)
	if rapid.IntRange(0, 3).Draw(r, "signatures") == 0 {
		e.Signatures = e.Signatures[:1]
	}
	l.send(l.op(KindCheckpoint, e))
	n := rapid.SampledFrom(l.nodes).Draw(r, "node")
	n.destroy()
	if rapid.Bool().Draw(r, "attest") {
		l.attest(n.number)
	}
}

func (l *randomLog) keep(r *rapid.T) {
	switch rapid.SampledFrom([]string{"announce", "retire", "spent", "enrol", "start", "damage", "epoch"}).Draw(r, "keys") {
	case "announce":
		l.addBlock(16)
	case "retire":
		l.send(l.op(KindKey, format.KeyEffect{Verb: format.KeyRetire, Block: rapid.SampledFrom(l.blocks).Draw(r, "block").ID}))
		l.addBlock(16)
	case "spent": // some free, some taken
		e := format.KeyEffect{Verb: format.KeySpent, Block: l.block.ID}
		for i := l.used - min(l.used, 1); i < l.used+uint32(rapid.IntRange(0, 3).Draw(r, "slots")); i++ {
			e.Spent = append(e.Spent, i)
		}
		l.send(l.op(KindKey, e))
		l.used = min(l.used+3, uint32(len(l.block.Keys)))
	case "enrol":
		l.send(l.op(KindEnrol, format.EnrolEffect{Person: l.actorOf(r)}))
	case "start":
		l.send(l.op(KindNodeStart, format.NodeStartEffect{Node: 1, Incarnation: l.incs[0], Version: "v"}))
	case "damage":
		l.send(l.op(KindDamage, format.DamageEffect{Node: 1, Kind: format.DamagePayload, Where: "segments"}))
	case "epoch":
		l.send(l.op(KindKey, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: kitEpoch + 1, Use: l.slot(), Other: l.slot()}))
	}
}

func (l *randomLog) actorOf(r *rapid.T) uint64 { l.r = r; return l.actor() }

// junk sends any bytes as any kind that this version knows.
func (l *randomLog) junk(r *rapid.T) {
	l.r = r
	kind := rapid.IntRange(int(KindCeremony), int(KindHoldSweep)).Filter(func(k int) bool { return Kind(k).Known() }).Draw(r, "kind")
	op := l.about(Kind(kind), l.actor(), l.transaction(), nil)
	op.Body = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(r, "body")
	op.Front = uint32(rapid.IntRange(0, 4).Draw(r, "front"))
	op.Part = uint32(rapid.IntRange(0, 2).Draw(r, "part"))
	op.BuiltAt = l.next - 1 - uint64(rapid.IntRange(0, int(l.next-1)).Draw(r, "late"))
	if (op.Kind == KindSweep || op.Kind == KindHoldSweep) && len(op.Body) == 4 {
		op.Body = op.Body[:3]
	}
	l.send(op)
}

// again sends something once more, as it was or spliced into one entry.
func (l *randomLog) again(r *rapid.T) {
	if len(l.sent) == 0 {
		return
	}
	e := rapid.SampledFrom(l.sent).Draw(r, "sent")
	if rapid.Bool().Draw(r, "entry") { // the same entry: a replay
		before := l.equal()
		for _, n := range l.nodes {
			if res, err := n.Apply(e.Entry); err != nil || res != nil {
				r.Fatalf("a replay answered %v, %v", res, err)
			}
		}
		if l.equal() != before {
			r.Fatalf("a replay changed something")
		}
		return
	}
	l.commitAll(append([]Op{l.sweepOp(1)}, e.Ops...), e.chunks...)
}

// fewer makes rapid draw less often than its default in this test, whose every
// step waits for disks. What the command line asks for stays.
func fewer(t *testing.T, checks int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(f.DefValue); err != nil {
			t.Error(err)
		}
	})
}

// TestP12_P61_P62_P65_I1_I6_ReplicasStayEqual draws a log and applies it on three stores:
// one that flushes and restarts, one whose index is thrown away and rebuilt, one
// that crashes. After every step their histories, running hashes and rows are the
// same, the clock has not gone back, and no bundle expired before its time.
func TestP12_P61_P62_P65_I1_I6_ReplicasStayEqual(t *testing.T) {
	fewer(t, 8)
	rapid.Check(t, func(r *rapid.T) {
		l := &randomLog{world: newWorld(t, r, 3), r: r}
		defer l.close()
		rules, stored, read := map[uint64]string{}, map[uint64]int64{}, map[uint64]int64{}
		var seen uint64
		var clock int64
		r.Repeat(map[string]func(*rapid.T){
			"put": l.put, "put more": l.put, "ask": l.ask, "ask more": l.ask, "time": l.time, "time more": l.time,
			"sweep": l.sweepSome, "erase": l.erase, "keep": l.keep, "junk": l.junk, "again": l.again,
			"flush": func(r *rapid.T) { l.must(rapid.SampledFrom(l.nodes).Draw(r, "node").Flush()) },
			"restart": func(r *rapid.T) {
				switch rapid.IntRange(0, 2).Draw(r, "how") {
				case 0:
					l.nodes[0].restart()
				case 1:
					l.nodes[1].rebuild(rapid.Bool().Draw(r, "clean"))
				case 2:
					l.nodes[2].crash()
				}
			},
			"": func(r *rapid.T) {
				s := l.equal()
				if s.now < clock {
					r.Fatalf("the clock went back from %d to %d", clock, s.now)
				}
				clock = s.now
				l.nodes[0].checkEarly(r, seen, rules, stored, read)
				seen = s.size
			},
		})
		for _, name := range l.stored {
			if b := l.nodes[0].row(name); b.Expire == 0 {
				l.readable(name)
			}
		}
		for _, n := range l.nodes {
			n.clean()
			if len(n.damages) != 0 {
				r.Fatalf("%s reports damage: %v", n.dir, n.damages[0])
			}
		}
	})
}
