package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// TestASnapshotHoldsNobodyUp: raft applies nothing until Snapshot answers, so what
// takes as long as the disk does is left to Persist.
func TestASnapshotHoldsNobodyUp(t *testing.T) {
	c := newTestCluster(t, 1)
	c.timing.SnapshotInterval = patience // none but this test's
	c.startAll()
	n := c.nodes[0]
	for try := range 50 {
		c.mustPut(0, fmt.Sprint(try), "P5Y", []byte("x"))
		size := n.store.Summary().Size
		s, err := n.fsm.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if n.store.DurableSize() >= size {
			continue // by the flush that comes anyway
		}
		sink, err := (&markerStore{dir: c.dataDir(0)}).Create(raft.SnapshotVersionMax, n.raft.AppliedIndex(), 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Persist(sink); err != nil {
			t.Fatal(err)
		}
		if got := n.store.DurableSize(); got < size {
			t.Fatalf("the log may be cut with %d of %d records durable", got, size)
		}
		return
	}
	t.Fatal("every snapshot waited for the disk")
}

// TestAnInstalledSnapshotStays: the node's own snapshot takes its time, and a later one
// may be installed meanwhile, before which the log is gone.
func TestAnInstalledSnapshotStays(t *testing.T) {
	told := 0
	s := &markerStore{dir: t.TempDir(), installing: func(uint64) error { told++; return nil }}
	sink := func(index uint64) raft.SnapshotSink {
		sink, err := s.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sink
	}
	own, installed := sink(5), sink(9)
	own.(*markerSink).own = true
	for range 2 { // raft closes again what was closed
		if err := installed.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := own.Close(); err == nil {
		t.Error("an older snapshot was taken")
	}
	if m, err := s.read(); err != nil || m.Index != 9 || told != 1 {
		t.Errorf("%+v, told %d times: %v", m, told, err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, snapshotFile), []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := sink(12)
	later.(*markerSink).own = true
	if err := later.Close(); err != nil {
		t.Errorf("damage stays: %v", err)
	}
	if m, err := s.read(); err != nil || m.Index != 12 {
		t.Errorf("%+v: %v", m, err)
	}
}

type noPayload struct{ payloads }

func (noPayload) ClaimLog(int) error { return nil }

// transactions is the number of the newest one in the meta pages of a bbolt file.
func transactions(t *testing.T, file string) (newest uint64) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for page := range 2 {
		newest = max(newest, binary.NativeEndian.Uint64(raw[page*os.Getpagesize()+16+48:]))
	}
	return newest
}

// TestTheLogIsCutInPieces: where the beginning goes, nobody who appends waits for all
// of it; a tail goes at once, and so does everything: a part of it, left by a kill,
// would stand behind a gap.
func TestTheLogIsCutInPieces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "raft.db")
	b, err := openLog(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	applied := uint64(0)
	s, err := newLogStore(b, noPayload{}, func(err error) { t.Log(err) }, nil, func() uint64 { return applied })
	if err != nil {
		t.Fatal(err)
	}
	const last = 4*cutAtOnce + 10
	var logs []*raft.Log
	for i := range uint64(last) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, 100)})
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	left := func(from, to uint64) {
		t.Helper()
		first, err := s.FirstIndex()
		end, err2 := s.LastIndex()
		if err := errors.Join(err, err2); err != nil || first != from || end != to {
			t.Fatalf("%d to %d, want %d to %d: %v", first, end, from, to, err)
		}
		var l raft.Log
		for i := max(from, 1); i <= to; i++ {
			if err := s.GetLog(i, &l); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(from, to uint64) {
		t.Helper()
		if err := s.DeleteRange(from, to); err != nil {
			t.Fatal(err)
		}
	}
	cutIn := func(want, from, to uint64) {
		t.Helper()
		before := transactions(t, file)
		cut(from, to)
		if n := transactions(t, file) - before; n != want {
			t.Errorf("%d transactions, want %d", n, want)
		}
	}
	cutIn(3, 1, 2*cutAtOnce+5)
	left(2*cutAtOnce+6, last)
	applied = 3*cutAtOnce - 1
	if err := s.DeleteRange(3*cutAtOnce-5, last); err == nil {
		t.Error("a tail that is applied was cut off")
	}
	cutIn(1, 3*cutAtOnce, last)
	left(2*cutAtOnce+6, 3*cutAtOnce-1)
	applied = 0
	if err := s.StoreLogs(logs[3*cutAtOnce-1:]); err != nil {
		t.Fatal(err)
	}
	cutIn(1, 2*cutAtOnce+6, last) // all of it, behind an installed snapshot
	left(0, 0)
}
