package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// What this node lacks, or holds damaged, comes from the peers: payload checked
// by its digest, keys by the mutual authentication of the connection.

// others lists the other nodes.
func (n *Node) others() []format.MemberRow {
	var out []format.MemberRow
	for _, m := range n.members() {
		if m.Number != n.own.number {
			out = append(out, m)
		}
	}
	return out
}

// errNowhere says that every voting member answered and none has what is asked for: it
// was lost, as in a restore without it, and waiting brings it to nobody.
var errNowhere = errors.New("no voting member has it")

// fetchBlocks installs announced key blocks that are not here, and answers those that
// are nowhere.
func (n *Node) fetchBlocks(ctx context.Context) (nowhere map[format.ID]bool, err error) {
	ids, err := n.store.BlockIDs()
	if err != nil {
		return nil, err
	}
	nowhere = map[format.ID]bool{}
	var errs []error
	for _, id := range ids {
		if n.store.HasBlock(id) {
			continue
		}
		if err := n.fetchBlock(ctx, id); errors.Is(err, errNowhere) {
			nowhere[id] = true
		} else {
			errs = append(errs, err)
		}
	}
	return nowhere, errors.Join(errs...)
}

// fetchBlock installs one block, put together from what the peers have: a slot
// that is damaged on one comes from another.
func (n *Node) fetchBlock(ctx context.Context, id format.ID) error {
	b := store.KeyBlock{ID: id}
	defer func() { b.Wipe() }()
	var missing map[uint32]bool
	var errs []error
	var without denials
	for _, m := range n.others() {
		part, bad, err := n.askBlock(ctx, m, id)
		none := status.Code(err) == codes.NotFound
		without.count(m, none)
		if none {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if b.Keys == nil {
			b, missing = part, bad
		} else {
			fillBlock(&b, missing, part, bad)
			part.Wipe()
		}
		for i := range missing {
			if lives, err := n.store.SlotLives(format.Slot{Block: id, Index: i}); err == nil && !lives {
				delete(missing, i) // InstallBlock clears it
			}
		}
		if len(missing) == 0 {
			return n.store.InstallBlock(b)
		}
	}
	if b.Keys != nil && len(errs) == 0 {
		// All were restored without some keys: the others are not to wait for these.
		b.Absent = make([]bool, len(b.Keys))
		for i := range missing {
			b.Absent[i] = true
		}
		n.tookAbsent.Store(true)
		return n.store.InstallBlock(b)
	}
	return fmt.Errorf("key block %x: no peer has it whole: %w", id[:4], errors.Join(append(errs, without.err())...))
}

// denials counts the voting members that have nothing of what they were asked for.
type denials struct{ asked, without int }

func (d *denials) count(m format.MemberRow, without bool) {
	if m.Current == (format.ID{}) {
		return
	}
	if d.asked++; without {
		d.without++
	}
}

func (d *denials) err() error {
	if d.asked == 0 || d.without < d.asked {
		return nil
	}
	return errNowhere
}

func fillBlock(b *store.KeyBlock, missing map[uint32]bool, part store.KeyBlock, bad map[uint32]bool) {
	for i := range missing {
		if !bad[i] && int(i) < len(part.Keys) && !part.Erased[i] {
			b.Keys[i], b.Erased[i] = part.Keys[i], false
			delete(missing, i)
		}
	}
}

// ChunkHeaders answers a bundle's chunk headers, from here or from a peer.
func (n *Node) ChunkHeaders(ctx context.Context, row *format.BundleRow) ([]format.ChunkHeader, error) {
	h, err := n.store.BundleChunks(row)
	if err == nil || !errors.Is(err, store.ErrMissing) {
		return h, err
	}
	errs := []error{err}
	for _, m := range n.others() {
		chunks, err := n.askChunks(ctx, m.Name, row.Slot, true)
		if err == nil {
			headers := make([]format.ChunkHeader, len(chunks))
			for i, c := range chunks {
				headers[i] = c.ChunkHeader
			}
			if h, err = store.ChooseChunks(row, headers); err == nil {
				n.heal.bundle(row)
				return h, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, &format.DamageError{File: "segments", Offset: -1, What: fmt.Sprintf("payload of the bundle stored by record %d", row.Store), Err: errors.Join(errs...)}
}

// askChunks asks one peer for a slot's chunks, or their headers.
func (n *Node) askChunks(ctx context.Context, name string, slot format.Slot, headersOnly bool) ([]format.Chunk, error) {
	c, err := n.peers.get(name)
	if err != nil {
		return nil, err
	}
	ctx, live := idle(ctx)
	defer live.stop()
	s, err := c.GetChunks(ctx, &nodev1.GetChunksRequest{Block: slot.Block[:], Slot: slot.Index, HeadersOnly: headersOnly})
	if err != nil {
		return nil, err
	}
	var out []format.Chunk
	for {
		r, err := s.Recv()
		live.touch()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", name, err)
		}
		h, err := format.DecodeChunkHeader(r.Header)
		if err != nil || h.Slot != slot {
			return nil, fmt.Errorf("node %s: malformed chunk", name)
		}
		if headersOnly {
			out = append(out, format.Chunk{ChunkHeader: h})
			continue
		}
		got := format.NewChunk(slot, h.Chunk, r.Sealed)
		if got.Digest != h.Digest {
			continue // damaged there as well
		}
		out = append(out, got)
	}
}

// FetchChunk answers a sealed chunk: the local copy, or a peer's when the local
// one is damaged or missing, which is then healed.
func (n *Node) FetchChunk(ctx context.Context, row *format.BundleRow, h format.ChunkHeader) ([]byte, error) {
	c, err := n.store.Chunk(h)
	if err == nil {
		return c.Sealed, nil
	}
	if n.store.Passed(row) {
		return nil, fmt.Errorf("chunk %d of the bundle stored by record %d: %w", h.Chunk, row.Store, store.ErrMissing)
	}
	n.foundPayload(row, err)
	errs := []error{err}
	for _, m := range n.others() {
		chunks, err := n.askChunks(ctx, m.Name, h.Slot, false)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, got := range chunks {
			if got.ChunkHeader == h {
				n.heal.bundle(row)
				return got.Sealed, nil
			}
		}
	}
	return nil, &format.DamageError{File: "segments", Offset: -1,
		What: fmt.Sprintf("chunk %d of the bundle stored by record %d", h.Chunk, row.Store), Err: errors.Join(errs...)}
}

// chosen are the chunks that make up the bundle: nothing else of what a peer
// sends is kept.
func chosen(row *format.BundleRow, chunks []format.Chunk) ([]format.Chunk, error) {
	headers := make([]format.ChunkHeader, len(chunks))
	for i, c := range chunks {
		headers[i] = c.ChunkHeader
	}
	picked, err := store.ChooseChunks(row, headers)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(chunks, func(c format.Chunk) bool { return !slices.Contains(picked, c.ChunkHeader) }), nil
}

// fetchBundle makes a bundle's payload whole on this node.
func (n *Node) fetchBundle(ctx context.Context, row *format.BundleRow) error {
	errs := []error{}
	var without denials
	for _, m := range n.others() {
		chunks, err := n.askChunks(ctx, m.Name, row.Slot, false)
		if err == nil {
			chunks, err = chosen(row, chunks)
		}
		without.count(m, errors.Is(err, store.ErrMissing))
		if err == nil && n.store.Room() == 0 {
			err = store.ErrFull // what is in the log takes the reserve, copies do not
		}
		if err == nil {
			err = n.store.AppendChunks(chunks)
		}
		if err == nil {
			if err = n.store.Holding(ctx, row); err == nil {
				return nil
			}
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("payload of the bundle stored by record %d: no peer has it whole: %w", row.Store, errors.Join(append(errs, without.err())...))
}

// watch ends a stream on which nothing has come for callTimeout: a peer may be
// connected and mute.
type watch struct {
	cancel context.CancelFunc
	timer  *time.Timer
}

func idle(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancel(ctx)
	return ctx, &watch{cancel, time.AfterFunc(callTimeout, cancel)}
}

func (w *watch) touch() { w.timer.Reset(callTimeout) }
func (w *watch) stop()  { w.timer.Stop(); w.cancel() }
