package format

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// An export (docs/formats/export.md) is laid out as C2SP tlog-tiles: hashes in
// tiles, records in bundles, both of this width.
const (
	// TileHeight is how many levels of the tree a tile stands for.
	TileHeight = 8
	// TileWidth is how many hashes a tile, and how many records a bundle, holds.
	TileWidth = 1 << TileHeight
)

// TileHashes is how many hashes a level of tiles has in a tree of size leaves; 0
// above the top.
func TileHashes(size uint64, level int) uint64 {
	if level*TileHeight >= 64 {
		return 0
	}
	return size >> (level * TileHeight)
}

// Tile is one hash tile: the N-th of its level, Width hashes wide.
type Tile struct {
	Level int
	N     uint64
	Width int
}

// Path is the tile's path in an export.
func (t Tile) Path() string { return fmt.Sprintf("tile/%d/%s", t.Level, tileNumber(t.N, t.Width)) }

// Tiles lists every tile of a tree of size leaves in the order of an export's
// stream: first the partial ones, which alone give the root, then the full ones;
// each time top down, so that a tile follows its parent.
func Tiles(size uint64) iter.Seq[Tile] {
	top := 0
	for TileHashes(size, top+1) > 0 {
		top++
	}
	return func(yield func(Tile) bool) {
		for level := top; level >= 0; level-- {
			n := TileHashes(size, level)
			if w := int(n % TileWidth); w > 0 && !yield(Tile{level, n / TileWidth, w}) {
				return
			}
		}
		for level := top; level >= 0; level-- {
			for n := range TileHashes(size, level) / TileWidth {
				if !yield(Tile{level, n, TileWidth}) {
					return
				}
			}
		}
	}
}

// BundlePath is the path of the n-th bundle below dir, width entries wide:
// "tile/entries", "records" or "proofs".
func BundlePath(dir string, n uint64, width int) string { return dir + "/" + tileNumber(n, width) }

// tileNumber is C2SP's form of a number: three digits an element, x before all
// but the last, and the width of a partial one.
func tileNumber(n uint64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if width < TileWidth {
		s += fmt.Sprintf(".p/%d", width)
	}
	return s
}

// AppendEntry appends one entry of a bundle: its length in two bytes, its bytes.
func AppendEntry(b, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(entry))), entry...)
}

// Entries reads what AppendEntry wrote, want entries and nothing behind them.
func Entries(b []byte, want int) ([][]byte, error) {
	var out [][]byte
	for len(b) >= 2 && len(out) < want {
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			return nil, fmt.Errorf("%w: entry %d of a bundle", ErrMalformed, len(out))
		}
		out, b = append(out, b[:n]), b[n:]
	}
	if len(out) != want || len(b) > 0 {
		return nil, fmt.Errorf("%w: a bundle of %d entries", ErrMalformed, want)
	}
	return out, nil
}

// Bundled is the range of sequences that an export of the whole tree carries in
// entry bundles, of a tree of size records: every bundle that holds a record
// asked for, as far as all its records were kept. Without Until they go on to the
// end of the tree, so that whoever knows tlog-tiles can read it. The rest of
// [First, End), if there is any, comes one by one.
func (e ExportEffect) Bundled(size uint64) (from, to uint64) {
	least := max(e.First, e.Minimum)
	to = size
	if e.Until != 0 {
		to = min((e.End+TileWidth-1)/TileWidth*TileWidth, size)
	}
	if from = least / TileWidth * TileWidth; from < e.Minimum {
		from += TileWidth
	}
	if from >= to || e.Until != 0 && least >= e.End {
		return size, size
	}
	return from, to
}
