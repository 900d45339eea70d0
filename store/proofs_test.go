package store

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
)

func TestPastCheckpointsAreFound(t *testing.T) {
	w := newWorld(t, t, 2)
	if _, err := w.nodes[0].CheckpointCovering(0); !errors.Is(err, ErrNoCheckpoint) {
		t.Fatalf("before the first: %v", err)
	}
	var taken []format.CheckpointEffect
	for i := range 5 {
		w.put(fmt.Sprintf("T%d", i), "P5Y")
		taken = append(taken, w.checkpoint())
	}
	w.nodes[1].rebuild(true)
	w.nodes[0].restart()
	w.equal()
	for _, n := range w.nodes {
		least := 0
		for seq := range n.Summary().Size {
			for least < len(taken) && taken[least].Checkpoint.Size <= seq {
				least++
			}
			got, err := n.CheckpointCovering(seq)
			if least == len(taken) {
				if !errors.Is(err, ErrNoCheckpoint) {
					t.Fatalf("record %d: %v", seq, err)
				}
				continue
			}
			if err != nil || got.Checkpoint != taken[least].Checkpoint || len(got.Signatures) != 2 {
				t.Fatalf("record %d: %+v, %v", seq, got, err)
			}
		}
		for _, e := range taken {
			if got, err := n.CheckpointAt(e.Checkpoint.Size); err != nil || got.Checkpoint != e.Checkpoint {
				t.Errorf("of size %d: %+v, %v", e.Checkpoint.Size, got, err)
			}
			if _, err := n.CheckpointAt(e.Checkpoint.Size + 1); !errors.Is(err, ErrNoCheckpoint) {
				t.Errorf("of size %d: %v", e.Checkpoint.Size+1, err)
			}
		}
		for _, none := range []uint64{0, 1 << 63, ^uint64(0)} {
			if _, err := n.CheckpointAt(none); !errors.Is(err, ErrNoCheckpoint) {
				t.Errorf("of size %d: %v", none, err)
			}
			if _, err := n.CheckpointCovering(none); none > 0 && !errors.Is(err, ErrNoCheckpoint) {
				t.Errorf("over %d: %v", none, err)
			}
		}
	}
}

// TestACheckpointRowIsHeldAgainstItsRecord: a row is believed only as far as the
// history bears it out.
func TestACheckpointRowIsHeldAgainstItsRecord(t *testing.T) {
	w := newWorld(t, t, 1)
	e := w.checkpoint()
	for _, sequence := range []uint64{0, e.Checkpoint.Size - 1} {
		w.nodes[0].idx.Put(tCheckpoint, key64(e.Checkpoint.Size), key64(sequence))
		var damage *format.DamageError
		if _, err := w.nodes[0].CheckpointAt(e.Checkpoint.Size); !errors.As(err, &damage) {
			t.Errorf("row that names record %d: %v", sequence, err)
		}
	}
}

func TestProofsHold(t *testing.T) {
	w := newWorld(t, t, 1)
	for i := range 6 {
		w.put(fmt.Sprintf("T%d", i), "P5Y")
	}
	n := w.nodes[0]
	size := n.Summary().Size
	roots := make([]tlog.Hash, size+1)
	for s := uint64(1); s <= size; s++ {
		root, err := n.RootAt(s)
		w.must(err)
		roots[s] = tlog.Hash(root)
		for seq := range s {
			_, encoded, err := n.Record(seq)
			w.must(err)
			leaf, err := n.LeafHash(seq)
			if err != nil || leaf != format.LeafHash(encoded) {
				t.Fatalf("leaf %d: %x, %v", seq, leaf, err)
			}
			path, err := n.Prove(seq, s)
			w.must(err)
			if err := tlog.CheckRecord(hashes(path), int64(s), roots[s], int64(seq), tlog.Hash(leaf)); err != nil {
				t.Errorf("record %d of %d: %v", seq, s, err)
			}
		}
		for old := uint64(1); old <= s; old++ {
			p, err := n.ProveConsistency(old, s)
			w.must(err)
			if err := tlog.CheckTree(hashes(p), int64(s), roots[s], int64(old), roots[old]); err != nil {
				t.Errorf("%d of %d: %v", old, s, err)
			}
		}
	}
	for _, c := range []struct{ seq, size uint64 }{{size, size}, {0, size + 1}, {0, 0}, {1 << 63, 1 << 63}} {
		if _, err := n.Prove(c.seq, c.size); !errors.Is(err, ErrBeyond) {
			t.Errorf("record %d of %d: %v", c.seq, c.size, err)
		}
		if _, err := n.ProveConsistency(c.seq+1, c.size); !errors.Is(err, ErrBeyond) {
			t.Errorf("%d of %d: %v", c.seq+1, c.size, err)
		}
	}
	if _, err := n.LeafHash(size); !errors.Is(err, ErrBeyond) {
		t.Error(err)
	}
}

func hashes(d []format.Digest) (out []tlog.Hash) {
	for _, h := range d {
		out = append(out, tlog.Hash(h))
	}
	return out
}

// counted counts the hashes that are read.
type counted struct {
	tlog.HashReader
	reads int
}

func (c *counted) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	c.reads += len(indexes)
	return c.HashReader.ReadHashes(indexes)
}

// plainFiles are a log's files without flags.
type plainFiles string

func (d plainFiles) open(name string, flag int) (*os.File, error) {
	return os.OpenFile(filepath.Join(string(d), name), flag, 0o600)
}

func (d plainFiles) Create(name string) (*os.File, error) {
	return d.open(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
}

func (d plainFiles) Append(name string) (*os.File, error) {
	return d.open(name, os.O_WRONLY|os.O_APPEND)
}

func (d plainFiles) Seal(string) error { return nil }

// machineOf is a Machine over a history of so many small records, for reading.
func machineOf(t testing.TB, records uint64) *Machine {
	t.Helper()
	dir := t.TempDir()
	log, err := history.Open(history.Options{Dir: dir, Files: plainFiles(dir)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	for seq := range records {
		rec := format.Record{Sequence: seq, Action: format.ActUse, Institution: 1, InstitutionSequence: seq, Transaction: "T1"}
		if _, _, err := log.Append(rec.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	return &Machine{log: log}
}

// TestProofsReadFewHashes: a proof costs a multiple of the logarithm of the
// history, whatever the record.
func TestProofsReadFewHashes(t *testing.T) {
	const size = 20_000
	m := machineOf(t, size)
	r := &counted{HashReader: m.log.HashReader()}
	for _, s := range []int64{1, 2, 3, 1000, 1 << 14, 1<<14 - 1, 1<<14 + 1, size - 1, size} {
		limit := 2*bits.Len64(uint64(s)) + 2
		for _, at := range []int64{0, 1, s / 3, s / 2, s - 2, s - 1} {
			if at < 0 || at >= s {
				continue
			}
			r.reads = 0
			if _, err := tlog.ProveRecord(s, at, r); err != nil || r.reads > limit {
				t.Errorf("record %d of %d: %d hashes, at most %d, %v", at, s, r.reads, limit, err)
			}
			r.reads = 0
			if _, err := tlog.ProveTree(s, at+1, r); err != nil || r.reads > limit {
				t.Errorf("tree %d of %d: %d hashes, at most %d, %v", at+1, s, r.reads, limit, err)
			}
		}
	}
}

// BenchmarkProve is the server's part of a proof among a million records: leaf
// hash and inclusion path, read from the files.
func BenchmarkProve(b *testing.B) {
	const size = 1_000_000
	m := machineOf(b, size)
	var n uint64
	for b.Loop() {
		n = (n*2862933555777941757 + 3037000493) % size
		if _, err := m.LeafHash(n); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Prove(n, size); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProveConsistency is the same for the proof between two trees.
func BenchmarkProveConsistency(b *testing.B) {
	const size = 1_000_000
	m := machineOf(b, size)
	var n uint64
	for b.Loop() {
		n = (n*2862933555777941757 + 3037000493) % size
		if _, err := m.ProveConsistency(n+1, size); err != nil {
			b.Fatal(err)
		}
	}
}
