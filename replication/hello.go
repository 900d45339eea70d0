package replication

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// hello is what every connection and call between nodes carries: who speaks,
// for which cluster, to which incarnation, and how much the speaker durably has.
type hello struct {
	Cluster format.ID
	From    format.ID // the speaker's incarnation
	To      format.ID // zero where the speaker does not know it yet
	Log     uint64    // the speaker's last durable log index
	Size    uint64    // and history size
	Member  uint32
}

const helloSize = 16*3 + 8*2 + 4

func (h hello) encode() []byte {
	var w format.Writer
	w.Raw(h.Cluster[:])
	w.Raw(h.From[:])
	w.Raw(h.To[:])
	w.U64(h.Log)
	w.U64(h.Size)
	w.U32(h.Member)
	return w.Bytes()
}

func decodeHello(b []byte) (h hello, err error) {
	r := format.NewReader(b)
	r.Raw(h.Cluster[:])
	r.Raw(h.From[:])
	r.Raw(h.To[:])
	h.Log = r.U64()
	h.Size = r.U64()
	h.Member = r.U32()
	return h, r.Done()
}

// errForeign refuses a peer that is not who it should be.
var errForeign = errors.New("refused peer")

// admit decides whether a peer, known by its key as m, may speak as h says. One
// that offers less than it had before is an old copy, one that was replaced is
// gone: neither is listened to (P63). An incarnation that this node's own table
// does not know yet is: this node may be the one that is behind, and raft counts
// nobody's vote that is not in its configuration.
func (h hello) admit(own identityOf, m format.MemberRow, raft bool) error {
	switch {
	case h.Cluster != own.cluster:
		return fmt.Errorf("%w: it belongs to cluster %x", errForeign, h.Cluster)
	case h.Member != m.Number:
		return fmt.Errorf("%w: node %d speaks with the key of node %d", errForeign, h.Member, m.Number)
	case h.To != own.incarnation && (raft || h.To != format.ID{}):
		return fmt.Errorf("%w: it calls incarnation %x", errForeign, h.To)
	case slices.Contains(m.Gone, h.From):
		return fmt.Errorf("%w: incarnation %x of node %s has been replaced", errForeign, h.From, m.Name)
	case h.From == m.Current && (h.Log < m.Commit || h.Size < m.Size):
		return fmt.Errorf("%w: node %s offers log %d and history %d, it had %d and %d: its data directory is an old copy",
			errForeign, m.Name, h.Log, h.Size, m.Commit, m.Size)
	}
	return nil
}

// identityOf is who a node is.
type identityOf struct {
	cluster     format.ID
	number      uint32
	name        string
	incarnation format.ID
}
