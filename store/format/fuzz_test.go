package format_test

import (
	"slices"
	"testing"
)

// Each target asks the one question of canonical: refused as malformed, or the
// one encoding of what it decodes to; and no panic. Targets over several codecs
// choose by the first byte.

func fuzzCodecs(f *testing.F, list []codec) {
	if len(list) == 0 {
		f.Fatal("no codec")
	}
	for i, c := range list {
		f.Add(append([]byte{byte(i)}, c.encode(c.example)...))
		for _, m := range mutants() {
			if m.page == c.page && m.codec == c.name && len(m.bytes) < 4096 {
				f.Add(append([]byte{byte(i)}, m.bytes...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		c := list[int(b[0])%len(list)]
		b = slices.Clone(b[1:])
		canonical(t, c, b)
		if c.mend != nil {
			c.mend(b)
			canonical(t, c, b)
		}
	})
}

func chosen(want func(codec) bool) []codec {
	return slices.DeleteFunc(codecs(), func(c codec) bool { return !want(c) })
}

func named(names ...string) []codec {
	return chosen(func(c codec) bool { return slices.Contains(names, c.name) && len(c.name) > 0 })
}

func FuzzDecodeRecord(f *testing.F) { fuzzCodecs(f, named("record")) }

func FuzzDecodeDetail(f *testing.F) { fuzzCodecs(f, named("detail")) }

func FuzzDecodeAct(f *testing.F) { fuzzCodecs(f, named("act", "signed-act")) }

func FuzzDecodeCeremony(f *testing.F) { fuzzCodecs(f, named("ceremony")) }

func FuzzDecodeEffect(f *testing.F) {
	fuzzCodecs(f, chosen(func(c codec) bool { return len(c.name) > 7 && c.name[:7] == "effect-" }))
}

func FuzzDecodeBase(f *testing.F) {
	fuzzCodecs(f, chosen(func(c codec) bool { return c.page == "base" }))
}

func FuzzDecodeRow(f *testing.F) {
	fuzzCodecs(f, chosen(func(c codec) bool { return c.page == "state-rows" }))
}

func FuzzDecodeChunks(f *testing.F) { fuzzCodecs(f, named("chunks", "chunk-header")) }

func FuzzDecodeFileHeader(f *testing.F) { fuzzCodecs(f, named("segment", "history", "key-block")) }

func FuzzParseCheckpoint(f *testing.F) { fuzzCodecs(f, named("text")) }

func FuzzDecodeDescription(f *testing.F) { fuzzCodecs(f, named("description")) }
