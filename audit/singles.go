package audit

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

const (
	recordsPrefix = "records"
	proofsPrefix  = "proofs"
)

// singles checks the records that come with an inclusion path each. How many
// bundles of them there are is not said anywhere: they end with the first that is
// partial or not there, and what is missing shows as a gap.
func (c *contents) singles() error {
	before := uint64(0) // the least sequence that may come
	for n := uint64(0); ; n++ {
		width, err := c.dir.widthAt(n)
		if err != nil || width == 0 {
			return err
		}
		c.singular += uint64(width)
		if before, err = c.single(n, width, before); err != nil || width < bundleWidth {
			return err
		}
	}
}

// widthAt is how many records bundle n of the single records has by its name; 0
// when it is not there.
func (d folder) widthAt(n uint64) (int, error) {
	full := tilePath(recordsPrefix, n, bundleWidth)
	if d.has(full) {
		return bundleWidth, nil
	}
	found, err := d.names(full + ".p")
	if err != nil {
		return 0, err
	}
	var widths []int
	for _, f := range found {
		w, err := strconv.Atoi(f.Name())
		if err == nil && w > 0 && w < bundleWidth && strconv.Itoa(w) == f.Name() && f.Type().IsRegular() {
			widths = append(widths, w)
		}
	}
	if len(widths) == 0 {
		return 0, nil
	}
	return slices.Min(widths), nil
}

// single checks one bundle of single records with its paths, and returns the
// least sequence that may come after it.
func (c *contents) single(n uint64, width int, before uint64) (uint64, error) {
	entries, err := c.entries(tilePath(recordsPrefix, n, width))
	if err != nil {
		return 0, err
	}
	name := tilePath(proofsPrefix, n, width)
	raw, err := c.dir.read(name, maxProofs)
	if err != nil {
		return 0, err
	}
	paths := &bundle{name: name, rest: raw}
	for range width {
		rec, encoded, err := entries.record()
		if err != nil {
			return 0, err
		}
		if rec.Sequence < before || rec.Sequence >= c.tree.Size {
			return 0, failed(SequenceMismatch, entries.name, "record %d stands in a wrong place", rec.Sequence)
		}
		before = rec.Sequence + 1
		path, err := paths.path()
		if err != nil {
			return 0, err
		}
		if !included(format.LeafHash(encoded), rec.Sequence, c.tree.Size, path, c.tree.Root) {
			return 0, failed(ProofInvalid, recordName(rec), "its inclusion path does not lead to the signed root")
		}
		if err := c.belongs(rec, encoded); err != nil {
			return 0, err
		}
	}
	if err := entries.end(); err != nil {
		return 0, err
	}
	if err := paths.end(); err != nil {
		return 0, err
	}
	return before, c.step(width)
}

// belongs makes sure that a proven record is one that the export must hold here.
func (c *contents) belongs(rec format.Record, encoded []byte) error {
	m := c.manifest
	number, foreign := rec.Sequence, c.bundles.covers(rec.Sequence)
	if !m.tree() {
		number, foreign = rec.InstitutionSequence, uint64(rec.Institution) != m.institution
	}
	inRange := span{m.first, m.end}.holds(number)
	if foreign || !inRange && rec.Sequence != m.exports {
		return failed(RecordForeign, recordName(rec), "it does not belong to this export")
	}
	if inRange {
		if number < c.counted.next {
			return failed(SequenceMismatch, recordName(rec), "its number %d comes after %d", number, c.counted.next)
		}
		if !c.counted.reach(number) {
			return c.gap()
		}
		c.counted.next = number + 1
	}
	c.take(rec, encoded, inRange)
	return nil
}

// bundle is a file of entries with a 16-bit length before each.
type bundle struct {
	name string
	rest []byte
}

func (c *contents) entries(name string) (*bundle, error) {
	raw, err := c.dir.read(name, maxBundle)
	return &bundle{name: name, rest: raw}, err
}

func (b *bundle) next() ([]byte, error) {
	if len(b.rest) >= 2 {
		if n := 2 + int(binary.BigEndian.Uint16(b.rest)); len(b.rest) >= n {
			entry := b.rest[2:n]
			b.rest = b.rest[n:]
			return entry, nil
		}
	}
	return nil, failed(FileShort, b.name, "it ends within an entry")
}

// record takes the next record and its bytes.
func (b *bundle) record() (format.Record, []byte, error) {
	raw, err := b.next()
	if err != nil {
		return format.Record{}, nil, err
	}
	rec, err := format.DecodeRecord(raw)
	if err != nil {
		return rec, nil, failed(RecordMalformed, b.name, "%s", strings.TrimPrefix(err.Error(), format.ErrMalformed.Error()+": "))
	}
	return rec, raw, nil
}

// path takes the next inclusion path.
func (b *bundle) path() ([]format.Digest, error) {
	raw, err := b.next()
	if err != nil {
		return nil, err
	}
	if len(raw) > maxPath || len(raw)%hashSize != 0 {
		return nil, failed(ProofInvalid, b.name, "a path of %d bytes", len(raw))
	}
	var path []format.Digest
	for ; len(raw) > 0; raw = raw[hashSize:] {
		path = append(path, format.Digest(raw[:hashSize]))
	}
	return path, nil
}

func (b *bundle) end() error {
	if len(b.rest) > 0 {
		return failed(FileExtra, b.name, "%d bytes behind its last entry", len(b.rest))
	}
	return nil
}
