package store

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// backedUp is a backup of a node, with what stands for its erased records.
func (n *node) backedUp(c format.Checkpoint) *backup.Dir {
	n.w.Helper()
	d, err := backup.Create(filepath.Join(n.w.dir, "backup"), c.Cluster)
	n.w.must(err)
	b, err := n.sendBeginning()
	n.w.must(err)
	w, err := d.NewBeginning(backup.Beginning{Whole: b.Whole, Decided: b.Decided, Entry: b.Entry})
	n.w.must(err)
	for _, f := range b.base {
		n.w.must(w.Base(f))
	}
	for _, leaf := range b.leaves {
		n.w.must(w.Leaves(leaf[:]))
	}
	for _, r := range b.records {
		n.w.must(w.Record(r))
	}
	n.w.must(w.Publish())
	h, err := d.NewHistory()
	n.w.must(err)
	n.w.must(n.History(context.Background(), d.Records(), c.Size, func(_ uint64, encoded []byte) error { return h.Add(encoded) }))
	n.w.must(h.Publish())
	_, err = d.Finish(context.Background(), "note", c)
	n.w.must(err)
	return d
}

// TestP68_ARestoredHistoryGoesOn, also one whose first records had been erased: the
// rows are those that were signed, and the RESTORE record makes every incarnation
// another, the same one on every node.
func TestP68_ARestoredHistoryGoesOn(t *testing.T) {
	w := erased(t)
	a, c := w.nodes[0], w.checkpoint().Checkpoint
	d := a.backedUp(c)
	report, err := d.Verify(context.Background(), func(string) (format.Checkpoint, error) { return c, nil }, nil)
	if err != nil || report.Records != c.Size || d.Whole() == 0 {
		t.Fatal(report, err)
	}
	var restored []Restored
	for _, name := range []string{"one", "two"} {
		n := w.joining(name)
		b, p := d.Beginning(), d.Parts(context.Background())
		w.must(n.TakeBeginning(context.Background(), Beginning{Whole: b.Whole, Decided: b.Decided, Entry: b.Entry}, p.Base, p.Leaf, p.Record))
		p.Stop()
		w.must(d.Range(context.Background(), n.CopiedSize(), c.Size, func(_ uint64, encoded []byte) error { return n.Copy(bytes.Clone(encoded)) }))
		w.must(n.Adopt(context.Background(), c))
		r, err := n.BeginRestored(nil)
		w.must(err)
		restored = append(restored, r)
		if r.Sequence != c.Size || r.Entry <= c.Entry+RestoreGap-1 || n.Summary().Applied != r.Entry {
			t.Errorf("%+v behind %+v", r, c)
		}
		for _, m := range r.Members {
			if old := a.members[m.Number]; m.Current == old.Current || !slices.Contains(m.Gone, old.Current) || m.Commit+m.Size != 0 {
				t.Errorf("node %d: %+v, was %+v", m.Number, m, old)
			}
		}
		n.replay()
	}
	for i, m := range restored[0].Members {
		if restored[1].Members[i].Current != m.Current {
			t.Errorf("two restores of one history make node %d two", m.Number)
		}
	}
}

// TestARestoreGivesNodesNewKeys, by an act that declares no loss: nothing stops expiry.
// Keys for a node that is no member, and another node's key, begin nothing.
func TestARestoreGivesNodesNewKeys(t *testing.T) {
	w, _ := newActWorld(t, t, 3, nil)
	w.tick(1000)
	size, before := w.nodes[0].Summary().Size, w.nodes[0].Members()
	begin := func(n *node, keys ...format.NodeKey) (Restored, error) {
		act := w.document(format.ActKindRestore, format.ActObject{}, format.RestoreParams{Size: size, Lost: size, Keys: keys}.Encode())
		return n.BeginRestored(format.SignedAct{Document: act.Encode()}.Encode())
	}
	if _, err := begin(w.nodes[1], format.NodeKey{Number: 9, PublicKey: []byte("new")}); err == nil {
		t.Error("a key for a node that is no member")
	}
	if _, err := begin(w.nodes[2], format.NodeKey{Number: 1, PublicKey: before[1].PublicKey}); err == nil {
		t.Error("the key of another node")
	}
	key := format.NodeKey{Number: 1, PublicKey: []byte("new")}
	r, err := begin(w.nodes[0], key)
	w.must(err)
	for i, m := range r.Members {
		want := before[i].PublicKey
		if m.Number == 1 {
			want = key.PublicKey
		}
		if !bytes.Equal(m.PublicKey, want) || m.Current == before[i].Current {
			t.Errorf("node %d: %+v", m.Number, m)
		}
	}
	if stopped, err := w.nodes[0].ExpiryStopped(); err != nil || stopped {
		t.Errorf("expiry stopped: %v, %v", stopped, err)
	}
	w.nodes[0].replay()
}

// TestAnExpiredActRestoresNothing: by the newest reading of the surviving history's
// clock, and of one without a reading by the ceremony's time.
func TestAnExpiredActRestoresNothing(t *testing.T) {
	w, _ := newActWorld(t, t, 2, nil)
	w.tick(1000)
	now := w.nodes[0].Summary().Clock.Now
	act := w.document(format.ActKindRestore, format.ActObject{}, format.RestoreParams{Size: w.nodes[0].Summary().Size}.Encode())
	begin := func(n *node, expires int64) error {
		act.Expires = expires
		_, err := n.BeginRestored(format.SignedAct{Document: act.Encode()}.Encode())
		return err
	}
	for _, past := range []int64{0, now - 1, now} {
		if err := begin(w.nodes[0], past); !errors.Is(err, ErrRestoreExpired) {
			t.Errorf("good until %d, used at %d: %v", past, now, err)
		}
	}
	w.must(begin(w.nodes[0], now+1))
	for ceremony, want := range map[int64]error{now: nil, now + 1: ErrRestoreExpired} {
		if err := CheckRestoreTime(act.Encode(), 0, ceremony); !errors.Is(err, want) {
			t.Errorf("without a reading, a ceremony at %d: %v", ceremony, err)
		}
	}
}
