package replication

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// Config is what a node is started with.
type Config struct {
	Name string
	// DataDir is the node's data; KeyDir its keys and attested values, outside it.
	DataDir, KeyDir string
	// Listener is the node port.
	Listener net.Listener
	// Peers says where the other nodes are reached, by name.
	Peers map[string]string
	// Admitted is this node as the act names it that admitted it after the
	// ceremony; nil for a node of the ceremony.
	Admitted *format.CeremonyNode
	// Ceremony is the signed act that the cluster begins with. Every node accepts
	// this one and no other.
	Ceremony format.SignedAct
	Time     TimeSource
	Log      *slog.Logger
	Version  string
	// Probe looks at a bbolt file in a child process before this one maps it; nil:
	// in this process.
	Probe func(path string) error
	// Custodian is a process of its own that owns the data directory; nil: one in
	// this process.
	Custodian store.Custodian
	// Note is what else there is to say of this node in a status: "" when nothing.
	// Nil says nothing. It must not block.
	Note func() string
	// Timing is for tests; zero is the production default.
	Timing Timing
}

// TimeSource answers what this node knows of true time.
type TimeSource interface {
	Now() (Interval, error)
}

// Interval contains true time at a reading of this machine's boot clock.
type Interval struct {
	Earliest, Latest int64 // microseconds
	BootID           format.ID
	BootReading      int64 // nanoseconds
	Evidence         format.Digest
	// Votes says whether the node may vote on it: not when it has no time.
	Votes bool
}

// start is what follows from the ceremony for one node.
type start struct {
	act      format.Act
	ceremony format.Ceremony
	digest   format.Digest
	node     format.CeremonyNode
	admitted bool // by an act after the ceremony: it begins no cluster
	turns    []format.RestoreParams
}

// begun says that acts of a restore that was cut count.
func readStart(c Config, begun bool) (start, error) {
	var s start
	var err error
	if s.ceremony, err = store.CheckCeremony(c.Ceremony); err != nil {
		return s, err
	}
	if s.act, err = format.DecodeAct(c.Ceremony.Document); err != nil {
		return s, err
	}
	s.digest = sha256.Sum256(c.Ceremony.Document)
	i := slices.IndexFunc(s.ceremony.Nodes, func(n format.CeremonyNode) bool { return n.Name == c.Name })
	switch {
	case i >= 0:
		s.node = s.ceremony.Nodes[i]
	case c.Admitted != nil && c.Admitted.Name == c.Name:
		s.node, s.admitted = *c.Admitted, true
	default:
		return s, fmt.Errorf("the ceremony lists no node %q", c.Name)
	}
	s.turns, err = readTurns(c.KeyDir, s, begun)
	return s, err
}

// trust is whom a surviving history is verified by.
func (s start) trust() backup.Trust {
	return backup.Trust{Cluster: s.act.Cluster, Nodes: s.ceremony.Nodes, Turns: s.turns}
}

// rows is the member table as the ceremony and the restores since give it, before the
// first entry: enough to reach the others.
func (s start) rows() []format.MemberRow {
	out := make([]format.MemberRow, len(s.ceremony.Nodes))
	for i, n := range s.trust().NodesAt(math.MaxUint64) {
		out[i] = format.MemberRow{Number: n.Number, Name: n.Name, PublicKey: n.PublicKey, Current: n.Incarnation}
	}
	if s.admitted {
		out = append(out, format.MemberRow{Number: s.node.Number, Name: s.node.Name, PublicKey: s.node.PublicKey})
	}
	return out
}
