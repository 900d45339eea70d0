package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// alterRunning stops a node, alters a row and starts it again. Nothing changes the
// row afterwards, which would take the altered one into the running hash: its
// period has begun on every node.
func (c *testCluster) alterRunning(i int, transaction string, change func(*format.BundleRow)) {
	c.t.Helper()
	for _, n := range c.nodes {
		c.await("the period to begin", func() bool {
			b, err := n.store.Bundle(key(transaction))
			return err == nil && b != nil && b.Retention.Start != 0
		})
	}
	c.stop(i)
	c.alterRow(i, key(transaction), change)
	c.startNode(i)
	c.awaitReady()
}

// takeState takes a digest over all rows on whoever leads.
func (c *testCluster) takeState() (format.StateEffect, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		e, err := c.nodes[c.leader()].TakeState(ctx)
		if !errors.Is(err, errNotLeader) || ctx.Err() != nil {
			return e, err
		}
	}
}

// damages lists the DAMAGE and REPAIR records in node i's history.
func (c *testCluster) damages(i int) (damage, repair []format.DamageEffect) {
	c.t.Helper()
	st := c.nodes[i].Store()
	for seq := range st.Summary().Size {
		rec, _, err := st.Record(seq)
		if err != nil {
			c.t.Fatal(err)
		}
		if rec.Action != format.ActDamage && rec.Action != format.ActRepair {
			continue
		}
		e, err := format.DecodeDamageEffect(rec.Effect)
		if err != nil {
			c.t.Fatal(err)
		}
		if rec.Action == format.ActDamage {
			damage = append(damage, e)
		} else {
			repair = append(repair, e)
		}
	}
	return damage, repair
}

// TestP60_AlteredRowIsFoundNamedAndMended: a row changed at rest together with its
// checksum, on a follower and on the leader.
func TestP60_AlteredRowIsFoundNamedAndMended(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	for i := range 200 {
		c.mustPut(i%3, fmt.Sprintf("T%03d", i), "P5Y", []byte("content"))
	}
	if e, err := c.takeState(); err != nil || len(e.Signatures) < 2 || e.Count < 200 {
		t.Fatalf("%+v %v", e, err)
	}
	for round, transaction := range []string{"T077", "T123"} {
		at := c.leader()
		if round == 0 {
			at = (at + 1) % 3
		}
		early := func(row *format.BundleRow) { row.Retention.Deadline = 1 }
		c.alterRunning(at, transaction, early)
		e, err := c.takeState()
		if err != nil {
			t.Fatal(err)
		}
		c.await("the repair is recorded", func() bool { _, repaired := c.damages(at); return len(repaired) == round+1 })
		c.awaitReady()
		damage, _ := c.damages((at + 1) % 3)
		d := damage[len(damage)-1]
		hexKey := fmt.Sprintf("%x", key(transaction).Encode())
		if len(damage) != round+1 || d.Node != c.nodes[at].own.number || d.Kind != format.DamageIndex ||
			!strings.Contains(d.Where, c.nodes[at].own.name+": ") || !strings.Contains(d.Where, "table 2, keys from "+hexKey) {
			t.Fatalf("damage is recorded as %+v", damage)
		}
		row, err := c.nodes[at].Store().Bundle(key(transaction))
		if err != nil || row.Retention.Deadline == 1 {
			t.Fatalf("the row is not mended: %+v %v", row, err)
		}
		c.awaitEqual()
		again, err := c.takeState()
		if err != nil || again.Mark.Entry <= e.Mark.Entry || len(again.Signatures) != 3 {
			t.Fatalf("not all agree afterwards: %+v %v", again, err)
		}
		c.mustRead(at, transaction, []byte("content"))
	}
}

// TestStateDigestAfterRebuildAndCopy: a node that copied its state, and one whose
// index was thrown away, have the digest of the others.
func TestStateDigestAfterRebuildAndCopy(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	for i := range 20 {
		c.mustPut(i%3, fmt.Sprintf("T%d", i), "P5Y", []byte("content"))
	}
	c.stop(1)
	c.wipe(1)
	c.startNode(1)
	c.awaitReady()
	c.await("the new incarnation votes", func() bool { _, voter := c.nodes[1].ownRow(); return voter })
	c.stop(2)
	if err := os.Remove(filepath.Join(c.dataDir(2), "index.db")); err != nil {
		t.Fatal(err)
	}
	c.startNode(2)
	c.awaitReady()
	e, err := c.takeState()
	if err != nil || len(e.Signatures) != 3 {
		t.Fatalf("%+v %v", e, err)
	}
	c.await("the record everywhere", func() bool {
		for _, n := range c.nodes {
			if s, ok := n.Store().StateRecord(); !ok || s.Rows != e.Rows {
				return false
			}
		}
		return true
	})
	err = c.nodes[1].scrub.at(t.Context(), e.Mark.Entry, func(v *store.StateView, d store.StateDigest) error {
		if d.Digest != e.Rows || v.Mark != e.Mark {
			return fmt.Errorf("%+v at %+v", d, v.Mark)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoMajorityHasTheSameRows: nothing is recorded, and the log names the first
// difference.
func TestNoMajorityHasTheSameRows(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "T0", "P5Y", []byte("content"))
	c.mustPut(0, "T1", "P5Y", []byte("content"))
	c.awaitEqual()
	for i, transaction := range []string{"T0", "T1"} {
		c.alterRunning(i, transaction, func(row *format.BundleRow) { row.Documents = 99 })
	}
	if e, err := c.takeState(); !errors.Is(err, errNoMajority) {
		t.Fatalf("%+v %v", e, err)
	}
	if !c.logged.has("no majority has the same rows") || !c.logged.has("index.db table 2, keys from ") {
		t.Fatal("the first difference is not in the log")
	}
	if _, ok := c.nodes[2].Store().StateRecord(); ok {
		t.Fatal("a STATE record that no majority signed")
	}
}

// TestStateIsTakenWhenSomethingChanged, each interval, and not otherwise.
func TestStateIsTakenWhenSomethingChanged(t *testing.T) {
	c := newTestCluster(t, 3)
	c.timing.StateEvery = 300 * time.Millisecond
	c.startAll()
	c.mustPut(0, "T0", "P5Y", []byte("content"))
	var last format.StateEffect
	c.await("a STATE record that covers everything", func() bool {
		last, _ = c.nodes[1].Store().StateRecord()
		return last.Mark.Size > 0 && !c.nodes[1].Store().Changed()
	})
	clock := c.nodes[1].Store().Summary().Clock.Now
	c.await("two seconds of the quorum clock", func() bool { return c.nodes[1].Store().Summary().Clock.Now > clock+2_000_000 })
	if e, _ := c.nodes[1].Store().StateRecord(); e.Mark != last.Mark {
		t.Fatal("a STATE record though nothing changed")
	}
}

// TestAViewGrowsNoOlderHoweverOftenItIsAsked, and cuts that do not ascend are refused.
func TestAViewGrowsNoOlderHoweverOftenItIsAsked(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	c.mustPut(0, "T0", "P5Y", []byte("content"))
	e, err := c.takeState()
	if err != nil {
		t.Fatal(err)
	}
	n := c.nodes[0]
	service := &nodeService{node: n}
	ask := func(from, to string, cuts ...string) error {
		r := &nodev1.RowsRequest{Entry: e.Mark.Entry, Table: 2, From: []byte(from), To: []byte(to)}
		for _, k := range cuts {
			r.Cuts = append(r.Cuts, []byte(k))
		}
		_, err := service.Rows(t.Context(), r)
		return err
	}
	for _, bad := range []error{ask("", "", "b", "a"), ask("", "", "a", "a"), ask("b", "", "a"), ask("", "b", "c"), ask("", "", "")} {
		if status.Code(bad) != codes.InvalidArgument {
			t.Error(bad)
		}
	}
	if err := errors.Join(ask("", ""), ask("a", "d", "b", "c")); err != nil {
		t.Fatal(err)
	}
	n.scrub.mu.Lock()
	n.scrub.taken = n.scrub.taken.Add(-viewAge)
	n.scrub.mu.Unlock()
	_ = ask("", "") // renews nothing, if it is there still
	n.scrub.drop(viewLease)
	if err := ask("", ""); err == nil {
		t.Fatal("the view is still open")
	}
}

// TestALyingPeerNamesNoEntryToWaitFor for ever: the next peer is asked instead.
func TestALyingPeerNamesNoEntryToWaitFor(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "T0", "P5Y", []byte("content"))
	at := (c.leader() + 1) % 3
	head := &nodev1.CopyBeginningResponse{Whole: 7, Decided: 9, Entry: 1 << 62}
	entry, err := c.nodes[at].takeBeginning(t.Context(), func() (*nodev1.CopyBeginningResponse, error) {
		if head == nil {
			t.Error("more is taken from it")
			return nil, io.EOF
		}
		h := head
		head = nil
		return h, nil
	})
	if err == nil || entry != 0 {
		t.Fatalf("waits for entry %d", entry)
	}
}
