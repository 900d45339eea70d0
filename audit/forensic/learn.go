package forensic

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// target is a bundle or an attempt under the number that is searched for: what is
// needed to find and to verify it.
type target struct {
	Institution uint32
	Slot        format.Slot
	Size        uint64
	Sealed      uint64
	Chunks      uint32
	Documents   uint16
	Digest      format.Digest
	Commitment  format.Digest
}

// plausible tells a target from bytes that decode by accident, such as a key of the
// bundle that is another row's value: no store takes a greater one.
func (t target) plausible() bool {
	const most = format.MaxBundle/format.MaxChunk + 1
	return !t.Slot.IsZero() && t.Size <= format.MaxBundle && t.Chunks >= 1 && t.Chunks <= most && t.lastLength() > format.ChunkOverhead && t.lastLength() <= longest
}

// longest is the length of a full chunk's ciphertext.
const longest = format.MaxChunk + format.ChunkOverhead

// lastLength is that of the last chunk's.
func (t target) lastLength() int64 { return int64(t.Sealed) - int64(t.Chunks-1)*longest }

// length is that of chunk n.
func (t target) length(n uint32) int64 {
	if n+1 < t.Chunks {
		return longest
	}
	return t.lastLength()
}

// naming is where a target was learned from.
type naming struct {
	recorded bool // by a STORE record or a row: it was stored, not only proposed
	places   []Place
}

// epoch is a quarter of an institution.
type epoch struct{ institution, number uint32 }

// carried is a detail's key, sealed under the history key of another epoch.
type carried struct {
	epoch  epoch
	sealed []byte
}

// blockCopy is a key block somewhere: slots stand behind the header's place at.
type blockCopy struct {
	src   *source
	at    int64
	id    format.ID
	slots uint32
}

// knowledge is what the first pass learns: what to look for.
type knowledge struct {
	mu       sync.Mutex
	clusters map[format.ID]bool
	targets  map[target]*naming
	records  map[format.Digest]format.Record // of the bundle, by leaf hash
	epochs   map[epoch]map[format.EpochRow]bool
	carried  map[uint64][]carried // by sequence
	blocks   []blockCopy
	archives []archivePlace
}

func newKnowledge() knowledge {
	return knowledge{clusters: map[format.ID]bool{}, targets: map[target]*naming{}, records: map[format.Digest]format.Record{},
		epochs: map[epoch]map[format.EpochRow]bool{}, carried: map[uint64][]carried{}}
}

// learnAhead is how far a record, a row or an operation may reach.
const learnAhead = 64 << 10

// learn looks at every byte for file headers, records, rows and operations.
func (s *search) learn(ctx context.Context) error {
	var w format.Writer
	w.Str(s.in.Transaction)
	w.U32(s.in.Part)
	row := w.Bytes()
	for _, src := range s.sources {
		s.learnName(src)
	}
	return s.scanAll(ctx, learnAhead, func(src *source, at int64, b []byte, n int) {
		s.learnRows(src, at, b, n, row)
		s.learnBytes(src, at, b, n)
	})
}

func (s *search) learnBytes(src *source, at int64, b []byte, n int) {
	for i := range n {
		switch b[i] {
		case 'S':
			s.learnHeader(src, at+int64(i), b[i:])
		case 1:
			s.learnRecord(src, at+int64(i), b[i:])
		case 0x08: // field 1 of an operation: its kind
			s.learnOperation(src, at+int64(i), b[i:])
		}
	}
}

// learnName takes a file's word for the block that it is, should its header be gone.
func (s *search) learnName(src *source) {
	name, _, ok := strings.Cut(filepath.Base(src.path), ".kb")
	id, err := hex.DecodeString(name)
	if !ok || err != nil || len(id) != len(format.ID{}) {
		return
	}
	slots := max(0, src.size-format.FileHeaderSize) / keyring.SlotSize
	s.known.blocks = append(s.known.blocks, blockCopy{src, 0, format.ID(id), uint32(min(slots, keyring.MaxSlots))})
}

func (s *search) learnHeader(src *source, at int64, b []byte) {
	if len(b) < format.FileHeaderSize || string(b[:4]) != "SAGO" {
		return
	}
	h, err := format.DecodeFileHeader(format.FileKind(b[4:8]), b)
	if err != nil {
		return
	}
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	s.known.clusters[h.Cluster] = true
	if h.Kind == format.KindKeyArchive {
		s.known.archives = append(s.known.archives, archivePlace{src, at})
	}
	if h.Kind != format.KindKeyBlock {
		return
	}
	slots := uint32(min(h.First, keyring.MaxSlots))
	named := slices.IndexFunc(s.known.blocks, func(c blockCopy) bool { return c.src == src && c.at == at && c.id == h.Object })
	if named < 0 {
		s.known.blocks = append(s.known.blocks, blockCopy{src, at, h.Object, slots})
		return
	}
	s.known.blocks[named].slots = slots // the name only knew the file's length
}

// Places in a record's envelope (docs/formats/history-record.md).
const (
	recordAction = 37
	recordResult = 39
	recordLeast  = 102
)

func (s *search) learnRecord(src *source, at int64, b []byte) {
	// Actions and results are small numbers: most places are none of a record.
	if len(b) < recordLeast || b[recordAction] != 0 || b[recordAction+1] == 0 || b[recordResult] != 0 {
		return
	}
	rec, n, err := format.CarveRecord(b)
	if err != nil {
		return
	}
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	s.learnEffect(rec.Action, rec.Effect)
	if !s.wanted(rec.Institution, rec.Transaction, rec.Part) {
		return
	}
	s.way(WayRecords).Of++
	leaf := format.LeafHash(b[:n])
	if _, ok := s.known.records[leaf]; !ok {
		s.way(WayRecords).Found++
		s.known.records[leaf] = rec
	}
	if rec.Action == format.ActStore {
		s.learnStore(rec.Institution, rec.Effect, rec.Result == format.ReasonOK, src.place(at))
	}
}

func (s *search) wanted(institution uint32, transaction string, part uint32) bool {
	return transaction == s.in.Transaction && part == s.in.Part && (s.in.Institution == 0 || institution == s.in.Institution)
}

// learnEffect keeps what says where the keys of details are.
func (s *search) learnEffect(action format.Action, effect []byte) {
	switch action {
	case format.ActKey:
		e, err := format.DecodeKeyEffect(effect)
		if err != nil || e.Verb != format.KeyEpoch {
			return
		}
		of := epoch{e.Institution, e.Epoch}
		if s.known.epochs[of] == nil {
			s.known.epochs[of] = map[format.EpochRow]bool{}
		}
		s.known.epochs[of][format.EpochRow{Use: e.Use, Other: e.Other}] = true
	case format.ActCarry:
		e, err := format.DecodeCarryEffect(effect)
		if err != nil {
			return
		}
		for _, k := range e.Keys {
			c := carried{epoch{e.Institution, e.Epoch}, k.Sealed}
			same := func(o carried) bool { return o.epoch == c.epoch && bytes.Equal(o.sealed, c.sealed) }
			if len(k.Sealed) > 0 && !slices.ContainsFunc(s.known.carried[k.Sequence], same) {
				s.known.carried[k.Sequence] = append(s.known.carried[k.Sequence], c)
			}
		}
	}
}

// learnStore takes in what a STORE record or operation says of its bundle.
func (s *search) learnStore(institution uint32, effect []byte, recorded bool, p Place) {
	e, err := format.DecodeStoreEffect(effect)
	if err != nil {
		return
	}
	s.learnTarget(target{institution, e.Slot, e.Size, e.Sealed, e.Chunks, e.Documents, e.Digest, e.Commitment}, recorded, p)
}

func (s *search) learnTarget(t target, recorded bool, p Place) {
	if !t.plausible() {
		return
	}
	n := s.known.targets[t]
	if n == nil {
		n = &naming{}
		s.known.targets[t] = n
	}
	n.recorded = n.recorded || recorded
	n.places = append(n.places, p)
}

// learnRows looks for the bundle's row: its key, and the value close behind, as
// index.db and a base have them.
func (s *search) learnRows(src *source, at int64, b []byte, n int, pattern []byte) {
	const institution = 4 // bytes before the pattern
	for i := 0; ; i++ {
		next := bytes.Index(b[min(i+institution, len(b)):], pattern)
		if i += next; next < 0 || i >= n {
			return
		}
		who := binary.BigEndian.Uint32(b[i:])
		if !s.wanted(who, s.in.Transaction, s.in.Part) {
			continue
		}
		for _, before := range []int{8, 4} { // the index's checksum, or the base's length
			behind := i + institution + len(pattern) + before
			row, _, err := format.CarveBundleRow(b[min(behind, len(b)):])
			if err != nil {
				continue
			}
			s.known.mu.Lock()
			s.way(WayRows).Of++
			s.way(WayRows).Found++
			s.learnTarget(target{who, row.Slot, row.Size, row.Sealed, row.Chunks, row.Documents, row.Digest, row.Commitment}, true, src.place(at+int64(i)))
			s.known.mu.Unlock()
			break
		}
	}
}
