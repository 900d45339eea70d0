package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
	"github.com/sago-worm/sago/store/index"
	"github.com/sago-worm/sago/store/keyring"
	"github.com/sago-worm/sago/store/segment"
)

// Options say what a Store opens.
type Options struct {
	Dir  string // the data directory
	Root RootKey
	// Former is the root key before Root where a rotation is not finished, else zero.
	Former RootKey
	// FirstLogged is the least index that the raft log can still replay; 1 for a
	// log that is whole. Records of the last entry in the history are decided
	// again when the log replays that entry.
	FirstLogged uint64
	// Refill says what to do about a history that is shorter than it was.
	Refill Refill
	// Probe looks at the index file in a child process; nil: in this one.
	Probe func(path string) error
	// OnDamage is told of damage that a start found and could go on from.
	OnDamage func(*format.DamageError)
	// Notify is told of each record as it is folded; it must not block.
	Notify func(format.Action)
	// Custodian is a process of its own; nil: one in this process.
	Custodian Custodian
}

// Custodian is who alone may change what was written once.
type Custodian = custodian.Custodian

// maxPending is how many rows may wait for the index before Apply waits for it.
const maxPending = 256 << 10

// RootKey is what a node's key slots are sealed under.
type RootKey = keyring.RootKey

// Store is one node's durable state: the Machine and the rooms below it.
type Store struct {
	*Machine
	manifest  Manifest
	dir       string
	custodian custodian.Custodian
	segments  *segment.Store
	keys      *keyring.Ring
	idx       *index.DB
	reserve   *custodian.Reserve
	room      atomic.Uint64 // bytes of payload that the disk takes, as of the last KeepRoom
	onDamage  func(*format.DamageError)
	refilling uint64 // records that the history had; 0 where none is missing

	erasing sync.Mutex // held while history files are replaced and destroyed
	erased  uint64     // the PRUNE record, plus one, whose files are destroyed; under erasing
	// rewritten is the same of the index file, whose free pages keep what was
	// deleted; under flushing.
	rewritten uint64

	ranges   sync.Mutex // held from a chunk's append to its range rows
	flushing sync.Mutex // one flush at a time
}

// Open opens a data directory: it checks every file that it will use again,
// rebuilds what is derived, and leaves the Machine where the index was. Damage
// that it cannot go on from is a *format.DamageError: the node then rejoins as a
// new incarnation.
func Open(ctx context.Context, o Options) (*Store, error) {
	m, err := ReadManifest(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.OnDamage == nil {
		o.OnDamage = func(*format.DamageError) {}
	}
	s := &Store{manifest: m, dir: o.Dir, onDamage: o.OnDamage}
	if s.reserve, err = custodian.OpenReserve(o.Dir); err != nil { // first: it gives a start on a full disk its room
		return nil, err
	}
	if _, err := s.KeepRoom(); err != nil {
		return nil, errors.Join(err, s.closeRooms())
	}
	clean, err := takeCleanMark(o.Dir)
	if err != nil {
		return nil, errors.Join(err, s.closeRooms())
	}
	if err := s.openRooms(ctx, o, clean); err != nil {
		return nil, errors.Join(err, s.closeRooms())
	}
	return s, nil
}

func takeCleanMark(dir string) (bool, error) {
	path := filepath.Join(dir, cleanFile)
	if _, err := os.Stat(path); err != nil {
		return false, nil
	}
	return true, durable.Remove(path)
}

func (s *Store) openRooms(ctx context.Context, o Options, clean bool) error {
	m := s.manifest
	var err error
	if s.custodian = o.Custodian; s.custodian == nil {
		if s.custodian, err = custodian.NewLocal(o.Dir, custodian.Options{Judge: warrantJudge{s, &judged{}}}); err != nil {
			return err
		}
	}
	if err := s.custodian.ReassertAll(); err != nil {
		return err
	}
	if s.keys, err = openKeys(o.Dir, o.Root, o.Former, m.Cluster, s.custodian); err != nil {
		return err
	}
	log, err := openHistory(history.Options{Dir: o.Dir, Files: s.custodian, Place: s.custodian.Place, Cluster: m.Cluster, Incarnation: m.Incarnation,
		Clean: clean, OnDamage: o.OnDamage, Claim: s.reserve.Claim}, o.Refill)
	if err != nil {
		return err
	}
	s.Machine = &Machine{own: identity{cluster: m.Cluster, ceremony: m.Ceremony}, log: log, notify: o.Notify}
	meta, err := s.openIndex(ctx, o)
	if err != nil {
		return err
	}
	if meta, err = s.checkLength(o, meta); err != nil {
		return err
	}
	from := segment.Position{File: meta.Segment.File, Offset: meta.Segment.Offset}
	s.segments, err = segment.Open(segment.Options{Dir: o.Dir, Files: s.custodian, Cluster: m.Cluster, Incarnation: m.Incarnation,
		Clean: clean, OnDamage: o.OnDamage}, from, s.addRange)
	if err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	if err := s.recall(ctx, o, meta); err != nil {
		return err
	}
	return s.holdAgainstCheckpoint()
}

// holdAgainstCheckpoint compares the history with the newest checkpoint that a
// majority signed: records altered together with their checksums are found here.
func (s *Store) holdAgainstCheckpoint() error {
	c := s.checkpoint.Checkpoint
	if c.Size == 0 {
		return nil
	}
	root, err := s.log.RootAt(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("the first %d records do not have the root that a majority signed", c.Size)}
	}
	return nil
}

// Manifest answers whose data this is.
func (s *Store) Manifest() Manifest { return s.manifest }

// Protection says which of the operating system's protections are active.
func (s *Store) Protection() custodian.Protection {
	p := s.custodian.Protection()
	if note := s.keys.Note(); note != "" {
		p.Notes = append(p.Notes, note)
	}
	return p
}

// Backlogged reports whether the index has fallen so far behind that the caller
// should wait for Flush before it applies more.
func (s *Store) Backlogged() bool { return s.idx.Pending() > maxPending }

// Flush makes what has been applied durable outside the raft log: the history
// is synced, then the index with its applied index. After it, the log up to that
// index is no longer needed.
func (s *Store) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if err := s.claimIndex(); err != nil {
		return err
	}
	s.ranges.Lock()
	s.mu.Lock()
	meta := index.Meta{Applied: s.applied, History: s.next, StateHash: s.state}
	pos := s.segments.Position()
	meta.Segment.File, meta.Segment.Offset = pos.File, pos.Offset
	if s.rewritten > 0 {
		meta.Extra = key64(s.rewritten)
	}
	failed := s.failed
	batch := s.idx.Rotate(meta)
	s.mu.Unlock()
	s.ranges.Unlock()
	if failed != nil {
		return failed // rows of a half-applied entry stay out of the file
	}
	if err := s.log.Sync(); err != nil { // the records of these rows, and some that came meanwhile
		return fmt.Errorf("history: %w", err)
	}
	if err := s.idx.Commit(batch); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// Unflushed is how many rows wait for the index file.
func (s *Store) Unflushed() int { return s.idx.Pending() }

// DurableSize is how many history records are on disk.
func (s *Store) DurableSize() uint64 { return s.log.Durable() }

// DurableRoot is DurableSize and the root over these records, from memory.
func (s *Store) DurableRoot() (uint64, format.Digest) { return s.log.DurableRoot() }

// SyncHistory makes every record so far durable.
func (s *Store) SyncHistory() error { return s.log.Sync() }

// ErrFull is returned when there is no room for payload.
var ErrFull = segment.ErrFull

// CheckIndexFile reads an index file without mapping it: what a start runs before
// bbolt opens the file.
func CheckIndexFile(path string) error { return index.CheckFile(path) }

// CheckLogFile checks the pages of a raft log; its rows are their owner's.
func CheckLogFile(path string) error {
	return index.CheckPages(path, func(_, _, _ []byte) error { return nil })
}

// Close flushes and closes everything and leaves the mark of a clean stop.
func (s *Store) Close() error {
	err := s.Flush()
	if err = errors.Join(err, s.closeRooms()); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.dir, cleanFile), nil, 0o600)
}

// Abandon closes the files without flushing: for a node that has failed.
func (s *Store) Abandon() error { return s.closeRooms() }

func (s *Store) closeRooms() error {
	var errs []error
	if s.segments != nil {
		errs = append(errs, s.segments.Close())
	}
	if s.Machine != nil && s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.idx != nil {
		if s.Machine != nil {
			s.dropView()
		}
		errs = append(errs, s.idx.Close())
	}
	if s.keys != nil {
		errs = append(errs, s.keys.Close())
	}
	errs = append(errs, s.reserve.Close())
	return errors.Join(errs...)
}
