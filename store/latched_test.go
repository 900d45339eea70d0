package store

import "testing"

// TestFlushBehindAFailedOne: a snapshot that waited for a flush which failed must not
// have the log cut.
func TestFlushBehindAFailedOne(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("a", "PT1H")
	n := w.nodes[0]
	if err := n.idx.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Flush(); err == nil {
		t.Fatal("the file is closed")
	}
	if err := n.Flush(); err == nil {
		t.Fatalf("all is durable, with %d rows pending", n.Unflushed())
	}
}
