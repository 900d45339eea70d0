package format

import (
	"encoding/binary"
	"fmt"
)

// The file of a key archive, and what is said to have one opened
// (docs/formats/key-archive.md).

// PublicKeySize is the length in bytes of a compressed point of P-256.
const PublicKeySize = 33

// SealedKeySize is the length in bytes of a sealed 32-byte key or share: the
// ciphertext and its tag.
const SealedKeySize = 48

// Lengths of an archive file's parts in bytes.
const (
	ArchivePrefixSize = FileHeaderSize + 2 // what says how long the head is
	ArchiveEntrySize  = 1 + 20 + SealedKeySize + 4
	ArchiveEndSize    = 1 + 8 + 32 + 16 + 4

	archiveShareSize = 8 + 2*PublicKeySize + SealedKeySize
)

// The first byte of what follows an archive's head.
const (
	ArchiveTagEntry = 1
	ArchiveTagEnd   = 2
)

// ArchiveShare is one holder's share of the key of an archive, sealed to the
// holder's recovery key.
type ArchiveShare struct {
	Person    uint64
	Holder    [PublicKeySize]byte // recovery key
	Ephemeral [PublicKeySize]byte
	Sealed    [SealedKeySize]byte
}

// ArchiveHead begins the file of a key archive.
type ArchiveHead struct {
	Cluster, Period ID
	// From and Sequence bound the STORE records whose bundles' keys are in the
	// file: Sequence is that of the BACKUP record under which the keys left.
	From, Sequence uint64
	// Needed is how many of the shares give the key.
	Needed uint8
	Shares []ArchiveShare // ascending by person; share i is the value at i+1
}

// FileHeader is the header of the head's file.
func (h ArchiveHead) FileHeader() FileHeader {
	return FileHeader{Kind: KindKeyArchive, Cluster: h.Cluster, Object: h.Period, First: h.From, Number: h.Sequence}
}

// Encode returns the canonical bytes of h. There are at most 255 shares.
func (h ArchiveHead) Encode() []byte {
	var w Writer
	w.Raw(h.FileHeader().Encode())
	w.U8(h.Needed)
	w.U8(uint8(len(h.Shares)))
	for _, s := range h.Shares {
		w.U64(s.Person)
		w.Raw(s.Holder[:])
		w.Raw(s.Ephemeral[:])
		w.Raw(s.Sealed[:])
	}
	w.U32(Checksum(w.Bytes()[FileHeaderSize:]))
	return w.Bytes()
}

// ArchiveHeadSize is the length in bytes of a head that begins with these
// ArchivePrefixSize bytes.
func ArchiveHeadSize(prefix []byte) int {
	return ArchivePrefixSize + int(prefix[ArchivePrefixSize-1])*archiveShareSize + 4
}

// DecodeArchiveHead reads what Encode wrote.
func DecodeArchiveHead(b []byte) (h ArchiveHead, err error) {
	f, err := DecodeFileHeader(KindKeyArchive, b)
	if err != nil {
		return h, err
	}
	h = ArchiveHead{Cluster: f.Cluster, Period: f.Object, From: f.First, Sequence: f.Number}
	if f != h.FileHeader() || h.From > h.Sequence {
		return ArchiveHead{}, fmt.Errorf("%w: header of a key archive", ErrMalformed)
	}
	r := NewReader(b[FileHeaderSize:])
	h.Needed = r.U8()
	for range r.U8() {
		s := ArchiveShare{Person: r.U64()}
		r.Raw(s.Holder[:])
		r.Raw(s.Ephemeral[:])
		r.Raw(s.Sealed[:])
		h.Shares = append(h.Shares, s)
	}
	ascending(r, "shares", h.Shares, func(s ArchiveShare) uint64 { return s.Person })
	if h.Needed < 1 || int(h.Needed) > len(h.Shares) {
		r.fail("%d shares needed of %d", h.Needed, len(h.Shares))
	}
	if sum := r.U32(); r.Err() == nil && sum != Checksum(b[FileHeaderSize:len(b)-4]) {
		r.fail("checksum of an archive's head")
	}
	return h, r.Done()
}

// ArchiveEntry is one data key in an archive, sealed under the archive's key.
type ArchiveEntry struct {
	Slot   Slot
	Sealed [SealedKeySize]byte
}

// Encode returns the ArchiveEntrySize bytes of e.
func (e ArchiveEntry) Encode() []byte {
	var w Writer
	w.U8(ArchiveTagEntry)
	w.Slot(e.Slot)
	w.Raw(e.Sealed[:])
	w.U32(Checksum(w.Bytes()))
	return w.Bytes()
}

// DecodeArchiveEntry reads what Encode wrote.
func DecodeArchiveEntry(b []byte) (e ArchiveEntry, err error) {
	r, err := archivePart(b, ArchiveTagEntry, ArchiveEntrySize)
	if err != nil {
		return e, err
	}
	e.Slot = r.Slot()
	r.Raw(e.Sealed[:])
	return e, r.Done()
}

// ArchiveEnd closes an archive: a file without it was cut short.
type ArchiveEnd struct {
	Entries uint64
	Digest  Digest   // SHA-256 of everything before
	Tag     [16]byte // GCM tag over count and digest under the archive's key
}

// Encode returns the ArchiveEndSize bytes of e.
func (e ArchiveEnd) Encode() []byte {
	var w Writer
	w.U8(ArchiveTagEnd)
	w.U64(e.Entries)
	w.Raw(e.Digest[:])
	w.Raw(e.Tag[:])
	w.U32(Checksum(w.Bytes()))
	return w.Bytes()
}

// DecodeArchiveEnd reads what Encode wrote.
func DecodeArchiveEnd(b []byte) (e ArchiveEnd, err error) {
	r, err := archivePart(b, ArchiveTagEnd, ArchiveEndSize)
	if err != nil {
		return e, err
	}
	e.Entries = r.U64()
	r.Raw(e.Digest[:])
	r.Raw(e.Tag[:])
	return e, r.Done()
}

// archivePart checks a part's length, tag and checksum, and reads on between them.
func archivePart(b []byte, tag byte, size int) (*Reader, error) {
	if len(b) != size || b[0] != tag || binary.BigEndian.Uint32(b[size-4:]) != Checksum(b[:size-4]) {
		return nil, fmt.Errorf("%w: part of a key archive", ErrMalformed)
	}
	return NewReader(b[1 : size-4]), nil
}

// ReleaseRequest asks holders for their shares of a period's archives: a node that
// is to be restored writes it.
type ReleaseRequest struct {
	Cluster   ID
	Node      uint32              // member number
	Key       [PublicKeySize]byte // what released shares are sealed to
	Signature []byte              // the node's, over Message; ASN.1
}

// Message is what the node signs.
func (q ReleaseRequest) Message() []byte {
	var w Writer
	w.Raw([]byte("sago key release v1\n"))
	w.Raw(q.Cluster[:])
	w.U32(q.Node)
	w.Raw(q.Key[:])
	return w.Bytes()
}

// Encode returns the canonical bytes of q.
func (q ReleaseRequest) Encode() []byte {
	var w Writer
	w.Raw(q.Cluster[:])
	w.U32(q.Node)
	w.Raw(q.Key[:])
	w.Blob(q.Signature)
	return w.Bytes()
}

// DecodeReleaseRequest reads what Encode wrote.
func DecodeReleaseRequest(b []byte) (ReleaseRequest, error) {
	return decodeEffect(b, func(r *Reader) (q ReleaseRequest) {
		q.Cluster, q.Node = readID(r), r.U32()
		r.Raw(q.Key[:])
		q.Signature = r.Blob()
		return q
	})
}

// Release is what one holder answers to a request: the own shares of the archives
// of a period, each sealed to the request's key.
type Release struct {
	Cluster, Period ID
	Person          uint64
	Request         [PublicKeySize]byte // the key of the request
	Shares          []ReleasedShare     // ascending by sequence
}

// ReleasedShare is a share of the archive of one BACKUP record.
type ReleasedShare struct {
	Sequence  uint64
	X         uint8 // which value of the polynomial it is
	Ephemeral [PublicKeySize]byte
	Sealed    [SealedKeySize]byte
}

// Encode returns the canonical bytes of a.
func (a Release) Encode() []byte {
	var w Writer
	w.Raw(a.Cluster[:])
	w.Raw(a.Period[:])
	w.U64(a.Person)
	w.Raw(a.Request[:])
	w.U32(uint32(len(a.Shares)))
	for _, s := range a.Shares {
		w.U64(s.Sequence)
		w.U8(s.X)
		w.Raw(s.Ephemeral[:])
		w.Raw(s.Sealed[:])
	}
	return w.Bytes()
}

// DecodeRelease reads what Encode wrote.
func DecodeRelease(b []byte) (Release, error) {
	return decodeEffect(b, func(r *Reader) (a Release) {
		a.Cluster, a.Period, a.Person = readID(r), readID(r), r.U64()
		r.Raw(a.Request[:])
		a.Shares = list(r, 9+PublicKeySize+SealedKeySize, func(r *Reader) (s ReleasedShare) {
			s.Sequence, s.X = r.U64(), r.U8()
			r.Raw(s.Ephemeral[:])
			r.Raw(s.Sealed[:])
			return s
		})
		ascending(r, "shares", a.Shares, func(s ReleasedShare) uint64 { return s.Sequence })
		return a
	})
}
