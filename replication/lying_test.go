package replication

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// liar is node 1 under an attacker: it submits what it likes in anybody's name. It
// has its own node key, and what persons once signed.
type liar struct {
	*testCluster
	n       *Node
	key     *ecdsa.PrivateKey // the attacker's own
	old     map[uint64][]byte // genuine signatures over an act that was executed
	half    format.Act        // a release that the manager alone has signed
	placed  uint64            // the hold that stands on bundle T
	gone    format.ID         // an incarnation of node 3 that left
	rogues  []format.Person   // whom it registered, all with its key
	leading bool
	opened  map[int]format.Act // of acts, by their place
}

// TestI1_ALyingNodeExecutesNothing: root on one node, following and leading,
// opens acts in anybody's name and brings forged, replayed and made-up
// signatures, executions and records of its own. None closes, releases, resyncs,
// weakens, admits, removes, restores or deletes.
func TestI1_ALyingNodeExecutesNothing(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(1, "T", "P1Y", []byte("kept"))
	l := &liar{testCluster: c, n: c.nodes[0], old: map[uint64][]byte{}, opened: map[int]format.Act{}, gone: c.nodes[2].own.incarnation}
	c.stop(2)
	c.wipe(2)
	c.startNode(2)
	c.awaitReady()
	c.await("the new incarnation of node 3 votes", func() bool { _, voter := c.nodes[2].ownRow(); return voter })
	var err error
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	l.honest()
	c.await("a checkpoint", func() bool {
		return c.nodes[1].Checkpoint(t.Context(), true) == nil && c.nodes[0].Store().Summary().Checkpoint.Checkpoint.Size > 0
	})
	c.await("both periods have begun", func() bool {
		for _, transaction := range []string{"T", "free"} {
			if row, err := c.nodes[1].Store().Bundle(key(transaction)); err != nil || row == nil || row.Retention.Start == 0 {
				return false
			}
		}
		return true
	})
	before := c.facts(1)
	c.times[0].set(func(s *testTime) { s.offset += (400 * 24 * time.Hour).Microseconds() }) // it lies about the time as well
	for _, l.leading = range []bool{false, true} {
		c.leadership(0, l.leading)
		l.register()
		for i, a := range l.acts() {
			l.attack(i, a)
		}
		l.forge(l.half)
		l.records()
	}
	c.awaitEqual()
	for i := 1; i < 3; i++ {
		if got := c.facts(i); got != before {
			t.Errorf("node %d:\n%s\nwas\n%s", i+1, got, before)
		}
		now, err := c.times[i].Now()
		if err != nil || c.nodes[i].Store().Summary().Clock.Now > now.Latest {
			t.Errorf("node %d: the clock is ahead of honest time: %v", i+1, err)
		}
		if err := c.nodes[i].Failure(); err != nil {
			t.Errorf("node %d: %v", i+1, err)
		}
	}
	c.mustPut(2, "after", "P1Y", []byte("served"))
	c.mustRead(1, "after", []byte("served"))
}

// honest is what persons did through an honest node before: two holds, of which
// one was released, an order, and half an act.
func (l *liar) honest() {
	l.t.Helper()
	submit := func(kind store.Kind, actor uint64, transaction string, e format.Effect) store.Result {
		l.t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		op := l.op(1, kind, actor, 1, format.EncodeEffect(e))
		if op.Transaction = transaction; transaction != "" {
			op.Part = 1
		}
		r, err := l.nodes[1].Submit(ctx, op)
		if err != nil || r.Outcome != store.Accepted {
			l.t.Fatalf("%d: %+v: %v", kind, r, err)
		}
		return r
	}
	release := func(id, placed uint64, persons ...uint64) format.Act {
		l.t.Helper()
		doc := l.document(format.ActKindHoldRelease, format.ActObject(key("T")), format.HoldReleaseParams{Hold: id, Placed: placed}.Encode())
		submit(store.KindPropose, testManager, "T", format.ProposeEffect{Document: doc.Encode()})
		for _, p := range persons {
			l.old[p] = l.signature(p, doc)
			submit(store.KindSign, p, "", format.SignEffect{Act: doc.Nonce, Person: p, Signature: l.old[p]})
		}
		return doc
	}
	var holds [2]uint64
	for i := range holds {
		holds[i] = submit(store.KindHold, testManager, "T", format.HoldEffect{Scope: format.HoldBundle, ID: uint64(i + 1), Basis: uint8(retention.HoldCourt)}).Sequence
	}
	l.placed = holds[0]
	submit(store.KindStop, testOfficer, "T", format.StopEffect{Order: "O"})
	l.half = release(1, holds[0], testManager)
	release(2, holds[1], testManager, testApprover)
	l.mustPut(1, "free", "P1Y", []byte("held by nothing"))
	submit(store.KindStop, testOfficer, "free", format.StopEffect{Order: "O"})
}

// op is an operation of anybody, in any institution, with a detail that node seals.
func (l *liar) op(node int, kind store.Kind, actor uint64, institution uint32, body []byte) store.Op {
	op := store.Op{Kind: kind, ID: randomID(), Actor: actor, Institution: institution, Body: body}
	if epoch, sealed, err := l.nodes[node].Store().SealDetail(institution, format.DetailOther, op.ID, format.Detail{Reason: "a lie"}); err == nil {
		op.DetailClass, op.DetailEpoch, op.Detail = format.DetailOther, epoch, sealed
	}
	return op
}

// ask submits as the node that lies and, once more, as if another node had taken
// the request.
func (l *liar) ask(op store.Op) store.Result {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := l.n.Submit(ctx, op)
	if err != nil {
		l.t.Errorf("operation of kind %d: %v", op.Kind, err)
	}
	op.ID, op.Front, op.BuiltAt = randomID(), 2, l.n.store.Summary().Applied
	l.raw(ctx, op)
	return r
}

// raw brings an operation that this node's own code would not make: the others
// refuse it, unless it leads itself; then all nodes decide it.
func (l *liar) raw(ctx context.Context, op store.Op) {
	l.t.Helper()
	batch, err := encodeBatch([]store.Op{op})
	if err != nil {
		l.t.Error(err)
	}
	if l.leading {
		for err := l.n.append(batch, nil); err != nil && ctx.Err() == nil; err = l.n.append(batch, nil) {
			l.leadership(0, true)
		}
		return
	}
	for _, m := range l.n.others() {
		c, err := l.n.peers.get(m.Name)
		if err == nil {
			_, err = c.Propose(ctx, &nodev1.ProposeRequest{Batch: batch})
		}
		if err == nil {
			l.t.Errorf("%s takes an operation of kind %d for node %d", m.Name, op.Kind, op.Front)
		}
	}
}

func (l *liar) refused(what string, op store.Op) {
	l.t.Helper()
	if r := l.ask(op); r.Outcome != store.Refused {
		l.t.Errorf("%s: %+v", what, r)
	}
}
