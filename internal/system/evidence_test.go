package system_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// evidence is a small history with all keys in hand: what a majority could sign,
// and everything that it did not.
type evidence struct {
	t        *testing.T
	cluster  format.ID
	inc      format.ID
	keys     [3]*ecdsa.PrivateKey
	ceremony []byte
	records  [][]byte
	now      int64
	block    format.ID
	round    uint64
	// Records that decide what they may not: the end of kept by a closing that nobody
	// decided, kept and uses among the spent slots, the end of uses.
	closed, spent, usesEnd []byte
}

// The bundles of the evidence, by their slots.
const (
	gone    = 0 // expired, and decided
	kept    = 1 // due in years
	early   = 2 // EXPIRE stands in the history, before its time
	due     = 3 // due, and nobody decided
	slots   = 16
	unused  = 9
	wasted  = 10 // of a put that came to nothing, and on record as such
	uses    = 12 // the use-record key of the institution
	segment = "segments/00000001.seg"
	active  = "segments/00000002.seg"
	lines   = "history/00000001.his"
)

func newEvidence(t *testing.T) *evidence {
	t.Helper()
	e := &evidence{t: t, cluster: format.ID{0xC1}, inc: format.ID{0x10, 1}, block: format.ID{0xB1},
		now: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC).UnixMicro(), round: 1}
	c := format.Ceremony{Time: e.now, Policy: format.Policy{Version: 1}}
	for i := range e.keys {
		e.keys[i] = signingKey(t)
		der, err := x509.MarshalPKIXPublicKey(&e.keys[i].PublicKey)
		must(t, err)
		c.Nodes = append(c.Nodes, format.CeremonyNode{Number: uint32(i + 1), Name: string(rune('a' + i)), Incarnation: format.ID{0x10, byte(i + 1)}, PublicKey: der})
	}
	e.ceremony = format.Act{Cluster: e.cluster, Kind: format.ActKindCeremony, Params: c.Encode(), Nonce: format.ID{1}}.Encode()
	e.add(format.Record{Action: format.ActAct}, format.ActEffect{Signed: format.SignedAct{Document: e.ceremony}.Encode()})
	e.tick(0)
	for slot, rule := range []string{"PT1H", "P5Y", "P5Y", "PT1H"} {
		e.add(e.about(slot), format.StoreEffect{Definition: "MDS0000001", Rule: rule, BasisKind: 1, Slot: e.slot(slot), Chunks: 1, Documents: 1})
	}
	e.tick(time.Minute)
	e.tick(time.Minute)
	e.tick(2 * time.Hour)
	e.overreach()
	e.add(e.expiry(gone), format.BundleRef{Store: e.store(gone)})
	e.add(e.expiry(early), format.BundleRef{Store: e.store(early)})
	e.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyRetire, Block: e.block, Owner: 1})
	return e
}

// overreach adds records that only a majority could have written, and that no rule
// allows.
func (e *evidence) overreach() {
	last := func() []byte { return e.records[len(e.records)-1] }
	key := format.Record{Action: format.ActKey}
	e.add(key, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 8104, Use: e.slot(uses), Other: e.slot(uses + 1), Subject: e.slot(uses + 2)})
	r := e.about(kept)
	r.Action = format.ActClose
	e.add(r, format.CloseEffect{Store: e.store(kept), Act: 0}) // the ceremony is an act, and closes nothing
	e.closed = last()
	e.add(key, format.KeyEffect{Verb: format.KeySpent, Block: e.block, Spent: []uint32{kept, wasted, uses}})
	e.spent = last()
	e.add(key, format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: 8104, Use: e.slot(uses)})
	e.usesEnd = last()
}

func signingKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func (e *evidence) slot(i int) format.Slot { return format.Slot{Block: e.block, Index: uint32(i)} }

func (e *evidence) about(slot int) format.Record {
	return format.Record{Action: format.ActStore, Institution: 1, Transaction: string(rune('A' + slot)), Part: 1}
}

func (e *evidence) expiry(slot int) format.Record {
	r := e.about(slot)
	r.Action = format.ActExpire
	return r
}

// store is the sequence of a bundle's STORE record.
func (e *evidence) store(slot int) uint64 { return uint64(2 + slot) }

// add appends a record; encode is the same for one that stays out of the history.
func (e *evidence) add(r format.Record, effect format.Effect) {
	e.records = append(e.records, e.encode(uint64(len(e.records)), r, effect))
}

func (e *evidence) encode(seq uint64, r format.Record, effect format.Effect) []byte {
	r.Sequence, r.Clock, r.Entry, r.Effect = seq, e.now, seq+1, format.EncodeEffect(effect)
	return r.Encode()
}

func (e *evidence) tick(by time.Duration) {
	e.now += by.Microseconds()
	e.add(format.Record{Action: format.ActClock}, format.ClockEffect{Now: e.now, Start: e.now, Floor: e.now})
}

// decision is the record, of those in the history, that expires a bundle.
func (e *evidence) decision(slot int) []byte {
	for _, b := range e.records {
		if r, err := format.DecodeRecord(b); err == nil && r.Action == format.ActExpire && r.Transaction == string(rune('A'+slot)) {
			return b
		}
	}
	e.t.Fatal("nothing expires it")
	return nil
}

// history is the file of the records.
func (e *evidence) history() []byte {
	b := format.FileHeader{Kind: format.KindHistory, Cluster: e.cluster, Incarnation: e.inc, Number: 1}.Encode()
	for _, r := range e.records {
		framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(r))), r...)
		b = append(b, framed[:4]...)
		b = binary.BigEndian.AppendUint32(b, format.Checksum(framed))
		b = append(b, r...)
	}
	return b
}

// checkpoint is what these keys sign of the first size records.
func (e *evidence) checkpoint(size int, change func(*format.Checkpoint), keys ...*ecdsa.PrivateKey) []byte {
	e.t.Helper()
	hashes := map[int64]tlog.Hash{}
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n, r := range e.records[:size] {
		list, err := tlog.StoredHashesForRecordHash(int64(n), tlog.Hash(format.LeafHash(r)), read)
		must(e.t, err)
		for i, h := range list {
			hashes[tlog.StoredHashIndex(0, int64(n))+int64(i)] = h
		}
	}
	root, err := tlog.TreeHash(int64(size), read)
	must(e.t, err)
	c := format.CheckpointEffect{Checkpoint: format.Checkpoint{Cluster: e.cluster, Size: uint64(size), Root: format.Digest(root), Entry: 99, Clock: e.now}}
	if change != nil {
		change(&c.Checkpoint)
	}
	sum := sha256.Sum256([]byte(c.Checkpoint.Text()))
	for i, k := range keys {
		sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
		must(e.t, err)
		c.Signatures = append(c.Signatures, format.NodeSignature{Node: uint32(i + 1), Incarnation: format.ID{0x10, byte(i + 1)}, Signature: sig})
	}
	return format.EncodeEffect(c)
}

// chunkOf is the ciphertext of a bundle in the segment.
func chunkOf(slot int) []byte { return bytes.Repeat([]byte{'a' + byte(slot)}, 5000+slot) }

// payload is the sealed segment, and where each chunk's ciphertext lies. Behind the
// chunks stands one whose header was made to lie over its neighbour.
func (e *evidence) payload() (b []byte, ranges map[int]custodian.Range, lying custodian.Range) {
	b = format.FileHeader{Kind: format.KindSegment, Cluster: e.cluster, Incarnation: e.inc, Number: 1}.Encode()
	ranges = map[int]custodian.Range{}
	for slot := range 4 {
		c := format.NewChunk(e.slot(slot), 0, chunkOf(slot))
		ranges[slot] = custodian.Range{File: segment, Offset: int64(len(b) + format.ChunkHeaderSize), Length: int64(len(c.Sealed))}
		b = format.AppendChunks(b, c)
	}
	neighbour := format.AppendChunks(nil, format.NewChunk(e.slot(kept), 1, chunkOf(kept)))
	lie := format.ChunkHeader{Slot: e.slot(gone), Chunk: 1, Length: uint32(len(neighbour))}
	b = append(b, lie.Encode()...)
	lying = custodian.Range{File: segment, Offset: int64(len(b)), Length: int64(len(neighbour))}
	return append(b, neighbour...), ranges, lying
}

// keyBlock is a key block with every slot live.
func (e *evidence) keyBlock() []byte {
	b := format.FileHeader{Kind: format.KindKeyBlock, Cluster: e.cluster, Object: e.block, First: slots, Owner: 1}.Encode()
	for i := range slots {
		slot := bytes.Repeat([]byte{byte(i + 1)}, keyring.SlotSize)
		b = append(b, slot...)
	}
	return b
}
