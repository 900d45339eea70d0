package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

func newMemory(t *testing.T) *client.FileMemory {
	return client.NewFileMemory(t.TempDir(), testCluster)
}

// see has a client with the memory look at the newest checkpoint.
func see(t *testing.T, l *fakeLog, m client.Memory) error {
	t.Helper()
	_, err := l.client(m).Checkpoint(t.Context(), client.CheckpointQuery{})
	return err
}

func loaded(t *testing.T, m client.Memory) string {
	t.Helper()
	note, err := m.Load()
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func TestP54_TheWholeNewestNoteIsRemembered(t *testing.T) {
	l, m := newLog(t, 5), newMemory(t)
	if err := see(t, l, m); err != nil {
		t.Fatal(err)
	}
	n, err := format.ParseNote(loaded(t, m))
	if err != nil || n.Text != l.checkpoint(5).Text() || len(n.Lines) != 2 {
		t.Fatalf("remembered %+v, %v", n, err)
	}
	kept := loaded(t, m)
	l.grow(4, "more")
	if _, err := l.client(m).Checkpoint(t.Context(), client.CheckpointQuery{Size: new(uint64(5))}); err != nil || loaded(t, m) != kept {
		t.Errorf("a past checkpoint: %v, remembered %q", err, loaded(t, m))
	}
	if err := see(t, l, m); err != nil || !strings.HasPrefix(loaded(t, m), l.checkpoint(9).Text()) {
		t.Errorf("the next one: %v, remembered %q", err, loaded(t, m))
	}
	if done, err := m.Swap(loaded(t, m), kept); done || err == nil {
		t.Error("an older note took the place of a newer one")
	}
}

func TestP69_RollbackIsATypedError(t *testing.T) {
	l, m := newLog(t, 900), newMemory(t)
	if err := see(t, l, m); err != nil {
		t.Fatal(err)
	}
	back := l.fork(800)
	back.taken = []uint64{800}
	check := func(name string, err error, has uint64) {
		t.Helper()
		var r *client.RollbackError
		if !errors.As(err, &r) || r.Had != 900 || r.Has != has || r.Note != loaded(t, m) || !errors.Is(err, client.ErrIntegrity) || client.ReasonOf(err) != "ROLLBACK" {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("newest", see(t, back, m), 800)
	if err := see(t, back, m); !strings.Contains(err.Error(), "records 800 to 899 are missing") {
		t.Error(err)
	}
	_, _, err := back.client(nil).VerifyKept(t.Context(), loaded(t, m))
	check("a kept note", err, 800)
	leaf := format.LeafHash(l.records[3])
	_, err = back.client(m).Receipt(t.Context(), client.Receipt{Sequence: 3, LeafHash: leaf})
	check("a receipt", err, 800)
	none := l.fork(800)
	none.taken = nil
	check("no checkpoint at all", see(t, none, m), 0)
}

func TestForkKeepsBothNotes(t *testing.T) {
	l, m := newLog(t, 8), newMemory(t)
	if err := see(t, l, m); err != nil {
		t.Fatal(err)
	}
	same := l.fork(4)
	same.grow(4, "other")
	later := l.fork(4)
	later.grow(40, "other")
	for name, forked := range map[string]*fakeLog{"the same size": same, "a later one": later} {
		err := see(t, forked, m)
		var f *client.ForkError
		if !errors.As(err, &f) || !errors.Is(err, client.ErrIntegrity) || client.ReasonOf(err) != "FORK" {
			t.Fatalf("%s: %v", name, err)
		}
		kept, err := os.ReadFile(f.Kept)
		if err != nil || string(kept) != f.Had+"\n"+f.Has || f.Had != loaded(t, m) || !strings.HasPrefix(f.Has, forked.checkpoint(uint64(len(forked.records))).Text()) {
			t.Errorf("%s: kept %q, %v", name, kept, err)
		}
		if _, _, err := forked.client(nil).VerifyKept(t.Context(), loaded(t, m)); !errors.As(err, &f) || f.Kept != "" {
			t.Errorf("%s, a kept note: %v", name, err)
		}
	}
	if newest, _, err := l.client(m).VerifyKept(t.Context(), loaded(t, m)); err != nil || newest.Checkpoint.Size != 8 {
		t.Errorf("honest: %v, %v", newest, err)
	}
}

// TestSwappedMeanwhile: what another process remembered between looking and
// remembering is held against as well.
func TestSwappedMeanwhile(t *testing.T) {
	l, m := newLog(t, 8), newMemory(t)
	if err := see(t, l, m); err != nil {
		t.Fatal(err)
	}
	fork := l.fork(8)
	fork.grow(2, "other")
	l.grow(4, "more")
	l.tamper = func(msg proto.Message) {
		if _, ok := msg.(*sagov1.CheckpointResponse); ok { // the other process sees the fork first
			if done, err := m.Swap(loaded(t, m), fork.note(10)); err != nil || !done {
				t.Error(done, err)
			}
			l.tamper = nil
		}
	}
	var f *client.ForkError
	if err := see(t, l, m); !errors.As(err, &f) {
		t.Errorf("two forks of one beginning: %v", err)
	}
}

// TestAnHonestOtherProcess: a checkpoint in between, remembered meanwhile, is no
// contradiction.
func TestAnHonestOtherProcess(t *testing.T) {
	l, m := newLog(t, 8), newMemory(t)
	if err := see(t, l, m); err != nil {
		t.Fatal(err)
	}
	l.grow(3, "more")
	between := l.note(11)
	l.grow(4, "more")
	l.tamper = func(msg proto.Message) {
		if _, ok := msg.(*sagov1.CheckpointResponse); ok {
			if done, err := m.Swap(loaded(t, m), between); err != nil || !done {
				t.Error(done, err)
			}
			l.tamper = nil
		}
	}
	if err := see(t, l, m); err != nil || !strings.HasPrefix(loaded(t, m), l.checkpoint(15).Text()) {
		t.Errorf("%v, remembered %q", err, loaded(t, m))
	}
}

func TestMemoryOfManyProcesses(t *testing.T) {
	l, dir := newLog(t, 1), t.TempDir()
	for range 15 {
		l.grow(1, "T")
	}
	var wg sync.WaitGroup
	for size := range uint64(16) {
		wg.Go(func() {
			m, note := client.NewFileMemory(dir, testCluster), l.note(size+1)
			for {
				old, err := m.Load()
				if err != nil {
					t.Error(err)
					return
				}
				done, err := m.Swap(old, note)
				if done || err != nil {
					return // remembered, or a newer one is
				}
			}
		})
	}
	wg.Wait()
	if got := loaded(t, client.NewFileMemory(dir, testCluster)); !strings.HasPrefix(got, l.checkpoint(16).Text()) {
		t.Errorf("remembered %q", got)
	}
}

func TestP47_MemoryThatDoesNotVerifyIsNoMemory(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "nonsense": "hello", "of strangers": newLog(t, 3).note(3),
	} {
		m := newMemory(t)
		if err := os.WriteFile(m.Path(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := see(t, newLog(t, 5), m)
		if !errors.Is(err, client.ErrMemory) || client.ReasonOf(err) != "MEMORY" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := see(t, newLog(t, 5), client.NewFileMemory(filepath.Join(os.DevNull, "x"), testCluster)); !errors.Is(err, client.ErrMemory) {
		t.Error(err)
	}
}

func TestReceiptWaitsUntilItIsCovered(t *testing.T) {
	l := newLog(t, 5)
	l.grow(1, "T")
	l.taken = l.taken[:1]
	c := l.client(nil)
	leaf := format.LeafHash(l.records[5])
	r, err := client.ReceiptOf(&sagov1.Receipt{HistorySequence: 5, LeafHash: leaf[:]})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Receipt(t.Context(), r)
	if err != nil || p.Sequence != 5 || p.Checkpoint.Checkpoint.Size != 9 || l.asked != 2 {
		t.Fatalf("%+v, %v, asked %d times", p, err, l.asked)
	}
	if _, err := client.VerifyProof(p.Proof, testCluster, keys(l.nodes...)); err != nil {
		t.Errorf("the proof on its own: %v", err)
	}
	if _, err := client.ReceiptOf(&sagov1.Receipt{LeafHash: leaf[:31]}); !errors.Is(err, client.ErrIntegrity) {
		t.Error(err)
	}
	shown, err := c.Prove(t.Context(), 2, 0)
	if err != nil || shown.Checkpoint.Checkpoint.Size != 5 || string(shown.Record) != string(l.records[2]) {
		t.Errorf("proof: %+v, %v", shown, err)
	}
}
