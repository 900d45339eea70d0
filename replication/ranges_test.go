package replication

import (
	"slices"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// TestRangesNameWhatWasDestroyed: an attestation's range leaves out what the custodian
// refused and what has to stay, and holds no more bundles than one record may.
func TestRangesNameWhatWasDestroyed(t *testing.T) {
	var bundles []store.PendingErasure
	for i := range uint64(10) {
		bundles = append(bundles, store.PendingErasure{Slot: format.Slot{Index: uint32(i + 1)}, Decision: 100 + 2*i, Apart: i == 0 || i == 6})
	}
	const limit = 20
	said := func(bundles []store.PendingErasure) (out [][2]uint64) {
		for _, e := range ranges(bundles, limit) {
			out = append(out, [2]uint64{e.From, e.To})
		}
		return out
	}
	for _, c := range []struct {
		refused []uint32
		want    [][2]uint64
	}{
		{nil, [][2]uint64{{100, 111}, {112, 119}}},
		{[]uint32{1}, [][2]uint64{{102, 111}, {112, 119}}},
		{[]uint32{4}, [][2]uint64{{100, 105}, {108, 111}, {112, 119}}},
		{[]uint32{7, 8}, [][2]uint64{{100, 111}, {116, 119}}},
		{[]uint32{10}, [][2]uint64{{100, 111}, {112, 117}}},
		{[]uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, nil},
	} {
		var refused store.RefusedError
		for _, i := range c.refused {
			refused.Slots = append(refused.Slots, format.Slot{Index: i})
		}
		if got := said(without(bundles, &refused)); !slices.Equal(got, c.want) {
			t.Errorf("without %v: %v, want %v", c.refused, got, c.want)
		}
	}
	var many []store.PendingErasure
	for i := range uint64(2*limit + 1) {
		many = append(many, store.PendingErasure{Decision: 7 + i, Apart: i == 0})
	}
	if got, want := said(many), [][2]uint64{{7, 7 + limit}, {7 + limit, 7 + 2*limit}, {7 + 2*limit, 8 + 2*limit}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
