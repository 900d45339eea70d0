package format

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// ID is a random 128-bit name: of a cluster, an incarnation, an operation, a key
// block.
type ID [16]byte

// Digest is a SHA-256 value.
type Digest [32]byte

// castagnoli is CRC-32C. It finds accidents; digests and tags find intent.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is CRC-32C over b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// FileKind names what a file holds; the four letters are its magic number.
type FileKind [4]byte

// The kinds of append-only and key files (docs/formats/file-header.md).
var (
	KindSegment  = FileKind{'S', 'E', 'G', '1'}
	KindHistory  = FileKind{'H', 'I', 'S', '1'}
	KindKeyBlock = FileKind{'K', 'E', 'Y', '1'}
	KindCarried  = FileKind{'C', 'A', 'R', '1'}
	KindBase     = FileKind{'B', 'A', 'S', '1'}

	KindBackupHistory   = FileKind{'B', 'K', 'H', '1'}
	KindBackupPayload   = FileKind{'B', 'K', 'P', '1'}
	KindBackupBeginning = FileKind{'B', 'K', 'B', '1'}
	KindKeyArchive      = FileKind{'B', 'K', 'A', '1'}
)

// FileHeaderSize is the length in bytes of every file's header.
const FileHeaderSize = 160

// FormatVersion is the version that this code writes and the only one it reads.
const FormatVersion = 1

// SuiteDefault names the cryptographic suite of a file: AES-256-GCM, SHA-256,
// HMAC-SHA-256, KBKDF (SP 800-108, counter mode), ECDSA P-256.
const SuiteDefault = 1

// FileHeader opens every segment, history and key-block file.
type FileHeader struct {
	Kind    FileKind
	Cluster ID
	// Incarnation is the data directory that wrote the file.
	Incarnation ID
	// Number is the file's place in its series, from 1. For a key block, 0. For a
	// file of a backup, one past the last sequence that it speaks for; for a key
	// archive, the sequence of its BACKUP record.
	Number uint64
	// First is, for a history file, the sequence of its first record; for a
	// carried file, that of the record behind the last one it speaks for; for a
	// base, the size of the history that it stands for; for a key block, the number
	// of its slots; for a key archive, the sequence from which it has keys.
	First uint64
	// Object is, for a key block, its id, and for a key archive its period's.
	Object ID
	// PrevGood is the length of the file with Number-1 up to the end of its last
	// good record: nothing beyond is ever read. 0 in the first file. For a carried
	// file, the sequence of the PRUNE record it was made after, plus one.
	PrevGood uint64
	// PrevTorn is the SHA-256 of the bytes beyond PrevGood when the file was
	// sealed after an unclean stop; of nothing when it was sealed whole.
	PrevTorn Digest
	// Owner is, for a key block, the member number of the node that uses it.
	Owner uint32
}

// Encode returns the FileHeaderSize bytes of h, its checksum last.
func (h FileHeader) Encode() []byte {
	var w Writer
	w.Raw([]byte("SAGO"))
	w.Raw(h.Kind[:])
	w.U16(FormatVersion)
	w.U16(SuiteDefault)
	w.Raw(h.Cluster[:])
	w.Raw(h.Incarnation[:])
	w.U64(h.Number)
	w.U64(h.First)
	w.Raw(h.Object[:])
	w.U64(h.PrevGood)
	w.Raw(h.PrevTorn[:])
	w.U32(h.Owner)
	b := make([]byte, FileHeaderSize)
	copy(b, w.Bytes())
	binary.BigEndian.PutUint32(b[FileHeaderSize-4:], Checksum(b[:FileHeaderSize-4]))
	return b
}

// DecodeFileHeader reads a header of the wanted kind.
func DecodeFileHeader(kind FileKind, b []byte) (FileHeader, error) {
	var h FileHeader
	if len(b) < FileHeaderSize {
		return h, fmt.Errorf("%w: file header of %d bytes", ErrMalformed, len(b))
	}
	b = b[:FileHeaderSize]
	if binary.BigEndian.Uint32(b[FileHeaderSize-4:]) != Checksum(b[:FileHeaderSize-4]) {
		return h, fmt.Errorf("%w: file header checksum", ErrMalformed)
	}
	r := NewReader(b)
	var magic [4]byte
	r.Raw(magic[:])
	r.Raw(h.Kind[:])
	if string(magic[:]) != "SAGO" || h.Kind != kind {
		return h, fmt.Errorf("%w: a %q file where %q belongs", ErrMalformed, h.Kind[:], kind[:])
	}
	if v, s := r.U16(), r.U16(); v != FormatVersion || s != SuiteDefault {
		return h, fmt.Errorf("%w: format version %d, suite %d", ErrMalformed, v, s)
	}
	r.Raw(h.Cluster[:])
	r.Raw(h.Incarnation[:])
	h.Number = r.U64()
	h.First = r.U64()
	r.Raw(h.Object[:])
	h.PrevGood = r.U64()
	r.Raw(h.PrevTorn[:])
	h.Owner = r.U32()
	for _, c := range r.take(len(r.b) - 4) {
		if c != 0 {
			return h, fmt.Errorf("%w: file header padding", ErrMalformed)
		}
	}
	return h, r.Err()
}

// Slot names one data key: a place in a key block. The zero Slot names none.
type Slot struct {
	Block ID
	Index uint32
}

// IsZero reports whether s names no key.
func (s Slot) IsZero() bool { return s == Slot{} }

// String is block/index, the block in hex.
func (s Slot) String() string { return fmt.Sprintf("%x/%d", s.Block[:], s.Index) }

// Slot appends s.
func (w *Writer) Slot(s Slot) { w.Raw(s.Block[:]); w.U32(s.Index) }

// Slot reads a Slot.
func (r *Reader) Slot() (s Slot) {
	r.Raw(s.Block[:])
	s.Index = r.U32()
	return s
}
