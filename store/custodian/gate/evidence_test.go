package gate

import (
	"context"
	"testing"
	"time"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// TestI1_TheEvidenceIsOfThisHistory brings decisions and checkpoints of another
// history than the one in the custodian's files, signed as they ought to be.
func TestI1_TheEvidenceIsOfThisHistory(t *testing.T) {
	w := newWorld(t)
	store := w.store("PT1M")
	w.tick(time.Minute)
	w.tick(time.Minute)
	w.tick(day)
	decision := w.expire(store)
	sign := func(c format.Checkpoint) format.CheckpointEffect {
		e := format.CheckpointEffect{Checkpoint: c}
		for _, n := range []uint32{1, 2, 3} {
			e.Signatures = append(e.Signatures, format.NodeSignature{Node: n, Signature: w.sign(w.nodes[n], []byte(c.Text()))})
		}
		return e
	}
	good := w.checkpoint(1, 2)
	for name, change := range map[string]func(*format.Checkpoint){
		"another root":    func(c *format.Checkpoint) { c.Root[0] ^= 1 },
		"another cluster": func(c *format.Checkpoint) { c.Cluster[0] ^= 1 },
		"a greater size":  func(c *format.Checkpoint) { c.Size++ },
		"a smaller size":  func(c *format.Checkpoint) { c.Size-- },
	} {
		c := good.Checkpoint
		change(&c)
		w.wants(name, false, w.ask(decision, sign(c)))
	}
	before := good.Checkpoint
	before.Size--
	tree := *w
	tree.records = w.records[:decision]
	before.Root = tree.checkpoint().Checkpoint.Root
	w.wants("a checkpoint before the decision", false, w.ask(decision, sign(before)))

	rec, err := format.DecodeRecord(w.records[decision])
	w.must(err)
	for name, change := range map[string]func(*format.Record){
		"another clock":  func(r *format.Record) { r.Clock++ },
		"another record": func(r *format.Record) { r.Sequence = store },
	} {
		forged := rec
		change(&forged)
		w.wants(name, false, w.gate.Admit(context.Background(), []custodian.Order{{
			Warrant: custodian.Warrant{Decision: forged.Encode(), Checkpoint: format.EncodeEffect(good)},
			Work:    custodian.Work{Slots: []format.Slot{theSlot}},
		}}, nil))
	}
	w.wants("its own", true, w.ask(decision, good))
}
