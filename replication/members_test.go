package replication

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// act proposes an act about the cluster as the administrator and has the manager
// and an approver sign it.
func (c *testCluster) act(kind format.ActKind, params []byte) {
	c.t.Helper()
	n := c.nodes[0]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := n.Store().Summary()
	doc := format.Act{Cluster: s.Cluster, Kind: kind, Object: format.ActObject{}.Encode(), Params: params, Nonce: randomID(), Expires: s.Clock.Now + 3_600_000_000}
	submit := func(op store.Op) {
		c.t.Helper()
		op.ID, op.Institution, op.DetailClass = n.NewID(), 1, format.DetailOther
		var err error
		if op.DetailEpoch, op.Detail, err = n.Store().SealDetail(1, op.DetailClass, op.ID, format.Detail{Reason: "test"}); err != nil {
			c.t.Fatal(err)
		}
		if r, err := n.Submit(ctx, op); err != nil || r.Outcome != store.Accepted {
			c.t.Fatalf("%d: %+v: %v", op.Kind, r, err)
		}
	}
	submit(store.Op{Kind: store.KindPropose, Actor: testAdmin, Body: format.EncodeEffect(format.ProposeEffect{Document: doc.Encode()})})
	for _, person := range []uint64{testManager, testApprover} {
		sum := sha256.Sum256(doc.Encode())
		sig, err := ecdsa.SignASN1(rand.Reader, c.persons[person], sum[:])
		if err != nil {
			c.t.Fatal(err)
		}
		submit(store.Op{Kind: store.KindSign, Actor: person, Body: format.EncodeEffect(format.SignEffect{Act: doc.Nonce, Person: person, Signature: sig})})
	}
}

// TestNodesComeAndGoByActs admits a fourth node, which copies what there is and
// votes, and lets the first three's third go, which is away: the others go on without
// it, and an erasure that waited for it waits no more.
func TestNodesComeAndGoByActs(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	if _, err := c.put(0, "early", "P5Y", []byte("stored before the fourth came")); err != nil {
		t.Fatal(err)
	}
	keys, err := CreateKeys(c.keyDir(3))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := keys.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	c.addrs["node4"] = freeAddress(t)
	c.admitted = &format.CeremonyNode{Number: 4, Name: "node4", Incarnation: randomID(), PublicKey: pub}
	c.nodes, c.times = append(c.nodes, nil), append(c.times, &testTime{start: bootNanos()})

	c.startNode(3) // before anybody admitted it
	if rows := c.nodes[0].Store().Members(); len(rows) != 3 {
		t.Fatalf("%d members without an act", len(rows))
	}
	c.act(format.ActKindMember, format.MemberParams{Node: *c.admitted}.Encode())
	c.await("the fourth node votes", func() bool {
		rows := c.nodes[0].Store().Members()
		return len(rows) == 4 && rows[3].Current == c.admitted.Incarnation && c.nodes[3].Ready()
	})
	c.await("the fourth node has what was stored before", func() bool {
		row, err := c.nodes[3].Store().Bundle(format.BundleKey{Institution: 1, Transaction: "early", Part: 1})
		return err == nil && row != nil
	})

	c.stop(2)
	c.await("the others store without it", func() bool {
		r, err := c.put(0, "short", "PT1S", []byte("its end comes while the third is away"))
		return err == nil && r.Outcome != store.Refused
	})
	c.await("the others erase", func() bool {
		row, err := c.nodes[0].Store().Bundle(key("short"))
		return err == nil && row != nil && row.Erase != 0 && attestedBy(c.nodes[0], row) == 3
	})
	if !c.pendingErasures() {
		t.Fatal("the erasure does not wait for the third node")
	}
	c.act(format.ActKindMember, format.MemberParams{Remove: true, Node: format.CeremonyNode{Number: 3}}.Encode())
	c.await("the third node is no member", func() bool {
		rows := c.nodes[0].Store().Members()
		return len(rows) == 3 && !slices.ContainsFunc(rows, func(m format.MemberRow) bool { return m.Number == 3 })
	})
	c.await("the erasure waits for nobody", func() bool { return !c.pendingErasures() })
	c.await("the others store without it", func() bool {
		r, err := c.put(3, "late", "P5Y", []byte("stored without the third"))
		return err == nil && r.Outcome != store.Refused
	})
	c.await("a checkpoint covers it", func() bool {
		s := c.nodes[0].Store().Summary()
		return c.nodes[0].Checkpoint(context.Background(), true) == nil && s.Checkpoint.Checkpoint.Size > 0
	})
}
