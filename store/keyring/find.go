package keyring

import (
	"encoding/binary"

	"github.com/sago-worm/sago/store/format"
)

// OpenSlot opens the sealed key of a slot from its SlotSize bytes, wherever they
// were found and whatever their checksum says. ErrSealed for anything else.
func OpenSlot(root RootKey, cluster format.ID, s format.Slot, b []byte) ([32]byte, error) {
	if len(b) != SlotSize {
		return [32]byte{}, ErrSealed
	}
	key, err := openSlot(&root, cluster, s, b)
	if err != nil {
		return key, ErrSealed
	}
	return key, nil
}

// Finder finds live slots among bytes of any kind by their checksum, which is over
// the slot's index and the sealed bytes. A CRC over bytes of one length differs
// between two things before them by a constant; so one CRC per place answers for
// every index.
type Finder struct{ wanted map[uint32][]format.Slot }

// NewFinder looks for these slots.
func NewFinder(wanted []format.Slot) *Finder {
	f := &Finder{map[uint32][]format.Slot{}}
	var zeros [SlotSize]byte
	bare := format.Checksum(zeros[:SlotSize-4])
	for _, s := range wanted {
		difference := slotChecksum(s.Index, zeros[:]) ^ bare
		f.wanted[difference] = append(f.wanted[difference], s)
	}
	return f
}

// At answers the wanted slots that the first SlotSize bytes of b could be; b must
// have as many. By accident one does at 2^-32 of all places.
func (f *Finder) At(b []byte) []format.Slot {
	sealed := b[:SlotSize-4]
	if len(f.wanted) == 0 || binary.BigEndian.Uint64(sealed) == 0 { // zeros are no random nonce
		return nil
	}
	return f.wanted[format.Checksum(sealed)^binary.BigEndian.Uint32(b[SlotSize-4:SlotSize])]
}
