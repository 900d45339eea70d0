package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Sealer is the only way to and from plain text: it holds the key ring, seals
// what goes into the log and opens what comes out. Package service has it and
// the Reader, nothing else of the store.

// Key errors, for callers that decide on them.
var (
	ErrKeyErased  = keyring.ErrErased
	ErrKeyMissing = keyring.ErrNoBlock
)

// ErrNoKeys is returned before an institution has its first keys.
var ErrNoKeys = errors.New("the institution has no keys yet")

func (s *Store) detailKey(institution, epoch uint32, class format.DetailClass) ([32]byte, error) {
	row, err := s.Epoch(institution, epoch)
	if err != nil {
		return [32]byte{}, err
	}
	if row == nil {
		if inst, err := s.Institution(institution); err == nil && epoch != 0 && epoch <= inst.Epoch {
			return [32]byte{}, fmt.Errorf("%w: institution %d, epoch %d, which ended", ErrKeyErased, institution, epoch)
		}
		return [32]byte{}, fmt.Errorf("%w: institution %d, epoch %d", ErrNoKeys, institution, epoch)
	}
	slot := row.Other
	if class == format.DetailUse {
		slot = row.Use
	}
	if slot.IsZero() { // it ended with the institution's closing
		return [32]byte{}, fmt.Errorf("%w: use records of institution %d, epoch %d", ErrKeyErased, institution, epoch)
	}
	return s.keys.Key(slot)
}

// SealDetail seals a detail for the operation's first record under the
// institution's newest key of the class.
func (s *Store) SealDetail(institution uint32, class format.DetailClass, op format.ID, d format.Detail) (epoch uint32, sealed []byte, err error) {
	inst, err := s.Institution(institution)
	if err != nil {
		return 0, nil, err
	}
	key, err := s.detailKey(institution, inst.Epoch, class)
	if err != nil {
		return 0, nil, err
	}
	defer clear(key[:])
	return inst.Epoch, keyring.SealDetail(key, op, 0, d.Encode()), nil
}

// OpenDetail opens a record's detail.
func (s *Store) OpenDetail(rec *format.Record) (format.Detail, error) {
	if len(rec.Detail) == 0 {
		return format.Detail{}, nil
	}
	key, err := s.ownDetailKey(rec)
	if err != nil {
		return format.Detail{}, err
	}
	defer clear(key[:])
	plain, err := keyring.OpenDetailWith(key, rec.Operation, rec.Ordinal, rec.Detail)
	if err != nil {
		return format.Detail{}, fmt.Errorf("detail of record %d: %w", rec.Sequence, err)
	}
	return format.DecodeDetail(plain)
}

// SubjectRef is how the state names a citizen: a keyed hash of the CI.
func (s *Store) SubjectRef(institution uint32, ci string) (format.Digest, error) {
	key, err := s.subjectKey(institution)
	if err != nil {
		return format.Digest{}, err
	}
	defer clear(key[:])
	return keyring.SubjectRef(key, ci), nil
}

// HoldRef is how the state names a legal hold (보존 조치): the first bytes of a keyed
// hash of its name and scope, never 0.
func (s *Store) HoldRef(institution uint32, scope format.HoldScope, name string) (uint64, error) {
	key, err := s.subjectKey(institution)
	if err != nil {
		return 0, err
	}
	defer clear(key[:])
	ref := keyring.HoldRef(key, scope, name)
	return max(1, binary.BigEndian.Uint64(ref[:])), nil
}

func (s *Store) subjectKey(institution uint32) ([32]byte, error) {
	inst, err := s.Institution(institution)
	if err != nil {
		return [32]byte{}, err
	}
	if inst.Subject.IsZero() {
		return [32]byte{}, fmt.Errorf("%w: institution %d", ErrNoKeys, institution)
	}
	return s.keys.Key(inst.Subject)
}

// Commitment is the keyed commitment to a fingerprint under a bundle's key.
func (s *Store) Commitment(slot format.Slot, fingerprint format.Digest) (format.Digest, error) {
	key, err := s.keys.Key(slot)
	if err != nil {
		return format.Digest{}, err
	}
	defer clear(key[:])
	return keyring.Commitment(key, fingerprint), nil
}

// CommitmentKey is the key of a bundle's commitment (keyring.CommitmentKey).
func (s *Store) CommitmentKey(slot format.Slot) ([32]byte, error) {
	key, err := s.keys.Key(slot)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(key[:])
	return keyring.CommitmentKey(key), nil
}

// BundleSeal seals one bundle's plain bytes, chunk by chunk, under one slot.
type BundleSeal struct {
	cluster format.ID
	slot    format.Slot
	key     [32]byte
	buf     []byte
	n       uint32
	size    uint64
	digests []format.Digest
	sealed  uint64
	emit    func(format.Chunk) error
}

// NewBundleSeal begins to seal under a slot that nothing was sealed under
// before. Each full chunk goes to emit.
func (s *Store) NewBundleSeal(slot format.Slot, emit func(format.Chunk) error) (*BundleSeal, error) {
	key, err := s.keys.Key(slot)
	if err != nil {
		return nil, err
	}
	return &BundleSeal{cluster: s.manifest.Cluster, slot: slot, key: key, emit: emit}, nil
}

// Wipe forgets the key and what was not sealed yet: for a bundle that is given up.
func (b *BundleSeal) Wipe() {
	clear(b.key[:])
	clear(b.buf)
}

// Write takes in the documents' bytes.
func (b *BundleSeal) Write(p []byte) (int, error) {
	b.size += uint64(len(p))
	return len(p), b.add(p)
}

func (b *BundleSeal) add(p []byte) error {
	for len(p) > 0 {
		if len(b.buf) == format.MaxChunk {
			c, err := b.seal(false)
			if err != nil {
				return err
			}
			if err := b.emit(c); err != nil {
				return err
			}
		}
		n := min(len(p), format.MaxChunk-len(b.buf))
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

func (b *BundleSeal) seal(last bool) (format.Chunk, error) {
	c, err := keyring.SealChunk(b.key, b.cluster, b.slot, b.n, last, b.buf)
	if err != nil {
		return c, err
	}
	b.n++
	b.sealed += uint64(len(c.Sealed))
	b.digests = append(b.digests, c.Digest)
	b.buf = b.buf[:0]
	return c, nil
}

// Finish seals the description behind the documents and answers the last chunk,
// which travels with the STORE operation, and the parts of its effect that
// follow from the content. The key is wiped.
func (b *BundleSeal) Finish(d format.Description) (format.Chunk, format.StoreEffect, error) {
	defer b.Wipe()
	if err := b.add(d.Encode()); err != nil {
		return format.Chunk{}, format.StoreEffect{}, err
	}
	last, err := b.seal(true)
	if err != nil {
		return last, format.StoreEffect{}, err
	}
	return last, format.StoreEffect{
		Slot: b.slot, Size: b.size, Sealed: b.sealed, Chunks: b.n, Digest: format.BundleDigest(b.digests),
		Commitment: keyring.Commitment(b.key, d.Fingerprint), Documents: uint16(len(d.Documents)),
	}, nil
}

// BundleReader reads a bundle's plain bytes. fetch is asked for a sealed chunk.
type BundleReader struct {
	Description format.Description
	size        uint64
	open        func(n int) ([]byte, error)
	tail        []byte // plain bytes from chunk tailFrom on, description removed
	tailFrom    int
}

// OpenBundle opens a bundle whose chunks fetch answers by header. It reads the
// description, which stands at the end, and checks it against the commitment.
func (s *Store) OpenBundle(row *format.BundleRow, headers []format.ChunkHeader, fetch func(format.ChunkHeader) ([]byte, error)) (*BundleReader, error) {
	r := &BundleReader{size: row.Size}
	r.open = func(n int) ([]byte, error) {
		sealed, err := fetch(headers[n])
		if err != nil {
			return nil, err
		}
		key, err := s.keys.Key(row.Slot)
		if err != nil {
			return nil, err
		}
		defer clear(key[:])
		return keyring.OpenChunk(key, s.manifest.Cluster, headers[n], n == len(headers)-1, sealed)
	}
	for r.tailFrom = len(headers); r.tailFrom > 0; {
		r.tailFrom--
		plain, err := r.open(r.tailFrom)
		if err != nil {
			return nil, err
		}
		r.tail = append(plain, r.tail...)
		d, n, err := format.DecodeDescription(r.tail)
		if err == nil {
			r.Description, r.tail = d, r.tail[:len(r.tail)-n]
			return r, s.checkDescription(row, d)
		}
		if len(r.tail) > format.MaxDescription+4 {
			break
		}
	}
	return nil, &format.DamageError{File: "segments", Offset: -1, What: "description in slot " + row.Slot.String()}
}

func (s *Store) checkDescription(row *format.BundleRow, d format.Description) error {
	c, err := s.Commitment(row.Slot, d.Fingerprint)
	if err != nil {
		return err
	}
	if c != row.Commitment {
		return &format.DamageError{File: "segments", Offset: -1, What: "commitment of slot " + row.Slot.String()}
	}
	return nil
}

// WriteTo writes the documents' bytes, in order.
func (r *BundleReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for n := range r.tailFrom {
		plain, err := r.open(n)
		if err != nil {
			return total, err
		}
		m, err := w.Write(plain[:min(uint64(len(plain)), r.size-uint64(total))])
		total += int64(m)
		if err != nil {
			return total, err
		}
	}
	m, err := io.Copy(w, bytes.NewReader(r.tail))
	total += m
	if err == nil && uint64(total) != r.size {
		err = &format.DamageError{File: "segments", Offset: -1, What: fmt.Sprintf("bundle of %d bytes where %d belong", total, r.size)}
	}
	return total, err
}
