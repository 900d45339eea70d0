package client

import (
	"bytes"
	"errors"
	"os"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// position is where an export is: what has been taken in, of which all but the
// open bundles is on disk.
type position struct {
	at      uint64 // number of the next record that comes alone
	bundled uint64 // sequence of the next record of an entry bundle
	singles uint64 // records that came alone
	last    struct {
		any              bool
		sequence, number uint64
	}
	group, proofs []byte // the open bundle of those that come alone
	bundle        []byte // the open entry bundle
}

// has reports whether a record that belongs to the export has been taken in.
func (p *position) has(sequence uint64) bool { return p.last.any && p.last.sequence >= sequence }

// next is what a node is asked to go on with; 0 from the beginning.
func (p *position) next() uint64 {
	if !p.last.any {
		return 0
	}
	return p.last.number + 1
}

func (p *position) take(sequence, number uint64) {
	p.last.any, p.last.sequence, p.last.number = true, sequence, number
}

// stored is how many records have been taken in.
func (x *exporter) stored() uint64 { return x.singles + x.bundled - x.from }

// locate finds from the files on disk where the export is, and cuts the readable
// lines back to there.
func (x *exporter) locate() error {
	m := x.manifest
	x.from, x.to, x.low = 0, 0, m.End
	if x.opts.Tree {
		e := format.ExportEffect{Until: m.Until, First: m.First, End: m.End, Minimum: m.Minimum}
		x.from, x.to = e.Bundled(m.CheckpointSize)
		x.low = min(m.End, x.from)
	}
	x.position = position{at: m.First, bundled: x.from}
	if err := x.locateSingles(); err != nil {
		return err
	}
	for x.bundled < x.to {
		end := min(x.to, x.bundled+format.TileWidth)
		if !x.dir.has(format.BundlePath(entriesDir, x.bundled/format.TileWidth, int(end-x.bundled))) {
			break
		}
		x.bundled, x.at = end, x.low
		if !x.has(end - 1) {
			x.take(end-1, end-1)
		}
	}
	return x.lines.open(x.dir, x.last.any, x.last.sequence)
}

// locateSingles finds the bundles of records that came alone, and takes the last
// one up again when it is not full.
func (x *exporter) locateSingles() error {
	full := func(n uint64, width int) bool {
		return x.dir.has(format.BundlePath(recordsDir, n, width)) && x.dir.has(format.BundlePath(proofsDir, n, width))
	}
	n, width := uint64(0), format.TileWidth-1
	for full(n, format.TileWidth) {
		n++
	}
	for width > 0 && !full(n, width) {
		width--
	}
	x.singles = n*format.TileWidth + uint64(width)
	if x.singles == 0 {
		return nil
	}
	if width == 0 {
		n, width = n-1, format.TileWidth
	}
	records, err := os.ReadFile(x.dir.path(format.BundlePath(recordsDir, n, width)))
	if err != nil {
		return err
	}
	entries, err := format.Entries(records, width)
	if err != nil {
		return directoryError("%s: %v", format.BundlePath(recordsDir, n, width), err)
	}
	rec, err := format.DecodeRecord(entries[width-1])
	if err != nil {
		return directoryError("%s: %v", format.BundlePath(recordsDir, n, width), err)
	}
	x.take(rec.Sequence, x.number(&rec))
	x.at = max(x.at, min(x.last.number+1, x.low))
	if width < format.TileWidth {
		x.group = records
		x.proofs, err = os.ReadFile(x.dir.path(format.BundlePath(proofsDir, n, width)))
	}
	return err
}

// addSingle takes in a record that comes alone, with its proof.
func (x *exporter) addSingle(rec *format.Record, r *sagov1.ExportRecord) error {
	x.group = format.AppendEntry(x.group, r.GetEncoded())
	x.proofs = format.AppendEntry(x.proofs, bytes.Join(r.GetPath(), nil))
	x.singles++
	x.take(rec.Sequence, x.number(rec))
	x.at = max(x.at, min(x.last.number+1, x.low))
	if x.singles%format.TileWidth != 0 {
		return nil
	}
	return x.publishSingles()
}

// publishSingles writes the open bundle of records that came alone.
func (x *exporter) publishSingles() error {
	if len(x.group) == 0 {
		return nil
	}
	n, width := (x.singles-1)/format.TileWidth, int((x.singles-1)%format.TileWidth)+1
	if err := x.lines.sync(); err != nil {
		return err
	}
	if err := x.dir.write(format.BundlePath(proofsDir, n, width), x.proofs); err != nil {
		return err
	}
	if err := x.dir.write(format.BundlePath(recordsDir, n, width), x.group); err != nil {
		return err
	}
	x.progress()
	if width < format.TileWidth {
		return nil
	}
	x.group, x.proofs = nil, nil
	return errors.Join(x.dir.clearPartial(proofsDir, n, width), x.dir.clearPartial(recordsDir, n, width))
}

// addBundled takes in a record of an entry bundle.
func (x *exporter) addBundled(rec *format.Record, encoded []byte) error {
	if x.bundled == x.from {
		if err := x.publishSingles(); err != nil {
			return err
		}
	}
	x.bundle = format.AppendEntry(x.bundle, encoded)
	x.bundled++
	x.take(rec.Sequence, rec.Sequence)
	if x.bundled%format.TileWidth != 0 && x.bundled != x.to {
		return nil
	}
	if err := x.lines.sync(); err != nil {
		return err
	}
	t := rec.Sequence / format.TileWidth
	if err := x.dir.write(format.BundlePath(entriesDir, t, int(x.bundled-t*format.TileWidth)), x.bundle); err != nil {
		return err
	}
	x.bundle = x.bundle[:0]
	x.progress()
	return nil
}
