package forensic

import (
	"bytes"
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/sago-worm/sago/proto/sago/log/v1"
	"github.com/sago-worm/sago/store/format"
)

// FuzzPages: a damaged database file ends, with no more pages than the file has.
func FuzzPages(f *testing.F) {
	// Two metas that lead to a branch, it to a leaf, and that to a bucket's root;
	// small, so that much is tried.
	file := make([]byte, 6*leastPage)
	for i := range 2 {
		meta := file[i*leastPage+pageHead:]
		binary.LittleEndian.PutUint32(meta, metaMagic)
		binary.LittleEndian.PutUint32(meta[8:], leastPage)
		binary.LittleEndian.PutUint64(meta[16:], 2)
		binary.LittleEndian.PutUint64(meta[48:], uint64(i))
	}
	for id, flag := range map[int]uint16{2: flagBranch, 3: flagLeaf, 4: flagLeaf} {
		page := file[id*leastPage:]
		binary.LittleEndian.PutUint64(page, uint64(id))
		binary.LittleEndian.PutUint16(page[8:], flag)
		binary.LittleEndian.PutUint16(page[10:], 1)
	}
	binary.LittleEndian.PutUint64(file[2*leastPage+pageHead+8:], 3)
	element := file[3*leastPage+pageHead:]
	binary.LittleEndian.PutUint32(element, bucketLeaf)
	binary.LittleEndian.PutUint32(element[4:], 40)
	binary.LittleEndian.PutUint64(element[40:], 4)
	if p := readPages(bytes.NewReader(file), int64(len(file))); p == nil || p.unused() != 1 {
		f.Fatalf("%+v: want one page of six that nothing leads to", p)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := readPages(bytes.NewReader(b), int64(len(b)))
		if p == nil {
			return
		}
		if int64(len(p.used))*p.size > int64(len(b)) || p.unused() > len(p.used) {
			t.Fatalf("%d pages of %d bytes in %d", len(p.used), p.size, len(b))
		}
		for at := int64(0); at <= int64(len(b)); at += 256 {
			_ = p.describe(at)
		}
	})
}

// FuzzLearn: bytes of any kind are looked at to their end, and what is learned from
// them is something that can be looked for.
func FuzzLearn(f *testing.F) {
	store := format.EncodeEffect(format.StoreEffect{Slot: format.Slot{Block: format.ID{1}, Index: 2}, Size: 3, Sealed: 99, Chunks: 1, Documents: 1})
	rec := format.Record{Action: format.ActStore, Transaction: "TX", Part: 1, Effect: store}
	op, err := proto.Marshal(&logv1.Batch{Operations: []*logv1.Operation{{Kind: 2, Id: make([]byte, 16), Transaction: "TX", Part: 1, Body: store}}})
	if err != nil {
		f.Fatal(err)
	}
	row := append(format.BundleKey{Institution: 1, Transaction: "TX", Part: 1}.Encode(), "checksum"...)
	row = append(row, format.BundleRow{Slot: format.Slot{Block: format.ID{1}}, Sealed: 99, Chunks: 1}.Encode()...)
	header := format.FileHeader{Kind: format.KindKeyBlock, Cluster: format.ID{1}, Object: format.ID{1}, First: 2}.Encode()
	for _, b := range [][]byte{rec.Encode(), op, row, header, bytes.Join([][]byte{header, op, rec.Encode(), row}, []byte("and"))} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSearch(Input{Transaction: "TX", Part: 1})
		src := &source{path: "file", size: int64(len(b))}
		s.learnRows(src, 0, b, len(b), []byte("\x00\x02TX\x00\x00\x00\x01"))
		s.learnBytes(src, 0, b, len(b))
		for target := range s.known.targets {
			for n := range target.Chunks {
				if l := target.length(n); l <= format.ChunkOverhead || l > longest {
					t.Fatalf("chunk %d of %+v has %d bytes", n, target, l)
				}
			}
		}
		for _, c := range s.known.blocks {
			_, _ = c.src, c.slotPlace(c.slots)
		}
	})
}
