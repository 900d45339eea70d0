package forensic

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// cover is the range of a chunk with its header, from header to end.
type cover struct{ start, end int64 }

// gaps are the ranges of a file that no chain of chunks explains. A chunk explains
// its bytes if another header or the file's end follows at once: else what stands
// behind its header may be anything, as in the log, which keeps headers alone.
func (s *source) gaps() (out []cover) {
	slices.SortFunc(s.covers, func(a, b cover) int { return cmp.Compare(a.start, b.start) })
	from := int64(0)
	for i, c := range s.covers {
		follows := c.end == s.size || i+1 < len(s.covers) && s.covers[i+1].start == c.end
		if !follows || c.start < from {
			continue
		}
		if c.start > from {
			out = append(out, cover{from, c.start})
		}
		from = c.end
	}
	if from < s.size {
		out = append(out, cover{from, s.size})
	}
	return out
}

// missing is a chunk of the bundle of which no header leads to the ciphertext.
type missing struct {
	target
	chunk   uint32
	digests []format.Digest // known from headers that survive
}

// is says whether these bytes are the chunk's ciphertext.
func (s *search) is(m missing, b []byte, sum format.Digest) bool {
	if len(m.digests) > 0 {
		return slices.Contains(m.digests, sum)
	}
	if m.Chunks == 1 {
		return format.BundleDigest([]format.Digest{sum}) == m.Digest
	}
	_, err := s.openChunk(m.target, m.chunk, b)
	return err == nil
}

func (s *search) openChunk(t target, n uint32, sealed []byte) (plain []byte, err error) {
	err = keyring.ErrSealed
	for key := range s.keys[t.Slot] {
		for cluster := range s.known.clusters {
			if plain, err = keyring.OpenChunk(key, cluster, format.ChunkHeader{Slot: t.Slot, Chunk: n}, n+1 == t.Chunks, sealed); err == nil {
				return plain, nil
			}
		}
	}
	return nil, err
}

// slide looks for ciphertext without its header: by digest, or by a key that
// opened, at the ends of every range that no chunk explains, and then at all its
// places, until Input.Slide bytes were hashed.
func (s *search) slide(ctx context.Context) error {
	wanted := s.missing()
	if len(wanted) == 0 {
		return nil
	}
	left := s.in.Slide
	for _, ends := range []bool{true, false} {
		for _, length := range slices.Sorted(maps.Keys(wanted)) {
			for _, src := range s.sources {
				for _, gap := range src.gaps() {
					if err := s.slideGap(ctx, src, gap, length, ends, wanted, &left); err != nil {
						return err
					}
				}
			}
		}
	}
	if left < 0 {
		s.bound("ciphertext that no header stands before was looked for at %d places, and not at all of them: --slide bounds it", s.way(WayDigest).Of)
	}
	return nil
}

// missing lists the chunks to slide for, by length.
func (s *search) missing() map[int64][]missing {
	wanted := map[int64][]missing{}
	for t := range s.known.targets {
		for n := range t.Chunks {
			m := missing{target: t, chunk: n}
			whole := false
			for _, c := range s.chunks[t.Slot] {
				if c.Chunk == n && int64(c.Length) == t.length(n) {
					m.digests = append(m.digests, c.Digest)
					whole = whole || c.state == chunkWhole
				}
			}
			switch {
			case whole:
			case len(m.digests) == 0 && t.Chunks > 1 && len(s.keys[t.Slot]) == 0:
				s.bound("chunk %d of slot %s: no header names its digest and no key opens: its ciphertext was not looked for", n, t.Slot)
			default:
				wanted[t.length(n)] = append(wanted[t.length(n)], m)
			}
		}
	}
	return wanted
}

// slideGap looks at a gap's ends, or at all its other places. *left goes below 0
// once no more may be hashed.
func (s *search) slideGap(ctx context.Context, src *source, gap cover, length int64, ends bool, wanted map[int64][]missing, left *int64) error {
	last := gap.end - length
	if last < gap.start || len(wanted[length]) == 0 {
		return nil
	}
	if !ends {
		return src.scan(ctx, gap.start, last+1, int(length), func(_ *source, at int64, b []byte, n int) {
			for i := range n {
				if i+int(length) > len(b) || *left < 0 {
					return
				}
				s.tryWindow(src, at+int64(i), b[i:i+int(length)], wanted, left)
			}
		})
	}
	places := []int64{gap.start, min(gap.start+format.ChunkHeaderSize, last), last}
	for _, at := range slices.Compact(places) {
		if b := src.read(at, int(length)); len(b) == int(length) && *left >= 0 {
			s.tryWindow(src, at, b, wanted, left)
		}
	}
	return ctx.Err()
}

// zeros are what no ciphertext begins or ends with.
var zeros = make([]byte, format.ChunkOverhead)

func (s *search) tryWindow(src *source, at int64, b []byte, wanted map[int64][]missing, left *int64) {
	length := int64(len(b))
	if len(wanted[length]) == 0 || bytes.HasPrefix(b, zeros) || bytes.HasSuffix(b, zeros) {
		return
	}
	if *left -= length; *left < 0 {
		return
	}
	way := s.way(WayDigest)
	way.Of++
	sum := format.Digest(sha256.Sum256(b))
	wanted[length] = slices.DeleteFunc(wanted[length], func(m missing) bool {
		if !s.is(m, b, sum) {
			return false
		}
		way.Found++
		h := format.ChunkHeader{Slot: m.Slot, Chunk: m.chunk, Length: uint32(length), Digest: sum}
		s.chunks[m.Slot] = append(s.chunks[m.Slot], chunkCopy{h, src, at, chunkWhole})
		return true
	})
}
