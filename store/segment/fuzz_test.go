package segment

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// FuzzSegmentScan puts any bytes behind a good header: a scan ends, allocates no
// more than a chunk, and whatever it reports can be read and has its digest, or is
// reported as damage as well.
func FuzzSegmentScan(f *testing.F) {
	f.Add(format.AppendChunks(nil, chunkOf(1, 20), chunkOf(2, 5)), true)
	f.Add(format.AppendChunks(nil, chunkOf(1, 20))[:80], false)
	f.Add(append(make([]byte, 90), format.AppendChunks(nil, chunkOf(3, 9))...), false)
	f.Fuzz(func(t *testing.T, tail []byte, clean bool) {
		dir := scratch(t)
		if err := os.Mkdir(filepath.Join(dir, "segments"), 0o700); err != nil {
			t.Fatal(err)
		}
		h := format.FileHeader{Kind: format.KindSegment, Cluster: cluster, Incarnation: incarnation, Number: 1}
		mustWriteFile(t, segmentPath(dir, 1), append(h.Encode(), tail...))
		o := options(dir, clean)
		damaged := map[int64]bool{}
		o.OnDamage = func(d *format.DamageError) { damaged[d.Offset] = true }
		s := mustOpen(t, o, Position{})
		for _, e := range s.entries {
			b, err := s.Read(e.Location, e.ChunkHeader)
			if e.Erased {
				continue
			}
			if damaged[e.Offset] != (err != nil) || err == nil && !bytes.Contains(tail, b) {
				t.Fatalf("entry %+v: %v", e, err)
			}
		}
		if err := s.Verify(context.Background(), func(Entry, error) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
