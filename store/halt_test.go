package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
)

// halted insists that an entry halts the node with its index unmoved, that every
// later call is refused, and that nothing of the entry reaches the index file.
func (n *node) halted(ops ...Op) error {
	n.w.Helper()
	applied := n.Summary().Applied
	_, err := n.Apply(Entry{Index: n.w.next, Ops: ops})
	if !errors.Is(err, ErrHalted) {
		n.w.Fatalf("not halted: %v", err)
	}
	if _, again := n.Apply(Entry{Index: n.w.next + 1}); !errors.Is(again, ErrHalted) {
		n.w.Fatalf("it went on: %v", again)
	}
	if got := n.Summary(); got.Applied != applied || !errors.Is(got.Failed, ErrHalted) {
		n.w.Fatalf("applied %d where %d was, failed %v", got.Applied, applied, got.Failed)
	}
	if !errors.Is(n.Flush(), ErrHalted) {
		n.w.Fatalf("a half-applied entry was flushed")
	}
	return err
}

func TestAnUnknownKindHaltsAndTheIndexStays(t *testing.T) {
	for _, kind := range []Kind{0, 1 << 15, 999} {
		w := newWorld(t, t, 2)
		w.put("T0", "P1D")
		n := w.nodes[0]
		store, chunks := w.storeOp("T1", "P1D", content("T1"))
		w.must(n.AppendChunks(chunks))
		unknown := w.op(kind, nil)
		unknown.Body = make([]byte, maxBody+1) // a newer version may take more
		n.halted(store, unknown)

		// The version that knows the kind goes on from the same files: the entry's
		// first record is met again and is the same.
		w.must(n.Abandon())
		n.open(1)
		if b, err := n.Bundle(keyOfBundle("T1")); err != nil || b != nil {
			t.Fatalf("half an entry survived: %v %v", b, err)
		}
		w.accept(w.commitAll([]Op{store, w.op(KindMark, nil)}, chunks...)[0])
		w.equal()
		w.readable("T1")
	}
}

func TestP51_P56_AFailedHistoryWriteHalts(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	w.must(n.Flush())
	w.must(n.SyncHistory())
	// The history's descriptor is closed under it: the next write fails as on a
	// device that is gone.
	name, err := newest(filepath.Join(n.dir, "history"))
	w.must(err)
	closeDescriptors(t, name)
	w.put("T1", "P1D") // waits in memory: nothing has been acknowledged as durable
	durable := n.DurableSize()
	if err := n.Flush(); !errors.Is(err, history.ErrLatched) {
		t.Fatalf("flush answered %v", err)
	}
	if n.DurableSize() != durable {
		t.Fatal("records count as durable that are not")
	}
	if err := n.Flush(); !errors.Is(err, history.ErrLatched) {
		t.Fatalf("the failure was forgotten: %v", err)
	}
	n.halted(w.about(KindShow, app, "T1", nil))
	if n.Close() == nil {
		t.Fatal("a clean stop after a failed write")
	}
	n.Store = nil
	n.open(1) // from the log: nothing that was committed is lost
	w.readable("T1")
}

func newest(dir string) (string, error) {
	list, err := os.ReadDir(dir)
	if err != nil || len(list) == 0 {
		return "", errors.Join(err, os.ErrNotExist)
	}
	return filepath.Join(dir, list[len(list)-1].Name()), nil
}

// closeDescriptors puts /dev/full behind every descriptor of this process that
// writes to the file, so that writes fail and closing still works.
func closeDescriptors(t *testing.T, name string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		var n int
		for _, c := range fd.Name() {
			n = n*10 + int(c-'0')
		}
		target, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err != nil || target != name {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
		if err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY {
			if err := unix.Dup3(int(full.Fd()), n, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAForeignCeremonyHalts(t *testing.T) {
	w := &world{tester: t, dir: t.TempDir(), next: 1}
	w.makeCeremony(nil)
	first := w.ceremony
	w.makeCeremony(nil) // another's keys: the manifest names this one
	n := w.bare(t, "node1")
	n.halted(Op{Kind: KindCeremony, ID: w.id(), Body: first.Encode()})
	if n.Summary().Begun {
		t.Fatal("begun")
	}
}

func TestP63_DataOfAnotherClusterOrCeremonyIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"cluster":  func(m *Manifest) { m.Cluster[0] ^= 1 },
		"ceremony": func(m *Manifest) { m.Ceremony[0] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t, 1)
			w.put("T0", "P1D")
			n := w.nodes[0]
			w.must(n.Close())
			n.Store = nil
			m := w.manifest(1)
			change(&m)
			w.must(os.Remove(filepath.Join(n.dir, manifestFile)))
			w.must(Create(n.dir, m))
			if err := n.tryOpen(1); err == nil {
				t.Fatal("opened")
			}
		})
	}
}

func TestADirectoryIsMadeOnce(t *testing.T) {
	w := newWorld(t, t, 1)
	if err := Create(w.nodes[0].dir, w.manifest(1)); err == nil {
		t.Fatal("made over data")
	}
	if _, err := ReadManifest(t.TempDir()); !errors.Is(err, ErrNoData) {
		t.Fatal(err)
	}
	var damage *format.DamageError
	path := filepath.Join(w.nodes[0].dir, manifestFile)
	raw, err := os.ReadFile(path)
	w.must(err)
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 0x20
		dir := t.TempDir()
		w.must(os.WriteFile(filepath.Join(dir, manifestFile), bad, 0o600))
		if _, err := ReadManifest(dir); !errors.As(err, &damage) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := Open(context.Background(), Options{Dir: dir, Root: w.root}); err == nil {
			t.Fatalf("byte %d: opened", i)
		}
	}
}

// A fold that cannot go on meets the code that refuses, and must not refuse: the
// record stands in the history already.
func TestAFoldNeverRefuses(t *testing.T) {
	w := newWorld(t, t, 1)
	m := w.nodes[0].Machine
	rec := format.Record{Sequence: m.next, Action: format.ActHoldRelease, Institution: 1, Transaction: "T1", Part: 1}
	act := format.Act{Kind: format.ActKindHoldRelease, Object: format.ActObject{Institution: 1, Transaction: "T1", Part: 1}.Encode(),
		Params: format.HoldReleaseParams{Hold: 7, Placed: 3}.Encode(), Nonce: format.ID{1}}
	w.must(m.set(tAct, act.Nonce[:], format.ActRow{Document: act.Encode(), Institution: 1}.Encode()))
	rec.Effect = format.EncodeEffect(format.ActEffect{Signed: format.SignedAct{Document: act.Encode()}.Encode()})
	err := m.fold(&rec, format.Digest{})
	var no *refusal
	if err == nil || errors.As(err, &no) {
		t.Fatalf("the release of a hold that is not there was folded as a refusal, or at all: %v", err)
	}
}
