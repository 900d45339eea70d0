package forensic

import (
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// epochSlots are the slots that KEY records name for an institution's quarter.
func (s *search) epochSlots(e epoch, class format.DetailClass) (slots []format.Slot) {
	for k := range s.known.epochs[e] {
		slot := k.Other
		if class == format.DetailUse {
			slot = k.Use
		}
		slots = append(slots, slot)
	}
	return slots
}

// detailSlots are the slots whose key could open a record's detail: its own
// epoch's, and those under which its carried key is sealed.
func (s *search) detailSlots(rec format.Record) (slots []format.Slot) {
	if len(rec.Detail) == 0 {
		return nil
	}
	slots = s.epochSlots(epoch{rec.Institution, rec.DetailEpoch}, rec.DetailClass)
	for _, c := range s.known.carried[rec.Sequence] {
		slots = append(slots, s.epochSlots(c.epoch, rec.DetailClass)...)
	}
	return slots
}

// openDetails says how many of the bundle's records have a detail, the personal
// part of the history, that opens. It tells nothing of what stands in it.
func (s *search) openDetails() {
	way := s.way(WayDetails)
	for _, rec := range s.known.records {
		if len(rec.Detail) == 0 {
			continue
		}
		way.Of++
		if s.opensDetail(rec) {
			way.Found++
		}
	}
}

func (s *search) opensDetail(rec format.Record) bool {
	for _, slot := range s.detailSlots(rec) {
		for key := range s.keys[slot] {
			if _, err := keyring.OpenDetail(key, rec.Operation, rec.Ordinal, rec.Detail); err == nil {
				return true
			}
			for _, c := range s.known.carried[rec.Sequence] {
				own, err := keyring.OpenCarried(key, rec.Sequence, c.sealed)
				if err != nil {
					continue
				}
				if _, err := keyring.OpenDetailWith(own, rec.Operation, rec.Ordinal, rec.Detail); err == nil {
					return true
				}
			}
		}
	}
	return false
}
