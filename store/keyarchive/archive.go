package keyarchive

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

var (
	// ErrDamaged is wrapped for bytes that are no whole archive.
	ErrDamaged = errors.New("key archive is not as it was written")
	// ErrNotHolder is returned for a key that an archive has no share for.
	ErrNotHolder = errors.New("the archive has no share for this key")
	// ErrTooFew is wrapped where fewer shares are there than are needed.
	ErrTooFew = errors.New("too few shares")
)

// Writer writes one archive.
type Writer struct {
	w       io.Writer
	sum     hash.Hash // over everything that was written
	place   format.Digest
	key     [32]byte
	entries uint64
}

// NewWriter begins an archive with a key of its own, whose shares only the holders
// open. The head's own shares are left out of account. The caller ends it with End
// or Wipe.
func NewWriter(w io.Writer, head format.ArchiveHead, holders []format.ArchiveHolder) (*Writer, error) {
	out := &Writer{sum: sha256.New()}
	out.w = io.MultiWriter(w, out.sum)
	if _, err := rand.Read(out.key[:]); err != nil {
		return nil, fmt.Errorf("randomness: %w", err)
	}
	err := out.begin(head, holders)
	if err != nil {
		out.Wipe()
		return nil, err
	}
	return out, nil
}

func (w *Writer) begin(head format.ArchiveHead, holders []format.ArchiveHolder) error {
	points, err := split(&w.key, int(head.Needed), len(holders))
	if err != nil {
		return err
	}
	defer clear(points)
	head.Shares = nil
	for i, h := range holders {
		s := format.ArchiveShare{Person: h.Person}
		if copy(s.Holder[:], h.PublicKey) != len(h.PublicKey) {
			return fmt.Errorf("recovery key of person %d", h.Person)
		}
		if s.Ephemeral, s.Sealed, err = sealTo(s.Holder, labelShare, shareData(head, h.Person, points[i].X), &points[i].Y); err != nil {
			return fmt.Errorf("recovery key of person %d: %w", h.Person, err)
		}
		head.Shares = append(head.Shares, s)
	}
	encoded := head.Encode()
	w.place = sha256.Sum256(encoded)
	_, err = w.w.Write(encoded)
	return err
}

// shareData binds a share to its archive, its holder and its place there.
func shareData(h format.ArchiveHead, person uint64, x uint8) []byte {
	var w format.Writer
	w.Raw(h.FileHeader().Encode())
	w.U8(h.Needed)
	w.U64(person)
	w.U8(x)
	return w.Bytes()
}

// Add seals the key of a slot.
func (w *Writer) Add(slot format.Slot, key [32]byte) error {
	defer clear(key[:])
	e := format.ArchiveEntry{Slot: slot}
	copy(e.Sealed[:], keyring.SealNth(w.key, w.entries, entryData(w.place, slot), key[:]))
	w.entries++
	_, err := w.w.Write(e.Encode())
	return err
}

func entryData(place format.Digest, slot format.Slot) []byte {
	var w format.Writer
	w.Raw(place[:])
	w.Slot(slot)
	return labelled(labelEntry, w.Bytes())
}

// End closes the archive and forgets its key.
func (w *Writer) End() error {
	defer w.Wipe()
	e := format.ArchiveEnd{Entries: w.entries, Digest: format.Digest(w.sum.Sum(nil))}
	copy(e.Tag[:], keyring.SealNth(w.key, math.MaxUint64, endData(w.place, e), nil))
	_, err := w.w.Write(e.Encode())
	return err
}

func endData(place format.Digest, e format.ArchiveEnd) []byte {
	var w format.Writer
	w.Raw(place[:])
	w.U64(e.Entries)
	w.Raw(e.Digest[:])
	return labelled(labelEnd, w.Bytes())
}

// Entries is how many keys are in it so far.
func (w *Writer) Entries() uint64 { return w.entries }

// Wipe forgets the archive's key.
func (w *Writer) Wipe() { clear(w.key[:]) }

// Archive is a whole archive without its entries.
type Archive struct {
	format.ArchiveHead
	End   format.ArchiveEnd
	place format.Digest
	head  int64 // its length, bytes
}

// Check reads a whole archive and checks what can be checked without a key:
// checksums, count, digest, and that nothing follows. The error wraps ErrDamaged,
// or is the reader's.
func Check(r io.Reader) (*Archive, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	a, err := Look(in, func(int64, format.Slot) {})
	if err != nil {
		return nil, err
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("%w: something follows its end", ErrDamaged), err)
	}
	return a, nil
}

// Look is Check of an archive that other bytes may follow. It tells of each entry
// where it begins, in bytes from the archive's beginning, and its slot.
func Look(r io.Reader, each func(at int64, slot format.Slot)) (*Archive, error) {
	return walk(r, func(n uint64, e format.ArchiveEntry, a *Archive) error {
		each(a.head+int64(n)*format.ArchiveEntrySize, e.Slot)
		return nil
	})
}

// walk tells each of the entries in a row.
func walk(r io.Reader, each func(n uint64, e format.ArchiveEntry, a *Archive) error) (*Archive, error) {
	in := &counted{r: peeking(r), sum: sha256.New()}
	a := &Archive{}
	head := in.take(format.ArchivePrefixSize)
	if in.err == nil {
		head = append(head, in.take(format.ArchiveHeadSize(head)-len(head))...)
	}
	if in.err != nil {
		return nil, in.err
	}
	var err error
	if a.ArchiveHead, err = format.DecodeArchiveHead(head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	a.place, a.head = sha256.Sum256(head), int64(len(head))
	for n := uint64(0); ; n++ {
		if next, err := in.r.Peek(1); err == nil && next[0] == format.ArchiveTagEnd {
			digest := format.Digest(in.sum.Sum(nil))
			return a, in.end(a, n, in.take(format.ArchiveEndSize), digest)
		}
		part := in.take(format.ArchiveEntrySize)
		if in.err != nil {
			return nil, in.err
		}
		e, err := format.DecodeArchiveEntry(part)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrDamaged, n, err)
		}
		if err := each(n, e, a); err != nil {
			return nil, err
		}
	}
}

// peeking is the reader itself where it is one that nothing is to be read ahead of.
func peeking(r io.Reader) *bufio.Reader {
	if b, ok := r.(*bufio.Reader); ok {
		return b
	}
	return bufio.NewReaderSize(r, 64<<10)
}

// counted reads and sums up.
type counted struct {
	r   *bufio.Reader
	sum hash.Hash
	err error
}

func (c *counted) take(n int) []byte {
	b := make([]byte, n)
	if c.err != nil {
		return b
	}
	if _, err := io.ReadFull(c.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: it ends early", ErrDamaged)
		}
		c.err = err
	}
	c.sum.Write(b)
	return b
}

func (c *counted) end(a *Archive, entries uint64, part []byte, digest format.Digest) (err error) {
	if c.err != nil {
		return c.err
	}
	if a.End, err = format.DecodeArchiveEnd(part); err != nil {
		return fmt.Errorf("%w: end: %w", ErrDamaged, err)
	}
	if a.End.Entries != entries || a.End.Digest != digest {
		return fmt.Errorf("%w: its end speaks of other entries", ErrDamaged)
	}
	return nil
}

// Point opens the share of the holder whose recovery key this is. ErrNotHolder, or
// ErrDamaged for a share that does not open.
func (a *Archive) Point(own *ecdh.PrivateKey) (p Point, err error) {
	public := PublicOf(own.PublicKey())
	i := slices.IndexFunc(a.Shares, func(s format.ArchiveShare) bool { return s.Holder == public })
	if i < 0 {
		return p, ErrNotHolder
	}
	s := a.Shares[i]
	p.X = uint8(i + 1)
	if p.Y, err = openFrom(own, labelShare, shareData(a.ArchiveHead, s.Person, p.X), s.Ephemeral, s.Sealed); err != nil {
		return p, fmt.Errorf("%w: the share of person %d: %w", ErrDamaged, s.Person, err)
	}
	return p, nil
}

// Key puts the archive's key together from shares of distinct holders. ErrTooFew
// is wrapped below the number that is needed; ErrDamaged where they are not this
// archive's, or it is not as it was written. The caller wipes the key.
func (a *Archive) Key(points []Point) (key [32]byte, err error) {
	var own []Point
	defer func() { clear(own) }()
	for _, p := range points {
		if p.X > 0 && int(p.X) <= len(a.Shares) && !slices.ContainsFunc(own, func(q Point) bool { return q.X == p.X }) {
			own = append(own, p)
		}
	}
	if len(own) < int(a.Needed) {
		return key, fmt.Errorf("%w: %d of %d that are needed", ErrTooFew, len(own), a.Needed)
	}
	key = combine(own[:a.Needed])
	if _, err := keyring.OpenNth(key, math.MaxUint64, endData(a.place, a.End), a.End.Tag[:]); err != nil {
		clear(key[:])
		return key, fmt.Errorf("%w, or a share is not of it", ErrDamaged)
	}
	return key, nil
}

// Open tells each of an archive's keys, opened with its key. each wipes what it is
// given. The bytes are those that were checked; what differs wraps ErrDamaged.
func (a *Archive) Open(r io.Reader, key [32]byte, each func(slot format.Slot, key [32]byte) error) error {
	defer clear(key[:])
	again, err := walk(r, func(n uint64, e format.ArchiveEntry, now *Archive) error {
		data, err := open32(key, n, entryData(now.place, e.Slot), e.Sealed[:])
		if err != nil {
			return fmt.Errorf("%w: the key of slot %s: %w", ErrDamaged, e.Slot, err)
		}
		defer clear(data[:])
		return each(e.Slot, data)
	})
	if err == nil && again.End != a.End {
		err = fmt.Errorf("%w: it changed while it was read", ErrDamaged)
	}
	return err
}
