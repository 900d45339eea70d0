package format

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// MaxChunk is the greatest plain length of one chunk of a bundle, in bytes.
const MaxChunk = 1 << 20

// ChunkOverhead is what sealing adds to a chunk: the GCM tag.
const ChunkOverhead = 16

// MaxBundle is the greatest plain length of a bundle's documents together.
const MaxBundle = 256 << 20

// ChunkHeaderSize is the length in bytes of the header before each chunk in a
// segment file and in a log entry's extension.
const ChunkHeaderSize = 72

// chunkMagic opens each chunk header.
const chunkMagic = 0x53474348 // "SGCH"

// ChunkHeader describes one sealed chunk. It is the same in a segment file, in a
// log entry's extension and between nodes (docs/formats/segment.md).
type ChunkHeader struct {
	Slot  Slot
	Chunk uint32 // from 0
	// Length is the length of the ciphertext in bytes, tag included.
	Length uint32
	// Erased marks a stub: the chunk was erased before this copy was made, so
	// no ciphertext follows, whatever Length says.
	Erased bool
	// Digest is the SHA-256 of the ciphertext.
	Digest Digest
}

// Encode returns the ChunkHeaderSize bytes of h.
func (h ChunkHeader) Encode() []byte {
	var w Writer
	w.U32(chunkMagic)
	w.Slot(h.Slot)
	w.U32(h.Chunk)
	w.U32(h.Length)
	w.Bool(h.Erased)
	w.Raw([]byte{0, 0, 0})
	w.Raw(h.Digest[:])
	w.U32(Checksum(w.Bytes()))
	return w.Bytes()
}

// DecodeChunkHeader reads a header from the first ChunkHeaderSize bytes of b.
func DecodeChunkHeader(b []byte) (ChunkHeader, error) {
	var h ChunkHeader
	if len(b) < ChunkHeaderSize {
		return h, fmt.Errorf("%w: chunk header of %d bytes", ErrMalformed, len(b))
	}
	b = b[:ChunkHeaderSize]
	if binary.BigEndian.Uint32(b[ChunkHeaderSize-4:]) != Checksum(b[:ChunkHeaderSize-4]) {
		return h, fmt.Errorf("%w: chunk header checksum", ErrMalformed)
	}
	r := NewReader(b)
	if m := r.U32(); m != chunkMagic {
		return h, fmt.Errorf("%w: chunk magic %08x", ErrMalformed, m)
	}
	h.Slot = r.Slot()
	h.Chunk = r.U32()
	h.Length = r.U32()
	h.Erased = r.Bool()
	if r.U8() != 0 || r.U16() != 0 {
		return h, fmt.Errorf("%w: chunk header padding", ErrMalformed)
	}
	r.Raw(h.Digest[:])
	if h.Length < ChunkOverhead || h.Length > MaxChunk+ChunkOverhead {
		return h, fmt.Errorf("%w: chunk of %d bytes", ErrMalformed, h.Length)
	}
	return h, r.Err()
}

// Chunk is a sealed chunk: its header and ciphertext. A stub has no ciphertext.
type Chunk struct {
	ChunkHeader
	Sealed []byte
}

// NewChunk describes sealed, the ciphertext of one chunk of slot.
func NewChunk(slot Slot, n uint32, sealed []byte) Chunk {
	return Chunk{ChunkHeader{Slot: slot, Chunk: n, Length: uint32(len(sealed)), Digest: sha256.Sum256(sealed)}, sealed}
}

// AppendChunks encodes chunks one after another: a header, then the ciphertext.
func AppendChunks(dst []byte, chunks ...Chunk) []byte {
	for _, c := range chunks {
		dst = append(dst, c.Encode()...)
		dst = append(dst, c.Sealed...)
	}
	return dst
}

// DecodeChunks reads what AppendChunks wrote and checks every digest. The
// chunks share b.
func DecodeChunks(b []byte) ([]Chunk, error) {
	var out []Chunk
	for len(b) > 0 {
		h, err := DecodeChunkHeader(b)
		if err != nil {
			return nil, err
		}
		b = b[ChunkHeaderSize:]
		c := Chunk{ChunkHeader: h}
		if !h.Erased {
			if uint64(len(b)) < uint64(h.Length) {
				return nil, fmt.Errorf("%w: chunk of %d bytes, have %d", ErrMalformed, h.Length, len(b))
			}
			c.Sealed, b = b[:h.Length:h.Length], b[h.Length:]
			if sha256.Sum256(c.Sealed) != h.Digest {
				return nil, fmt.Errorf("%w: chunk %d of slot %s does not have its digest", ErrMalformed, h.Chunk, h.Slot)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// BundleDigest is the digest that a STORE record names: SHA-256 over the digests
// of the chunks in order. Replicas, catch-up and scrub compare it without keys.
func BundleDigest(chunks []Digest) Digest {
	h := sha256.New()
	for _, d := range chunks {
		h.Write(d[:])
	}
	return Digest(h.Sum(nil))
}

// Fingerprint is a bundle's fingerprint (지문): the SHA-256 of its document, or for
// several documents SHA-256 over "sago bundle fingerprint v1\n", their number and
// their SHA-256 values in order, so that no single document has the fingerprint
// of several.
func Fingerprint(documents []Digest) Digest {
	if len(documents) == 1 {
		return documents[0]
	}
	var w Writer
	w.Raw([]byte("sago bundle fingerprint v1\n"))
	w.U32(uint32(len(documents)))
	for _, d := range documents {
		w.Raw(d[:])
	}
	return sha256.Sum256(w.Bytes())
}
