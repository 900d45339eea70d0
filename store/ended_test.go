package store

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// TestABundlesEndIsARowOfItsOwn: the bundle's row stays as it was, and the running hash
// takes in the end alone, with what stood there before (docs/formats/state-rows.md).
func TestABundlesEndIsARowOfItsOwn(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P1Y") // not begun yet: no other row follows from its end
	n, key := w.nodes[0], keyOfBundle("T0")
	b, err := n.bundleAt(key)
	w.must(err)
	var before format.Digest // none
	for _, end := range []format.BundleEnd{{Expire: 7}, {Expire: 7, Erase: 9, ErasedAt: 11}} {
		now := format.Digest(sha256.Sum256(end.Encode()))
		var h format.Writer
		h.Raw(n.state[:])
		h.U8(21)
		h.Blob(key64(b.row.Store))
		h.Raw(before[:])
		h.Raw(now[:])
		row := b.row
		row.BundleEnd = end
		w.must(n.putBundle(key, &b.row, b.encoded, row))
		if n.state != sha256.Sum256(h.Bytes()) {
			t.Errorf("%+v: another running hash", end)
		}
		stood := b.encoded
		b, err = n.bundleAt(key)
		w.must(err)
		if b.row.BundleEnd != end || !bytes.Equal(b.encoded, stood) {
			t.Errorf("%+v where %+v belongs, and the bundle's row %x, %x before", b.row.BundleEnd, end, b.encoded, stood)
		}
		before = now
	}
	state := n.state
	w.must(n.putBundle(key, &b.row, b.encoded, b.row))
	if n.state != state {
		t.Error("the running hash moves where nothing changes")
	}
}

// TestR26_AClosingPassesOverWhatHasExpired: that went by its deadline, and neither goes a
// second time nor is kept for ever, which would keep the institution from being closed.
func TestR26_AClosingPassesOverWhatHasExpired(t *testing.T) {
	v := newTenancy(t, t, 2)
	v.put("short", "PT1H")
	v.put("long", "P5Y")
	v.began()
	v.tick(2 * hour)
	v.sweep(10)
	expired := v.nodes[0].row("short").Expire
	if expired == 0 {
		t.Fatal("not expired")
	}
	v.close1()
	for v.duty(10) {
	}
	n := v.nodes[0]
	if exit, err := n.exit(keyOfBundle("short")); err != nil || exit != nil || n.row("short").Expire != expired {
		t.Errorf("it expired at record %d and leaves at %d by %+v: %v", expired-1, n.row("short").Expire-1, exit, err)
	}
	if exit, err := n.exit(keyOfBundle("long")); err != nil || exit == nil || exit.Exit != uint8(retention.ExitClose) || n.row("long").Expire == 0 {
		t.Errorf("%+v: %v", exit, err)
	}
	if kept, err := n.KeptByClosing(1, 10); err != nil || len(kept) > 0 {
		t.Errorf("kept: %v, %v", kept, err)
	}
	v.equal()
}
