package store

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
)

// ErrNoCheckpoint says that no checkpoint has the size, or covers the sequence,
// that was asked for.
var ErrNoCheckpoint = errors.New("no such checkpoint")

// ErrBeyond says that the history does not hold so many records.
var ErrBeyond = history.ErrBeyond

// LeafHash answers a record's leaf hash from the tree; ErrBeyond when there is no
// such record.
func (m *Machine) LeafHash(sequence uint64) (format.Digest, error) {
	if sequence >= m.log.Size() {
		return format.Digest{}, fmt.Errorf("%w: record %d", ErrBeyond, sequence)
	}
	h, err := m.log.HashReader().ReadHashes([]int64{tlog.StoredHashIndex(0, int64(sequence))})
	if err != nil {
		return format.Digest{}, err
	}
	return format.Digest(h[0]), nil
}

// Prove answers the RFC 6962 inclusion path, leaf side first, of a record in the
// tree of the first size records, from O(log size) stored hashes. ErrBeyond when
// the tree or the history does not reach that far.
func (m *Machine) Prove(sequence, size uint64) ([]format.Digest, error) {
	if size > m.log.Size() || size > math.MaxInt64 || sequence >= size {
		return nil, fmt.Errorf("%w: record %d in a tree of %d", ErrBeyond, sequence, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(sequence), m.log.HashReader())
	return digests(p), err
}

// ProveConsistency answers the RFC 6962 proof that the tree of the first old
// records is the beginning of that of the first size ones; empty when they are
// equal. ErrBeyond when old is 0 or beyond size, or size beyond the history.
func (m *Machine) ProveConsistency(old, size uint64) ([]format.Digest, error) {
	if old == 0 || old > size || size > m.log.Size() || size > math.MaxInt64 {
		return nil, fmt.Errorf("%w: trees of %d and %d", ErrBeyond, old, size)
	}
	p, err := tlog.ProveTree(int64(size), int64(old), m.log.HashReader())
	return digests(p), err
}

func digests(p []tlog.Hash) []format.Digest {
	out := make([]format.Digest, len(p))
	for i, h := range p {
		out[i] = format.Digest(h)
	}
	return out
}

// CheckpointAt answers the checkpoint of exactly that size, or ErrNoCheckpoint.
func (m *Machine) CheckpointAt(size uint64) (format.CheckpointEffect, error) {
	if size == 0 || size == math.MaxUint64 {
		return format.CheckpointEffect{}, fmt.Errorf("%w: of size %d", ErrNoCheckpoint, size)
	}
	return m.leastCheckpoint(size, size+1)
}

// CheckpointCovering answers the least checkpoint whose tree holds the record, or
// ErrNoCheckpoint while none does.
func (m *Machine) CheckpointCovering(sequence uint64) (format.CheckpointEffect, error) {
	if sequence >= math.MaxUint64-1 {
		return format.CheckpointEffect{}, fmt.Errorf("%w: over record %d", ErrNoCheckpoint, sequence)
	}
	return m.leastCheckpoint(sequence+1, math.MaxUint64)
}

// leastCheckpoint reads the first checkpoint with a size in [from, to).
func (m *Machine) leastCheckpoint(from, to uint64) (format.CheckpointEffect, error) {
	size, sequence, err := m.checkpointRow(from, to)
	if err != nil {
		return format.CheckpointEffect{}, err
	}
	rec, _, err := m.Record(sequence)
	if err != nil {
		return format.CheckpointEffect{}, err
	}
	e, err := format.DecodeCheckpointEffect(rec.Effect)
	if err != nil || rec.Action != format.ActCheckpoint || e.Checkpoint.Size != size {
		return e, &format.DamageError{File: indexFile, Offset: -1, What: fmt.Sprintf("record %d is not the checkpoint of size %d", sequence, size), Err: err}
	}
	return e, nil
}

func (m *Machine) checkpointRow(from, to uint64) (size, sequence uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := false
	err = m.idx.Ascend(tCheckpoint, key64(from), key64(to), func(k, v []byte) (bool, error) {
		kr, vr := format.NewReader(k), format.NewReader(v)
		size, sequence, found = kr.U64(), vr.U64(), true
		return false, errors.Join(kr.Done(), vr.Done())
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: size %d to %d", ErrNoCheckpoint, from, to-1)
	}
	return size, sequence, err
}
