// Package segment keeps the sealed chunks of bundles in append-only payload files,
// each written once per node (docs/formats/segment.md).
//
// It guarantees that an appended chunk is on disk when Append returns, that Read
// answers the bytes with the wanted digest or an error and never others, and that
// no file is ever cut or overwritten here: zeroing what is due is the custodian's.
package segment

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/segment/series"
)

// Errors that callers decide on.
var (
	// ErrErased says that the ciphertext has been zeroed, or was already gone when
	// this copy was made. Whether it was due is for the caller's state to say.
	ErrErased = errors.New("chunk is erased")
	// ErrFull fails one Append for want of room (ENOSPC); the store stays usable.
	ErrFull = series.ErrFull
	// ErrLatched wraps the failure after which nothing is written any more.
	ErrLatched = series.ErrLatched
)

// Files is how a Store reaches its files for writing.
type Files = series.Files

// DefaultMaxFile is the size in bytes beyond which a file does not grow.
const DefaultMaxFile = 1 << 30

// Options say where a Store is and who writes it.
type Options struct {
	Dir                  string // the data directory; files are in segments/ below it
	Files                Files
	Cluster, Incarnation format.ID
	MaxFile              int64 // bytes; DefaultMaxFile when 0
	// Clean says that the last run's Close returned nil: a tail that does not
	// verify is then damage, never a torn tail.
	Clean bool
	// OnDamage, when set, is told of each damaged chunk that the scan of Open meets
	// in a file whose good length is known, and the scan goes on behind it; one whose
	// header is good is an Entry as well. When nil, Open fails with the first one.
	OnDamage func(*format.DamageError)
}

// Location says where a chunk is: the place of its header, and how many bytes of
// ciphertext follow it, 0 for a stub.
type Location struct {
	File   uint64
	Offset int64
	Length uint32
}

// Entry is a chunk that a scan met.
type Entry struct {
	format.ChunkHeader
	Location
}

// Position is the place of the next byte.
type Position struct {
	File   uint64
	Offset int64
}

// Store is the open payload files. All methods are safe for concurrent use.
type Store struct {
	files *series.Series
	mu    sync.Mutex // one writer
}

// Open scans the chunks from a position on (all of them from the zero Position),
// verifies them and reports each to found, so that the caller can rebuild what it
// knows of them; then it makes the newest file ready for appends. After an unclean
// stop it seals that file behind its last good chunk and begins the next.
//
// Bytes that do not verify before that are a *format.DamageError; so is a position
// that the files do not reach. Nothing is changed on disk before the scan is over.
func Open(o Options, from Position, found func(Entry) error) (*Store, error) {
	if o.MaxFile == 0 {
		o.MaxFile = DefaultMaxFile
	}
	files, err := series.Open(series.Spec{Dir: o.Dir, Folder: "segments", Ext: "seg", Kind: format.KindSegment, Files: o.Files,
		Cluster: o.Cluster, Incarnation: o.Incarnation, MaxFile: o.MaxFile, Clean: o.Clean, Trimmed: true})
	if err != nil {
		return nil, err
	}
	s := &Store{files: files}
	good, err := s.scanFrom(o, from, found)
	if err == nil {
		err = files.Resume(good, 0)
	}
	if err != nil && !errors.Is(err, ErrFull) {
		return nil, errors.Join(err, files.Abandon())
	}
	return s, nil
}

// scanFrom walks every file from a position on and returns where the newest one's
// last good chunk ends.
func (s *Store) scanFrom(o Options, from Position, found func(Entry) error) (int64, error) {
	newest, ok := s.files.Newest()
	if from.File > newest.Number {
		return 0, s.files.Damage(from.File, -1, "file", errors.New("missing, though it was written to"))
	}
	if !ok {
		return 0, nil
	}
	good := newest.Good
	for _, f := range s.files.Files() {
		if f.Number < from.File {
			continue
		}
		off := int64(format.FileHeaderSize)
		if f.Number == from.File && from.Offset > off {
			off = from.Offset
		}
		if off > f.Good {
			return 0, s.files.Damage(f.Number, f.Good, "end of file", fmt.Errorf("written up to %d before", off))
		}
		torn := f.Number == newest.Number && !o.Clean
		end, err := s.scanFile(f, off, torn, o.OnDamage, found)
		if err != nil {
			return 0, err
		}
		if torn {
			good = end
		}
	}
	return good, nil
}

// scanFile reports the chunks of one file from off on. In a torn file the first
// bad one ends it; elsewhere it is damage.
func (s *Store) scanFile(f series.File, off int64, torn bool, onDamage func(*format.DamageError), found func(Entry) error) (int64, error) {
	w := s.walk(f, off)
	for w.next() {
		if w.err == nil || errors.Is(w.err, ErrErased) {
			if err := found(w.entry); err != nil {
				return 0, err
			}
			continue
		}
		if torn && isTorn(w.err) {
			return w.entry.Offset, nil
		}
		d := w.damage()
		if onDamage == nil {
			return 0, d
		}
		onDamage(d)
		if w.entry.Location.Length > 0 { // its header is good: it is erased with the others
			if err := found(w.entry); err != nil {
				return 0, err
			}
		}
	}
	return w.off, nil
}

// Append writes chunks behind one another in one file, by one write and one
// fdatasync, and returns where each is. They count only when the error is nil.
// ErrFull fails this call alone; every other failure to write is latched.
func (s *Store) Append(chunks []format.Chunk) ([]Location, error) {
	if len(chunks) == 0 {
		return nil, nil
	}
	size := 0
	for _, c := range chunks {
		if err := checkChunk(c); err != nil {
			return nil, err
		}
		size += format.ChunkHeaderSize + len(c.Sealed)
	}
	b := format.AppendChunks(make([]byte, 0, size), chunks...)
	s.mu.Lock()
	defer s.mu.Unlock()
	number, off, err := s.files.Append(b, 0)
	if err != nil {
		return nil, err
	}
	locations := make([]Location, len(chunks))
	for i, c := range chunks {
		locations[i] = Location{File: number, Offset: off, Length: uint32(len(c.Sealed))}
		off += int64(format.ChunkHeaderSize + len(c.Sealed))
	}
	return locations, nil
}

// checkChunk refuses what no scan would accept again.
func checkChunk(c format.Chunk) error {
	want := int(c.Length)
	if c.Erased {
		want = 0
	}
	if len(c.Sealed) != want || c.Length > format.MaxChunk+format.ChunkOverhead {
		return fmt.Errorf("%w: chunk %d of slot %s has %d bytes, its header says %d", format.ErrMalformed, c.Chunk, c.Slot, len(c.Sealed), c.Length)
	}
	return nil
}

// Read returns the ciphertext at loc if it is the wanted chunk: slot, number and
// digest. A zeroed range or a stub is ErrErased; everything else that differs is a
// *format.DamageError.
func (s *Store) Read(loc Location, want format.ChunkHeader) ([]byte, error) {
	what := chunkName(want)
	if loc.Length > format.MaxChunk+format.ChunkOverhead {
		return nil, s.files.Damage(loc.File, loc.Offset, what, fmt.Errorf("a location of %d bytes", loc.Length))
	}
	b := make([]byte, format.ChunkHeaderSize+int(loc.Length))
	if err := s.files.ReadAt(loc.File, b, loc.Offset); err != nil {
		return nil, err
	}
	h, err := format.DecodeChunkHeader(b)
	if err != nil {
		return nil, s.files.Damage(loc.File, loc.Offset, what, err)
	}
	if h.Slot != want.Slot || h.Chunk != want.Chunk || h.Digest != want.Digest {
		return nil, s.files.Damage(loc.File, loc.Offset, what, fmt.Errorf("found %s", chunkName(h)))
	}
	if h.Erased {
		return nil, ErrErased
	}
	sealed := b[format.ChunkHeaderSize:]
	switch err := verify(h, sealed, s.files.Sealed(loc.File)); {
	case errors.Is(err, ErrErased):
		return nil, err
	case err != nil:
		return nil, s.files.Damage(loc.File, loc.Offset, what, err)
	}
	return sealed, nil
}

// verify compares a ciphertext with its header. All zeros are ErrErased in a sealed
// file; in any other nobody zeroes, so these bytes were never written.
func verify(h format.ChunkHeader, sealed []byte, fileSealed bool) error {
	if int(h.Length) != len(sealed) {
		return fmt.Errorf("%w: %d bytes, the header says %d", format.ErrMalformed, len(sealed), h.Length)
	}
	if format.Digest(sha256.Sum256(sealed)) == h.Digest {
		return nil
	}
	if fileSealed && len(bytes.TrimLeft(sealed, "\x00")) == 0 {
		return ErrErased
	}
	return fmt.Errorf("%w: the ciphertext does not have its digest", format.ErrMalformed)
}

func chunkName(h format.ChunkHeader) string {
	return fmt.Sprintf("chunk %d of slot %s", h.Chunk, h.Slot)
}

// Position is where the next chunk goes, unless it begins a new file.
func (s *Store) Position() Position {
	f, _ := s.files.Newest()
	return Position{File: f.Number, Offset: f.Good}
}

// Roll seals the newest file and begins the next, before what is due in it is
// zeroed. A file without a chunk stays as it is. ErrFull leaves it unsealed for
// that purpose: Sealed says false until the next file exists.
func (s *Store) Roll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files.Roll(0)
}

// Sealed reports whether a file is sealed and its successor on disk: only then may
// ranges in it be zeroed.
func (s *Store) Sealed(file uint64) bool { return s.files.Sealed(file) }

// Name is a file's name relative to the data directory.
func (s *Store) Name(file uint64) string { return s.files.Name(file) }

// Close ends the store. Only after nil is the stop clean.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files.Close(0)
}
