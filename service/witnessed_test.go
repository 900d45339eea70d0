package service

import (
	"strings"
	"testing"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// TestP53_StatusSaysWhoHasWitnessed: of k of n, the k-th greatest size counts.
func TestP53_StatusSaysWhoHasWitnessed(t *testing.T) {
	for _, c := range []struct {
		sizes  []uint64
		needed int
		want   uint64
	}{
		{nil, 0, 0},
		{[]uint64{9}, 0, 0}, // asked, not needed
		{nil, 1, 0},
		{[]uint64{0}, 1, 0},
		{[]uint64{9}, 1, 9},
		{[]uint64{9, 0, 7}, 1, 9},
		{[]uint64{9, 0, 7}, 2, 7},
		{[]uint64{9, 0, 7}, 3, 0},
		{[]uint64{9, 7}, 3, 0},
	} {
		var all []*sagov1.WitnessState
		for _, size := range c.sizes {
			all = append(all, &sagov1.WitnessState{Size: size})
		}
		if got := witnessedSize(all, c.needed); got != c.want {
			t.Errorf("%d of %v: %d, want %d", c.needed, c.sizes, got, c.want)
		}
	}
	states := unasked(format.Policy{Witnesses: []format.NoteKey{{Name: "w1"}, {Name: "w2"}}})
	if len(states) != 2 || states[1].GetName() != "w2" || states[1].GetDetail() == "" {
		t.Errorf("%v", states)
	}
}

// TestP53_WitnessesLinesCountForNothingElse: they are in the note, the client
// counts the nodes alone.
func TestP53_WitnessesLinesCountForNothingElse(t *testing.T) {
	line := format.NoteLine{Name: "w.example/1", KeyID: 7, Signature: make([]byte, 72)}
	h := newHouse(t, func(c *Config) {
		c.Cosignatures = func(format.Checkpoint) []format.NoteLine { return []format.NoteLine{line} }
		c.Witnesses = func() []*sagov1.WitnessState { return []*sagov1.WitnessState{{Name: "w.example/1", Size: 1}} }
	})
	h.put("app", "T1", "P5Y", []byte("x"))
	h.checkpoint()
	got, err := h.client("auditor").Checkpoint(limited(t), client.CheckpointQuery{})
	must(t, err)
	if !strings.HasSuffix(got.Note, line.String()) || got.Witnesses != 1 || len(got.Signers) != 1 {
		t.Errorf("%+v", got)
	}
	status, err := sagov1.NewClusterServiceClient(h.as("auditor")).Status(limited(t), &sagov1.ClusterServiceStatusRequest{})
	must(t, err)
	c := status.GetCheckpoint()
	if c.GetSize() != got.Checkpoint.Size || c.GetClock() == nil || c.GetWitnessed() || len(c.GetWitnesses()) != 1 {
		t.Errorf("%v", c)
	}
}
