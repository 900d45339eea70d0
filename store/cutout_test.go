package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// cutOut leaves one record out of a file of frames.
func cutOut(raw []byte, seq uint64) []byte {
	out := slices.Clone(raw[:format.FileHeaderSize])
	for at := format.FileHeaderSize; at < len(raw); {
		end := at + 8 + int(binary.BigEndian.Uint32(raw[at:]))
		if binary.BigEndian.Uint64(raw[at+9:]) != seq {
			out = append(out, raw[at:end]...)
		}
		at = end
	}
	return out
}

// TestP45_ACarriedRecordThatIsCutOutIsNamed: the file without it is whole in
// itself. One lies below the bound, one behind it.
func TestP45_ACarriedRecordThatIsCutOutIsNamed(t *testing.T) {
	for _, behind := range []bool{false, true} {
		w := lived(t, 1)
		n := w.nodes[0]
		w.prune()
		w.eraseHistory()
		seq := n.row("long").Store
		if behind {
			seq = n.Pruned().Bound + 1
		}
		list, err := filepath.Glob(filepath.Join(n.dir, "history", "*.car"))
		if err != nil || len(list) != 1 || seq >= n.log.Whole() {
			t.Fatal(list, seq, err)
		}
		n.rewrite(filepath.Join("history", filepath.Base(list[0])), func(raw []byte) []byte { return cutOut(raw, seq) })
		n.open(1)
		v, err := n.Verify(context.Background())
		if err != nil || len(v.Damage) != 1 || v.Damage[0].Kind != format.DamageHistory || v.Damage[0].What != fmt.Sprintf("record %d", seq) {
			t.Errorf("record %d: %+v, %v", seq, v.Damage, err)
		}
	}
}
