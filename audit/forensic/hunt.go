package forensic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// chunkCopy is a chunk of the bundle somewhere.
type chunkCopy struct {
	format.ChunkHeader
	src *source
	at  int64 // where the ciphertext begins, or would
	// state is one of those below.
	state string
}

// The states of a chunk's copy.
const (
	chunkWhole  = "whole"  // the ciphertext has its digest
	chunkZeros  = "zeros"  // erased in place
	chunkHeader = "header" // a header alone, or before other bytes
	chunkStub   = "stub"   // copied when it had been erased
)

// huntAhead is how far a chunk's header or a sealed key reaches.
const huntAhead = format.ChunkHeaderSize

// hunt looks at every place for chunk headers and sealed keys.
func (s *search) hunt(ctx context.Context) error {
	bundles, details := s.wantedSlots()
	finder := keyring.NewFinder(slices.Concat(slices.Collect(maps.Keys(bundles)), slices.Collect(maps.Keys(details))))
	var mu sync.Mutex
	err := s.scanAll(ctx, huntAhead, func(src *source, at int64, b []byte, n int) {
		for i := range n {
			if b[i] == 'S' && bytes.HasPrefix(b[i:], []byte("SGCH")) {
				if h, err := format.DecodeChunkHeader(b[i:]); err == nil {
					mu.Lock()
					s.foundHeader(src, at+int64(i), h, bundles[h.Slot])
					mu.Unlock()
				}
			}
			if i+keyring.SlotSize > len(b) {
				continue
			}
			for _, slot := range finder.At(b[i:]) {
				mu.Lock()
				s.openAnywhere(slot, bundles[slot], src.place(at+int64(i)), b[i:])
				mu.Unlock()
			}
		}
	})
	for _, copies := range s.chunks {
		for i := range copies {
			copies[i].look()
		}
	}
	return err
}

func (s *search) foundHeader(src *source, at int64, h format.ChunkHeader, wanted bool) {
	way := s.way(WayHeaders)
	way.Of++
	behind := at + format.ChunkHeaderSize
	c := cover{at, behind}
	if !h.Erased {
		c.end += int64(h.Length)
	}
	src.covers = append(src.covers, c)
	if wanted {
		way.Found++
		s.chunks[h.Slot] = append(s.chunks[h.Slot], chunkCopy{h, src, behind, chunkHeader})
	}
}

// look says what stands behind a header.
func (c *chunkCopy) look() {
	if c.Erased {
		c.state = chunkStub
		return
	}
	b := c.src.read(c.at, int(c.Length))
	switch {
	case len(b) < int(c.Length):
	case format.Digest(sha256.Sum256(b)) == c.Digest:
		c.state = chunkWhole
	case len(bytes.Trim(b, "\x00")) == 0:
		c.state = chunkZeros
	}
}
