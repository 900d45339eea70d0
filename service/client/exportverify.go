package client

import (
	"bytes"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// tile takes in the next tile and publishes it once it is proven: the partial
// ones by the root, a full one by the hash that its parent holds.
func (x *exporter) tile(t *sagov1.ExportTile) error {
	want, ok := x.tiles()
	is := format.Tile{Level: int(t.GetLevel()), N: t.GetIndex(), Width: len(t.GetHashes()) / tlog.HashSize}
	if !x.opts.Tree || !ok || is != want || len(t.GetHashes())%tlog.HashSize != 0 {
		return integrity("%s where %s belongs", is.Path(), want.Path())
	}
	hashes := make([]tlog.Hash, is.Width)
	for i := range hashes {
		hashes[i] = tlog.Hash(t.GetHashes()[i*tlog.HashSize:])
	}
	if is.Width < format.TileWidth {
		x.partial[is.Level] = hashes
		if partialBelow(x.manifest.CheckpointSize, is.Level) {
			return nil
		}
		return x.publishPartial()
	}
	parent, err := x.hashAt(is.Level+1, is.N)
	if err != nil {
		return err
	}
	if subtree(hashes) != parent {
		return integrity("%s does not have the hash that its parent holds", is.Path())
	}
	return x.dir.write(is.Path(), t.GetHashes())
}

// partialBelow reports whether a level below has a partial tile.
func partialBelow(size uint64, level int) bool {
	return size&(1<<(level*format.TileHeight)-1) != 0
}

// publishPartial holds the partial tiles against the signed root.
func (x *exporter) publishPartial() error {
	root := tlog.Hash(x.checkpoint.Checkpoint.Root)
	if got := rootOf(x.checkpoint.Checkpoint.Size, x.partial); got != root {
		return integrity("the tiles have root %x, a majority signed %x", got[:], root[:])
	}
	for level, hashes := range x.partial {
		t := format.Tile{Level: level, N: format.TileHashes(x.checkpoint.Checkpoint.Size, level) / format.TileWidth, Width: len(hashes)}
		if err := x.dir.write(t.Path(), flat(hashes)); err != nil {
			return err
		}
	}
	return nil
}

// rootOf is the root of a tree of that size, from the partial tiles at its right
// edge: their hashes make up the whole subtrees that the size is the sum of.
func rootOf(size uint64, partial map[int][]tlog.Hash) (root tlog.Hash) {
	begun := false
	for level := 0; format.TileHashes(size, level) > 0; level++ {
		hashes := partial[level]
		for bit := 1; bit < format.TileWidth; bit <<= 1 {
			if len(hashes)&bit == 0 {
				continue
			}
			whole := subtree(hashes[len(hashes)-bit:])
			hashes = hashes[:len(hashes)-bit]
			if begun {
				whole = tlog.NodeHash(whole, root)
			}
			root, begun = whole, true
		}
	}
	return root
}

// subtree is the root of a whole subtree over these hashes, a power of two.
func subtree(hashes []tlog.Hash) tlog.Hash {
	hashes = slices.Clone(hashes)
	for len(hashes) > 1 {
		for i := range len(hashes) / 2 {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
		hashes = hashes[:len(hashes)/2]
	}
	return hashes[0]
}

func flat(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// hashAt is a hash of a level, from the published tile that holds it.
func (x *exporter) hashAt(level int, n uint64) (tlog.Hash, error) {
	all := format.TileHashes(x.manifest.CheckpointSize, level)
	t := format.Tile{Level: level, N: n / format.TileWidth, Width: int(min(format.TileWidth, all-n/format.TileWidth*format.TileWidth))}
	if x.cached.tile != t {
		raw, err := x.dir.read(t.Path(), t.Width*tlog.HashSize)
		if err != nil {
			return tlog.Hash{}, err
		}
		x.cached.tile, x.cached.hashes = t, make([]tlog.Hash, t.Width)
		for i := range x.cached.hashes {
			x.cached.hashes[i] = tlog.Hash(raw[i*tlog.HashSize:])
		}
	}
	return x.cached.hashes[n%format.TileWidth], nil
}

// record takes in the next record.
func (x *exporter) record(r *sagov1.ExportRecord) error {
	rec, err := format.DecodeRecord(r.GetEncoded())
	if err != nil {
		return integrity("a record does not decode: %v", err)
	}
	if t, more := x.tiles(); x.opts.Tree && more {
		return integrity("record %d comes before %s", rec.Sequence, t.Path())
	}
	if err := x.order(&rec, r.GetBundled()); err != nil {
		return err
	}
	if err := x.proven(&rec, r); err != nil {
		return err
	}
	if rec.Sequence == x.manifest.ExportSequence {
		if err := x.manifest.recorded(&rec); err != nil {
			return err
		}
	}
	if err := x.line(&rec, r); err != nil {
		return err
	}
	if r.GetBundled() {
		return x.addBundled(&rec, r.GetEncoded())
	}
	return x.addSingle(&rec, r)
}

// number is the record's place in the count of the export's range.
func (x *exporter) number(rec *format.Record) uint64 {
	if x.opts.Tree {
		return rec.Sequence
	}
	return rec.InstitutionSequence
}

// order refuses a record that is not the next one. Only what history retention
// may have erased may be passed over.
func (x *exporter) order(rec *format.Record, bundled bool) error {
	n, m := x.number(rec), x.manifest
	lowDone := x.at >= x.low || x.low <= m.Minimum
	switch {
	case !x.opts.Tree && rec.Institution != m.Institution:
		return integrity("record %d is another institution's", rec.Sequence)
	case x.last.any && rec.Sequence <= x.last.sequence:
	case bundled && x.opts.Tree && lowDone && rec.Sequence == x.bundled && rec.Sequence < x.to:
		return nil
	case !bundled && n < x.low && x.bundled == x.from && (n == x.at || n > x.at && n <= m.Minimum):
		return nil
	case !bundled && rec.Sequence == m.ExportSequence && n >= m.End && lowDone && x.bundled == x.to:
		return nil
	}
	return integrity("record %d comes where another belongs", rec.Sequence)
}

// proven holds a record against its tile, or its own proof.
func (x *exporter) proven(rec *format.Record, r *sagov1.ExportRecord) error {
	leaf, cp := tlog.Hash(format.LeafHash(r.GetEncoded())), x.checkpoint.Checkpoint
	if r.GetBundled() {
		h, err := x.hashAt(0, rec.Sequence)
		if err == nil && h != leaf {
			err = integrity("record %d does not have the hash that its tile holds", rec.Sequence)
		}
		return err
	}
	path, err := hashesOf(r.GetPath())
	if err != nil {
		return err
	}
	if rec.Sequence >= cp.Size || tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Root), int64(rec.Sequence), leaf) != nil {
		return integrity("the proof of record %d does not hold", rec.Sequence)
	}
	return nil
}

// recorded holds the EXPORT record against what is exported: a majority vouches
// for the range by it.
func (m *manifest) recorded(rec *format.Record) error {
	scope := format.ExportInstitution
	if m.Scope == scopeTree {
		scope = format.ExportTree
	}
	e, err := format.DecodeExportEffect(rec.Effect)
	want := format.ExportEffect{Scope: scope, Since: m.Since, Until: m.Until, First: m.First, End: m.End, Minimum: m.Minimum}
	if err != nil || rec.Action != format.ActExport || rec.Result != format.ReasonOK || rec.Institution != m.Institution || e != want {
		return integrity("record %d is not that of this export", rec.Sequence)
	}
	end := rec.InstitutionSequence + 1
	if scope == format.ExportTree {
		end = rec.Sequence + 1
	}
	if m.Until == 0 && m.End != end {
		return integrity("the export ends before its own record")
	}
	return nil
}

// line writes the readable line of a record in the range; what its bytes say of
// it must be what the appliance says.
func (x *exporter) line(rec *format.Record, r *sagov1.ExportRecord) error {
	row := r.GetReadable()
	if n := x.number(rec); n < x.manifest.First || n >= x.manifest.End {
		if row != nil {
			return integrity("a readable line of record %d, which was not asked for", rec.Sequence)
		}
		return nil
	}
	leaf := format.LeafHash(r.GetEncoded())
	if row == nil || row.GetSequence() != rec.Sequence || microsOf(row.GetTime()) != rec.Clock || row.GetAction() != rec.Action.String() ||
		row.GetInstitutionSequence() != rec.InstitutionSequence || row.GetTransaction() != rec.Transaction || row.GetPart() != rec.Part ||
		row.GetResult() != rec.Result.String() || !bytes.Equal(row.GetLeafHash(), leaf[:]) {
		return integrity("the readable line of record %d says something else than its bytes", rec.Sequence)
	}
	return x.lines.add(row)
}
