package format_test

import (
	"bytes"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func TestSummed(t *testing.T) {
	raw, err := format.EncodeSummed(map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	const want = "{\"a\":1}\n015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862\n"
	if string(raw) != want {
		t.Fatalf("%q", raw)
	}
	var v map[string]int
	if err := format.DecodeSummed(raw, &v); err != nil || v["a"] != 1 {
		t.Fatal(v, err)
	}
	for i := range raw {
		if format.DecodeSummed(raw[:i], &v) == nil {
			t.Fatalf("cut at %d it is read", i)
		}
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if format.DecodeSummed(changed, &v) == nil {
			t.Fatalf("changed at %d it is read", i)
		}
	}
	if format.DecodeSummed(append(raw, ' '), &v) == nil {
		t.Fatal("with a byte more it is read")
	}
}
