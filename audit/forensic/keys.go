package forensic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Root is a node's root key.
type Root struct {
	Name string // its file
	Key  keyring.RootKey
}

// ReadRoot reads a root key: the file as a node keeps it (64 hex digits), its 32
// bytes themselves, or the root.key of a key directory.
func ReadRoot(path string) (Root, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "root.key")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Root{}, fmt.Errorf("root key: %w", err)
	}
	r := Root{Name: path}
	if len(b) != len(r.Key) {
		if b, err = hex.DecodeString(strings.TrimSpace(string(b))); err != nil || len(b) != len(r.Key) {
			return Root{}, fmt.Errorf("root key: %s is not 32 bytes in hex", path)
		}
	}
	copy(r.Key[:], b)
	return r, nil
}

// SlotCopy is what a place shows of a key slot of the bundle.
type SlotCopy struct {
	Place
	// State is live, erased, absent, zeros or damaged at a slot's own place in a key
	// block, archived in a key archive, and elsewhere anywhere else.
	State string `json:"state"`
	// Root is the root key, or names the recovery keys, under which it opened; empty
	// if none did.
	Root string `json:"root,omitempty"`
}

// The states of a slot's copy.
const (
	slotLive      = "live"
	slotErased    = "erased"
	slotZeros     = "zeros" // as in a leftover that was destroyed whole
	slotDamaged   = "damaged"
	slotElsewhere = "elsewhere"
	slotAbsent    = "absent"   // the node was restored without it
	slotArchived  = "archived" // in a key archive, sealed under its key
)

// keys are the data keys that were opened, by slot.
type keys map[format.Slot]map[[32]byte]bool

// opens tries a sealed key under every root key and answers the root's name.
func (s *search) opens(slot format.Slot, b []byte) (key [32]byte, root string, ok bool) {
	for cluster := range s.known.clusters {
		for _, r := range s.in.Roots {
			if key, err := keyring.OpenSlot(r.Key, cluster, slot, b); err == nil {
				return key, r.Name, true
			}
		}
	}
	return key, "", false
}

// tryOpen is opens, and keeps the key.
func (s *search) tryOpen(slot format.Slot, b []byte) (root string, ok bool) {
	key, root, ok := s.opens(slot, b)
	if ok {
		s.hold(slot, key)
	}
	return root, ok
}

// wantedSlots are those of the bundle, and those of its records' details.
func (s *search) wantedSlots() (bundles, details map[format.Slot]bool) {
	bundles, details = map[format.Slot]bool{}, map[format.Slot]bool{}
	for t := range s.known.targets {
		bundles[t.Slot] = true
	}
	for _, rec := range s.known.records {
		for _, slot := range s.detailSlots(rec) {
			details[slot] = true
		}
	}
	return bundles, details
}

// openInPlace tries the bundle's slots at their places in every copy of their key
// blocks, whatever their checksum says.
func (s *search) openInPlace(ctx context.Context) error {
	bundles, _ := s.wantedSlots()
	found := map[format.Slot]bool{}
	for _, c := range s.known.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		for slot := range bundles {
			if slot.Block == c.id && slot.Index < c.slots {
				found[slot] = true
				s.openBundleSlot(c, slot)
			}
		}
	}
	for slot := range bundles {
		if !found[slot] {
			s.problem("no copy of key block %x is here, which holds slot %d", slot.Block[:], slot.Index)
		}
	}
	return nil
}

func (c blockCopy) slotPlace(index uint32) int64 { return c.at + keyring.SlotOffset(index) }

func (s *search) openBundleSlot(c blockCopy, slot format.Slot) {
	b := c.src.read(c.slotPlace(slot.Index), keyring.SlotSize)
	if len(b) == 0 {
		s.problem("the key block at %s ends before the bundle's slot", c.src.place(c.at))
		return
	}
	way := s.way(WayInPlace)
	way.Of++
	copied := SlotCopy{Place: c.src.place(c.slotPlace(slot.Index)), State: slotDamaged}
	switch keyring.StateOf(slot.Index, b) {
	case keyring.SlotErased:
		copied.State = slotErased
	case keyring.SlotLive:
		copied.State = slotLive
	case keyring.SlotAbsent:
		copied.State = slotAbsent
	case keyring.SlotDamaged:
		if len(bytes.Trim(b, "\x00")) == 0 {
			copied.State = slotZeros
		}
	}
	var opened bool
	if copied.Root, opened = s.tryOpen(slot, b); opened {
		way.Found++
	} else if copied.State == slotDamaged {
		if live, fits := s.fits(c); !live && !fits {
			s.problem("the bundle's slot is damaged at %s, and no other slot tells whether a root key that was given is the block's", copied.Place)
		}
	}
	s.slots[slot] = append(s.slots[slot], copied)
}

// judgeRoots names the folders of key blocks with live slots that no root key which
// was given opens: sealed keys of that node could stand anywhere.
func (s *search) judgeRoots(ctx context.Context) error {
	closed := map[string]int{}
	for _, c := range s.known.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if live, fits := s.fits(c); live && !fits {
			closed[filepath.Dir(c.src.path)]++
		}
	}
	for dir, n := range closed {
		s.problem("no root key that was given opens the live slots of %d key blocks in %s", n, dir)
	}
	return nil
}

// fits says whether a block has live slots, and whether one of them opens under a
// root key that was given.
func (s *search) fits(c blockCopy) (live, fits bool) {
	b := c.src.read(c.slotPlace(0), int(c.slots)*keyring.SlotSize)
	for i := 0; (i+1)*keyring.SlotSize <= len(b); i++ {
		sealed := b[i*keyring.SlotSize : (i+1)*keyring.SlotSize]
		if keyring.StateOf(uint32(i), sealed) != keyring.SlotLive {
			continue
		}
		live = true
		if _, _, ok := s.opens(format.Slot{Block: c.id, Index: uint32(i)}, sealed); ok {
			return true, true
		}
	}
	return live, false
}

// openAnywhere tries a sealed key that was found by its checksum, at another place
// than its own.
func (s *search) openAnywhere(slot format.Slot, ofBundle bool, place Place, b []byte) {
	if slices.ContainsFunc(s.slots[slot], func(c SlotCopy) bool { return c.Place == place }) {
		return
	}
	root, opened := s.tryOpen(slot, b[:keyring.SlotSize])
	if !ofBundle {
		return
	}
	way := s.way(WayAnywhere)
	way.Of++
	if opened { // what does not is most often no key: a checksum fits at 2^-32 of all places
		way.Found++
		s.slots[slot] = append(s.slots[slot], SlotCopy{place, slotElsewhere, root})
	}
}

func sortSlots(all []SlotCopy) []SlotCopy {
	slices.SortFunc(all, func(a, b SlotCopy) int { return cmp.Or(a.Place.compare(b.Place), strings.Compare(a.State, b.State)) })
	return all
}
