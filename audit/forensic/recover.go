package forensic

import (
	"cmp"
	"context"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Recovery says how much of a bundle was recovered.
type Recovery string

// How much.
const (
	Whole   Recovery = "whole" // all documents, and their fingerprint is the recorded one
	Part    Recovery = "part"  // some chunks opened
	KeyOnly Recovery = "key"   // a key opened; a guess of the content can be confirmed
	None    Recovery = "none"
)

// Bundle is what was found of one stored bundle, or of one attempt.
type Bundle struct {
	Institution uint32 `json:"institution"`
	Slot        string `json:"slot"` // key block in hex / index
	// Recorded is false for an attempt that only log operations name.
	Recorded   bool   `json:"recorded"`
	Size       uint64 `json:"size"`
	Chunks     uint32 `json:"chunks"`
	Digest     string `json:"digest"`
	Commitment string `json:"commitment"`
	// Named is where it was named, at most MaxPlaces of NamedTimes.
	Named      []Place    `json:"named"`
	NamedTimes int        `json:"named_times"`
	Keys       []SlotCopy `json:"keys"`
	Payload    Payload    `json:"payload"`
	Recovery   Recovery   `json:"recovery"`
	// Fingerprint and Documents are of what was recovered whole.
	Fingerprint string     `json:"fingerprint,omitempty"`
	Documents   []Document `json:"documents,omitempty"`
	// Written is the folder under Input.Out that holds it.
	Written string `json:"written,omitempty"`
}

// MaxPlaces is how many places a list of the report shows.
const MaxPlaces = 20

// Payload counts the copies of chunks and says where ciphertext still is.
type Payload struct {
	Whole   int     `json:"whole"`
	Zeros   int     `json:"zeros"`
	Headers int     `json:"headers"`
	Stubs   int     `json:"stubs"`
	Left    []Place `json:"left"`
}

// Document is a recovered document. Its name is not told: names can be personal.
type Document struct {
	Size   uint64 `json:"size"`
	SHA256 string `json:"sha256"`
}

// recoverAll tries every target, those that were stored first.
func (s *search) recoverAll(ctx context.Context) ([]Bundle, error) {
	bundles := []Bundle{}
	for t, named := range s.known.targets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		slices.SortFunc(named.places, Place.compare)
		b := Bundle{Institution: t.Institution, Slot: t.Slot.String(), Recorded: named.recorded, Size: t.Size, Chunks: t.Chunks,
			Digest: hex.EncodeToString(t.Digest[:]), Commitment: hex.EncodeToString(t.Commitment[:]), NamedTimes: len(named.places),
			Named: named.places[:min(len(named.places), MaxPlaces)], Keys: sortSlots(append([]SlotCopy{}, s.slots[t.Slot]...)),
			Payload: s.payload(t.Slot), Recovery: None}
		if len(s.keys[t.Slot]) > 0 {
			b.Recovery = KeyOnly
		}
		if err := s.recoverTarget(t, &b); err != nil {
			return nil, err
		}
		bundles = append(bundles, b)
	}
	slices.SortFunc(bundles, func(a, b Bundle) int {
		if a.Recorded != b.Recorded {
			return map[bool]int{true: -1, false: 1}[a.Recorded]
		}
		return cmp.Or(cmp.Compare(a.Institution, b.Institution), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Digest, b.Digest))
	})
	return bundles, nil
}

func (s *search) payload(slot format.Slot) (p Payload) {
	p.Left = []Place{}
	for _, c := range s.chunks[slot] {
		switch c.state {
		case chunkWhole:
			p.Whole++
			p.Left = append(p.Left, c.src.place(c.at))
		case chunkZeros:
			p.Zeros++
		case chunkStub:
			p.Stubs++
		default:
			p.Headers++
		}
	}
	slices.SortFunc(p.Left, Place.compare)
	p.Left = p.Left[:min(len(p.Left), MaxPlaces)]
	return p
}

// recoverTarget decrypts what there is. Nothing is called whole whose commitment
// and fingerprint are not the recorded ones.
func (s *search) recoverTarget(t target, b *Bundle) error {
	if b.Recovery == None {
		return nil
	}
	opens := map[uint32]chunkCopy{}
	var tail []byte
	var described *format.Description
	for n := t.Chunks; n > 0; n-- {
		c, plain, ok := s.openAny(t, n-1)
		if !ok {
			continue
		}
		opens[n-1] = c
		b.Recovery = Part
		if described == nil && len(opens) == int(t.Chunks-n+1) && len(tail) <= format.MaxDescription+4 {
			tail = append(plain, tail...)
			if d, _, err := format.DecodeDescription(tail); err == nil && s.commits(t, d.Fingerprint) {
				described = &d
			}
		}
	}
	if len(opens) == 0 {
		return nil
	}
	out, err := s.newOutput(t, described)
	if err != nil {
		return err
	}
	if described == nil || len(opens) < int(t.Chunks) {
		b.Written, err = out.parts(opens, func(n uint32, c chunkCopy) []byte { return s.plain(t, n, c) })
		return err
	}
	for n := range t.Chunks {
		if err := out.write(s.plain(t, n, opens[n])); err != nil {
			return err
		}
	}
	documents, fingerprint, err := out.finish()
	if err != nil {
		return err
	}
	b.Written = out.dir
	if fingerprint != described.Fingerprint {
		return nil // the tags held and the digests did not: sealed so by whoever stored it
	}
	b.Recovery, b.Documents, b.Fingerprint = Whole, documents, hex.EncodeToString(fingerprint[:])
	return nil
}

// openAny opens the first copy of a chunk that opens.
func (s *search) openAny(t target, n uint32) (chunkCopy, []byte, bool) {
	for _, c := range s.chunks[t.Slot] {
		if c.Chunk != n || c.state == chunkStub || c.state == chunkZeros {
			continue
		}
		if plain := s.plain(t, n, c); plain != nil {
			return c, plain, true
		}
	}
	return chunkCopy{}, nil, false
}

// plain opens a copy of a chunk; nil if it does not open.
func (s *search) plain(t target, n uint32, c chunkCopy) []byte {
	plain, err := s.openChunk(t, n, c.src.read(c.at, int(c.Length)))
	if err != nil {
		return nil
	}
	return plain
}

// commits says whether a key of the bundle commits to a fingerprint as recorded.
func (s *search) commits(t target, fingerprint format.Digest) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(s.keys[t.Slot])), func(key [32]byte) bool {
		return keyring.Commitment(key, fingerprint) == t.Commitment
	})
}
