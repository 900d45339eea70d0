package gate

import (
	"context"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// TestI1_OnlyWhatHistoryRetentionDropsGoes judges the erasure of the first history
// file: a young record, one that is kept for good or that PRUNE kept, an altered one
// or a living bundle's in it, and nothing goes.
func TestI1_OnlyWhatHistoryRetentionDropsGoes(t *testing.T) {
	type attempt struct {
		dropped []uint64 // that PRUNE says it dropped
		missing []uint64 // that the carried file has not
		years   int
		alter   bool
		late    bool   // a hold is released at the end of these years
		base    uint64 // added, modulo 2^64, to where the base stands
		names   []string
	}
	const firstFile = "history/00000001.his"
	good := attempt{dropped: []uint64{2, 3}, missing: []uint64{2, 3}, years: 4, names: []string{firstFile}}
	with := func(change func(*attempt)) attempt {
		a := good
		change(&a)
		return a
	}
	for _, c := range []struct {
		name     string
		a        attempt
		admitted bool
	}{
		{"as it ought to be", good, true},
		{"young records", with(func(a *attempt) { a.years = 2 }), false},
		{"a record that was kept", with(func(a *attempt) { a.dropped = []uint64{2} }), false},
		{"the ceremony", with(func(a *attempt) { a.dropped, a.missing = []uint64{0, 2, 3}, []uint64{0, 2, 3} }), false},
		{"a living bundle's", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 4}, []uint64{2, 3, 4} }), false},
		{"an altered record", with(func(a *attempt) { a.alter = true }), false},
		{"the hold on a bundle that stays", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 5}, []uint64{2, 3, 5} }), false},
		{"its extension", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 6}, []uint64{2, 3, 6} }), false},
		{"the erasure of one that stays", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 8}, []uint64{2, 3, 8} }), false},
		{"an erased one, extension and all", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 7, 8, 9}, []uint64{2, 3, 7, 8, 9} }), true},
		{"its extension before it", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 9}, []uint64{2, 3, 9} }), true},
		{"a hold on a subject", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 10}, []uint64{2, 3, 10} }), false},
		{"one that was released", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 13}, []uint64{2, 3, 13} }), true},
		{"one that was released of late", with(func(a *attempt) { a.dropped, a.missing, a.late = []uint64{2, 3, 16}, []uint64{2, 3, 16}, true }), false},
		{"its release", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 13, 15}, []uint64{2, 3, 13, 15} }), false},
		{"the node's keys", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 11}, []uint64{2, 3, 11} }), false},
		{"a backup", with(func(a *attempt) { a.dropped, a.missing = []uint64{2, 3, 12}, []uint64{2, 3, 12} }), true},
		{"a base before it", with(func(a *attempt) { a.base = ^uint64(0) }), false},
		{"the file in use", with(func(a *attempt) { a.names = []string{firstFile, "history/00000002.his"} }), false},
		{"a file elsewhere", with(func(a *attempt) { a.names = []string{"history/../MANIFEST"} }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.past()
			if c.a.late {
				w.placed = w.add(format.Record{Action: format.ActHoldPlace, Institution: 1}, format.HoldEffect{Scope: format.HoldSubject, Subject: format.Digest{7}, ID: 9, Basis: 1}) // 16
			}
			bound := uint64(len(w.records))
			w.tick(years(c.a.years))
			if c.a.late {
				w.release(w.placed, format.ActObject{Institution: 1})
			}
			var kept []uint64
			for seq := range bound {
				if !slices.Contains(c.a.dropped, seq) {
					kept = append(kept, seq)
				}
			}
			decision := w.add(format.Record{Action: format.ActPrune}, format.PruneEffect{From: 0, To: bound, Cut: bound,
				Kept: uint32(len(kept)), Dropped: uint32(len(c.a.dropped)), Digest: format.SequencesDigest(kept)})
			w.file(1, "his", format.FileHeader{Kind: format.KindHistory}, w.records[:bound]...)
			size := uint64(format.FileHeaderSize)
			for _, r := range w.records[:bound] {
				size += 8 + uint64(len(r))
			}
			w.file(2, "his", format.FileHeader{Kind: format.KindHistory, First: bound, PrevGood: size}, w.records[bound:]...)
			var carried [][]byte
			for seq, r := range w.records[:bound] {
				if r = slices.Clone(r); c.a.alter && seq == 1 {
					r[20] ^= 1
				}
				if !slices.Contains(c.a.missing, uint64(seq)) {
					carried = append(carried, r)
				}
			}
			w.file(1, "car", format.FileHeader{Kind: format.KindCarried, First: bound, PrevGood: decision + 1}, carried...)
			w.file(1, "bas", format.FileHeader{Kind: format.KindBase, First: decision + 1 + c.a.base})
			mark := w.checkpoint(1, 2)
			err := w.gate.Admit(context.Background(), []custodian.Order{{
				Warrant: custodian.Warrant{Decision: w.records[decision], Checkpoint: format.EncodeEffect(mark)},
				Work:    custodian.Work{History: true, Remove: c.a.names},
			}}, nil)
			w.wants(c.name, c.admitted, err)
		})
	}
}

// past adds what history retention goes over: with each record its number.
func (w *world) past() {
	w.add(about(format.ActList), format.ListEffect{Kind: format.ListBundles})                                 // 2
	w.add(about(format.ActList), format.ListEffect{Kind: format.ListBundles})                                 // 3
	w.store("P9Y")                                                                                            // 4
	w.add(about(format.ActHoldPlace), format.HoldEffect{Scope: format.HoldBundle, Store: 4, ID: 1, Basis: 1}) // 5
	w.add(about(format.ActExtend), format.ExtendEffect{Store: 4, Rule: "P9Y", BasisKind: 1})                  // 6
	erased := func(a format.Action) format.Record {
		return format.Record{Action: a, Institution: 1, Transaction: "U", Part: 1}
	}
	w.add(erased(format.ActStore), format.StoreEffect{Definition: "MDS0000001", Rule: "P1D", BasisKind: 1, Slot: format.Slot{Index: 1}})                                   // 7
	w.add(erased(format.ActErase), format.BundleRef{Store: 7})                                                                                                             // 8
	w.add(erased(format.ActExtend), format.ExtendEffect{Store: 7, Rule: "P2D", BasisKind: 1})                                                                              // 9
	w.add(format.Record{Action: format.ActHoldPlace, Institution: 1}, format.HoldEffect{Scope: format.HoldSubject, Subject: format.Digest{7}, ID: 1, Basis: 1})            // 10
	w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyRetire, Block: format.ID{1}})                                                             // 11
	w.add(format.Record{Action: format.ActBackup}, format.BackupEffect{})                                                                                                  // 12
	w.placed = w.add(format.Record{Action: format.ActHoldPlace, Institution: 1}, format.HoldEffect{Scope: format.HoldSubject, Subject: format.Digest{8}, ID: 9, Basis: 1}) // 13
	w.release(w.placed, format.ActObject{Institution: 1})                                                                                                                  // 14 and 15
}
