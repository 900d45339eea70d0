package format_test

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

// each runs a test for every codec.
func each(t *testing.T, test func(t *testing.T, c codec)) {
	for _, c := range codecs() {
		t.Run(c.page+"/"+c.name, func(t *testing.T) { test(t, c) })
	}
}

// canonical fails unless b is refused as malformed or is the one encoding of
// what it decodes to. It answers whether b was taken.
func canonical(t testing.TB, c codec, b []byte) bool {
	t.Helper()
	v, err := c.decode(slices.Clone(b))
	if err != nil {
		if !errors.Is(err, format.ErrMalformed) {
			t.Fatalf("%s refused %x with %v, which is no ErrMalformed", c.name, b, err)
		}
		return false
	}
	if again := c.encode(v); !bytes.Equal(again, b) {
		t.Fatalf("%s takes\n%x for %+v, which encodes to\n%x", c.name, b, v, again)
	}
	return true
}

// TestRoundTrip decodes what was encoded to what it was.
func TestRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		check := func(t interface{ Fatalf(string, ...any) }, v any) {
			b := c.encode(v)
			got, err := c.decode(b)
			if err != nil {
				t.Fatalf("%+v: %v", v, err)
			}
			if !reflect.DeepEqual(got, v) {
				t.Fatalf("%+v comes back as %+v", v, got)
			}
		}
		check(t, c.example)
		rapid.Check(t, func(t *rapid.T) {
			v := c.draw(t)
			if r, ok := v.(format.Record); ok && len(record(r)) > format.MaxRecord {
				t.Skip("longer than a record may be")
			}
			check(t, v)
		})
	})
}

// TestTruncated refuses every beginning of an encoding.
func TestTruncated(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		b := c.encode(c.example)
		for n := range len(b) {
			if canonical(t, c, b[:n]) && !c.joins {
				t.Errorf("took %d of %d bytes", n, len(b))
			}
		}
	})
}

// TestTrailing refuses an encoding with something behind it.
func TestTrailing(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		b := c.encode(c.example)
		for _, tail := range [][]byte{{0}, {1}, {0xff}, make([]byte, 4), make([]byte, 300), b} {
			if canonical(t, c, append(slices.Clone(b), tail...)) && !(c.joins && len(tail) == len(b)) {
				t.Errorf("took %d bytes behind the encoding", len(tail))
			}
		}
	})
}

// TestEveryBit turns every bit of an encoding over: what is still taken must be
// another value's one encoding.
func TestEveryBit(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		b := c.encode(c.example)
		for i := range len(b) * 8 {
			changed := slices.Clone(b)
			changed[i/8] ^= 1 << (i % 8)
			taken := canonical(t, c, changed)
			if c.mend != nil && taken {
				t.Errorf("bit %d of a checksummed encoding turned unseen", i)
			}
			if c.mend != nil {
				c.mend(changed)
				canonical(t, c, changed)
			}
		}
	})
}

// TestBoundedAllocation puts the greatest counts and lengths everywhere: no
// decoder may make room for what its input cannot hold.
func TestBoundedAllocation(t *testing.T) {
	each(t, func(t *testing.T, c codec) {
		b := c.encode(c.example)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range len(b) - 3 {
			changed := slices.Clone(b)
			copy(changed[i:], []byte{0xff, 0xff, 0xff, 0xff})
			if c.mend != nil {
				c.mend(changed)
			}
			_, _ = c.decode(changed) // refused or not: only the room counts here
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(b)); each > 64<<10+16*uint64(len(b)) {
			t.Errorf("%d bytes allocated for an input of %d", each, len(b))
		}
	})
}

// TestMutants refuses what no encoder writes: sets out of order, other versions,
// wrong checksums, fields of another verb.
func TestMutants(t *testing.T) {
	for _, m := range mutants() {
		t.Run(m.codec+"/"+m.fault, func(t *testing.T) {
			c := codecNamed(t, m.page, m.codec)
			if !canonical(t, c, c.encode(c.example)) {
				t.Fatal("the example is refused")
			}
			if canonical(t, c, m.bytes) {
				t.Fatal("taken")
			}
		})
	}
}

// TestUsedBits marks slots: each by its own bit, in a copy.
func TestUsedBits(t *testing.T) {
	b := format.BlockRow{Slots: 12, Used: make([]byte, 2)}
	first := b
	b.MarkUsed(11)
	if !b.IsUsed(11) || b.IsUsed(3) || first.IsUsed(11) || b.IsUsed(1<<20) || !bytes.Equal(b.Used, []byte{0, 8}) {
		t.Fatalf("%+v, before %+v", b, first)
	}
}

func codecNamed(t *testing.T, page, name string) codec {
	t.Helper()
	for _, c := range codecs() {
		if c.page == page && c.name == name {
			return c
		}
	}
	t.Fatalf("no codec %s/%s", page, name)
	return codec{}
}
