package replication

import (
	"context"
	"sync"
	"time"

	"github.com/sago-worm/sago/store"
)

// pieces are how many bundles at most one sweep ends, are destroyed at once, with
// the syncs of one, and one attestation names. A sweep and an attestation are one
// Apply each, behind which everything else waits, and so do writes to the disk
// behind those of a destruction.
type pieces struct {
	sweep   uint32
	destroy int
	attest  int
}

var (
	alone  = pieces{sweep: 200, destroy: 800, attest: 200}
	beside = pieces{sweep: 96, destroy: 100, attest: 100} // puts, reads or uses
)

// requestsLast is for how long after each of these a node works in small pieces.
const requestsLast = time.Second

// requested notes that a put, read or use was recorded.
func (n *Node) requested() { n.lastRequest.Store(int64(time.Since(n.opened))) }

// pieces are those of now.
func (n *Node) pieces() pieces {
	if n.hasRequests() {
		return beside
	}
	return alone
}

// hasRequests reports whether there are requests that wait for what this node does beside them.
func (n *Node) hasRequests() bool {
	last := n.lastRequest.Load()
	return last > 0 && time.Since(n.opened)-time.Duration(last) < requestsLast
}

// giveWayMost is for how long at most one piece waits: where requests never cease, the
// cluster's own work goes on between them.
const giveWayMost = 10 * time.Millisecond

// requests counts the operations of somebody that are on their way through this node:
// its own, and with the leader those of the others. What the cluster does by itself waits
// until there are none.
type requests struct {
	mu   sync.Mutex
	open int
	none chan struct{} // of those who wait; closed when none is open any more
}

// begin counts what of ops is somebody's, until end is called.
func (r *requests) begin(ops ...store.Op) (end func()) {
	some := 0
	for i := range ops {
		if ops[i].Actor != 0 {
			some++
		}
	}
	r.add(some)
	return func() { r.add(-some) }
}

func (r *requests) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open += n; r.open == 0 && r.none != nil {
		close(r.none)
		r.none = nil
	}
}

// giveWay returns when none is open, or that time is up.
func (r *requests) giveWay(ctx context.Context, most time.Duration) {
	r.mu.Lock()
	if r.open == 0 {
		r.mu.Unlock()
		return
	}
	if r.none == nil {
		r.none = make(chan struct{})
	}
	none := r.none
	r.mu.Unlock()
	up := time.NewTimer(most)
	defer up.Stop()
	select {
	case <-none:
	case <-up.C:
	case <-ctx.Done():
	}
}
