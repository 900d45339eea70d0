package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sago-worm/sago/store/format"
)

// A payload file holds, for the STORE records of its sequences in order, each
// bundle that had not ended: a head, then its chunks. The place of a bundle that
// has ended since is zero behind its head.

// PayloadWriter writes the next payload file.
type PayloadWriter struct {
	part
	first   uint64
	next    uint64 // no bundle comes from below
	head    format.BundleHead
	effect  format.StoreEffect
	digests []format.Digest
	held    uint64 // bytes of ciphertext of the bundle so far
}

// NewPayload begins the payload file behind what is here.
func (d *Dir) NewPayload() (*PayloadWriter, error) {
	p, err := d.begin(format.FileHeader{Kind: format.KindBackupPayload, First: d.Payload()})
	if err != nil {
		return nil, err
	}
	return &PayloadWriter{part: *p, first: d.Payload(), next: d.Payload()}, nil
}

// Size is how long the file is so far, bytes.
func (w *PayloadWriter) Size() int64 { return w.size }

// Bundle begins a bundle: that of a STORE record, whose chunks follow.
func (w *PayloadWriter) Bundle(sequence uint64, e format.StoreEffect) error {
	if sequence < w.next || e.Chunks == 0 {
		return fmt.Errorf("%w: the bundle of record %d comes late", ErrMismatch, sequence)
	}
	w.next, w.effect, w.head, w.digests = sequence+1, e, format.HeadOf(sequence, e), w.digests[:0]
	w.held = 0
	return w.add(w.head.Encode())
}

// Chunk takes in the bundle's next chunk, and with the last one holds all of them
// against the STORE record. The error wraps ErrMismatch.
func (w *PayloadWriter) Chunk(h format.ChunkHeader, sealed []byte) (whole bool, err error) {
	switch {
	case h.Erased || h.Slot != w.effect.Slot || int(h.Chunk) != len(w.digests) || h.Chunk >= w.effect.Chunks || int(h.Length) != len(sealed):
		return false, fmt.Errorf("%w: chunk %d of slot %s is none of the bundle of record %d", ErrMismatch, h.Chunk, h.Slot, w.head.Store)
	case sha256.Sum256(sealed) != h.Digest:
		return false, fmt.Errorf("%w: chunk %d of the bundle of record %d does not have its digest", ErrMismatch, h.Chunk, w.head.Store)
	}
	w.digests, w.held = append(w.digests, h.Digest), w.held+uint64(len(sealed))
	if err := errors.Join(w.add(h.Encode()), w.add(sealed)); err != nil || len(w.digests) < int(w.effect.Chunks) {
		return false, err
	}
	if format.BundleDigest(w.digests) != w.effect.Digest {
		return false, fmt.Errorf("%w: the chunks of the bundle of record %d do not have the digest that the record names", ErrMismatch, w.head.Store)
	}
	return true, nil
}

// Abandon takes back what came of a bundle that does not come whole.
func (w *PayloadWriter) Abandon() error {
	start := w.size - format.BundleHeadSize - int64(len(w.digests))*format.ChunkHeaderSize - int64(w.held)
	err := w.w.Flush()
	if err == nil {
		err = w.f.Truncate(start)
	}
	if err == nil {
		_, err = w.f.Seek(start, io.SeekStart)
	}
	w.size = start
	return err
}

// Publish gives the file its name: it speaks for every STORE record below end.
func (w *PayloadWriter) Publish(end uint64) error {
	if end < w.next || end <= w.first {
		return errors.Join(fmt.Errorf("%w: payload up to %d behind %d", ErrMismatch, end, w.next), w.Drop())
	}
	s := span{w.first, end}
	if err := w.publish(s.name(payloadDir, payloadExt), end); err != nil {
		return err
	}
	w.d.payload = append(w.d.payload, s)
	return nil
}

// placed is a bundle in a payload file.
type placed struct {
	format.BundleHead
	offset int64 // of its first chunk's header
}

// heads tells each of the heads in one payload file.
func (d *Dir) heads(ctx context.Context, s span, each func(p placed, r *reader) error) (err error) {
	r, err := d.open(s.name(payloadDir, payloadExt), format.KindBackupPayload)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.f.Close()) }()
	if r.head.First != s.first || r.head.Number != s.end {
		return r.damage("file header", fmt.Errorf("the file says %d to %d", r.head.First, r.head.Number))
	}
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	for next := s.first; ; {
		raw := make([]byte, format.BundleHeadSize)
		if n, err := io.ReadFull(r.r, raw); n == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		h, err := format.DecodeBundleHead(raw)
		if err == nil && (h.Store < next || h.Store >= s.end || h.Length > uint64(info.Size()-r.off-format.BundleHeadSize)) {
			err = fmt.Errorf("%w: a bundle of record %d, %d bytes", format.ErrMalformed, h.Store, h.Length)
		}
		if err != nil {
			return r.damage("bundle head", err)
		}
		r.off += format.BundleHeadSize
		next = h.Store + 1
		at := placed{h, r.off}
		if err := errors.Join(ctx.Err(), each(at, r)); err != nil {
			return err
		}
		if err := r.seek(at.offset + int64(h.Length)); err != nil {
			return err
		}
	}
}

// seek passes over what each has not read.
func (r *reader) seek(to int64) error {
	n, err := r.r.Discard(int(to - r.off))
	r.off += int64(n)
	return err
}

func (r *reader) full(n int) ([]byte, error) {
	b := make([]byte, n)
	m, err := io.ReadFull(r.r, b)
	r.off += int64(m)
	return b, err
}

// chunks reads the chunks of the bundle whose head was just read, and holds each
// against its digest.
func (r *reader) chunks(h format.BundleHead) ([]format.Chunk, error) {
	end := r.off + int64(h.Length)
	var out []format.Chunk
	for range h.Chunks {
		raw, err := r.full(int(min(format.ChunkHeaderSize, end-r.off)))
		if err != nil {
			return nil, r.damage("chunk", err)
		}
		c, err := format.DecodeChunkHeader(raw)
		if err == nil && (c.Erased || int64(c.Length) > end-r.off) {
			err = fmt.Errorf("%w: chunk of %d bytes", format.ErrMalformed, c.Length)
		}
		if err != nil {
			return nil, r.damage("chunk header", err)
		}
		sealed, err := r.full(int(c.Length))
		if err == nil && sha256.Sum256(sealed) != c.Digest {
			err = errors.New("it does not have its digest")
		}
		if err != nil {
			return nil, r.damage(fmt.Sprintf("chunk %d of the bundle of record %d", c.Chunk, h.Store), err)
		}
		out = append(out, format.Chunk{ChunkHeader: c, Sealed: sealed})
	}
	if r.off != end {
		return nil, r.damage("bundle", fmt.Errorf("%d bytes behind its chunks", end-r.off))
	}
	return out, nil
}

// Bundles tells each of the bundles that are here with their chunks, each of which
// has its digest. wanted says by the STORE record's sequence which are read at all.
func (d *Dir) Bundles(ctx context.Context, wanted func(store uint64) bool, each func(store uint64, chunks []format.Chunk) error) error {
	for _, s := range d.payload {
		err := d.heads(ctx, s, func(p placed, r *reader) error {
			if !wanted(p.Store) {
				return nil
			}
			chunks, err := r.chunks(p.BundleHead)
			if err != nil {
				return err
			}
			return each(p.Store, chunks)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// zeroStep is how many zeros are written at once, bytes.
const zeroStep = 1 << 20

// destroy overwrites the places of bundles that have ended, and puts an empty file
// in the place of one in which nothing is left.
func (d *Dir) destroy(ctx context.Context, s span, ended map[uint64]bool) error {
	var dead []placed
	alive := false
	err := d.heads(ctx, s, func(p placed, r *reader) error {
		if ended[p.Store] {
			dead = append(dead, p)
			return nil
		}
		first, err := r.r.Peek(4)
		alive = alive || err != nil || string(first) != "\x00\x00\x00\x00"
		return nil
	})
	if err != nil || len(dead) == 0 {
		return err
	}
	f, err := os.OpenFile(d.at(s.name(payloadDir, payloadExt)), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	zeros := make([]byte, zeroStep)
	for _, p := range dead {
		for at, left := p.offset, int64(p.Length); left > 0 && err == nil; {
			n := min(left, zeroStep)
			_, err = f.WriteAt(zeros[:n], at)
			at, left = at+n, left-n
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil || alive {
		return err
	}
	empty, err := d.begin(format.FileHeader{Kind: format.KindBackupPayload, First: s.first})
	if err != nil {
		return err
	}
	return empty.publish(s.name(payloadDir, payloadExt), s.end)
}
