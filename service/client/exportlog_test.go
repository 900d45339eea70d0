package client_test

import (
	"crypto/x509"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// exportLog is a history, one of whose records is an EXPORT, and what an honest
// node sends of it.
type exportLog struct {
	t       *testing.T
	records [][]byte
	hashes  []tlog.Hash // stored, in tlog's order
	effect  format.ExportEffect
	x       uint64          // the EXPORT record
	kept    map[uint64]bool // below the minimum
	signers []signer
	note    string
	cluster format.ID
}

// began is the clock of the test history's first record.
var began = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// ownInstitution is the exporting auditor's.
const ownInstitution = 1

// newExportLog makes size records of three institutions, of which number x is the
// EXPORT. Kept lists what is left of the records below the effect's minimum.
func newExportLog(t *testing.T, size, x uint64, e format.ExportEffect, kept ...uint64) *exportLog {
	t.Helper()
	l := &exportLog{t: t, x: x, kept: map[uint64]bool{}, cluster: testCluster, signers: []signer{newSigner(t, "node1"), newSigner(t, "node2"), newSigner(t, "node3")}}
	for _, k := range kept {
		l.kept[k] = true
	}
	var own [3]uint64
	for i := range size {
		r := format.Record{Sequence: i, Clock: began + int64(i/4), Institution: uint32(i*7%3) % 3, Action: format.ActList, Entry: i + 1}
		if i == x {
			r.Institution, r.Action = ownInstitution, format.ActExport
			if e.Until == 0 {
				if e.End = i + 1; e.Scope == format.ExportInstitution {
					e.End = own[ownInstitution] + 1
				}
			}
			l.effect, r.Effect = e, format.EncodeEffect(e)
		}
		r.InstitutionSequence = own[r.Institution]
		own[r.Institution]++
		l.add(r.Encode())
	}
	root, err := tlog.TreeHash(int64(size), l)
	if err != nil {
		t.Fatal(err)
	}
	text := format.Checkpoint{Cluster: l.cluster, Size: size, Root: format.Digest(root), Entry: size + 1, Clock: began}.Text()
	l.note = text + "\n" + l.signers[0].line(t, text) + l.signers[2].line(t, text)
	return l
}

func (l *exportLog) add(encoded []byte) {
	more, err := tlog.StoredHashes(int64(len(l.records)), encoded, l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.records, l.hashes = append(l.records, encoded), append(l.hashes, more...)
}

func (l *exportLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

func (l *exportLog) tree() bool { return l.effect.Scope == format.ExportTree }

func stamp(us int64) *timestamppb.Timestamp {
	if us == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMicro(us))
}

// answer is what an honest node sends.
func (l *exportLog) answer(req *sagov1.ExportRequest) (out []*sagov1.ExportResponse) {
	size, e := uint64(len(l.records)), l.effect
	out = append(out, &sagov1.ExportResponse{Part: &sagov1.ExportResponse_Header{Header: &sagov1.ExportHeader{
		Sequence: l.x, First: e.First, End: e.End, Minimum: e.Minimum, Checkpoint: l.note, Institution: ownInstitution, InstitutionCode: "demo",
		Since: stamp(e.Since), Until: stamp(e.Until),
	}}})
	if l.tree() && req.GetNext() == 0 {
		for tile := range format.Tiles(size) {
			data, err := tlog.ReadTileData(tlog.Tile{H: 8, L: tile.Level, N: int64(tile.N), W: tile.Width}, l)
			if err != nil {
				l.t.Fatal(err)
			}
			out = append(out, &sagov1.ExportResponse{Part: &sagov1.ExportResponse_Tile{Tile: &sagov1.ExportTile{Level: uint32(tile.Level), Index: tile.N, Hashes: data}}})
		}
	}
	from, to := uint64(0), uint64(0)
	if l.tree() {
		from, to = e.Bundled(size)
	}
	for i, encoded := range l.records {
		rec, err := format.DecodeRecord(encoded)
		if err != nil {
			l.t.Fatal(err)
		}
		n, bundled := rec.Sequence, rec.Sequence >= from && rec.Sequence < to
		if !l.tree() {
			n = rec.InstitutionSequence
		}
		mine := l.tree() || rec.Institution == ownInstitution
		in := mine && n >= e.First && n < e.End && (n >= e.Minimum || l.kept[n])
		if n < req.GetNext() || !in && !bundled && uint64(i) != l.x {
			continue
		}
		out = append(out, l.message(&rec, encoded, in, bundled))
	}
	return out
}

func (l *exportLog) message(rec *format.Record, encoded []byte, in, bundled bool) *sagov1.ExportResponse {
	m := &sagov1.ExportRecord{Encoded: encoded, Bundled: bundled}
	if !bundled {
		path, err := tlog.ProveRecord(int64(len(l.records)), int64(rec.Sequence), l)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, h := range path {
			m.Path = append(m.Path, slices.Clone(h[:]))
		}
	}
	if in {
		leaf := format.LeafHash(encoded)
		m.Readable = &sagov1.HistoryRecord{
			Sequence: rec.Sequence, Time: stamp(rec.Clock), Action: rec.Action.String(), Institution: "demo", InstitutionSequence: rec.InstitutionSequence,
			Result: rec.Result.String(), Purpose: "감사 <evidence>", LeafHash: leaf[:], Detail: map[string]string{"b": "2", "a": "1"},
		}
	}
	return &sagov1.ExportResponse{Part: &sagov1.ExportResponse_Record{Record: m}}
}

// errGone is how a node breaks off.
var errGone = refusal(codes.Unavailable, "UNAVAILABLE", "going away")

// changed is what a node sends in the place of the honest answers.
type changed func(*sagov1.ExportRequest, []*sagov1.ExportResponse) ([]*sagov1.ExportResponse, error)

// node serves the log; change may spoil or cut off what it answers.
func (l *exportLog) node(change changed) *node {
	return &node{history: history{export: func(req *sagov1.ExportRequest, s grpc.ServerStreamingServer[sagov1.ExportResponse]) error {
		if req.GetResume() != 0 && (req.GetResume() != l.x+1 || req.GetCheckpointSize() != uint64(len(l.records))) || req.GetTree() != l.tree() {
			return refusal(codes.NotFound, "NOT_FOUND", "no such export")
		}
		var out []*sagov1.ExportResponse
		for _, m := range l.answer(req) {
			out = append(out, proto.CloneOf(m))
		}
		var err error
		if change != nil {
			out, err = change(req, out)
		}
		for _, m := range out {
			if err := s.Send(m); err != nil {
				return err
			}
		}
		return err
	}}}
}

// client opens a client of such a node.
func (l *exportLog) client(change changed) *client.Client {
	l.t.Helper()
	n := l.node(change)
	ca := newAuthority(l.t, always)
	return openContext(l.t, client.Context{
		Endpoints: []string{n.serve(l.t, ca.server(), ca.cert)}, Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client(),
		ClusterID: l.cluster, Nodes: keys(l.signers...),
	})
}

func (l *exportLog) options(dir string) client.ExportOptions {
	o := client.ExportOptions{Dir: dir, Tree: l.tree()}
	if e := l.effect; e.Since != 0 {
		o.Since = time.UnixMicro(e.Since)
	}
	if e := l.effect; e.Until != 0 {
		o.Until = time.UnixMicro(e.Until)
	}
	return o
}

// scratch is a directory in memory where there is one: what is checked does not
// depend on the disk, and every file of an export is synced.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sago-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return dir
}
