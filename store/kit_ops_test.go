package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// id is a fresh operation id.
func (w *world) id() format.ID {
	w.serial++
	var id format.ID
	binary.BigEndian.PutUint64(id[8:], w.serial)
	id[0] = 0x0F
	return id
}

// op is an operation of node 1 that has just been built.
func (w *world) op(k Kind, e format.Effect) Op {
	return Op{Kind: k, ID: w.id(), BuiltAt: w.next - 1, Front: 1, Body: format.EncodeEffect(e)}
}

// about is an operation of a person on a bundle.
func (w *world) about(k Kind, actor uint64, transaction string, e format.Effect) Op {
	op := w.op(k, e)
	op.Actor, op.Institution, op.Transaction, op.Part = actor, 1, transaction, 1
	return op
}

// commit appends an entry of one operation to the log, applies it on every node
// and answers its result.
func (w *world) commit(op Op, chunks ...format.Chunk) Result {
	w.Helper()
	return w.commitAll([]Op{op}, chunks...)[0]
}

func (w *world) commitAll(ops []Op, chunks ...format.Chunk) []Result {
	w.Helper()
	e := logged{Entry{Index: w.next, Ops: ops}, chunks}
	w.log = append(w.log, e)
	w.next++
	var first []Result
	for i, n := range w.nodes {
		r := n.apply(e)
		if i == 0 {
			first = r
		}
		for j := range r {
			a, b := first[j], r[j]
			if a.Outcome != b.Outcome || a.Reason != b.Reason || a.Sequence != b.Sequence || a.Leaf != b.Leaf || a.Clock != b.Clock {
				w.Fatalf("entry %d, operation %d: %+v here, %+v there", e.Index, j, a, b)
			}
		}
	}
	return first
}

// skip lets entries pass that carry no operations.
func (w *world) skip(n uint64) { w.next += n }

func (w *world) accept(r Result) Result {
	w.Helper()
	if r.Outcome != Accepted {
		w.Fatalf("refused: %s %s", r.Reason, r.Why)
	}
	return r
}

func (w *world) refuse(r Result, reason format.Reason) {
	w.Helper()
	if r.Outcome != Refused || r.Reason != reason {
		w.Fatalf("outcome %d %s (%s) where %s belongs", r.Outcome, r.Reason, r.Why, reason)
	}
}

// addBlock announces a new key block of node 1 and takes slots from it from now on.
func (w *world) addBlock(slots int) {
	w.Helper()
	b, err := NewBlock(rand.Reader, 1, slots)
	w.must(err)
	for _, n := range w.nodes {
		w.must(n.InstallBlock(b))
	}
	w.blocks = append(w.blocks, b)
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeyAnnounce, Block: b.ID, Owner: 1, Start: format.ID{5}, Slots: uint32(slots)})))
	w.block, w.used = b, 0
}

func (w *world) slot() format.Slot {
	w.Helper()
	if int(w.used) == len(w.block.Keys) {
		w.addBlock(64)
	}
	w.used++
	return format.Slot{Block: w.block.ID, Index: w.used - 1}
}

// sealed seals content under a slot.
func (w *world) sealed(slot format.Slot, content []byte) ([]format.Chunk, format.StoreEffect) {
	w.Helper()
	var chunks []format.Chunk
	seal, err := w.nodes[0].NewBundleSeal(slot, func(c format.Chunk) error { chunks = append(chunks, c); return nil })
	w.must(err)
	_, err = seal.Write(content)
	w.must(err)
	sum := format.Digest(sha256.Sum256(content))
	last, e, err := seal.Finish(format.Description{Fingerprint: sum, Basis: "law", Documents: []format.Document{{Name: "d", Size: uint64(len(content)), Digest: sum}}})
	w.must(err)
	e.Definition, e.BasisKind = mds, 1
	e.Subject, err = w.nodes[0].SubjectRef(1, "CI")
	w.must(err)
	return append(chunks, last), e
}

// storeOp is a STORE of content, with its sealed detail.
func (w *world) storeOp(transaction, rule string, content []byte) (Op, []format.Chunk) {
	w.Helper()
	chunks, e := w.sealed(w.slot(), content)
	e.Rule = rule
	op := w.about(KindStore, app, transaction, e)
	var err error
	op.DetailClass = format.DetailOther
	op.DetailEpoch, op.Detail, err = w.nodes[0].SealDetail(1, format.DetailOther, op.ID, format.Detail{Basis: "law"})
	w.must(err)
	return op, chunks
}

func content(transaction string) []byte {
	return bytes.Repeat([]byte("plain text of "+transaction+"; "), 20)
}

// put stores a bundle with the transaction's own content.
func (w *world) put(transaction, rule string) Result {
	w.Helper()
	op, chunks := w.storeOp(transaction, rule, content(transaction))
	return w.accept(w.commit(op, chunks...))
}

func keyOfBundle(transaction string) format.BundleKey {
	return format.BundleKey{Institution: 1, Transaction: transaction, Part: 1}
}

func (n *node) row(transaction string) *format.BundleRow {
	n.w.Helper()
	b, err := n.Bundle(keyOfBundle(transaction))
	n.w.must(err)
	if b == nil {
		n.w.Fatalf("no bundle %s", transaction)
	}
	return b
}

// plain reads a bundle's bytes on this node.
func (n *node) plain(transaction string) ([]byte, error) {
	n.w.Helper()
	row := n.row(transaction)
	headers, err := n.BundleChunks(row)
	if err != nil {
		return nil, err
	}
	b, err := n.OpenBundle(row, headers, func(h format.ChunkHeader) ([]byte, error) {
		c, err := n.Chunk(h)
		return c.Sealed, err
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = b.WriteTo(&out)
	return out.Bytes(), err
}

// readable insists that a bundle reads as it was written, on every node.
func (w *world) readable(transaction string) {
	w.Helper()
	for _, n := range w.nodes {
		if got, err := n.plain(transaction); err != nil || !bytes.Equal(got, content(transaction)) {
			w.Fatalf("%s on %s: %d bytes, %v", transaction, n.dir, len(got), err)
		}
	}
}

// vote is a voter's signed word at the tests' time.
func (w *world) vote(voter uint32, at int64) format.SignedVote {
	i := voter - 1
	v := format.SignedVote{Voter: voter, Incarnation: w.incs[i], Round: w.nodes[0].Summary().Clock.Round, Earliest: base + at, Latest: base + at + 1000,
		BootID: w.boots[i], BootReading: 1_000_000_000 + at*1000, Commit: w.next - 1, Size: w.nodes[0].Summary().Size}
	return w.signed(v)
}

func (w *world) signed(v format.SignedVote) format.SignedVote {
	v.Signature = sign(w, w.keys[v.Voter-1], v.Message(w.cluster))
	return v
}

// tick moves the clock on by so many microseconds.
func (w *world) tick(by int64) {
	w.Helper()
	w.now += by
	w.accept(w.commit(w.op(KindClock, format.ClockEffect{Votes: []format.SignedVote{w.vote(1, w.now), w.vote(2, w.now), w.vote(3, w.now)}})))
}

// began ticks twice, so that what was stored before has its start.
func (w *world) began() { w.Helper(); w.tick(1000); w.tick(1000) }

func (w *world) sweep(limit uint32) Result {
	w.Helper()
	return w.accept(w.commit(w.sweepOp(limit)))
}

func (w *world) sweepOp(limit uint32) Op {
	op := w.op(KindSweep, nil)
	op.Body = key32(limit)
	return op
}

// mark takes a MARK and answers what all nodes computed.
func (w *world) mark() format.Checkpoint {
	w.Helper()
	at := w.next
	w.accept(w.commit(w.op(KindMark, nil)))
	c, ok := w.nodes[0].Mark(at)
	if !ok {
		w.Fatalf("no mark at entry %d", at)
	}
	return c
}

func (w *world) cosigned(c format.Checkpoint, by ...uint32) format.CheckpointEffect {
	e := format.CheckpointEffect{Checkpoint: c}
	for _, n := range by {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: n, Incarnation: w.incs[n-1], Signature: sign(w, w.keys[n-1], []byte(c.Text()))})
	}
	return e
}

func (w *world) checkpoint() format.CheckpointEffect {
	w.Helper()
	e := w.cosigned(w.mark(), 1, 2)
	w.accept(w.commit(w.op(KindCheckpoint, e)))
	return e
}

// pending is what a voter has still to destroy.
func (n *node) pending(voter uint32) ([]PendingErasure, []PendingBlock) {
	n.w.Helper()
	size := n.Summary().Checkpoint.Checkpoint.Size
	bundles, _, err := n.PendingErasures(voter, size, 0, 1000)
	n.w.must(err)
	blocks, err := n.PendingBlocks(voter, size)
	n.w.must(err)
	return bundles, blocks
}

// destroy destroys what is pending here.
func (n *node) destroy() {
	n.w.Helper()
	bundles, blocks := n.pending(n.number)
	n.w.must(n.Destroy(context.Background(), bundles, append(blocks, n.spentDue(n.number)...)))
}

// spentDue is the spent slots that a voter has still to destroy.
func (n *node) spentDue(voter uint32) []PendingBlock {
	n.w.Helper()
	spent, err := n.PendingSpent(voter, n.Summary().Checkpoint.Checkpoint.Size, 1000)
	n.w.must(err)
	return spent
}

// attestation is a voter's word about what e names.
func (w *world) attestation(voter uint32, e format.AttestEffect) format.AttestEffect {
	e.Node, e.Incarnation = voter, w.incs[voter-1]
	e.Signature = sign(w, w.keys[voter-1], e.Message(w.cluster))
	return e
}

// attest commits a voter's word about all that is pending.
func (w *world) attest(voter uint32) {
	w.Helper()
	bundles, blocks := w.nodes[0].pending(voter)
	var said []format.AttestEffect
	for _, b := range bundles {
		if b.Apart {
			said = append(said, format.AttestEffect{From: b.Decision})
		}
		said[len(said)-1].To = b.Decision + 1
	}
	var rest format.AttestEffect
	for _, s := range w.nodes[0].spentDue(voter) {
		rest.Keys = append(rest.Keys, s.Decision)
	}
	for _, b := range blocks {
		rest.Blocks = append(rest.Blocks, b.ID)
	}
	if len(rest.Keys)+len(rest.Blocks) > 0 {
		said = append(said, rest)
	}
	for _, e := range said {
		w.accept(w.commit(w.op(KindAttest, w.attestation(voter, e))))
	}
}

// logical is a digest over every row of the state.
func (n *node) logical() format.Digest {
	n.w.Helper()
	h := sha256.New()
	for t := tMeta; t <= lastLogical; t++ {
		n.w.must(n.idx.Ascend(t, nil, nil, func(k, v []byte) (bool, error) {
			fmt.Fprintf(h, "%d %x %x\n", t, k, v)
			return true, nil
		}))
	}
	return format.Digest(h.Sum(nil))
}

// standing is everything that equal replicas have in common.
type standing struct {
	size              uint64
	root, state, rows format.Digest
	now               int64
}

func (n *node) standing() standing {
	n.w.Helper()
	s := n.Summary()
	n.w.must(s.Failed)
	n.remembers()
	root, err := n.RootAt(s.Size)
	n.w.must(err)
	return standing{s.Size, root, s.State, n.logical(), s.Clock.Now}
}

// remembers insists that the bundle that the Machine keeps in mind is as it stands.
func (n *node) remembers() {
	n.w.Helper()
	if n.recent.key == nil {
		return
	}
	key, err := format.DecodeBundleKey(n.recent.key)
	n.w.must(err)
	b, err := n.bundleAt(key)
	n.w.must(err)
	if !bytes.Equal(b.encoded, n.recent.encoded) || b.row.BundleEnd != n.recent.row.BundleEnd {
		n.w.Fatalf("%v is remembered as %+v and stands as %+v", key, n.recent.row, b.row)
	}
}

// equal insists that all nodes stand alike, and answers where.
func (w *world) equal() standing {
	w.Helper()
	first := w.nodes[0].standing()
	for _, n := range w.nodes[1:] {
		if s := n.standing(); s != first {
			w.Fatalf("%s stands at %+v, %s at %+v", w.nodes[0].dir, first, n.dir, s)
		}
	}
	return first
}

// records decodes the history from a sequence on.
func (n *node) records(from uint64) []format.Record {
	n.w.Helper()
	var out []format.Record
	n.w.must(n.History(context.Background(), from, n.Summary().Size, func(_ uint64, encoded []byte) error {
		r, err := format.DecodeRecord(encoded)
		out = append(out, r)
		return err
	}))
	return out
}
