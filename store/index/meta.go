package index

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/sago-worm/sago/store/format"
)

// The bytes here are drawn in docs/formats/index.md.

const (
	metaTable   Table = 0
	lastTable   Table = 255 // never used, so that every table has a next one
	metaVersion       = 1
	sumSize           = 8
)

// metaKey is the key of the only row of table 0.
var metaKey = []byte("meta")

// Meta is what the rows reflect; it is saved in the same transaction as they.
type Meta struct {
	Applied   uint64        // index of the last log entry in the rows
	Term      uint64        // its term
	History   uint64        // number of history records in the rows
	StateHash format.Digest // running hash of the logical state
	// Segment is the place behind the last chunk that the rows know.
	Segment struct {
		File   uint64
		Offset int64
	}
	Extra []byte // the caller's own
}

// owner names the data directory that a file belongs to.
type owner struct{ Cluster, Incarnation format.ID }

// tally is a table's row count and the wrapping sum of its rows' checksums: what
// finds a row that was lost or slipped in.
type tally struct{ count, sum uint64 }

func (t *tally) add(stored []byte) {
	t.count++
	t.sum += binary.BigEndian.Uint64(stored)
}

func (t *tally) remove(stored []byte) {
	t.count--
	t.sum -= binary.BigEndian.Uint64(stored)
}

// tallies are those of every table of one commit.
type tallies map[Table]tally

// stand reports whether a table has rows. One that is missing is for the reader of
// the file to find.
func (m tallies) stand(t Table) bool {
	sum, ok := m[t]
	return !ok || sum.count > 0
}

// savedMeta is the meta row.
type savedMeta struct {
	owner
	Meta
	tallies tallies
}

func (m savedMeta) encode() []byte {
	var w format.Writer
	w.U8(metaVersion)
	w.Raw(m.Cluster[:])
	w.Raw(m.Incarnation[:])
	w.U64(m.Applied)
	w.U64(m.Term)
	w.U64(m.History)
	w.Raw(m.StateHash[:])
	w.U64(m.Segment.File)
	w.I64(m.Segment.Offset)
	w.Blob(m.Extra)
	w.U32(uint32(len(m.tallies)))
	for _, t := range tableList(m.tallies) {
		w.U8(uint8(t))
		w.U64(m.tallies[t].count)
		w.U64(m.tallies[t].sum)
	}
	return w.Bytes()
}

func decodeMeta(b []byte) (savedMeta, error) {
	var m savedMeta
	r := format.NewReader(b)
	if v := r.U8(); v != metaVersion {
		return m, fmt.Errorf("%w: index meta version %d", format.ErrMalformed, v)
	}
	r.Raw(m.Cluster[:])
	r.Raw(m.Incarnation[:])
	m.Applied = r.U64()
	m.Term = r.U64()
	m.History = r.U64()
	r.Raw(m.StateHash[:])
	m.Segment.File = r.U64()
	m.Segment.Offset = r.I64()
	m.Extra = r.Blob()
	n := r.Count(17)
	m.tallies = make(map[Table]tally, n)
	for range n {
		t := Table(r.U8())
		m.tallies[t] = tally{count: r.U64(), sum: r.U64()}
	}
	return m, r.Done()
}

// readMeta reads the meta row inside tx.
func readMeta(file string, tx *bolt.Tx) (savedMeta, error) {
	b := tx.Bucket(bucketName(metaTable))
	if b == nil {
		return savedMeta{}, rowDamage(file, metaTable, nil, "table is missing")
	}
	return openMeta(file, b.Get(metaKey))
}

func openMeta(file string, stored []byte) (savedMeta, error) {
	value, ok := openRow(metaTable, metaKey, stored)
	if !ok {
		return savedMeta{}, rowDamage(file, metaTable, metaKey, "row checksum")
	}
	m, err := decodeMeta(value)
	if err != nil {
		return m, &format.DamageError{File: file, Offset: -1, What: "meta row", Err: err}
	}
	return m, nil
}

// sealRow is what is stored for a value: checksum, then value.
func sealRow(t Table, key, value []byte) []byte {
	sum := rowSum(t, key, value)
	stored := make([]byte, 0, sumSize+len(value))
	return append(append(stored, sum[:]...), value...)
}

// openRow returns the value of a stored row, and whether it is what was written.
func openRow(t Table, key, stored []byte) ([]byte, bool) {
	if len(stored) < sumSize {
		return nil, false
	}
	value := stored[sumSize:]
	return value, rowSum(t, key, value) == [sumSize]byte(stored[:sumSize])
}

// rowSum covers the table and the key as well, so that a row in another's place
// does not verify. Nearly every row has room on the stack, in one piece.
func rowSum(t Table, key, value []byte) [sumSize]byte {
	var room [512]byte
	b := binary.BigEndian.AppendUint32(append(room[:0], byte(t)), uint32(len(key)))
	sum := sha256.Sum256(append(append(b, key...), value...))
	return [sumSize]byte(sum[:])
}

func tableList(m tallies) []Table {
	out := make([]Table, 0, len(m))
	for t := range m {
		out = append(out, t)
	}
	return sorted(out)
}

// audit adds up rows as they are met and compares them with the meta row.
type audit struct {
	file    string
	tallies tallies
	meta    *savedMeta
}

func newAudit(file string) *audit { return &audit{file: file, tallies: map[Table]tally{}} }

// table notes that a table exists, empty so far.
func (a *audit) table(t Table) {
	if t != metaTable {
		a.tallies[t] = tally{}
	}
}

func (a *audit) row(t Table, key, stored []byte) error {
	if t == metaTable {
		if string(key) != string(metaKey) {
			return rowDamage(a.file, t, key, "row that is not ours")
		}
		m, err := openMeta(a.file, stored)
		a.meta = &m
		return err
	}
	if _, ok := openRow(t, key, stored); !ok {
		return rowDamage(a.file, t, key, "row checksum")
	}
	sum := a.tallies[t]
	sum.add(stored)
	a.tallies[t] = sum
	return nil
}

// finish reports tables whose rows are not those that were committed.
func (a *audit) finish() error {
	if a.meta == nil {
		return rowDamage(a.file, metaTable, metaKey, "row is missing")
	}
	var errs []error
	for _, t := range tableList(a.tallies) {
		want, ok := a.meta.tallies[t]
		if got := a.tallies[t]; !ok || got != want {
			errs = append(errs, rowDamage(a.file, t, nil,
				fmt.Sprintf("%d rows with sum %016x where %d with %016x were committed", got.count, got.sum, want.count, want.sum)))
		}
	}
	for _, t := range tableList(a.meta.tallies) {
		if _, ok := a.tallies[t]; !ok {
			errs = append(errs, rowDamage(a.file, t, nil, "table is missing"))
		}
	}
	return errors.Join(errs...)
}
