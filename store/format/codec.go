package format

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is returned (wrapped) by every decoder for bytes that are not the
// canonical encoding of anything.
var ErrMalformed = errors.New("malformed encoding")

// Writer appends canonical encodings to a byte slice. The zero Writer is ready.
type Writer struct{ b []byte }

// WriterOn appends to b, whose room it uses.
func WriterOn(b []byte) Writer { return Writer{b} }

// Bytes returns what has been written.
func (w *Writer) Bytes() []byte { return w.b }

// U8 appends one byte.
func (w *Writer) U8(v uint8) { w.b = append(w.b, v) }

// Bool appends 1 or 0.
func (w *Writer) Bool(v bool) {
	if v {
		w.U8(1)
		return
	}
	w.U8(0)
}

// U16 appends two bytes, big-endian.
func (w *Writer) U16(v uint16) { w.b = binary.BigEndian.AppendUint16(w.b, v) }

// U32 appends four bytes, big-endian.
func (w *Writer) U32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }

// U64 appends eight bytes, big-endian.
func (w *Writer) U64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

// I64 appends eight bytes, big-endian two's complement.
func (w *Writer) I64(v int64) { w.U64(uint64(v)) }

// Raw appends b as it is; the reader must know its length.
func (w *Writer) Raw(b []byte) { w.b = append(w.b, b...) }

// Str appends a 16-bit length and the bytes of s. A longer string is a
// programming error: every field has a smaller limit that is checked before.
func (w *Writer) Str(s string) {
	if len(s) > 0xffff {
		panic("format: string field over 65535 bytes")
	}
	w.U16(uint16(len(s)))
	w.b = append(w.b, s...)
}

// Blob appends a 32-bit length and b.
func (w *Writer) Blob(b []byte) {
	w.U32(uint32(len(b)))
	w.b = append(w.b, b...)
}

// Reader reads canonical encodings. The first failure sticks; check Done.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads from b, which must not change meanwhile.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b) {
		r.fail("short: wanted %d bytes, have %d", n, len(r.b))
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *Reader) fail(f string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(f, args...))
	}
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Bool reads a byte that must be 0 or 1.
func (r *Reader) Bool() bool {
	v := r.U8()
	if v > 1 {
		r.fail("boolean %d", v)
	}
	return v == 1
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// I64 reads eight bytes.
func (r *Reader) I64() int64 { return int64(r.U64()) }

// Raw fills dst.
func (r *Reader) Raw(dst []byte) { copy(dst, r.take(len(dst))) }

// Str reads a 16-bit length and that many bytes.
func (r *Reader) Str() string { return string(r.take(int(r.U16()))) }

// Blob reads a 32-bit length and that many bytes, copied.
func (r *Reader) Blob() []byte {
	n := r.U32()
	if uint64(n) > uint64(len(r.b)) {
		r.fail("blob of %d bytes, have %d", n, len(r.b))
		return nil
	}
	b := r.take(int(n))
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// Count reads a 32-bit element count and refuses one that the rest of the input,
// at least size bytes an element, cannot hold, so that allocation is bounded.
func (r *Reader) Count(size int) int {
	n := r.U32()
	if uint64(n)*uint64(size) > uint64(len(r.b)) {
		r.fail("count %d does not fit in %d bytes", n, len(r.b))
		return 0
	}
	return int(n)
}

// list reads a count and so many elements of at least size bytes each: nil for
// none, so that what is decoded equals what was encoded.
func list[T any](r *Reader, size int, read func(*Reader) T) []T {
	n := r.Count(size)
	if n == 0 {
		return nil
	}
	out := make([]T, 0, n)
	for range n {
		out = append(out, read(r))
		if r.err != nil {
			return nil
		}
	}
	return out
}

// ascending refuses elements whose keys do not rise: a set has one encoding.
func ascending[T any, K cmp.Ordered](r *Reader, what string, elements []T, key func(T) K) {
	for i := 1; i < len(elements); i++ {
		if key(elements[i-1]) >= key(elements[i]) {
			r.fail("%s out of order", what)
			return
		}
	}
}

// readID reads an ID.
func readID(r *Reader) (id ID) {
	r.Raw(id[:])
	return id
}

// Err returns the first failure.
func (r *Reader) Err() error { return r.err }

// Done returns the first failure, or an error if bytes are left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail("%d bytes left over", len(r.b))
	}
	return r.err
}
