package client_test

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// fakeLog is a history that three nodes sign, as an appliance shows it; tamper
// changes what it answers.
type fakeLog struct {
	t       testing.TB
	nodes   []signer
	records [][]byte
	hashes  []tlog.Hash
	taken   []uint64 // sizes of the checkpoints that there are, ascending
	tamper  func(proto.Message)
	asked   int // checkpoints, proofs and receipts
}

func newLog(t testing.TB, records int) *fakeLog {
	l := &fakeLog{t: t, nodes: []signer{newSigner(t, "node1"), newSigner(t, "node2"), newSigner(t, "node3")}}
	l.grow(records, "T")
	return l
}

// grow adds records, which differ by name, and takes a checkpoint.
func (l *fakeLog) grow(n int, name string) {
	for range n {
		seq := uint64(len(l.records))
		rec := format.Record{Sequence: seq, Action: format.ActStore, Institution: 1, InstitutionSequence: seq, Transaction: name}
		l.add(rec.Encode())
	}
	l.taken = append(l.taken, uint64(len(l.records)))
}

func (l *fakeLog) add(encoded []byte) {
	added, err := tlog.StoredHashes(int64(len(l.records)), encoded, l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.records, l.hashes = append(l.records, encoded), append(l.hashes, added...)
}

// fork is the same log under the same keys, cut back to size records.
func (l *fakeLog) fork(size int) *fakeLog {
	f := &fakeLog{t: l.t, nodes: l.nodes}
	for _, encoded := range l.records[:size] {
		f.add(encoded)
	}
	for _, s := range l.taken {
		if s <= uint64(size) {
			f.taken = append(f.taken, s)
		}
	}
	return f
}

// ReadHashes implements tlog.HashReader.
func (l *fakeLog) ReadHashes(indexes []int64) (out []tlog.Hash, _ error) {
	for _, i := range indexes {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

func (l *fakeLog) checkpoint(size uint64) format.Checkpoint {
	root, err := tlog.TreeHash(int64(size), l)
	if err != nil {
		l.t.Fatal(err)
	}
	return format.Checkpoint{Cluster: testCluster, Size: size, Root: format.Digest(root), Entry: 3 * size, Clock: 1_800_000_000_000_000}
}

// note is signed by the first two of three.
func (l *fakeLog) note(size uint64) string { return l.signedBy(size, l.nodes[:2]...) }

func (l *fakeLog) signedBy(size uint64, by ...signer) string {
	text := l.checkpoint(size).Text()
	var b strings.Builder
	b.WriteString(text + "\n")
	for _, s := range by {
		b.WriteString(s.line(l.t, text))
	}
	return b.String()
}

func (l *fakeLog) answer(m proto.Message) {
	if l.tamper != nil {
		l.tamper(m)
	}
}

// covering is the least checkpoint above a sequence, or 0.
func (l *fakeLog) covering(sequence uint64) uint64 {
	for _, s := range l.taken {
		if s > sequence {
			return s
		}
	}
	return 0
}

func (l *fakeLog) proof(sequence, size uint64) *sagov1.RecordProof {
	path, err := tlog.ProveRecord(int64(size), int64(sequence), l)
	if err != nil {
		l.t.Fatal(err)
	}
	leaf := format.LeafHash(l.records[sequence])
	p := &sagov1.RecordProof{Sequence: sequence, LeafHash: leaf[:], Checkpoint: l.note(size)}
	for i := range path {
		p.Path = append(p.Path, path[i][:])
	}
	return p
}

func (l *fakeLog) consistency(old, size uint64) (out [][]byte) {
	p, err := tlog.ProveTree(int64(size), int64(old), l)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range p {
		out = append(out, p[i][:])
	}
	return out
}

var (
	errNotCovered = refusal(codes.Unavailable, "NOT_COVERED", "no checkpoint covers it yet")
	errNotFound   = refusal(codes.NotFound, "NOT_FOUND", "no record has this number")
)

func (h history) Checkpoint(ctx context.Context, r *sagov1.CheckpointRequest) (*sagov1.CheckpointResponse, error) {
	l := h.log
	if l == nil {
		return h.UnimplementedHistoryServiceServer.Checkpoint(ctx, r)
	}
	l.asked++
	var size uint64
	switch {
	case r.Size != nil:
		size = r.GetSize()
	case r.Covering != nil:
		if r.GetCovering() >= uint64(len(l.records)) {
			return nil, errNotFound
		}
		if size = l.covering(r.GetCovering()); size == 0 {
			return nil, errNotCovered
		}
	case len(l.taken) == 0:
		return nil, refusal(codes.Unavailable, "NO_CHECKPOINT", "there is none yet")
	default:
		size = l.taken[len(l.taken)-1]
	}
	a := &sagov1.CheckpointResponse{Note: l.note(size)}
	if r.GetKnown() > 0 && r.GetKnown() < size {
		a.Consistency = l.consistency(r.GetKnown(), size)
	}
	l.answer(a)
	return a, nil
}

func (h history) Prove(_ context.Context, r *sagov1.ProveRequest) (*sagov1.ProveResponse, error) {
	size := r.GetSize()
	if size == 0 {
		size = h.log.covering(r.GetSequence())
	}
	h.log.asked++
	a := &sagov1.ProveResponse{Encoded: h.log.records[r.GetSequence()], Proof: h.log.proof(r.GetSequence(), size)}
	h.log.answer(a)
	return a, nil
}

func (h history) Receipt(_ context.Context, r *sagov1.ReceiptRequest) (*sagov1.ReceiptResponse, error) {
	h.log.asked++
	leaf := format.LeafHash(h.log.records[r.GetSequence()])
	if string(leaf[:]) != string(r.GetLeafHash()) {
		return nil, errNotFound
	}
	size := h.log.covering(r.GetSequence())
	if size == 0 {
		h.log.grow(3, "meanwhile") // covers it for the next call
		return nil, errNotCovered
	}
	a := &sagov1.ReceiptResponse{Proof: h.log.proof(r.GetSequence(), size)}
	h.log.answer(a)
	return a, nil
}

func (h history) Consistency(_ context.Context, r *sagov1.ConsistencyRequest) (*sagov1.ConsistencyResponse, error) {
	if r.GetNew() > uint64(len(h.log.records)) {
		return nil, errNotFound
	}
	a := &sagov1.ConsistencyResponse{Proof: h.log.consistency(r.GetOld(), r.GetNew()), New: r.GetNew()}
	h.log.answer(a)
	return a, nil
}

// client serves the log and opens a client of it with a memory, nil for none.
func (l *fakeLog) client(memory client.Memory) *client.Client {
	known := l.context()
	known.Memory = memory
	return openContext(l.t, known)
}

// context serves the log.
func (l *fakeLog) context() client.Context {
	ca := newAuthority(l.t, always)
	n := &node{history: history{log: l}}
	return client.Context{
		Endpoints: []string{n.serve(l.t, ca.server(), ca.cert)}, Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client(),
		ClusterID: testCluster, Nodes: keys(l.nodes...),
	}
}
