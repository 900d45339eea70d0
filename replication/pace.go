package replication

import "time"

// pieces are how many bundles at most one sweep ends, are destroyed at once, with
// the syncs of one, and one attestation names. A sweep and an attestation are one
// Apply each, behind which everything else waits, and so do writes to the disk
// behind those of a destruction.
type pieces struct {
	sweep   uint32
	destroy int
	attest  int
	rest    float64 // before the next sweep, of the time that the last one took
}

var (
	alone  = pieces{sweep: 200, destroy: 800, attest: 200}
	beside = pieces{sweep: 96, destroy: 100, attest: 50, rest: 0.3} // puts, reads or uses
)

// giveWayFor is for how long after each of these a node works in small pieces.
const giveWayFor = time.Second

// requested notes that a put, read or use was recorded.
func (n *Node) requested() { n.lastRequest.Store(int64(time.Since(n.opened))) }

// pieces are those of now.
func (n *Node) pieces() pieces {
	if n.givesWay() {
		return beside
	}
	return alone
}

// givesWay reports whether there are requests that wait for what this node does beside them.
func (n *Node) givesWay() bool {
	last := n.lastRequest.Load()
	return last > 0 && time.Since(n.opened)-time.Duration(last) < giveWayFor
}
