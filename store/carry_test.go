package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestI8_OneNodeCarriesNothing: only what a majority has tried and signed, whole,
// changes by which key a detail opens; nobody who has looked signs a garbled key.
func TestI8_OneNodeCarriesNothing(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	w.eraseHistory()
	good := w.nextCarry()
	seq := good.Keys[0].Sequence
	before, err := n.detail(seq)
	w.must(err)
	change := func(do func(*format.CarriedKey)) format.CarryEffect {
		e := good
		e.Keys = append([]format.CarriedKey(nil), good.Keys...)
		e.Keys[0].Sealed = bytes.Clone(e.Keys[0].Sealed)
		do(&e.Keys[0])
		return e
	}
	garbled := change(func(k *format.CarriedKey) { k.Sealed[3] ^= 1 })
	nothing := change(func(k *format.CarriedKey) { k.Sealed = nil })
	for name, e := range map[string]format.CarryEffect{"garbled": garbled, "said to open under nothing": nothing} {
		if err := n.CheckCarry(context.Background(), e); err == nil {
			t.Errorf("%s: an honest node would sign", name)
		}
		w.silent(w.op(KindCarry, e), format.ReasonSignature) // signatures over another effect
		w.silent(w.op(KindCarry, w.signCarry(e, 3)), format.ReasonSignature)
		w.silent(w.op(KindCarry, w.signCarry(e)), format.ReasonSignature)
	}
	twice := w.signCarry(good, 2, 2)
	w.silent(w.op(KindCarry, twice), format.ReasonInvalid)
	old := w.signCarry(good, 1, 2)
	old.Signatures[1].Incarnation[0] ^= 1
	w.silent(w.op(KindCarry, old), format.ReasonSignature)
	w.accept(w.commit(w.op(KindCarry, good)))
	if after, err := n.detail(seq); err != nil || after != before {
		t.Fatal(after, err)
	}
	w.silent(w.op(KindCarry, good), format.ReasonState) // not twice
}

// junk has a lying front node write a detail that nothing opens.
func junk(w *world) (seq uint64) {
	op := w.about(KindDeny, app, "long", format.DenyEffect{Verb: format.ActRead, Count: 1})
	op.Reason = format.ReasonNotPermitted
	op.DetailClass, op.Detail, op.DetailEpoch = format.DetailOther, bytes.Repeat([]byte{7}, 60), kitEpoch
	return w.accept(w.commit(op)).Sequence
}

// senseless has it write one that opens, and says nothing that is a detail.
func senseless(w *world) {
	op := w.about(KindDeny, app, "long", format.DenyEffect{Verb: format.ActRead, Count: 1})
	key, err := w.nodes[0].detailKey(1, kitEpoch, format.DetailOther)
	w.must(err)
	op.Reason = format.ReasonNotPermitted
	op.DetailClass, op.Detail, op.DetailEpoch = format.DetailOther, keyring.SealDetail(key, op.ID, 0, []byte("junk")), kitEpoch
	w.accept(w.commit(op))
}

// TestI8_AJunkDetailKeepsNoKeyAlive: CARRY says of it that nothing opens it, and the
// epoch ends; a rebuild knows it too.
func TestI8_AJunkDetailKeepsNoKeyAlive(t *testing.T) {
	var seq uint64
	w := livedWith(t, 2, func(w *world) { seq = junk(w); senseless(w) })
	w.prune()
	w.eraseHistory()
	e := w.nextCarry()
	empty := 0
	for _, k := range e.Keys {
		if len(k.Sealed) == 0 {
			empty++
			if k.Sequence != seq {
				t.Fatalf("record %d opens", k.Sequence)
			}
		}
	}
	if empty != 1 {
		t.Fatalf("%d of %d are said to open under nothing", empty, len(e.Keys))
	}
	if _, ended := w.endEpochs(); ended == 0 {
		t.Fatal("no epoch ends")
	}
	w.checkpoint()
	pending, err := w.nodes[0].PendingEpochs(1, w.nodes[0].Summary().Size)
	w.must(err)
	w.must(w.nodes[0].DestroyEpochs(context.Background(), pending))
	// As after a crash between destruction and attestation, it is asked for again.
	if len(w.destroyEpochs()) == 0 {
		t.Fatal("no key was destroyed")
	}
	want := w.equal()
	w.nodes[1].rebuild(false)
	if got := w.equal(); got != want {
		t.Fatalf("%+v after a rebuild, %+v before", got, want)
	}
}

// TestI8_ALieAboutAJunkDetailDestroysNothing, whoever signed it.
func TestI8_ALieAboutAJunkDetailDestroysNothing(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	w.eraseHistory()
	e := w.nextCarry()
	seq := e.Keys[0].Sequence
	e.Keys[0].Sealed = nil
	w.accept(w.commit(w.op(KindCarry, w.signCarry(e, 1, 2))))
	w.silent(w.op(KindCarry, w.signCarry(e, 1, 2)), format.ReasonState)
	w.endEpochs()
	w.checkpoint()
	pending, err := n.PendingEpochs(1, n.Summary().Size)
	if err != nil || len(pending) == 0 {
		t.Fatal(pending, err)
	}
	var damage *format.DamageError
	if err := n.DestroyEpochs(context.Background(), pending); !errors.As(err, &damage) {
		t.Fatalf("destroyed: %v", err)
	}
	if _, err := n.detail(seq); err != nil {
		t.Fatal(err)
	}
}

// TestADetailUnderAKeyThatThereIsNotIsRefused: no end of an epoch would ever come
// to it.
func TestADetailUnderAKeyThatThereIsNotIsRefused(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("long", "P9Y")
	for _, institution := range []uint32{1, 99} {
		op := w.about(KindDeny, app, "long", format.DenyEffect{Verb: format.ActRead, Count: 1})
		op.Institution, op.Reason = institution, format.ReasonNotPermitted
		op.DetailClass, op.Detail, op.DetailEpoch = format.DetailOther, []byte("junk"), 1<<31
		w.silent(op, format.ReasonStale)
	}
}

// TestNextKeyDutyGoesOnFromAnInstitution, so that none starves behind one that fails.
func TestNextKeyDutyGoesOnFromAnInstitution(t *testing.T) {
	w := lived(t, 1)
	w.prune()
	duty, found, err := w.nodes[0].NextKeyDuty(0)
	if err != nil || !found || duty.Institution != 1 {
		t.Fatal(duty, found, err)
	}
	if duty, found, err = w.nodes[0].NextKeyDuty(duty.Institution + 1); err != nil || found {
		t.Fatal(duty, found, err)
	}
}

// TestI8_ACarriedRecordThatIsCutOutIsDamage, not one that was erased in its time.
func TestI8_ACarriedRecordThatIsCutOutIsDamage(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	w.eraseHistory()
	long, gone := n.row("long").Store, uint64(0)
	for seq := range n.Pruned().Bound {
		if _, _, err := n.Record(seq); errors.Is(err, ErrPruned) {
			gone = seq
		}
	}
	w.must(n.Close())
	w.must(custodian.ClearTree(n.dir))
	list, err := filepath.Glob(filepath.Join(n.dir, "history", "*.car"))
	w.must(err)
	raw, err := os.ReadFile(list[len(list)-1])
	w.must(err)
	out := bytes.Clone(raw[:format.FileHeaderSize])
	for at := format.FileHeaderSize; at < len(raw); {
		size := int(binary.BigEndian.Uint32(raw[at:])) + 8
		if binary.BigEndian.Uint64(raw[at+9:]) != long {
			out = append(out, raw[at:at+size]...)
		}
		at += size
	}
	w.must(os.WriteFile(list[len(list)-1], out, 0o600))
	n.open(1)
	var damage *format.DamageError
	if _, _, err := n.Record(long); !errors.As(err, &damage) || errors.Is(err, ErrPruned) {
		t.Errorf("reading it: %v", err)
	}
	each := func(uint64, []byte) error { return nil }
	if err := n.Kept(context.Background(), 0, n.Summary().Size, each); !errors.As(err, &damage) {
		t.Errorf("exporting it: %v", err)
	}
	if _, _, err := n.Record(gone); !errors.Is(err, ErrPruned) {
		t.Errorf("one that was erased: %v", err)
	}
	w.must(n.Kept(context.Background(), long+1, n.Summary().Size, each))
}
