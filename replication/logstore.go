package replication

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolt "go.etcd.io/bbolt"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// payloads is where a log store puts the chunks that entries bring.
type payloads interface {
	AppendChunks([]format.Chunk) error
	ClaimLog(bytes int) error
	Chunk(format.ChunkHeader) (format.Chunk, error)
}

// logStore keeps raft's log in raft-boltdb, payload aside. StoreLogs moves the
// chunks in Extensions to the segment files first and keeps only their headers;
// GetLog never touches payload. bbolt has no page checksums, so each row carries
// one over index, term, type, data and headers, checked at each read.
type logStore struct {
	bolt     *raftboltdb.BoltStore
	cache    *raft.LogCache
	payload  payloads
	recent   *payloadCache
	onFailed func(error) // a failed write or a damaged row ends this node
	onStub   func(format.ChunkHeader)
	applied  func() uint64
}

const sumSize = sha256.Size

// hungAfter is how long a write to the log may take. A disk that hangs does not
// cost a leader its leadership by itself, so the node ends.
const hungAfter = 30 * time.Second

var errHung = errors.New("the disk has not taken a log entry for too long")

// openLog opens the raft log file.
func openLog(path string) (*raftboltdb.BoltStore, error) {
	b, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bolt.Options{NoFreelistSync: true, Timeout: lockTimeout}})
	if err != nil {
		return nil, fmt.Errorf("raft log: %w", err)
	}
	return b, nil
}

func newLogStore(b *raftboltdb.BoltStore, p payloads, failed func(error), stub func(format.ChunkHeader), applied func() uint64) (*logStore, error) {
	cache, err := raft.NewLogCache(512, b)
	if err != nil {
		return nil, err
	}
	return &logStore{bolt: b, cache: cache, payload: p, recent: newPayloadCache(payloadCacheBytes), onFailed: failed, onStub: stub, applied: applied}, nil
}

func rowSum(l *raft.Log, headers []byte) []byte {
	h := sha256.New()
	var fixed [17]byte
	binary.BigEndian.PutUint64(fixed[:], l.Index)
	binary.BigEndian.PutUint64(fixed[8:], l.Term)
	fixed[16] = byte(l.Type)
	h.Write(fixed[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(l.Data)))
	h.Write(n[:])
	h.Write(l.Data)
	h.Write(headers)
	return h.Sum(nil)
}

// sealLog is the row that stands for l: headers instead of chunks, then the sum.
func sealLog(l *raft.Log, chunks []format.Chunk) *raft.Log {
	var headers []byte
	for _, c := range chunks {
		headers = append(headers, c.Encode()...)
	}
	row := *l
	row.Extensions = append(headers, rowSum(l, headers)...)
	return &row
}

// openLogRow checks a row and leaves only the headers in Extensions.
func openLogRow(row *raft.Log) (*raft.Log, error) {
	n := len(row.Extensions) - sumSize
	if n < 0 || n%format.ChunkHeaderSize != 0 || string(rowSum(row, row.Extensions[:n])) != string(row.Extensions[n:]) {
		return nil, &format.DamageError{File: store.LogFile, Offset: -1, What: fmt.Sprintf("log entry %d", row.Index)}
	}
	l := *row
	l.Extensions = row.Extensions[:n:n]
	return &l, nil
}

// IsMonotonic has raft drop the whole log when a snapshot is installed: a log
// with a gap in it would be damage at the next start.
func (s *logStore) IsMonotonic() bool { return true }

// FirstIndex and LastIndex are those of the log file.
func (s *logStore) FirstIndex() (uint64, error) { return s.bolt.FirstIndex() }

// LastIndex is the greatest index in the file.
func (s *logStore) LastIndex() (uint64, error) { return s.bolt.LastIndex() }

// GetLog reads one entry; its Extensions are chunk headers.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	var row raft.Log
	if err := s.cache.GetLog(index, &row); err != nil {
		return err
	}
	if row.Index != index {
		return s.fail(&format.DamageError{File: store.LogFile, Offset: -1, What: fmt.Sprintf("log entry %d stands under %d", row.Index, index)})
	}
	l, err := openLogRow(&row)
	if err != nil {
		return s.fail(err)
	}
	*out = *l
	return nil
}

func (s *logStore) fail(err error) error {
	s.onFailed(err)
	return err
}

// StoreLog stores one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs makes payload and entries durable, payload first.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	hung := time.AfterFunc(hungAfter, func() { s.onFailed(errHung) })
	defer hung.Stop()
	rows := make([]*raft.Log, len(logs))
	var all []format.Chunk
	for i, l := range logs {
		chunks, err := format.DecodeChunks(l.Extensions)
		if err != nil {
			return fmt.Errorf("entry %d: %w", l.Index, err)
		}
		rows[i] = sealLog(l, chunks)
		all = append(all, chunks...)
		for _, c := range chunks {
			if c.Erased {
				s.onStub(c.ChunkHeader)
			}
		}
		if len(l.Extensions) > 0 {
			s.recent.add(l.Index, l.Extensions)
		}
	}
	if len(all) > 0 {
		if err := s.payload.AppendChunks(all); err != nil {
			if !errors.Is(err, store.ErrFull) {
				s.onFailed(err)
			}
			return err
		}
	}
	if err := s.payload.ClaimLog(logRoom(rows)); err != nil {
		return s.fail(fmt.Errorf("raft log: %w", err))
	}
	if err := s.cache.StoreLogs(rows); err != nil {
		return s.fail(fmt.Errorf("raft log: %w", err))
	}
	return nil
}

// cutAtOnce is how many entries one transaction of the log file removes: whoever
// appends waits for it.
const cutAtOnce = 256

// DeleteRange removes entries: those a snapshot covers, or a tail that lost, or all that
// an installed snapshot has overtaken. Only what stays behind the first may go piece by
// piece: a part of the others, left by a kill, would stand behind a gap.
func (s *logStore) DeleteRange(from, to uint64) error {
	first, last, err := s.checkCut(from, to)
	if err != nil {
		return s.fail(err)
	}
	if err := s.payload.ClaimLog(0); err != nil {
		return s.fail(fmt.Errorf("raft log: %w", err))
	}
	if from == first && from <= to && to < last {
		for ; to-from >= cutAtOnce; from += cutAtOnce {
			if err := s.bolt.DeleteRange(from, from+cutAtOnce-1); err != nil {
				return s.fail(fmt.Errorf("raft log: %w", err))
			}
		}
	}
	if err := s.cache.DeleteRange(from, to); err != nil {
		return s.fail(fmt.Errorf("raft log: %w", err))
	}
	return nil
}

// checkCut refuses to cut a tail off that has been applied here: whatever asks
// for it does not lead this cluster. It answers where the log begins and ends.
func (s *logStore) checkCut(from, to uint64) (first, last uint64, err error) {
	if first, err = s.bolt.FirstIndex(); err != nil {
		return 0, 0, err
	}
	if last, err = s.bolt.LastIndex(); err != nil {
		return 0, 0, err
	}
	if applied := s.applied(); from > first && to >= last && from <= applied {
		return 0, 0, fmt.Errorf("raft wants to cut the log from %d on, and %d is applied", from, applied)
	}
	return first, last, nil
}

// full answers an entry's Extensions with the chunks themselves again, for the
// wire. A chunk that was erased meanwhile, or is damaged here, travels as a stub.
func (s *logStore) full(index uint64, headers []byte) ([]byte, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	if b := s.recent.get(index, headers); b != nil {
		return b, nil
	}
	var out []format.Chunk
	for ; len(headers) > 0; headers = headers[format.ChunkHeaderSize:] {
		h, err := format.DecodeChunkHeader(headers)
		if err != nil {
			return nil, err
		}
		c, err := s.payload.Chunk(h)
		if err != nil {
			if !errors.Is(err, store.ErrMissing) && !errors.Is(err, store.ErrChunkErased) && !isDamage(err) {
				return nil, err
			}
			h.Erased = true
			c = format.Chunk{ChunkHeader: h}
		}
		out = append(out, c)
	}
	return format.AppendChunks(nil, out...), nil
}

// payloadCacheBytes bounds what is kept of recent entries' payload.
const payloadCacheBytes = 64 << 20

// payloadCache keeps the newest entries' Extensions as they came, so that
// followers are fed without reading segments.
type payloadCache struct {
	mu    sync.Mutex
	limit int
	size  int
	order []uint64
	bytes map[uint64][]byte
}

func newPayloadCache(limit int) *payloadCache {
	return &payloadCache{limit: limit, bytes: map[uint64][]byte{}}
}

func (c *payloadCache) add(index uint64, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.bytes[index]; ok {
		c.size -= len(old)
	} else {
		c.order = append(c.order, index)
	}
	c.bytes[index] = b
	c.size += len(b)
	for c.size > c.limit && len(c.order) > 0 {
		c.size -= len(c.bytes[c.order[0]])
		delete(c.bytes, c.order[0])
		c.order = c.order[1:]
	}
}

// get answers the bytes of an entry if their first header is the wanted one: an
// index can be written again by a later leader.
func (c *payloadCache) get(index uint64, headers []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bytes[index]
	if len(b) < format.ChunkHeaderSize || string(b[:format.ChunkHeaderSize]) != string(headers[:format.ChunkHeaderSize]) {
		return nil
	}
	return b
}

// drop forgets everything: what was just destroyed must not travel again.
func (c *payloadCache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order, c.bytes, c.size = nil, map[uint64][]byte{}, 0
}
