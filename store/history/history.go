// Package history keeps a node's history: an append-only log of encoded records,
// gap-free from sequence 0, and the RFC 6962 tree over them
// (docs/formats/history-file.md).
//
// It guarantees that a record is answered as it was appended or not at all, that
// what Durable counts survives a power cut, and that the tree is that of the
// records: its file is derived, and never believed over them.
package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/segment/series"
)

// Errors that callers decide on.
var (
	// ErrDiverged says that a replayed record is not the one that was written.
	ErrDiverged = errors.New("replayed record differs from the written one")
	// ErrSequence refuses a record that is not the next one. Nothing was written.
	ErrSequence = errors.New("record out of sequence")
	// ErrBeyond says that the history has no such record yet.
	ErrBeyond = errors.New("beyond the end of the history")
	// ErrPruned says that the record was erased at the end of its retention.
	ErrPruned = errors.New("erased at the end of its retention")
	// ErrLatched wraps the failure after which nothing is written any more.
	ErrLatched = series.ErrLatched
)

// Files is how a Log reaches its files for writing.
type Files = series.Files

// DefaultMaxFile is the size in bytes beyond which a file does not grow.
const DefaultMaxFile = 64 << 20

// maxTail bounds the bytes of records that wait for a Sync: beyond it, Append syncs.
const maxTail = 8 << 20

// placeEvery is how many records lie between two remembered places.
const placeEvery = 32

// The names of the room and of its derived files.
const (
	folder        = "history"
	placesName    = "history.places"
	carriedPlaces = "history.carried"
)

// Options say where a Log is and who writes it.
type Options struct {
	// Dir is the data directory: files are in history/ below it, the tree's hashes
	// in history.tree.
	Dir                  string
	Files                Files
	Cluster, Incarnation format.ID
	MaxFile              int64 // bytes; DefaultMaxFile when 0
	// Place makes a whole file, sealed when it returns: all that fill writes, or
	// nothing. A log without it carries nothing.
	Place func(name string, fill func(io.Writer) error) error
	// Clean says that the last run's Close returned nil: a tail that does not
	// verify is then damage, never a torn tail.
	Clean bool
	// Refill says that records which are missing at the end will be appended again:
	// a cut end is then taken for a torn one.
	Refill bool
	// OnDamage, when set, is told where the tree file differed from the records. It
	// has been rewritten from them.
	OnDamage func(*format.DamageError)
	// Claim, when set, gives a file its blocks up to end before it is written, so
	// that a disk that others fill does not fail the write.
	Claim func(f *os.File, end int64) error
}

// LostError says that the history ends before records that were on disk: a file
// was cut, or history.tree has hashes of more. Nothing has been changed.
type LostError struct {
	Have  uint64 // records that are there
	Entry uint64 // log entry of the last of them; 0 for none
	Err   error
}

func (e *LostError) Error() string { return fmt.Sprintf("%d records are there: %v", e.Have, e.Err) }

// Unwrap is the damage.
func (e *LostError) Unwrap() error { return e.Err }

// Log is an open history. Append and Close are one writer's, one call at a time;
// everything else is safe beside them, Sync too: what is appended meanwhile waits
// for the next one.
type Log struct {
	o      Options
	files  *series.Series
	tree   *tree
	places *places // of durable records: every 32nd, and each file's first
	// last is what the last Read stands at: whoever reads one record after the other
	// need not look for each. Who uses it takes it out.
	last  atomic.Pointer[reader]
	entry uint64 // of the last record that Open read

	syncing sync.Mutex // held while files are written
	noted   uint64     // file of the newest place; under syncing

	mu      sync.RWMutex
	failed  error // latched
	size    uint64
	durable uint64
	root    format.Digest // of the durable records
	tail    [][]byte      // encoded records from durable on; never changed once in
	waiting int           // bytes of tail
	carried *carried      // what is left of the oldest files; nil while nothing was erased
}

// Open reads and verifies every record, reports each to each (nil for none; the
// bytes are valid during the call), rebuilds the tree from them and makes the log
// ready. After an unclean stop it seals the newest file behind its last good
// record and begins the next.
//
// What does not verify before that is a *format.DamageError that names file and
// sequence, and so is the loss of a record that the tree file knows to have been
// on disk. Then no record file has been changed, and the node must copy its
// history from a peer.
func Open(o Options, each func(seq uint64, encoded []byte) error) (*Log, error) {
	if o.MaxFile == 0 {
		o.MaxFile = DefaultMaxFile
	}
	if o.Refill {
		o.Clean = false
	}
	l := &Log{o: o}
	var err error
	if l.carried, err = newestCarried(o); err != nil {
		return nil, err
	}
	l.files, err = series.Open(series.Spec{Dir: o.Dir, Folder: folder, Ext: "his", Kind: format.KindHistory, Files: o.Files,
		Cluster: o.Cluster, Incarnation: o.Incarnation, MaxFile: o.MaxFile, Clean: o.Clean, Trimmed: l.carried != nil, Claim: o.Claim})
	if err != nil {
		return nil, errors.Join(err, l.carried.close())
	}
	files := l.files
	if l.tree, err = openTree(o); err != nil {
		return nil, errors.Join(err, l.carried.close(), files.Abandon())
	}
	if l.places, err = newPlaces(o.Dir, placesName); err != nil {
		return nil, errors.Join(err, l.tree.f.Close(), l.carried.close(), files.Abandon())
	}
	var good int64
	if l.carried != nil {
		err = l.loadCarried(each)
	}
	if err == nil {
		good, err = l.load(o.Clean, each)
	}
	if err == nil {
		err = l.checkTree(good, o.Refill)
	}
	if err == nil {
		err = files.Resume(good, l.size)
	}
	if err != nil {
		return nil, errors.Join(err, l.closeDerived(), files.Abandon())
	}
	l.durable, l.root = l.size, format.Digest(l.tree.root())
	return l, nil
}

// checkTree settles the tree file. It is written only after the records are
// synced, so a leaf hash without a record proves that the record was lost.
func (l *Log) checkTree(good int64, refill bool) error {
	lost, err := l.tree.settleEnd()
	if err != nil || !lost || refill {
		return err
	}
	newest, _ := l.files.Newest()
	return l.lost(l.files.Damage(max(newest.Number, 1), good, recordName(l.size), errors.New("missing, though history.tree has its hash")))
}

func (l *Log) lost(err error) error { return &LostError{Have: l.size, Entry: l.entry, Err: err} }

func recordName(seq uint64) string { return fmt.Sprintf("record %d", seq) }

// note remembers where a record is, if a reader needs to know.
func (l *Log) note(p place) {
	if p.seq%placeEvery == 0 || l.noted != p.file {
		l.places.add(p)
		l.noted = p.file
	}
}

// Append adds the next record. It can be read at once, and is on disk after the
// next Sync. It returns the record's sequence and its leaf hash in the tree.
func (l *Log) Append(encoded []byte) (uint64, format.Digest, error) {
	if err := l.failure(); err != nil {
		return 0, format.Digest{}, err
	}
	seq := l.Size()
	if _, err := checkRecord(encoded, seq); err != nil {
		return 0, format.Digest{}, err
	}
	leaf := format.LeafHash(encoded)
	l.mu.Lock()
	l.tree.add(tlog.Hash(leaf))
	l.tail = append(l.tail, bytes.Clone(encoded))
	l.waiting += frameSize + len(encoded)
	l.size++
	full := l.waiting >= maxTail
	l.mu.Unlock()
	if full {
		return seq, leaf, l.Sync()
	}
	return seq, leaf, nil
}

// checkRecord refuses what is not the canonical encoding of the record seq, and
// answers its log entry.
func checkRecord(encoded []byte, seq uint64) (entry uint64, err error) {
	r, err := format.DecodeRecord(encoded)
	if err != nil {
		return 0, err
	}
	if r.Sequence != seq {
		return 0, fmt.Errorf("%w: %d where %d belongs", ErrSequence, r.Sequence, seq)
	}
	return r.Entry, nil
}

// Compare is for replay, which meets records already written: nil if encoded is
// the record seq byte for byte, ErrDiverged if not.
func (l *Log) Compare(seq uint64, encoded []byte) error {
	written, err := l.Read(seq)
	if err != nil {
		return err
	}
	if !bytes.Equal(written, encoded) {
		return fmt.Errorf("%w: %s", ErrDiverged, recordName(seq))
	}
	return nil
}

// Sync writes what waits, by one write and one fdatasync; then Durable is at least
// what Size was. Any failure is latched.
func (l *Log) Sync() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	return l.sync()
}

// sync is Sync for who holds syncing. Readers and Append go on beside it.
func (l *Log) sync() error {
	l.mu.RLock()
	tail, waiting, failed := l.tail, l.waiting, l.failed
	root, hashes := format.Digest(l.tree.root()), l.tree.waiting()
	l.mu.RUnlock()
	if failed != nil || len(tail) == 0 {
		return failed
	}
	b := make([]byte, 0, waiting)
	for _, encoded := range tail {
		b = appendFrame(b, encoded)
	}
	file, off, err := l.files.Append(b, l.Durable())
	if err != nil {
		return l.latch(err)
	}
	if err := l.tree.flush(hashes); err != nil {
		return l.latch(err)
	}
	for i, encoded := range tail {
		l.note(place{l.durable + uint64(i), file, off})
		off += int64(frameSize + len(encoded))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable, l.root, l.waiting = l.durable+uint64(len(tail)), root, l.waiting-waiting
	l.tail = slices.Clone(l.tail[len(tail):])
	return nil
}

// failure is what was latched, nil for nothing.
func (l *Log) failure() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// latch makes err the answer to every later write.
func (l *Log) latch(err error) error {
	if !errors.Is(err, ErrLatched) {
		err = fmt.Errorf("%w: %w", ErrLatched, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
	return err
}

// Size is the number of records, the not yet synced ones included.
func (l *Log) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.size
}

// Durable is the number of records that survive a power cut.
func (l *Log) Durable() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.durable
}

// DurableRoot is Durable and the tree's root over these records, as they were
// appended: it does not read the tree file.
func (l *Log) DurableRoot() (uint64, format.Digest) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.durable, l.root
}

// Root is the tree's root over all records.
func (l *Log) Root() (format.Digest, error) { return l.RootAt(l.Size()) }

// RootAt is the root over the first size records, from O(log size) stored hashes.
func (l *Log) RootAt(size uint64) (format.Digest, error) {
	if size > l.Size() || size > math.MaxInt64 {
		return format.Digest{}, fmt.Errorf("%w: root at %d", ErrBeyond, size)
	}
	h, err := tlog.TreeHash(int64(size), l.tree)
	return format.Digest(h), err
}

// HashReader reads the tree's stored hashes, for proofs.
func (l *Log) HashReader() tlog.HashReader { return l.tree }

// Close syncs what waits and ends the log. Only after nil is the stop clean.
func (l *Log) Close() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	err := l.sync()
	if err == nil {
		err = l.tree.f.Sync()
	}
	if err != nil {
		return errors.Join(err, l.closeDerived(), l.files.Abandon())
	}
	err = errors.Join(l.closeDerived(), l.files.Close(l.Size()))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = fmt.Errorf("history: %w", os.ErrClosed)
	return err
}

func (l *Log) closeDerived() error {
	return errors.Join(l.tree.f.Close(), l.places.f.Close(), l.carried.close())
}
