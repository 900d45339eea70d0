package client

import (
	"context"
	"errors"
	"io"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// packSize is the length in bytes beyond which a payload file is closed.
const packSize = 64 << 20

// takeChunk takes in a bundle's next chunk. STORE records whose bundle does not
// come have ended; Finish insists on it.
func (r *backupRun) takeChunk(ctx context.Context, m *sagov1.BackupChunk) (err error) {
	if !r.behindRecords() || r.archive != nil {
		return integrity("a chunk comes before its records")
	}
	if r.payload == nil {
		if r.payload, err = r.dir.NewPayload(); err != nil {
			return err
		}
	}
	if r.stores == nil {
		r.stores, r.stop = r.dir.NextStore(ctx, r.dir.Payload(), r.covered)
	}
	if m.GetAbsent() {
		return r.absent(m.GetStore())
	}
	if r.store == 0 {
		if err := r.beginBundle(m.GetStore()); err != nil {
			return err
		}
	}
	h, err := format.DecodeChunkHeader(m.GetHeader())
	if err != nil || r.store != m.GetStore()+1 {
		return integrity("a chunk of the bundle of record %d does not belong there: %v", m.GetStore(), err)
	}
	whole, err := r.payload.Chunk(h, m.GetSealed())
	if err != nil || !whole {
		return err
	}
	r.store = 0
	r.bundles++
	if r.payload.Size() < packSize {
		return nil
	}
	w := r.payload
	r.payload = nil
	err = w.Publish(m.GetStore() + 1)
	r.progress(r.covered + r.dir.Payload())
	return err
}

// absent takes back what came of a bundle. Finish finds out what it means.
func (r *backupRun) absent(store uint64) error {
	switch r.store {
	case 0:
		return nil
	case store + 1:
		r.store = 0
		return r.payload.Abandon()
	}
	return integrity("the bundle of record %d is not whole", r.store-1)
}

// beginBundle finds the STORE record of the bundle that comes next.
func (r *backupRun) beginBundle(store uint64) error {
	for {
		next, err := r.stores()
		if errors.Is(err, io.EOF) || err == nil && next.Sequence > store {
			return integrity("a bundle of record %d, which stored none", store)
		}
		if err != nil {
			return err
		}
		if next.Sequence == store {
			r.store = store + 1
			return r.payload.Bundle(store, next.StoreEffect)
		}
	}
}

// endPayload closes the payload behind the last bundle.
func (r *backupRun) endPayload() (err error) {
	if r.store != 0 {
		return integrity("the bundle of record %d is not whole", r.store-1)
	}
	if r.payload == nil && r.dir.Payload() >= r.covered {
		return nil
	}
	w := r.payload
	if r.payload = nil; w == nil {
		if w, err = r.dir.NewPayload(); err != nil {
			return err
		}
	}
	return w.Publish(r.covered)
}
