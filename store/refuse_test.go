package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// denied insists that an operation is refused for a reason, that its DENY record
// says so, and that nothing but that record's own bookkeeping changed.
func (w *world) denied(op Op, reason format.Reason, chunks ...format.Chunk) {
	w.Helper()
	n := w.nodes[0]
	size, rows := n.Summary().Size, n.effects()
	w.refuse(w.commit(op, chunks...), reason)
	recs := n.records(size)
	if len(recs) != 1 || recs[0].Action != format.ActDeny || recs[0].Result != reason || recs[0].Actor != op.Actor || recs[0].Operation != op.ID {
		w.Fatalf("the refusal left %+v", recs)
	}
	e, err := format.DecodeDenyEffect(recs[0].Effect)
	if err != nil || e.Verb != op.Kind.action() || e.Count != 1 {
		w.Fatalf("effect %+v, %v", e, err)
	}
	if !bytes.Equal(rows, n.effects()) {
		w.Fatalf("a refusal for %s changed the state", reason)
	}
}

// silent insists that what the cluster asks of itself is refused without a trace.
func (w *world) silent(op Op, reason format.Reason) {
	w.Helper()
	before := w.equal()
	w.refuse(w.commit(op), reason)
	if w.equal() != before {
		w.Fatalf("a refusal for %s left something", reason)
	}
}

// effects is every row of the state but those that count history records.
func (n *node) effects() []byte {
	n.w.Helper()
	var out bytes.Buffer
	for t := tMeta; t <= lastLogical; t++ {
		if t == tOwnHistory || t == tTransaction || t == tInstitution {
			continue
		}
		n.w.must(n.idx.Ascend(t, nil, nil, func(k, v []byte) (bool, error) {
			out.WriteByte(byte(t))
			out.Write(k)
			out.Write(v)
			return true, nil
		}))
	}
	return out.Bytes()
}

func TestRefusalsOfAPutAreRecordedAndDoNothing(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P1D")
	change := func(name string, reason format.Reason, f func(*Op, *format.StoreEffect)) {
		t.Run(name, func(t *testing.T) {
			w.tester = t
			chunks, e := w.sealed(w.slot(), content(name))
			e.Rule = "P1D"
			op := w.about(KindStore, app, name, nil)
			f(&op, &e)
			if op.Body == nil {
				op.Body = format.EncodeEffect(e)
			}
			w.denied(op, reason, chunks...)
			if _, err := w.nodes[0].Bundle(keyOfBundle(name)); err != nil {
				t.Fatal(err)
			}
		})
		w.tester = t
	}
	change("nobody", format.ReasonUnknownPrincipal, func(o *Op, _ *format.StoreEffect) { o.Actor = nobody })
	change("auditor", format.ReasonNotPermitted, func(o *Op, _ *format.StoreEffect) { o.Actor = auditor })
	change("admin", format.ReasonNotPermitted, func(o *Op, _ *format.StoreEffect) { o.Actor = admin })
	change("stranger", format.ReasonNotPermitted, func(o *Op, _ *format.StoreEffect) { o.Actor = stranger })
	change("another institution", format.ReasonNotPermitted, func(o *Op, _ *format.StoreEffect) { o.Institution = 2 })
	change("no such institution", format.ReasonNotPermitted, func(o *Op, _ *format.StoreEffect) { o.Institution = 77 })
	change("junk", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Body = []byte("junk") })
	change("long body", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Body = make([]byte, maxBody+1) })
	change("long detail", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Detail = make([]byte, maxDetail+1) })
	change("a detail without its key", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Detail = []byte("sealed") })
	change("a key without a detail", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.DetailClass, o.DetailEpoch = format.DetailOther, kitEpoch })
	change("an unknown class", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.DetailClass, o.DetailEpoch, o.Detail = 9, 1, []byte("sealed") })
	change("no number", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Transaction = "" })
	change("control characters", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Transaction = "T\x00" })
	change("long number", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Transaction = strings.Repeat("T", 129) })
	change("endless number", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Transaction = strings.Repeat("T", 70000) })
	change("part 0", format.ReasonInvalid, func(o *Op, _ *format.StoreEffect) { o.Part = 0 })
	change("too large", format.ReasonTooLarge, func(_ *Op, e *format.StoreEffect) { e.Size = format.MaxBundle + 1 })
	change("too much sealed", format.ReasonTooLarge, func(_ *Op, e *format.StoreEffect) { e.Sealed = 1 << 40 })
	change("no chunks", format.ReasonTooLarge, func(_ *Op, e *format.StoreEffect) { e.Chunks = 0 })
	change("definition", format.ReasonDefinition, func(_ *Op, e *format.StoreEffect) { e.Definition = "MDS0000009" })
	change("fixed rule", format.ReasonBasis, func(_ *Op, e *format.StoreEffect) { e.Definition, e.BasisKind, e.Rule = mdsFixed, 3, "P2D" })
	change("basis", format.ReasonBadRule, func(_ *Op, e *format.StoreEffect) { e.BasisKind = 9 })
	for name, rule := range map[string]string{"P28 none": "", "junk rule": "forever", "too long": "P101Y", "past": "2026-02-27", "lower case": "p1d"} {
		change(name, format.ReasonBadRule, func(_ *Op, e *format.StoreEffect) { e.Rule = rule })
	}
	w.readable("T0")
}

func TestRefusalsOfReadersAreRecordedAndDoNothing(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "PT1H")
	w.began()
	read := func(actor uint64, transaction string) Op {
		return w.about(KindRead, actor, transaction, format.ReadEffect{Request: format.ID{1}})
	}
	w.denied(read(nobody, "T0"), format.ReasonUnknownPrincipal)
	w.denied(read(admin, "T0"), format.ReasonNotPermitted)
	w.denied(read(stranger, "T0"), format.ReasonNotPermitted)
	foreign := read(stranger, "T0")
	foreign.Institution = 2
	w.denied(foreign, format.ReasonNotFound) // as if there were none (no answer shows another's)
	w.denied(read(app, "T1"), format.ReasonNotFound)
	w.denied(read(app, strings.Repeat("T", 70000)), format.ReasonNotFound)
	w.denied(read(app, ""), format.ReasonNotFound)
	other := read(app, "T0")
	other.Part = 2
	w.denied(other, format.ReasonNotFound)
	junk := read(app, "T0")
	junk.Body = []byte{1}
	w.denied(junk, format.ReasonInvalid)
	w.denied(w.about(KindShow, admin, "T0", nil), format.ReasonNotPermitted)
	list := w.about(KindList, auditor, "", format.ListEffect{Kind: 77})
	w.denied(list, format.ReasonInvalid)

	w.tick(2 * hour) // over, and not yet swept
	if got := w.nodes[0].row("T0"); got.Expire != 0 {
		t.Fatal("expired without a sweep")
	}
	w.denied(w.about(KindVerify, auditor, "T0", nil), format.ReasonExpired)
	w.denied(w.about(KindUse, app, "T0", nil), format.ReasonExpired)
	w.denied(read(app, "T0"), format.ReasonExpired)
	w.accept(w.commit(w.about(KindShow, auditor, "T0", nil)))
	w.sweep(10)
	w.denied(read(app, "T0"), format.ReasonExpired)
}

func TestRefusalsOfTheClusterItselfLeaveNothing(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P1D")
	junk := func(k Kind) Op {
		op := w.op(k, nil)
		op.Body = []byte("jnk")
		return op
	}
	for _, k := range []Kind{KindSweep, KindClock, KindMember, KindCheckpoint, KindKey, KindAttest, KindNodeStart, KindEnrol, KindDamage, KindRepair, KindState, KindPrune, KindDeny} {
		w.silent(junk(k), format.ReasonInvalid)
	}
	w.silent(w.op(KindEnrol, format.EnrolEffect{Person: nobody}), format.ReasonNotFound)
	w.silent(w.op(KindNodeStart, format.NodeStartEffect{Node: 2}), format.ReasonInvalid)
	w.silent(w.op(KindDamage, format.DamageEffect{Node: 2}), format.ReasonInvalid)
	again := w.op(KindCeremony, nil)
	again.Body = w.ceremony.Encode()
	w.silent(again, format.ReasonState)
	w.silent(w.op(KindMember, format.MemberEffect{Node: 3, State: format.MemberGone}), format.ReasonNeedsAct)
	w.silent(w.op(KindMember, format.MemberEffect{Node: 9, State: format.MemberJoining}), format.ReasonMember)
	w.silent(w.op(KindMember, format.MemberEffect{Node: 3, Incarnation: format.ID{9}, State: format.MemberVoter}), format.ReasonMember)
	join := format.MemberEffect{Node: 3, Incarnation: format.ID{9}, State: format.MemberJoining}
	w.silent(w.op(KindMember, join), format.ReasonSignature)
	join.Signature = sign(w, w.keys[1], join.Message(w.cluster)) // another node's
	w.silent(w.op(KindMember, join), format.ReasonSignature)
	w.silent(w.op(KindAttest, w.attestation(1, format.AttestEffect{Keys: []uint64{0}})), format.ReasonState)
	w.silent(w.op(KindAttest, w.attestation(1, format.AttestEffect{Blocks: []format.ID{w.block.ID}})), format.ReasonState) // not retired
	w.silent(w.op(KindAttest, w.attestation(1, format.AttestEffect{})), format.ReasonInvalid)
}

func TestBeforeTheCeremonyNothingIsDone(t *testing.T) {
	w := &world{tester: t, dir: t.TempDir(), next: 1}
	w.makeCeremony(nil)
	n := w.bare(t, "node1")
	for k := KindStore; k <= KindPrune; k++ {
		if !k.Known() {
			continue
		}
		w.refuse(w.commit(w.op(k, nil)), format.ReasonNotReady)
	}
	if n.Summary().Size != 0 {
		t.Fatal("records before the ceremony")
	}
}

func TestP60_ACheckpointOfAnotherHistoryHaltsTheNode(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P1D")
	c := w.mark()
	w.silent(w.op(KindCheckpoint, w.cosigned(c, 1)), format.ReasonSignature)
	w.silent(w.op(KindCheckpoint, w.cosigned(c, 1, 1)), format.ReasonInvalid)
	wrong := w.cosigned(c, 1, 2)
	wrong.Signatures[1].Incarnation = format.ID{8}
	w.silent(w.op(KindCheckpoint, wrong), format.ReasonSignature)
	c.Size += 100
	w.silent(w.op(KindCheckpoint, w.cosigned(c, 1, 2)), format.ReasonState)
	c.Size -= 100
	w.accept(w.commit(w.op(KindCheckpoint, w.cosigned(c, 1, 2))))
	w.silent(w.op(KindCheckpoint, w.cosigned(c, 1, 2)), format.ReasonState) // not newer

	c = w.mark()
	c.State[0] ^= 1 // what the majority computed, and this node did not
	n := w.nodes[0]
	applied := n.Summary().Applied
	_, err := n.Apply(Entry{Index: w.next, Ops: []Op{w.op(KindCheckpoint, w.cosigned(c, 1, 2))}})
	if !errors.Is(err, ErrDiverged) || !errors.Is(err, ErrHalted) || n.Summary().Applied != applied {
		t.Fatalf("%v at %d", err, n.Summary().Applied)
	}
}

func TestP25_ARowThatCannotBeReadHaltsAndIsNotTakenForMissing(t *testing.T) {
	for _, table := range []index.Table{tInstitution, tPerson, tBundle, tEnded} {
		w := newWorld(t, t, 1)
		w.put("T0", "P1D")
		n := w.nodes[0]
		var key []byte
		switch table {
		case tInstitution:
			key = key32(1)
		case tPerson:
			key = key64(app)
		case tBundle:
			key = keyOfBundle("T0").Encode()
		case tEnded:
			key = key64(n.row("T0").Store)
		}
		n.idx.Put(table, key, []byte("not a row"))
		n.counted = countedRow{} // as after a start
		_, err := n.Apply(Entry{Index: w.next, Ops: []Op{w.about(KindRead, app, "T0", format.ReadEffect{Request: format.ID{1}})}})
		if !errors.Is(err, ErrHalted) {
			t.Fatalf("table %d: %v", table, err)
		}
	}
}

// TestACeremonyListsNobodyWithoutAKey: a key that signs nothing is found when nobody
// can take it back any more.
func TestACeremonyListsNobodyWithoutAKey(t *testing.T) {
	for name, change := range map[string]func(*format.Ceremony){
		"person": func(c *format.Ceremony) { c.Persons[officer-1].PublicKey = []byte("a key") },
		"node":   func(c *format.Ceremony) { c.Nodes[1].PublicKey = c.Nodes[1].PublicKey[:60] },
	} {
		w := &world{tester: t}
		w.makeCeremony(change)
		if _, err := CheckCeremony(w.ceremony); !errors.Is(err, access.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACeremonyNeedsTwoDifferentPersonsInProduction(t *testing.T) {
	w := &world{tester: t}
	second := newKey(t)
	w.makeCeremony(func(c *format.Ceremony) {
		c.Production = true
		c.Persons[officer-1].PublicKey = public(t, second)
	})
	once := w.ceremony.Signatures[0]
	if _, err := CheckCeremony(w.ceremony); err == nil {
		t.Fatal("one signature")
	}
	w.ceremony.Signatures = []format.ActSignature{once, once}
	if _, err := CheckCeremony(w.ceremony); err == nil {
		t.Fatal("one person twice")
	}
	w.ceremony.Signatures = []format.ActSignature{once, {Person: auditor, Signature: once.Signature}}
	if _, err := CheckCeremony(w.ceremony); err == nil {
		t.Fatal("one signature under two numbers")
	}
	w.ceremony.Signatures = []format.ActSignature{once, {Person: officer, Signature: sign(t, second, w.ceremony.Document)}}
	if _, err := CheckCeremony(w.ceremony); err != nil {
		t.Fatal(err)
	}
}
