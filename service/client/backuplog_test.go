package client_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// backupLog is a history with bundles that is backed up; whatever ended is not sent.
type backupLog struct {
	*fakeLog
	bundles map[uint64][]format.Chunk
	ended   map[uint64]bool
	whole   uint64                            // records below it are erased; 0: none
	spoil   func(*sagov1.BackupResponse, int) // changes the i-th message
	cut     int                               // breaks off before that message; 0: never
	// keys, when set, answers what comes between records and chunks; at a nil it
	// breaks off.
	keys func(r *sagov1.BackupRequest, begun uint64) []*sagov1.BackupResponse
	done []*sagov1.BackupDoneRequest

	serving sync.Mutex // held while a call is answered
}

// run is a backup whose answering has ended when it returns.
func (l *backupLog) run(cl *client.Client, dir string) (*client.BackupResult, error) {
	r, err := cl.Backup(l.t.Context(), client.BackupOptions{Dir: dir})
	l.serving.Lock()
	defer l.serving.Unlock()
	return r, err
}

func newBackupLog(t testing.TB, bundles int) *backupLog {
	l := &backupLog{fakeLog: &fakeLog{t: t, nodes: []signer{newSigner(t, "node1"), newSigner(t, "node2"), newSigner(t, "node3")}},
		bundles: map[uint64][]format.Chunk{}, ended: map[uint64]bool{}}
	for range bundles {
		l.store()
	}
	return l
}

func (l *backupLog) next() uint64 { return uint64(len(l.records)) }

func (l *backupLog) write(a format.Action, e format.Effect) uint64 {
	rec := format.Record{Sequence: l.next(), Action: a, Institution: 1, InstitutionSequence: l.next(), Transaction: "T", Part: 1, Effect: format.EncodeEffect(e)}
	l.add(rec.Encode())
	return rec.Sequence
}

// store writes a bundle of one to three chunks, and another record.
func (l *backupLog) store() uint64 {
	seq := l.next()
	slot := format.Slot{Block: format.ID{7}, Index: uint32(seq)}
	var chunks []format.Chunk
	var digests []format.Digest
	sealed := uint64(0)
	for i := range seq%3 + 1 {
		c := format.NewChunk(slot, uint32(i), bytes.Repeat([]byte{byte(seq), byte(i), 0xa5}, 300))
		chunks, digests, sealed = append(chunks, c), append(digests, c.Digest), sealed+uint64(len(c.Sealed))
	}
	l.bundles[seq] = chunks
	l.write(format.ActStore, format.StoreEffect{Definition: "MDS0000001", Rule: "P5Y", BasisKind: 1, Slot: slot, Sealed: sealed, Chunks: uint32(len(chunks)), Digest: format.BundleDigest(digests), Documents: 1})
	l.write(format.ActShow, format.BundleRef{Store: seq})
	return seq
}

func (l *backupLog) expire(store uint64) {
	l.write(format.ActExpire, format.BundleRef{Store: store})
	l.ended[store] = true
}

// messages are what an honest node sends, files of so many records.
func (l *backupLog) messages(r *sagov1.BackupRequest, file uint64) (out []*sagov1.BackupResponse) {
	from, known := r.GetRecords(), r.GetKnown()
	begun := l.write(format.ActBackup, format.BackupEffect{First: from})
	history := func() uint64 {
		size := l.next()
		note := &sagov1.BackupCheckpoint{Note: l.note(size), Sequence: begun + 1}
		if known > 0 && known < size {
			note.Consistency = l.consistency(known, size)
		}
		known = size
		out = append(out, &sagov1.BackupResponse{Part: &sagov1.BackupResponse_Checkpoint{Checkpoint: note}})
		if from == 0 && l.whole > 0 {
			out, from = append(out, l.beginning(size)...), l.whole
		}
		for from < size {
			end := min(from+file, size)
			m := &sagov1.BackupRecords{Ends: true, Consistency: l.consistency(end, size)}
			for _, encoded := range l.records[from:end] {
				m.Records = append(m.Records, bytes.Clone(encoded))
			}
			from = end
			out = append(out, &sagov1.BackupResponse{Part: &sagov1.BackupResponse_Records{Records: m}})
		}
		return size
	}
	size := history()
	if l.keys != nil {
		out = append(out, l.keys(r, begun)...)
	}
	for seq := r.GetPayload(); seq < size; seq++ {
		for _, c := range l.bundles[seq] {
			if !l.ended[seq] {
				m := &sagov1.BackupChunk{Store: seq, Header: c.Encode(), Sealed: bytes.Clone(c.Sealed)}
				out = append(out, &sagov1.BackupResponse{Part: &sagov1.BackupResponse_Chunk{Chunk: m}})
			}
		}
	}
	l.write(format.ActClock, nil)
	history()
	return out
}

// beginning stands for the records below whole, of which every STORE is carried.
func (l *backupLog) beginning(size uint64) (out []*sagov1.BackupResponse) {
	part := func(m *sagov1.BackupBeginning) {
		out = append(out, &sagov1.BackupResponse{Part: &sagov1.BackupResponse_Beginning{Beginning: m}})
	}
	part(&sagov1.BackupBeginning{Whole: l.whole, Decided: 9, Entry: 11})
	part(&sagov1.BackupBeginning{Base: [][]byte{[]byte("a base"), []byte("with rows")}})
	leaves := &sagov1.BackupBeginning{}
	last := &sagov1.BackupBeginning{Ends: true, Consistency: l.consistency(l.whole, size)}
	for seq, encoded := range l.records[:l.whole] {
		h := format.LeafHash(encoded)
		leaves.Leaves = append(leaves.Leaves, h[:]...)
		if l.bundles[uint64(seq)] != nil {
			last.Records = append(last.Records, bytes.Clone(encoded))
		}
	}
	part(leaves)
	part(last)
	return out
}

// client serves the log.
func (l *backupLog) client(memory client.Memory) *client.Client {
	ca := newAuthority(l.t, always)
	n := &node{history: history{log: l.fakeLog}, cluster: cluster{
		backup: func(r *sagov1.BackupRequest, s grpc.ServerStreamingServer[sagov1.BackupResponse]) error {
			l.serving.Lock()
			defer l.serving.Unlock()
			for i, m := range l.messages(r, 8) {
				if l.cut == i+1 || m == nil {
					return refusal(codes.Unavailable, "UNAVAILABLE", "broken off")
				}
				if l.spoil != nil {
					l.spoil(m, i)
				}
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return nil
		},
		done: func(r *sagov1.BackupDoneRequest) (*sagov1.BackupDoneResponse, error) {
			l.serving.Lock()
			defer l.serving.Unlock()
			l.done = append(l.done, r)
			return &sagov1.BackupDoneResponse{Sequence: l.write(format.ActBackup, format.BackupEffect{First: r.GetFirst(), End: r.GetEnd(), Size: r.GetSize(), Digest: format.Digest(r.GetDigest())})}, nil
		}}}
	return openContext(l.t, client.Context{
		Endpoints: []string{n.serve(l.t, ca.server(), ca.cert)}, Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client(),
		ClusterID: testCluster, Nodes: keys(l.nodes...), Memory: memory,
	})
}

func (l *backupLog) noteKeys() (out []format.NoteKey) {
	for _, k := range keys(l.nodes...) {
		out = append(out, format.NoteKey{Name: k.Name, Type: format.NoteECDSA, Key: k.PublicKey})
	}
	return out
}

func (l *backupLog) verify(dir string) (backup.Report, error) {
	return client.VerifyBackup(l.t.Context(), dir, l.noteKeys(), format.Origin(testCluster), nil)
}

// holds fails unless the backup has these bundles whole and nothing else of value.
func (l *backupLog) holds(dir string, alive int) {
	l.t.Helper()
	r, err := l.verify(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	if int(r.Bundles) != alive {
		l.t.Errorf("%d bundles, not %d", r.Bundles, alive)
	}
	for seq := range l.ended {
		for _, c := range l.bundles[seq] {
			if found := holding(l.t, dir, c.Sealed); found != "" {
				l.t.Errorf("%s holds ciphertext of the ended bundle of record %d", found, seq)
			}
		}
	}
}

func holding(t testing.TB, dir string, what []byte) (found string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, filepath.Join(dir, ".part")) {
		if raw, err := os.ReadFile(f); err == nil && bytes.Contains(raw, what) {
			return f
		}
	}
	return ""
}
