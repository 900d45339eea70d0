package replication

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math"
	randv2 "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// raceBundle is a bundle that clients on all nodes fight over.
type raceBundle struct {
	key     format.BundleKey
	holds   []uint64 // ids, by name
	special format.Act
}

// asked is an operation that was sent, and when.
type asked struct {
	op  format.ID
	its porcupine.Operation
}

// race is the history of what clients asked and were answered.
type race struct {
	*testCluster
	begin   time.Time
	bundles []raceBundle
	first   []raceState

	mu      sync.Mutex
	done    []asked
	unknown []asked // no answer came: whether it was applied is in the records
	counts  map[string]int
}

const raceOrder = "O-1"

// TestP20_ConcurrentExtendHoldDeleteExpire has a hundred clients on three nodes
// extend, hold, release, specially delete and read the same few bundles around
// their deadlines, while the leader sweeps and leadership moves. Every answer must
// be explained by one order (linearizability), and no bundle goes before its
// deadline without an act or under a hold. It fails where a hold does not beat a
// special deletion, or the deadline (internal/mutate).
func TestP20_ConcurrentExtendHoldDeleteExpire(t *testing.T) {
	c := newTestCluster(t, 3)
	c.coolOff(300 * time.Millisecond)
	c.startAll()
	r := &race{testCluster: c, counts: map[string]int{}}
	for i := range 4 {
		r.add(fmt.Sprintf("T%d", i))
	}
	r.begin = time.Now()
	var wg sync.WaitGroup
	for b := range r.bundles {
		for client := range 25 {
			wg.Go(func() { r.client(b, client, randv2.New(randv2.NewPCG(uint64(b), uint64(client)))) })
		}
	}
	wg.Go(func() {
		r.pause(2500 * time.Millisecond)
		for _, n := range c.nodes {
			if n.raft.State() == raft.Leader {
				_ = n.raft.LeadershipTransfer().Error() // who leads in the end does not matter
			}
		}
	})
	wg.Wait()
	c.await("every bundle ended", func() bool {
		for _, b := range r.bundles {
			for _, n := range c.nodes {
				if row, err := n.Store().Bundle(b.key); err != nil || row == nil || row.Expire == 0 {
					return false
				}
			}
		}
		return true
	})
	c.awaitEqual()
	r.checkRecords()
	r.checkAnswers()
}

// coolOff begins the cluster anew with that cooling-off.
func (c *testCluster) coolOff(d time.Duration) {
	c.t.Helper()
	act, err := format.DecodeAct(c.ceremony.Document)
	if err != nil {
		c.t.Fatal(err)
	}
	cer, err := format.DecodeCeremony(act.Params)
	if err != nil {
		c.t.Fatal(err)
	}
	cer.Policy.CoolingOff, cer.Persons = d.Microseconds(), nil
	c.sign(cer)
}

// add stores a bundle whose deadline is three seconds ahead.
func (r *race) add(transaction string) {
	r.t.Helper()
	r.mustPut(0, transaction, "PT3S", []byte(transaction))
	b := raceBundle{key: key(transaction)}
	var row *format.BundleRow
	r.await("a deadline on every node", func() bool {
		for _, n := range r.nodes {
			var err error
			if row, err = n.Store().Bundle(b.key); err != nil || row == nil || row.Retention.Start == 0 {
				return false
			}
		}
		return true
	})
	for i := range raceHolders / 2 {
		b.holds = append(b.holds, uint64(i+1))
	}
	_, encoded, err := r.nodes[0].Store().Record(row.Store)
	if err != nil {
		r.t.Fatal(err)
	}
	b.special = r.document(format.ActKindSpecialDelete, format.ActObject(b.key),
		format.SpecialParams{Store: row.Store, Leaf: format.LeafHash(encoded), Order: raceOrder}.Encode())
	r.bundles = append(r.bundles, b)
	r.first = append(r.first, raceState{start: row.Retention.Start, deadline: row.Retention.Deadline})
}

func (c *testCluster) document(kind format.ActKind, object format.ActObject, params []byte) format.Act {
	s := c.nodes[0].Store().Summary()
	return format.Act{Cluster: s.Cluster, Kind: kind, Object: object.Encode(), Params: params, Nonce: randomID(), Expires: s.Clock.Now + 3_600_000_000}
}

func (c *testCluster) signature(person uint64, doc format.Act) []byte {
	sum := sha256.Sum256(doc.Encode())
	sig, err := ecdsa.SignASN1(rand.Reader, c.persons[person], sum[:])
	if err != nil {
		c.t.Error(err)
	}
	return sig
}

// pause lets a client go on at that time of the race.
func (r *race) pause(at time.Duration) {
	<-time.After(time.Until(r.begin.Add(at)))
}

// ask sends one operation from a node and notes what came of it.
func (r *race) ask(node int, in raceInput, op store.Op) store.Result {
	n, b := r.nodes[node], r.bundles[in.bundle]
	op.ID, op.Institution, op.Transaction, op.Part, op.DetailClass = randomID(), 1, b.key.Transaction, b.key.Part, format.DetailOther
	var err error
	if op.DetailEpoch, op.Detail, err = n.Store().SealDetail(1, op.DetailClass, op.ID, format.Detail{Reason: "race"}); err != nil {
		r.t.Error(err)
		return store.Result{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := asked{op.ID, porcupine.Operation{Input: in, Call: int64(time.Since(r.begin)), Return: math.MaxInt64}}
	result, err := n.Submit(ctx, op)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.unknown = append(r.unknown, a)
		return store.Result{}
	}
	a.its.Return, a.its.Output = int64(time.Since(r.begin)), raceAnswer(result, b.holds)
	r.done = append(r.done, a)
	r.counts[fmt.Sprintf("%d %v", in.verb, result.Reason)]++
	return result
}

// client is one of a bundle's 25: holders, those who delete, extenders, readers.
func (r *race) client(b, client int, rnd *randv2.Rand) {
	node := client % 3
	at := time.Duration(rnd.IntN(600)) * time.Millisecond
	step := func() { r.pause(at); at += time.Duration(200+rnd.IntN(500)) * time.Millisecond }
	switch {
	case client < raceHolders:
		if b != 3 { // nothing keeps the last one from its special deletion
			at += time.Duration(rnd.IntN(3000)) * time.Millisecond
			r.holder(b, client, step)
		}
	case client < raceHolders+4:
		if b >= 2 {
			r.deleter(b, client-raceHolders, step)
		}
	case client < 17:
		for range 9 {
			step()
			span := int64(3 + rnd.IntN(3))
			r.ask(node, raceInput{bundle: b, verb: raceExtend, span: span * 1_000_000}, store.Op{Kind: store.KindExtend, Actor: testManager,
				Body: format.EncodeEffect(format.ExtendEffect{Rule: fmt.Sprintf("PT%dS", span), BasisKind: uint8(retention.BasisStatute)})})
		}
	default:
		for range 12 {
			step()
			r.ask(node, raceInput{bundle: b, verb: raceShow}, store.Op{Kind: store.KindShow, Actor: testAuditor})
			r.ask(node, raceInput{bundle: b, verb: raceRead}, store.Op{Kind: store.KindRead, Actor: testApp,
				Body: format.EncodeEffect(format.ReadEffect{Request: randomID()})})
		}
	}
}

// holder places a hold and has two persons, on different nodes, release it.
func (r *race) holder(b, client int, step func()) {
	step()
	name := r.bundles[b].holds[client/2]
	placed := r.ask(client%3, raceInput{bundle: b, verb: racePlace, client: client}, store.Op{Kind: store.KindHold, Actor: testManager,
		Body: format.EncodeEffect(format.HoldEffect{Scope: format.HoldBundle, ID: name, Basis: uint8(retention.HoldCourt)})})
	if placed.Outcome != store.Accepted {
		return
	}
	doc := r.document(format.ActKindHoldRelease, format.ActObject(r.bundles[b].key), format.HoldReleaseParams{Hold: name, Placed: placed.Sequence}.Encode())
	step()
	r.ask((client+1)%3, raceInput{bundle: b, verb: raceRelease, client: client}, store.Op{Kind: store.KindPropose, Actor: testManager,
		Body: format.EncodeEffect(format.ProposeEffect{Document: doc.Encode()})})
	step()
	var wg sync.WaitGroup
	for i, person := range []uint64{testManager, testApprover, testManager} {
		wg.Go(func() {
			r.ask((client+i)%3, raceInput{bundle: b, verb: raceSignRelease, client: client, person: person}, r.signs(person, doc))
		})
	}
	wg.Wait()
}

func (r *race) signs(person uint64, doc format.Act) store.Op {
	return store.Op{Kind: store.KindSign, Actor: person, Body: format.EncodeEffect(format.SignEffect{Act: doc.Nonce, Person: person, Signature: r.signature(person, doc)})}
}

// deleter takes part in a special deletion: one asks, the others sign when they can.
func (r *race) deleter(b, client int, step func()) {
	doc := r.bundles[b].special
	if client == 0 {
		r.ask(0, raceInput{bundle: b, verb: raceStop}, store.Op{Kind: store.KindStop, Actor: testOfficer,
			Body: format.EncodeEffect(format.StopEffect{Order: raceOrder, Act: doc.Nonce})})
	}
	for range 8 {
		step()
		var no format.Reason
		if client == 0 {
			no = r.ask(0, raceInput{bundle: b, verb: raceSpecial}, store.Op{Kind: store.KindPropose, Actor: testOfficer,
				Body: format.EncodeEffect(format.ProposeEffect{Document: doc.Encode()})}).Reason
		} else {
			person := []uint64{testManager, testApprover}[client%2]
			no = r.ask(client%3, raceInput{bundle: b, verb: raceSignSpecial, person: person}, r.signs(person, doc)).Reason
		}
		if no == format.ReasonOK {
			return
		}
	}
}

// records tells each of every record of the history.
func (r *race) records(each func(rec format.Record, bundle int)) {
	r.t.Helper()
	s := r.nodes[1].Store()
	err := s.History(context.Background(), 0, s.Summary().Size, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		for i, b := range r.bundles {
			if err == nil && rec.Transaction == b.key.Transaction {
				each(rec, i)
			}
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// checkRecords goes by the records alone: what ended had reached its last deadline
// or an act's execution, and no hold kept it.
func (r *race) checkRecords() {
	r.t.Helper()
	held, ended := map[int]int{}, map[int]format.Action{}
	r.records(func(rec format.Record, b int) {
		switch rec.Action {
		case format.ActHoldPlace:
			held[b]++
		case format.ActHoldRelease:
			held[b]--
		case format.ActExpire, format.ActSpecialExecute:
			row, err := r.nodes[1].Store().Bundle(r.bundles[b].key)
			if err != nil {
				r.t.Fatal(err)
			}
			if _, twice := ended[b]; twice || held[b] != 0 || rec.Action == format.ActExpire && rec.Clock < row.Retention.Deadline {
				r.t.Errorf("bundle %d ended with record %d at %d: deadline %d, %d holds", b, rec.Sequence, rec.Clock, row.Retention.Deadline, held[b])
			}
			ended[b] = rec.Action
		case format.ActErase:
			if _, decided := ended[b]; !decided {
				r.t.Errorf("bundle %d was erased before it ended", b)
			}
		}
	})
	r.t.Logf("ended: %v; answers: %v; without one: %d", ended, r.counts, len(r.unknown))
	// The last one's special deletion wins, unless the machine is slower than its deadline.
	if ended[0] != format.ActExpire || len(ended) != len(r.bundles) {
		r.t.Errorf("bundles ended by %v", ended)
	}
}

// checkAnswers has porcupine find the one order. An operation without an answer
// counts as its record says: with none it was not applied.
func (r *race) checkAnswers() {
	r.t.Helper()
	var all []porcupine.Operation
	for _, a := range r.done {
		all = append(all, a.its)
	}
	r.records(func(rec format.Record, b int) {
		out := raceOutput{reason: rec.Result, clock: rec.Clock, entry: rec.Entry}
		for _, a := range r.unknown {
			if a.op == rec.Operation {
				a.its.Output = out
				all = append(all, a.its)
			}
		}
		verb, own := map[format.Action]raceVerb{format.ActExpire: raceExpired, format.ActSpecialExecute: raceExecuted}[rec.Action]
		if own {
			all = append(all, porcupine.Operation{Input: raceInput{bundle: b, verb: verb}, Output: out, Return: math.MaxInt64})
		}
	})
	deadline, ok := time.Time{}, false
	if t, has := r.t.(interface{ Deadline() (time.Time, bool) }); has {
		deadline, ok = t.Deadline()
	}
	if err := explained(raceModel(r.first), all, checkTime(time.Now(), deadline, ok)); err != nil {
		r.t.Error(err)
	}
}
