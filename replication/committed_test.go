package replication

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestLastCommandIsOfTheClustersCommitIndex: a leader that was just elected knows what
// is committed only with an entry of its own term, and the Machine sees commands alone.
func TestLastCommandIsOfTheClustersCommitIndex(t *testing.T) {
	logs := raft.NewInmemStore()
	if last, known, err := lastCommand(logs, 7, 3); last != 0 || !known || err != nil {
		t.Errorf("of a log that was cut whole: %d, %v, %v", last, known, err)
	}
	for i, l := range []raft.Log{{Term: 1, Type: raft.LogNoop}, {Term: 1}, {Term: 1}, {Term: 2, Type: raft.LogNoop}, {Term: 2, Type: raft.LogConfiguration}, {Term: 2}} {
		l.Index = uint64(i + 1)
		if err := logs.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		commit, term, last uint64
		known              bool
	}{
		{0, 1, 0, false}, {1, 1, 0, true}, {2, 1, 2, true}, {2, 2, 0, false}, {3, 2, 0, false}, {4, 2, 3, true}, {5, 2, 3, true}, {6, 2, 6, true}, {6, 3, 0, false},
	} {
		last, known, err := lastCommand(logs, c.commit, c.term)
		if err != nil || last != c.last || known != c.known {
			t.Errorf("commit %d in term %d: %d, %v, %v", c.commit, c.term, last, known, err)
		}
	}
	if _, _, err := lastCommand(logs, 9, 2); err == nil {
		t.Error("an entry that is not there is no error")
	}
}
