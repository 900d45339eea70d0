package store

import (
	"bytes"
	"context"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// aheadAtOnce is of how many bundles the rows are read ahead together.
const aheadAtOnce = 2048

// Ahead reads from the file what the sweeps to come will look up, before they do: they
// are Applies, and years may have passed since anybody looked. It is for one goroutine
// of every node.
type Ahead struct {
	m *Machine
	// behind is where the last read ended in the expiry table, and middle a row in
	// the middle of it: while that stands, enough has been read.
	behind, middle []byte
	atOnce         int
}

// Ahead begins at the beginning of the expiry table.
func (m *Machine) Ahead() *Ahead { return &Ahead{m: m, atOnce: aheadAtOnce} }

// Read reads a little further, if sweeps have come near to what was read last. An error
// is of the expiry table itself.
func (a *Ahead) Read(ctx context.Context) error {
	a.m.mu.RLock()
	first, now := a.m.ends, a.m.clock.Now
	a.m.mu.RUnlock()
	if a.middle != nil {
		row, err := a.m.idx.Get(tExpiry, a.middle)
		if err != nil || row != nil {
			return err
		}
	}
	if bytes.Compare(a.behind, first) < 0 {
		a.behind = first
	}
	var rows, bundles [][]byte
	err := a.m.idx.Ascend(tExpiry, a.behind, key64(uint64(now)+1), func(k, v []byte) (bool, error) {
		rows, bundles = append(rows, slices.Clone(k)), append(bundles, slices.Clone(v))
		return len(rows) < a.atOnce, nil
	})
	if err != nil || len(rows) == 0 {
		a.middle = nil
		return err
	}
	a.middle, a.behind = rows[len(rows)/2], after(rows[len(rows)-1])
	ends := make([][]byte, len(rows))
	for i, k := range rows {
		ends[i] = k[len(k)-8:] // the STORE sequence
	}
	slices.SortFunc(ends, bytes.Compare)
	a.m.idx.Ahead(ctx, tEnded, ends)
	return a.m.bundlesAhead(ctx, bundles)
}

// bundlesAhead reads the pages of bundles' rows, and those where the records of their
// transactions are listed, into which the index file's next commit writes.
func (m *Machine) bundlesAhead(ctx context.Context, bundles [][]byte) error {
	slices.SortFunc(bundles, bytes.Compare)
	m.idx.Ahead(ctx, tBundle, bundles)
	transactions := make([][]byte, len(bundles))
	for i, encoded := range bundles {
		k, err := format.DecodeBundleKey(encoded)
		if err != nil {
			return err
		}
		transactions[i] = transactionKey(k.Institution, k.Transaction)
	}
	slices.SortFunc(transactions, bytes.Compare)
	m.idx.Ahead(ctx, tTransaction, transactions)
	return nil
}

// ErasuresAhead does so for PendingErasures and for what destroys these bundles.
func (m *Machine) ErasuresAhead(ctx context.Context, size, from uint64, limit int) error {
	waiting, err := m.endings(from, size, limit)
	if err != nil {
		return err
	}
	bundles := make([][]byte, len(waiting))
	for i, w := range waiting {
		bundles[i] = w.key.Encode()
	}
	return m.bundlesAhead(ctx, bundles)
}

// slotsAhead does so for where payload under these slots lies. Slots ascend.
func (m *Machine) slotsAhead(ctx context.Context, slots []format.Slot) {
	keys := make([][]byte, len(slots))
	for i, s := range slots {
		keys[i] = slotKey(s)
	}
	m.idx.Ahead(ctx, tRange, keys)
}
