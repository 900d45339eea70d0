package witness

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func TestWitnessFollowsALogThatGrows(t *testing.T) {
	l := newLog(t, 3)
	s := newSite(t, l)
	s.conflicts(ask(t, l, 2), 0) // it knows nothing yet
	last := uint64(0)
	for i := range 40 {
		a := ask(t, l, last)
		s.takes(a)
		s.takes(format.AddCheckpoint{Old: l.Size(), Note: a.Note}) // an answer that was lost is asked for again
		s.conflicts(a, l.Size())
		if last = l.Size(); i%7 == 0 {
			s.reopen()
		}
		must(t, l.Grow(1+i%5, "more"))
	}
	if r := s.report(); r.Checkpoint.Size != last || len(r.Proofs)+len(r.Suspicions) != 0 {
		t.Fatalf("%+v", r)
	}
}

// TestP54_WholeSignedCheckpointIsKept: what is kept convicts, because the log's
// nodes signed it.
func TestP54_WholeSignedCheckpointIsKept(t *testing.T) {
	l := newLog(t, 3)
	s := newSite(t, l)
	a := ask(t, l, 0)
	a.Note.Lines = append(a.Note.Lines, format.NoteLine{Name: "stranger", KeyID: 1, Signature: []byte{1}})
	s.takes(a)
	kept := s.report().Newest
	if kept.Text != a.Note.Text || len(kept.Lines) != 3 {
		t.Fatalf("kept %q", kept)
	}
	if n, err := s.logs[0].signed(kept); err != nil || len(n.Lines) != 2 {
		t.Fatalf("%v: %d nodes", err, len(n.Lines))
	}
}

func TestP43_OnlyAMajorityOfTheLogsNodesCounts(t *testing.T) {
	l, stranger := newLog(t, 3), newLog(t, 3)
	s := newSite(t, l)
	good := ask(t, l, 0)
	s.refuses(ask(t, stranger, 0), ErrUnknownLog)
	few := good
	few.Note = noteOf(t, l, 1)
	s.refuses(few, ErrUnsigned)
	few.Note.Lines = append(few.Note.Lines, few.Note.Lines[0]) // the same node twice
	s.refuses(few, ErrUnsigned)
	foreign, err := stranger.Sign(format.Checkpoint{Cluster: l.Cluster, Size: 3}, 3)
	must(t, err)
	s.refuses(format.AddCheckpoint{Note: foreign.Note(stranger.Members())}, ErrUnsigned)
	bent := good
	bent.Note.Lines = append([]format.NoteLine(nil), good.Note.Lines...)
	bent.Note.Lines[1].Signature = append([]byte(nil), bent.Note.Lines[1].Signature...)
	bent.Note.Lines[1].Signature[9] ^= 1
	s.refuses(bent, ErrUnsigned)
	empty, err := l.Sign(format.Checkpoint{Cluster: l.Cluster}, 3)
	must(t, err)
	s.refuses(format.AddCheckpoint{Note: empty.Note(l.Members())}, format.ErrMalformed)
	late := good
	late.Old = 9
	s.refuses(late, ErrBadSize)
	padded := good
	padded.Proof = []format.Digest{{1}}
	s.refuses(padded, ErrProof)
	s.takes(good)
}

// TestP54_ForkIsProvenByBothCheckpoints goes through every way in which a log
// can contradict itself.
func TestP54_ForkIsProvenByBothCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		grow, diverge int
		what          string
	}{
		"same size":               {0, 1, fork},
		"larger, proof convicts":  {4, 1, fork},
		"smaller, yet later":      {-1, 2, rollback},
		"much larger":             {300, 3, fork},
		"one record larger":       {1, 1, fork},
		"grown from a short copy": {9, 6, fork},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, 13-c.diverge)
			other := l.Fork()
			must(t, l.Grow(c.diverge, "what was shown"))
			must(t, other.Grow(c.diverge+c.grow, "something else"))
			s := newSite(t, l)
			s.takes(ask(t, l, 0))
			other.Clock, other.Entry = l.Clock, l.Entry
			a := ask(t, other, min(13, other.Size()))
			if _, err := s.Add(a); err == nil {
				t.Fatal("a forked log was cosigned")
			}
			r := s.report()
			if r.Checkpoint.Size != 13 || len(r.Proofs) != 1 || len(r.Suspicions) != 0 {
				t.Fatalf("%+v", r)
			}
			s.holds(r.Proofs[0], c.what, 13, a)
			_, _ = s.Add(a) // offered again, it is kept once
			s.reopen()
			_, _ = s.Add(a)
			if r := s.report(); len(r.Proofs) != 1 {
				t.Fatalf("%+v", r)
			}
			must(t, l.Grow(5, "the honest one goes on"))
			s.takes(ask(t, l, 13))
		})
	}
}

// TestProofOfNothingIsOnlyASuspicion: anybody can send a public checkpoint with
// a proof of their own making.
func TestProofOfNothingIsOnlyASuspicion(t *testing.T) {
	l := newLog(t, 13)
	s := newSite(t, l)
	s.takes(ask(t, l, 0))
	must(t, l.Grow(10, "more"))
	bad := ask(t, l, 13)
	good := append([]format.Digest(nil), bad.Proof...)
	for i := range 3 * maxSuspicions {
		bad.Proof = append([]format.Digest(nil), good...)
		bad.Proof[i%len(good)][i%32] ^= 1
		if i%4 == 0 {
			bad.Proof = bad.Proof[1:]
		}
		s.refuses(bad, ErrProof)
	}
	if r := s.report(); len(r.Suspicions) != 1 || len(r.Proofs) != 0 {
		t.Fatalf("%+v", r)
	}
	s.holds(s.report().Suspicions[0], suspicion, 13, bad)
	for range 3 * maxSuspicions { // as many checkpoints: what is kept is bounded
		must(t, l.Grow(1, "more"))
		a := ask(t, l, 13)
		a.Proof = good
		s.refuses(a, ErrProof)
	}
	if r := s.report(); len(r.Suspicions) != maxSuspicions || !strings.Contains(s.said.String(), "could not be kept") {
		t.Fatalf("%d suspicions", len(r.Suspicions))
	}
	s.takes(ask(t, l, 13)) // none of it stands in the log's way
}

// TestOldCheckpointIsNoRollback: a slow node shows what was true before.
func TestOldCheckpointIsNoRollback(t *testing.T) {
	l := newLog(t, 13)
	s := newSite(t, l)
	old := ask(t, l, 0)
	must(t, l.Grow(2, "more"))
	s.takes(ask(t, l, 0))
	s.conflicts(old, 15)
	if r := s.report(); len(r.Proofs)+len(r.Suspicions) != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestLogsDoNotMix(t *testing.T) {
	a, b := newLog(t, 3), newLog(t, 7)
	s := newSite(t, a, b)
	s.takes(ask(t, a, 0))
	s.takes(ask(t, b, 0))
	must(t, a.Grow(1, "more"))
	s.takes(ask(t, a, 3))
	if _, all, err := Show(s.dir); err != nil || len(all) != 2 {
		t.Fatalf("%v: %d logs", err, len(all))
	}
}

func TestDirectoryIsHeldByOneWitness(t *testing.T) {
	l := newLog(t, 3)
	s := newSite(t, l)
	if _, err := Open(s.opts); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("opened twice: %v", err)
	}
	info, err := os.Stat(filepath.Join(s.dir, keyFile))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("the key may be read by others: %v", info.Mode())
	}
	if _, err := OpenKey(s.dir, "another"); err == nil {
		t.Fatal("took another name")
	}
	if _, err := OpenKey(t.TempDir(), "a b"); err == nil {
		t.Fatal("took a name with a space")
	}
}

// TestDamagedStateStopsTheWitness: beginning anew would sign a second history.
func TestDamagedStateStopsTheWitness(t *testing.T) {
	l := newLog(t, 3)
	s := newSite(t, l)
	s.takes(ask(t, l, 0))
	path := filepath.Join(logDir(s.dir, s.logs[0].Origin), newestFile)
	whole, err := os.ReadFile(path)
	must(t, err)
	must(t, s.Close())
	for name, spoil := range map[string]func([]byte) []byte{
		"cut":      func(b []byte) []byte { return b[:len(b)/2] },
		"unsigned": func(b []byte) []byte { return b[:strings.LastIndex(string(b), "— w.example")] },
		"empty":    func([]byte) []byte { return nil },
	} {
		must(t, os.WriteFile(path, spoil(append([]byte(nil), whole...)), 0o600))
		if w, err := Open(s.opts); err == nil {
			_ = w.Close()
			t.Fatalf("%s: opened", name)
		}
	}
	must(t, os.WriteFile(path, whole, 0o600))
	s.open(nil)
}

// TestFullDiskAnswersNoCosignature: what is not on disk was not signed.
func TestFullDiskAnswersNoCosignature(t *testing.T) {
	l := newLog(t, 3)
	s := newSite(t, l)
	dir := logDir(s.dir, s.logs[0].Origin)
	must(t, os.MkdirAll(filepath.Join(dir, newestFile+".tmp", "x"), 0o700)) // the write fails, also for root
	s.refuses(ask(t, l, 0), ErrFailed)
	must(t, os.RemoveAll(filepath.Join(dir, newestFile+".tmp")))
	s.refuses(ask(t, l, 0), ErrFailed) // not before it has read its disk again
	s.reopen()
	if _, err := s.Add(ask(t, l, 0)); err != nil && !errors.As(err, new(*Conflict)) {
		t.Fatal(err)
	}
}
