package forensic

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// RecoveryKey is a holder's key of a period of key archives.
type RecoveryKey struct {
	Name string // its file
	Key  *ecdh.PrivateKey
}

// ReadRecoveryKey reads a recovery key's file.
func ReadRecoveryKey(path string) (RecoveryKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return RecoveryKey{}, fmt.Errorf("recovery key: %w", err)
	}
	defer clear(text)
	key, err := keyarchive.ParsePrivateKey(text)
	if err != nil {
		return RecoveryKey{}, fmt.Errorf("recovery key: %s: %w", path, err)
	}
	return RecoveryKey{path, key}, nil
}

// KeyArchive is a key archive (키 보관본) that was found: data keys that several
// persons' recovery keys open together.
type KeyArchive struct {
	Place
	Period   string `json:"period"`
	Sequence uint64 `json:"sequence"` // of its BACKUP record
	Keys     uint64 `json:"keys"`
	Needed   int    `json:"needed"`
	Holders  int    `json:"holders"`
	// Given is how many of the recovery keys that were given are of it.
	Given int `json:"given"`
	// Opened says that they opened it.
	Opened bool `json:"opened"`
}

// archivePlace is where a header says that a key archive begins.
type archivePlace struct {
	src *source
	at  int64
}

// openArchives looks into every key archive for the bundle's slots, and opens it
// where enough recovery keys were given.
func (s *search) openArchives(ctx context.Context) error {
	for _, p := range s.known.archives {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.openArchive(p); errors.Is(err, keyarchive.ErrDamaged) {
			s.problem("the key archive at %s is damaged: %v", p.src.place(p.at), err)
		} else if err != nil {
			p.src.fault("%v", err)
		}
	}
	return nil
}

func (s *search) openArchive(p archivePlace) (err error) {
	f, err := p.src.open()
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading: nothing can be lost
	from := func() io.Reader {
		return bufio.NewReaderSize(io.NewSectionReader(f, p.at, p.src.size-p.at), 1<<20)
	}
	bundles, details := s.wantedSlots()
	places := map[format.Slot]Place{}
	a, err := keyarchive.Look(from(), func(at int64, slot format.Slot) {
		if bundles[slot] {
			places[slot] = p.src.place(p.at + at)
		}
	})
	if err != nil {
		return err
	}
	found := KeyArchive{Place: p.src.place(p.at), Period: hex.EncodeToString(a.Period[:]), Sequence: a.Sequence, Keys: a.End.Entries,
		Needed: int(a.Needed), Holders: len(a.Shares)}
	key, names, err := s.archiveKey(a, &found)
	defer clear(key[:])
	if err == nil && found.Opened {
		err = a.Open(from(), key, func(slot format.Slot, key [32]byte) error {
			defer clear(key[:])
			if bundles[slot] || details[slot] {
				s.hold(slot, key)
			}
			return nil
		})
	}
	s.archives = append(s.archives, found)
	way := s.way(WayArchives)
	for slot, place := range places {
		way.Of++
		copied := SlotCopy{Place: place, State: slotArchived}
		if found.Opened && err == nil {
			way.Found++
			copied.Root = names
		} else {
			s.problem("a key of the bundle is in the key archive at %s, which %d of %d recovery keys of period %s open; %d of them were given",
				found.Place, found.Needed, found.Holders, found.Period, found.Given)
		}
		s.slots[slot] = append(s.slots[slot], copied)
	}
	return err
}

// archiveKey puts an archive's key together from the recovery keys that were given.
func (s *search) archiveKey(a *keyarchive.Archive, found *KeyArchive) (key [32]byte, names string, err error) {
	var points []keyarchive.Point
	defer func() { clear(points) }()
	var list []string
	for _, r := range s.in.Recovery {
		p, err := a.Point(r.Key)
		if errors.Is(err, keyarchive.ErrNotHolder) {
			continue
		}
		if err != nil {
			return key, "", err
		}
		points, list = append(points, p), append(list, r.Name)
	}
	found.Given = len(points)
	if key, err = a.Key(points); errors.Is(err, keyarchive.ErrTooFew) {
		return key, "", nil
	}
	found.Opened = err == nil
	return key, "recovery keys " + strings.Join(list, ", "), err
}

// hold keeps a data key that opened.
func (s *search) hold(slot format.Slot, key [32]byte) {
	if s.keys[slot] == nil {
		s.keys[slot] = map[[32]byte]bool{}
	}
	s.keys[slot][key] = true
}
