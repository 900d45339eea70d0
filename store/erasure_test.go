package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
	"github.com/sago-worm/sago/store/segment"
)

// secret is what an erasure must leave nowhere: the sealed key's slot as it
// stands on this node's disk, and every chunk's ciphertext.
func (n *node) secret(transaction string) [][]byte {
	n.w.Helper()
	row := n.row(transaction)
	raw, err := os.ReadFile(filepath.Join(n.dir, keyring.FileName(row.Slot.Block)))
	n.w.must(err)
	at := keyring.SlotOffset(row.Slot.Index)
	out := [][]byte{raw[at : at+keyring.SlotSize]}
	headers, err := n.BundleChunks(row)
	n.w.must(err)
	for _, h := range headers {
		c, err := n.Chunk(h)
		n.w.must(err)
		out = append(out, c.Sealed)
	}
	return out
}

// holds reports in which files below the node's directory any of the secrets, or
// half of one, can be found.
func (n *node) holds(secrets [][]byte) (files []string) {
	n.w.Helper()
	n.w.must(filepath.WalkDir(n.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(p)
		for _, s := range secrets {
			half := s[:len(s)/2]
			if bytes.Contains(raw, half) || bytes.Contains(raw, s[len(s)/2:]) {
				files = append(files, p)
				break
			}
		}
		return err
	}))
	return files
}

func (n *node) clean() {
	n.w.Helper()
	v, err := n.Verify(context.Background())
	if err != nil || len(v.Damage) != 0 {
		n.w.Fatalf("verify: %v %v", v.Damage, err)
	}
}

// dueWorld has T0 due and checkpointed, T1 kept.
func dueWorld(t *testing.T, nodes int) *world {
	t.Helper()
	w := newWorld(t, t, nodes)
	w.put("T0", "PT1H")
	w.put("T1", "P1Y")
	w.began()
	w.tick(2 * hour)
	w.sweep(10)
	return w
}

func TestP35_P38_AnErasedBundleIsNowhere(t *testing.T) {
	w := dueWorld(t, 3)
	var secrets [][][]byte
	for _, n := range w.nodes {
		w.must(n.Flush())
		s := n.secret("T0")
		if len(n.holds(s)) < 2 {
			t.Fatal("the scan does not find what is there")
		}
		secrets = append(secrets, s)
	}
	for _, n := range w.nodes {
		if b, _ := n.pending(n.number); len(b) != 0 {
			t.Fatal("pending before a checkpoint covers it")
		}
	}
	w.checkpoint()
	for i, n := range w.nodes {
		n.destroy()
		n.clean()
		n.destroy() // again
		if i == 0 {
			n.crash()
		}
		w.attest(n.number)
		wantErased := i >= 1 // the second word is a majority's
		if got := w.nodes[0].row("T0").Erase != 0; got != wantErased {
			t.Fatalf("erased %v after %d of 3", got, i+1)
		}
	}
	for i, n := range w.nodes {
		if b, _ := n.pending(n.number); len(b) != 0 {
			t.Fatal("still pending")
		}
		if got := n.holds(secrets[i]); len(got) != 0 {
			t.Fatalf("found in %v", got)
		}
		n.clean()
		n.rebuild(i == 1)
		n.clean()
		if _, err := n.plain("T0"); err == nil {
			t.Fatal("read")
		}
		if err := n.KeyWorks(n.row("T0").Slot); !errors.Is(err, ErrKeyErased) {
			t.Fatal(err)
		}
	}
	w.readable("T1")
	w.equal()
}

// TestP38_ADestructionCutShortIsCompleted stops between the steps that the node's
// worker takes, and goes on from what is on disk.
func TestP38_ADestructionCutShortIsCompleted(t *testing.T) {
	steps := []func(w *world, n *node){
		func(w *world, n *node) { w.checkpoint() },
		func(w *world, n *node) { // the key is gone, the payload is not
			bundles, _ := n.pending(1)
			b := bundles[0]
			_, err := n.custodian.Destroy(context.Background(), n.warrant(b), custodian.Work{Bundle: b.Store, Slots: []format.Slot{b.Slot}})
			w.must(err)
		},
		func(w *world, n *node) { w.must(n.roll()) },
		func(w *world, n *node) { n.destroy() },
		func(w *world, n *node) { w.attest(1) },
		func(w *world, n *node) { w.attest(2) },
		func(w *world, n *node) { w.attest(3) },
	}
	for cut := range steps {
		w := dueWorld(t, 1)
		n := w.nodes[0]
		w.must(n.Flush())
		secret := n.secret("T0")
		for i, step := range steps {
			step(w, n)
			if i == cut {
				n.crash()
				n.destroy()
			}
		}
		if got := n.holds(secret); len(got) != 0 {
			t.Fatalf("cut at %d: found in %v", cut, got)
		}
		n.clean()
		w.readable("T1")
	}
}

// warrant is a good one for a pending erasure.
func (n *node) warrant(b PendingErasure) custodian.Warrant {
	n.w.Helper()
	_, decision, err := n.Record(b.Decision)
	n.w.must(err)
	return custodian.Warrant{Permit: b.Permit, Decision: decision, Checkpoint: format.EncodeEffect(n.Summary().Checkpoint)}
}

// untouched insists that both bundles' keys and payload are as they were.
func (w *world) untouched(err error, names ...string) {
	w.Helper()
	if !errors.Is(err, custodian.ErrWarrant) {
		w.Fatalf("destruction answered %v", err)
	}
	for _, name := range names {
		w.readable(name)
	}
}

func TestI1_NothingIsDestroyedWithoutAWarrant(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	ctx := context.Background()
	w.checkpoint()
	good, _ := n.pending(1)
	if len(good) != 1 {
		t.Fatal(good)
	}
	b, other := good[0], n.row("T1")
	kept := other.Store
	try := func(name string, change func(*PendingErasure)) {
		t.Helper()
		bad := b
		change(&bad)
		w.untouched(n.Destroy(ctx, []PendingErasure{bad}, nil), "T0", "T1")
		// Beside a good one, nothing is destroyed either.
		w.untouched(n.Destroy(ctx, []PendingErasure{b, bad}, nil), "T0", "T1")
	}
	try("no permit", func(p *PendingErasure) { p.Permit = retention.Permit{} })
	try("another bundle's permit", func(p *PendingErasure) { p.Store, p.Slot = kept, other.Slot })
	try("another bundle's slot", func(p *PendingErasure) { p.Slot = other.Slot })
	try("the STORE record for a decision", func(p *PendingErasure) { p.Decision = p.Store })
	try("a record that decides nothing", func(p *PendingErasure) { p.Decision = 0 })
}

func TestI1_AWarrantThatDoesNotHoldDestroysNothing(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	ctx := context.Background()
	w.checkpoint()
	good, _ := n.pending(1)
	b, other := good[0], n.row("T1")
	kept := other.Store
	w.must(n.SyncHistory())
	order := func(change func(*custodian.Warrant)) error {
		warrant := n.warrant(b)
		change(&warrant)
		_, err := n.custodian.Destroy(ctx, warrant, custodian.Work{Bundle: b.Store, Slots: []format.Slot{b.Slot}})
		return err
	}
	c := n.Summary().Checkpoint.Checkpoint
	effect := func(e format.CheckpointEffect) func(*custodian.Warrant) {
		return func(w *custodian.Warrant) { w.Checkpoint = format.EncodeEffect(e) }
	}
	forged := w.cosigned(c, 1, 2)
	forged.Signatures[1].Signature = forged.Signatures[0].Signature
	foreign := c
	foreign.Root[0] ^= 1
	stale := c
	stale.Size = b.Decision
	root, err := n.RootAt(stale.Size)
	w.must(err)
	stale.Root = root
	for name, change := range map[string]func(*custodian.Warrant){
		"no checkpoint":                    func(w *custodian.Warrant) { w.Checkpoint = nil },
		"signed by too few":                effect(w.cosigned(c, 1)),
		"a forged signature":               effect(forged),
		"another history":                  effect(w.cosigned(foreign, 1, 2)),
		"older than the decision":          effect(w.cosigned(stale, 1, 2)),
		"a size that it was not signed at": effect(resized(w.cosigned(stale, 1, 2), c.Size)),
		"no decision":                      func(w *custodian.Warrant) { w.Decision = nil },
		"a decision that was altered": func(w *custodian.Warrant) {
			w.Decision = slices.Clone(w.Decision)
			w.Decision[20] ^= 1
		},
	} {
		t.Run(name, func(t *testing.T) { w.tester = t; w.untouched(order(change), "T0", "T1") })
		w.tester = t
	}
	// A permit for the other bundle, forged in this process, under T0's decision.
	permit, err := retentionOf(n.row("T0").Retention).Expire(retention.RecordID(kept), n.now())
	w.must(err)
	stolen := n.warrant(b)
	stolen.Permit = permit
	_, err = n.custodian.Destroy(ctx, stolen, custodian.Work{Bundle: kept, Slots: []format.Slot{other.Slot}})
	w.untouched(err, "T0", "T1")
	if err := order(func(*custodian.Warrant) {}); err != nil {
		t.Fatal(err) // the judge refuses all of them for their own reason, not for some other
	}
	w.readable("T1")
}

func resized(e format.CheckpointEffect, size uint64) format.CheckpointEffect {
	e.Checkpoint.Size = size
	return e
}

func TestP34_AChunkThatComesAgainIsNotWrittenAfterItsErasure(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	w.put("T0", "PT1H")
	chunks := w.log[len(w.log)-1].chunks
	w.began()
	w.tick(2 * hour)
	w.sweep(1)
	w.must(n.Flush())
	secret := n.secret("T0")
	again := func() {
		t.Helper()
		w.must(n.AppendChunks(chunks))
		if got := n.holds(secret[1:]); len(got) != 0 {
			t.Fatalf("found in %v", got)
		}
	}
	w.checkpoint()
	n.destroy()
	again()
	n.rebuild(false) // its ranges are met again, zeroed
	again()
	n.clean()
}

// TestP38_P57_NothingIsZeroedBeforeTheNextFileExists has the roll fail behind the
// seal, as on a full disk: a start takes zeros in the newest file for a torn tail,
// and would cut off what stands behind them.
func TestP38_P57_NothingIsZeroedBeforeTheNextFileExists(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	w.checkpoint()
	w.must(n.Flush())
	secrets := n.secret("T0")
	slot := n.row("T0").Slot
	inWay := filepath.Join(n.dir, "segments", "00000002.seg")
	w.must(os.WriteFile(inWay, []byte("in the way"), 0o600))
	bundles, blocks := n.pending(1)
	for range 2 {
		if err := n.Destroy(t.Context(), bundles, blocks); err == nil {
			t.Fatal("destroyed without a next file")
		}
		if err := n.KeyWorks(slot); !errors.Is(err, ErrKeyErased) {
			t.Fatalf("the key waits for the roll: %v", err)
		}
	}
	if len(n.holds(secrets[1:])) == 0 {
		t.Fatal("zeroed in a file that nothing says the end of")
	}
	if err := n.Abandon(); !errors.Is(err, segment.ErrLatched) {
		t.Fatal(err)
	}
	w.must(errors.Join(os.Remove(inWay), os.Remove(filepath.Join(n.dir, indexFile))))
	n.open(1)
	w.readable("T1")
	n.destroy()
	if got := n.holds(secrets); len(got) != 0 {
		t.Fatalf("found in %v", got)
	}
	w.readable("T1")
	n.clean()
}
