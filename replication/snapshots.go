package replication

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// snapshotFile holds the newest snapshot's marker: where the log may be cut, and
// the configuration there. Snapshots are by reference: the state is in the store.
const snapshotFile = "SNAPSHOT"

// markerStore is raft's snapshot store. It keeps one marker, with a checksum.
type markerStore struct {
	dir string
	// installing is told of the index before a marker is written.
	installing func(index uint64) error

	mu     sync.Mutex // held while a marker is written
	newest uint64     // of those that this process has written
}

type marker struct {
	Version            raft.SnapshotVersion
	Index, Term        uint64
	Configuration      []byte
	ConfigurationIndex uint64
}

// read answers the newest marker; nil when there is none yet.
func (s *markerStore) read() (*marker, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, snapshotFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	damage := func(err error) error {
		return &format.DamageError{File: snapshotFile, Offset: -1, What: "snapshot marker", Err: err}
	}
	if len(raw) < sumSize {
		return nil, damage(nil)
	}
	body, sum := raw[:len(raw)-sumSize], raw[len(raw)-sumSize:]
	if want := sha256.Sum256(body); !bytes.Equal(want[:], sum) {
		return nil, damage(errors.New("checksum"))
	}
	var m marker
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, damage(err)
	}
	return &m, nil
}

func (s *markerStore) write(m marker) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	return durable.WriteFile(filepath.Join(s.dir, snapshotFile), append(body, sum[:]...), 0o600)
}

func (m marker) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{Version: m.Version, ID: fmt.Sprintf("%d-%d", m.Term, m.Index), Index: m.Index, Term: m.Term,
		Configuration: raft.DecodeConfiguration(m.Configuration), ConfigurationIndex: m.ConfigurationIndex}
}

// Create begins a snapshot; the sink's Close writes its marker.
func (s *markerStore) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, ci uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &markerSink{store: s, marker: marker{v, index, term, raft.EncodeConfiguration(c), ci}}, nil
}

// List answers the newest snapshot.
func (s *markerStore) List() ([]*raft.SnapshotMeta, error) {
	m, err := s.read()
	if err != nil || m == nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{m.meta()}, nil
}

// Open answers the newest snapshot's marker; its content is empty.
func (s *markerStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	if m == nil || m.meta().ID != id {
		return nil, nil, fmt.Errorf("no snapshot %s", id)
	}
	return m.meta(), io.NopCloser(bytes.NewReader(nil)), nil
}

type markerSink struct {
	store  *markerStore
	marker marker
	own    bool // made here, not installed
	ended  bool // closed or cancelled
}

func (s *markerSink) ID() string                  { return s.marker.meta().ID }
func (s *markerSink) Write(p []byte) (int, error) { return len(p), nil }
func (s *markerSink) Cancel() error               { s.ended = true; return nil }

// Close writes the marker, once. A snapshot of this node's own that was on its way when
// a later one was installed is of no use any more: the log behind its marker is gone.
func (s *markerSink) Close() error {
	if s.ended {
		return nil
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.own && s.marker.Index < s.store.newest {
		return fmt.Errorf("a snapshot later than %s was installed", s.ID())
	}
	if s.store.installing != nil {
		if err := s.store.installing(s.marker.Index); err != nil {
			return err
		}
	}
	if err := s.store.write(s.marker); err != nil {
		return err
	}
	s.ended, s.store.newest = true, s.marker.Index
	return nil
}

// beginRaft begins a log behind what was restored: raft finds a snapshot there, by
// reference, whose voters are the nodes' restored incarnations.
func beginRaft(dir string, begun store.Restored) error {
	bolt, err := openLog(filepath.Join(dir, store.LogFile))
	if err != nil {
		return err
	}
	failed := func(error) {} // the caller hears of it
	stable := &stableStore{bolt: bolt, attest: func(uint64) error { return nil }, failed: failed}
	err = stable.begin()
	if err == nil {
		err = stable.SetUint64(keyTerm, restoreTerm)
	}
	if err = errors.Join(err, bolt.Close()); err != nil {
		return err
	}
	var c raft.Configuration
	for _, m := range begun.Members {
		if m.Current == (format.ID{}) {
			continue
		}
		id := serverID(m.Name, m.Current)
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return (&markerStore{dir: dir}).write(marker{Version: raft.SnapshotVersionMax, Index: begun.Entry, Term: restoreTerm,
		Configuration: raft.EncodeConfiguration(c), ConfigurationIndex: begun.Entry})
}
