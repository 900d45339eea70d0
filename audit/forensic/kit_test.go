package forensic_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/sago-worm/sago/audit/forensic"
	logv1 "github.com/sago-worm/sago/proto/sago/log/v1"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// The world of these tests: a node's files, written by the formats alone. GOES is
// what was erased, STAYS its neighbour in the same block and segment; LARGE, where
// it is added, has three chunks and several documents, one of them empty.
const (
	goes, stays, large = 0, 1, 2
	slotCount          = 7
	useSlot, otherSlot = 4, 5
	carrySlot          = 6
	institution        = 1
)

var (
	cluster = format.ID{0xc1}
	block   = format.ID{0xb1, 0xb2}
	rootKey = keyring.RootKey{0x71}
)

// thing is one bundle of the world.
type thing struct {
	number      string
	documents   [][]byte
	fingerprint format.Digest
	effect      format.StoreEffect
	chunks      []format.Chunk
}

// world is a node's directory in memory, to be changed and then written.
type world struct {
	t      testing.TB
	things []thing
	keys   [slotCount][32]byte
	// files are by name; raft.db is made by raft.
	files    map[string][]byte
	roots    []forensic.Root
	recovery []forensic.RecoveryKey
	slide    int64
	out      string
	lie      bool // descriptions say other digests than the documents have
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, files: map[string][]byte{}, roots: []forensic.Root{{Name: "root.key", Key: rootKey}}, slide: 64 << 20}
	from := rand.NewChaCha8([32]byte{1})
	random := func(n int) []byte {
		b := make([]byte, n)
		_, _ = from.Read(b) // never fails
		return b
	}
	for i := range w.keys {
		copy(w.keys[i][:], random(32))
	}
	w.add("GOES", random(3000))
	w.add("STAYS", random(2000))
	w.files["keys/"+hex.EncodeToString(block[:])+".kb"] = w.block(rootKey)
	w.files["segments/00000001.seg"] = w.segment()
	w.files["history/00000001.his"] = w.history()
	return w
}

// addLarge adds LARGE, which makes every search longer.
func (w *world) addLarge() {
	big := make([]byte, format.MaxChunk+77)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(big) // never fails
	w.add("LARGE", big, nil, big[:format.MaxChunk-40], big[:9])
	w.files["segments/00000001.seg"], w.files["history/00000001.his"] = w.segment(), w.history()
}

// add seals one more bundle under the next slot.
func (w *world) add(number string, documents ...[]byte) {
	slot := format.Slot{Block: block, Index: uint32(len(w.things))}
	th := thing{number: number, documents: documents}
	d := format.Description{Basis: "basis"}
	var plain []byte
	var digests []format.Digest
	for _, doc := range documents {
		before := len(plain)
		plain = append(plain, doc...)
		if w.lie {
			doc = []byte("another")
		}
		d.Documents = append(d.Documents, format.Document{Name: "홍길동.pdf", MediaType: "application/pdf", Size: uint64(len(plain) - before), Digest: sha256.Sum256(doc)})
		digests = append(digests, sha256.Sum256(doc))
	}
	size := len(plain)
	d.Fingerprint = format.Fingerprint(digests)
	th.fingerprint = d.Fingerprint
	plain = append(plain, d.Encode()...)
	var sealed []format.Digest
	total := uint64(0)
	for n := uint32(0); len(plain) > 0; n++ {
		take := min(len(plain), format.MaxChunk)
		c, err := keyring.SealChunk(w.keys[slot.Index], cluster, slot, n, take == len(plain), plain[:take])
		must(w.t, err)
		th.chunks, sealed, total = append(th.chunks, c), append(sealed, c.Digest), total+uint64(len(c.Sealed))
		plain = plain[take:]
	}
	th.effect = format.StoreEffect{Definition: "MDS0000001", Rule: "P5Y", BasisKind: 1, Slot: slot, Size: uint64(size), Sealed: total,
		Chunks: uint32(len(th.chunks)), Digest: format.BundleDigest(sealed), Commitment: keyring.Commitment(w.keys[slot.Index], d.Fingerprint),
		Documents: uint16(len(documents))}
	w.things = append(w.things, th)
}

// memory takes the block that a ring writes.
type memory struct{ content []byte }

func (m *memory) CreateBlock(_ string, content []byte) error { m.content = content; return nil }
func (*memory) RewriteSlot(string, int64, []byte) error      { return os.ErrInvalid }
func (*memory) RewriteHeader(string, []byte) error           { return os.ErrInvalid }
func (*memory) RewrapBlock(string, format.ID, keyring.RootKey, keyring.RootKey) (keyring.Rewrapped, error) {
	return keyring.Rewrapped{}, os.ErrInvalid
}

// block is the key block's file under a root key.
func (w *world) block(root keyring.RootKey) []byte {
	var m memory
	ring, err := keyring.Open(w.t.TempDir(), root, cluster, &m)
	must(w.t, err)
	must(w.t, ring.Install(keyring.Block{ID: block, Owner: 1, Keys: w.keys[:], Erased: make([]bool, slotCount)}))
	return m.content
}

func (w *world) segment() []byte {
	b := format.FileHeader{Kind: format.KindSegment, Cluster: cluster, Number: 1}.Encode()
	for _, th := range w.things {
		b = format.AppendChunks(b, th.chunks...)
	}
	return b
}

// history has a KEY record and a STORE record of each thing, with details.
func (w *world) history() []byte {
	b := format.FileHeader{Kind: format.KindHistory, Cluster: cluster, Number: 1}.Encode()
	epoch := format.KeyEffect{Verb: format.KeyEpoch, Institution: institution, Epoch: 8000,
		Use: format.Slot{Block: block, Index: useSlot}, Other: format.Slot{Block: block, Index: otherSlot}}
	key := format.Record{Action: format.ActKey, Institution: institution, Operation: format.ID{0xee}, Effect: format.EncodeEffect(epoch)}
	b = append(b, frame(key.Encode())...)
	for i := range w.things {
		rec := w.record(i)
		b = append(b, frame(rec.Encode())...)
	}
	return b
}

func (w *world) record(i int) format.Record {
	op := format.ID{0xaa, byte(i)}
	return format.Record{Sequence: uint64(i + 1), Action: format.ActStore, Institution: institution, Transaction: w.things[i].number, Part: 1,
		Operation: op, Effect: format.EncodeEffect(w.things[i].effect), DetailClass: format.DetailOther, DetailEpoch: 8000,
		Detail: keyring.SealDetail(w.keys[otherSlot], op, 0, format.Detail{UserName: "홍길동"}.Encode())}
}

func frame(payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, format.Checksum(append(bytes.Clone(b), payload...)))
	return append(b, payload...)
}

// entry is a log entry's data that proposes thing i, between two others.
func (w *world) entry(i int) []byte {
	id := format.ID{0xaa, byte(i)}
	other := &logv1.Operation{Kind: 4, Id: make([]byte, 16), BuiltAt: 3, Institution: 1, Transaction: "OTHER", Part: 1}
	b, err := proto.Marshal(&logv1.Batch{Operations: []*logv1.Operation{other, {Kind: 2, Id: id[:], BuiltAt: 7, Actor: 5, Front: 1,
		Institution: institution, Transaction: w.things[i].number, Part: 1, Body: format.EncodeEffect(w.things[i].effect), DetailClass: 2, DetailEpoch: 8000, Detail: []byte("sealed")}, other}})
	must(w.t, err)
	return b
}

// database is a bbolt file with these values; those of gone were deleted again, and
// stand in pages that are not in use.
func (w *world) database(values, gone map[string][]byte) []byte {
	path := filepath.Join(w.t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
	must(w.t, err)
	put := func(rows map[string][]byte, change func(b *bolt.Bucket, k, v []byte) error) {
		must(w.t, db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("logs"))
			for k, v := range rows {
				must(w.t, change(b, []byte(k), v))
			}
			return err
		}))
	}
	put(values, (*bolt.Bucket).Put)
	put(gone, (*bolt.Bucket).Put)
	put(gone, func(b *bolt.Bucket, k, _ []byte) error { return b.Delete(k) })
	must(w.t, db.Close())
	b, err := os.ReadFile(path)
	must(w.t, err)
	return b
}

const blockFile = "keys/b1b20000000000000000000000000000.kb"

// eraseSlot does what the custodian does to a slot.
func (w *world) eraseSlot(i int) {
	copy(w.files[blockFile][keyring.SlotOffset(uint32(i)):], keyring.ErasedSlot())
}

// sealed is a slot's bytes as they were.
func (w *world) sealed(i int) []byte {
	return bytes.Clone(w.files[blockFile][keyring.SlotOffset(uint32(i)):][:keyring.SlotSize])
}

// zero does what the custodian does to the ciphertext of thing i.
func (w *world) zero(i int) {
	b := w.files["segments/00000001.seg"]
	for _, c := range w.things[i].chunks {
		at := bytes.Index(b, c.Sealed)
		clear(b[at : at+len(c.Sealed)])
	}
}

// search writes the files and searches for thing i.
func (w *world) search(i int, more ...string) forensic.Report {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, b := range w.files {
		path := filepath.Join(dir, name)
		must(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(w.t, os.WriteFile(path, b, 0o600))
	}
	r, err := forensic.Search(context.Background(), forensic.Input{Transaction: w.things[i].number, Part: 1, Roots: w.roots, Recovery: w.recovery,
		Paths: append(more, dir), Slide: w.slide, Out: w.out})
	must(w.t, err)
	return r
}

// verdict holds a report against what it must say of its one bundle.
func (w *world) verdict(r forensic.Report, verdict forensic.Verdict, recovery forensic.Recovery) {
	w.t.Helper()
	if r.Verdict != verdict || len(r.Bundles) != 1 || r.Bundles[0].Recovery != recovery {
		var text bytes.Buffer
		must(w.t, r.WriteText(&text))
		w.t.Fatalf("want %s and %s:\n%s", verdict, recovery, &text)
	}
}
