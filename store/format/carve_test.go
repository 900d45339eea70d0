package format

import (
	"reflect"
	"testing"
)

// TestCarve reads a record and a row that more bytes follow, and says where they end.
func TestCarve(t *testing.T) {
	rec := Record{Sequence: 7, Action: ActStore, Transaction: "TX", Part: 1, Effect: []byte("effect"), DetailClass: DetailOther, DetailEpoch: 3, Detail: []byte("detail")}
	text := rec.Encode()
	got, n, err := CarveRecord(append(text[:len(text):len(text)], "more"...))
	if err != nil || n != len(text) || !reflect.DeepEqual(got, rec) {
		t.Errorf("record: %+v, %d of %d bytes, %v", got, n, len(text), err)
	}
	for i := range text {
		if _, _, err := CarveRecord(text[:i]); err == nil {
			t.Fatalf("a record cut at %d of %d bytes was read", i, len(text))
		}
	}
	row := BundleRow{Store: 3, Definition: "MDS0000001", Slot: Slot{ID{1}, 2}, Chunks: 4, Digest: Digest{5}}
	text = row.Encode()
	carved, n, err := CarveBundleRow(append(text[:len(text):len(text)], "more"...))
	if err != nil || n != len(text) || !reflect.DeepEqual(carved, row) {
		t.Errorf("row: %+v, %d of %d bytes, %v", carved, n, len(text), err)
	}
	for i := range text {
		if _, _, err := CarveBundleRow(text[:i]); err == nil {
			t.Fatalf("a row cut at %d of %d bytes was read", i, len(text))
		}
	}
}
