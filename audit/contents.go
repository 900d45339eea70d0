package audit

import (
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// contents checks the records: those that are proven one by one, then the entry
// bundles, then the EXPORT record among them and the readable lines beside them.
type contents struct {
	*run
	readable *readable
	bundles  span   // entry bundles that must be there
	singular uint64 // records that are proven one by one, by the names of their files
	counted  counter
	export   *format.Record
	records  uint64
}

// span is a range of numbers, its end excluded.
type span struct{ first, end uint64 }

func (s span) holds(n uint64) bool { return n >= s.first && n < s.end }

func newContents(r *run) (*contents, error) {
	lines, err := openReadable(r.dir)
	if err != nil {
		return nil, err
	}
	m := r.manifest
	return &contents{run: r, readable: lines, bundles: m.bundles(), counted: counter{m.first, m.minimum}}, nil
}

// bundles are the entry bundles that a tree's export holds: those that overlap
// the range and hold kept records only. Without until they go on to the end of
// the tree.
func (m manifest) bundles() span {
	end := m.end
	if m.until == 0 {
		end = m.size
	}
	if !m.tree() || max(m.first, m.minimum) >= end {
		return span{}
	}
	first := max(m.first/bundleWidth, (m.minimum+bundleWidth-1)/bundleWidth)
	return span{first, max(first, (end+bundleWidth-1)/bundleWidth)}
}

// covers reports whether the record of this sequence stands in an entry bundle.
func (s span) covers(sequence uint64) bool { return s.holds(sequence / bundleWidth) }

// counter finds gaps in numbers that must come one after another. Only those
// below minimum may be missing: history retention erased them.
type counter struct{ next, minimum uint64 }

// reach moves on to n and reports whether all numbers before it were met or may
// be missing.
func (c *counter) reach(n uint64) bool {
	if n > c.next && n > c.minimum {
		return false
	}
	c.next = max(c.next, n)
	return true
}

func (c *contents) check() error {
	if err := c.singles(); err != nil {
		return err
	}
	if err := c.singlesEnd(); err != nil {
		return err
	}
	for n := c.bundles.first; n < c.bundles.end; n++ {
		if err := c.bundle(n); err != nil {
			return err
		}
	}
	if err := c.checkExport(); err != nil {
		return err
	}
	return c.readable.end()
}

// singlesEnd makes sure that no record of the range is missing which no entry
// bundle holds.
func (c *contents) singlesEnd() error {
	end := c.manifest.end
	if c.bundles.first < c.bundles.end {
		end = min(end, c.bundles.first*bundleWidth)
	}
	if !c.counted.reach(end) {
		return c.gap()
	}
	return nil
}

func (c *contents) gap() error {
	kind := "own record"
	if c.manifest.tree() {
		kind = "record"
	}
	missing := max(c.counted.next, c.counted.minimum)
	return failed(RecordGap, fmt.Sprintf("%s %d", kind, missing), "it is missing, and history retention had not erased it")
}

// bundle checks one entry bundle against the tile of its leaves.
func (c *contents) bundle(n uint64) error {
	leaves, err := c.tile(0, n)
	if err != nil {
		return err
	}
	name := tilePath("tile/entries", n, len(leaves.hashes))
	entries, err := c.entries(name)
	if err != nil {
		return err
	}
	for i, leaf := range leaves.hashes {
		rec, encoded, err := entries.record()
		if err != nil {
			return err
		}
		if want := n*bundleWidth + uint64(i); rec.Sequence != want {
			return failed(SequenceMismatch, name, "record %d stands in the place of %d", rec.Sequence, want)
		}
		if format.LeafHash(encoded) != leaf {
			return failed(ProofInvalid, recordName(rec), "its leaf hash is not the one in the tree")
		}
		c.take(rec, encoded, span{c.manifest.first, c.manifest.end}.holds(rec.Sequence))
	}
	if err := entries.end(); err != nil {
		return err
	}
	return c.step(len(leaves.hashes))
}

// take keeps what is wanted of a proven record.
func (c *contents) take(rec format.Record, encoded []byte, inRange bool) {
	c.records++
	if rec.Sequence == c.manifest.exports {
		c.export = &rec
	}
	if inRange {
		c.readable.hold(rec, encoded)
	}
}

// checkExport makes sure that the EXPORT record, for which a majority vouches,
// says what export.json says.
func (c *contents) checkExport() error {
	m := c.manifest
	name := fmt.Sprintf("record %d", m.exports)
	if c.export == nil {
		return failed(ExportRecordMissing, name, "the EXPORT record is not in the export")
	}
	own := c.export.Sequence
	if !m.tree() {
		own = c.export.InstitutionSequence
	}
	e, err := format.DecodeExportEffect(c.export.Effect)
	switch {
	case c.export.Action != format.ActExport || c.export.Result != format.ReasonOK || err != nil:
		return failed(ExportRecordMismatch, name, "it does not record an export")
	case uint64(c.export.Institution) != m.institution:
		return failed(ExportRecordMismatch, name, "it is of institution %d, export.json says %d", c.export.Institution, m.institution)
	case e != m.effect():
		return failed(ExportRecordMismatch, name, "it says %s, export.json says %s", said(e), said(m.effect()))
	case m.until == 0 && m.end != own+1:
		return failed(ExportRecordMismatch, name, "the range does not end with it")
	}
	return nil
}

func recordName(r format.Record) string { return fmt.Sprintf("record %d", r.Sequence) }

// said is the range of an export in words.
func said(e format.ExportEffect) string {
	return fmt.Sprintf("scope %d, since %d, until %d, first %d, end %d, minimum %d", e.Scope, e.Since, e.Until, e.First, e.End, e.Minimum)
}
