package keyring

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestFinder finds a sealed slot at any offset, whatever its index, and no other.
func TestFinder(t *testing.T) {
	cluster, root := format.ID{1}, RootKey{2}
	wanted := []format.Slot{{Block: format.ID{7}, Index: 0}, {Block: format.ID{7}, Index: 1}, {Block: format.ID{8}, Index: 65535}}
	finder := NewFinder(wanted)
	for _, s := range append(wanted, format.Slot{Block: format.ID{7}, Index: 2}) {
		key := [32]byte{9, byte(s.Index)}
		sealed, err := sealSlot(rand.Reader, &root, cluster, s, key)
		if err != nil {
			t.Fatal(err)
		}
		text := append(append(bytes.Repeat([]byte{0xab}, 101), sealed...), make([]byte, 70)...)
		found := 0
		for i := range len(text) - SlotSize {
			for _, hit := range finder.At(text[i:]) {
				if i != 101 || hit != s {
					t.Errorf("slot %s is found as %s at %d", s, hit, i)
				}
				found++
			}
		}
		if want := map[bool]int{true: 1}[s.Index != 2]; found != want {
			t.Errorf("slot %s is found %d times, want %d", s, found, want)
		}
		sealed[SlotSize-1]++ // the checksum alone
		if got, err := OpenSlot(root, cluster, s, sealed); err != nil || got != key {
			t.Errorf("slot %s does not open without its checksum: %v", s, err)
		}
		sealed[20]++
		if _, err := OpenSlot(root, cluster, s, sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("slot %s: %v", s, err)
		}
	}
}
