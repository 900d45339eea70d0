package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func TestBackupAddsOnlyWhatIsNew(t *testing.T) {
	l := newBackupLog(t, 12)
	dir := filepath.Join(t.TempDir(), "b")
	cl := l.client(client.NewFileMemory(t.TempDir(), testCluster))
	first, err := l.run(cl, dir)
	if err != nil {
		t.Fatal(err)
	}
	l.holds(dir, 12)
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest"))
	if err != nil || first.Digest != sha256.Sum256(manifest) || !bytes.Equal(l.done[0].GetDigest(), first.Digest[:]) || first.Bundles != 12 {
		t.Errorf("%+v: %v", first, err)
	}
	l.store()
	l.expire(0) // of the first run
	l.expire(l.store())
	second, err := l.run(cl, dir)
	if err != nil {
		t.Fatal(err)
	}
	if second.First != first.End || second.Bundles != 1 {
		t.Errorf("%+v behind %+v", second, first)
	}
	l.holds(dir, 12)
	for seq := range l.bundles {
		if !l.ended[seq] && seq < first.Payload {
			l.expire(seq)
		}
	}
	if _, err := l.run(cl, dir); err != nil {
		t.Fatal(err)
	}
	l.holds(dir, 1)
	files, _ := filepath.Glob(filepath.Join(dir, "payload", "*"))
	if info, err := os.Stat(files[0]); err != nil || info.Size() != format.FileHeaderSize {
		t.Errorf("a file of which everything has ended is %d bytes: %v", info.Size(), err)
	}
}

// TestAnotherProcessRemembersMeanwhile: what one process of a person proves is held
// against what it asked with, not against what another one has remembered since.
func TestAnotherProcessRemembersMeanwhile(t *testing.T) {
	l, m := newBackupLog(t, 4), newMemory(t)
	cl := l.client(m)
	l.taken = []uint64{l.next()}
	if _, err := cl.Checkpoint(t.Context(), client.CheckpointQuery{}); err != nil {
		t.Fatal(err)
	}
	before := loaded(t, m)
	l.store()
	newer := l.note(l.next())
	l.spoil = func(_ *sagov1.BackupResponse, i int) {
		if i > 0 {
			return
		}
		if done, err := m.Swap(before, newer); err != nil || !done {
			t.Error(done, err)
		}
	}
	if _, err := l.run(cl, filepath.Join(t.TempDir(), "b")); err != nil {
		t.Fatal(err)
	}
}

// TestP68_ABackupGoesOnWhereItWasCut cuts a run before each of its messages.
func TestP68_ABackupGoesOnWhereItWasCut(t *testing.T) {
	l := newBackupLog(t, 9)
	l.whole = 5
	cl := l.client(nil)
	dir := filepath.Join(t.TempDir(), "b")
	for l.cut = 1; ; l.cut++ {
		r, err := l.run(cl, dir)
		if err == nil {
			if l.cut < 5 || r.First != 0 {
				t.Errorf("after %d cuts: %+v", l.cut, r)
			}
			break
		}
		if errors.Is(err, client.ErrIntegrity) || l.cut > 60 {
			t.Fatalf("cut %d: %v", l.cut, err)
		}
	}
	l.holds(dir, 9)
}

// TestP34_ABundleThatIsHeldBackIsNoBackup: a node that leaves out a bundle which has
// not ended does not pass.
func TestP34_ABundleThatIsHeldBackIsNoBackup(t *testing.T) {
	l := newBackupLog(t, 4)
	l.ended[2] = true // though no record says so
	dir := filepath.Join(t.TempDir(), "b")
	cl := l.client(nil)
	r, err := l.run(cl, dir)
	if !errors.Is(err, client.ErrIntegrity) || !strings.Contains(err.Error(), "record 2") || !slices.Equal(r.NewMissing, []uint64{2}) {
		t.Fatal(r, err)
	}
	// Once told, it stays on the list.
	if r, err = l.run(cl, dir); err != nil || !slices.Equal(r.Missing, []uint64{2}) || r.NewMissing != nil {
		t.Fatal(r, err)
	}
	if v, err := l.verify(dir); err != nil || !slices.Equal(v.Missing, []uint64{2}) || v.Bundles != 3 {
		t.Fatal(v, err)
	}
	l.expire(2)
	if r, err = l.run(cl, dir); err != nil || len(r.Missing) > 0 {
		t.Fatal(r, err)
	}
}

// TestABundleThatBreaksOffIsTakenBack: others come all the same.
func TestABundleThatBreaksOffIsTakenBack(t *testing.T) {
	l := newBackupLog(t, 9)
	l.spoil = func(m *sagov1.BackupResponse, _ int) {
		if c := m.GetChunk(); c != nil && c.GetStore() == 8 {
			h, err := format.DecodeChunkHeader(c.GetHeader())
			if c.Absent = err == nil && h.Chunk == 2; c.Absent {
				c.Header, c.Sealed = nil, nil
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "b")
	if r, err := l.run(l.client(nil), dir); err == nil || !slices.Equal(r.NewMissing, []uint64{8}) {
		t.Fatal(r, err)
	}
	l.holds(dir, 8)
}

// TestP47_ABackupIsReadAgainWhole bends every file of a backup at many places: its
// verification names the first damage.
func TestP47_ABackupIsReadAgainWhole(t *testing.T) {
	l := newBackupLog(t, 6)
	l.whole = 3
	dir := filepath.Join(t.TempDir(), "b")
	if _, err := l.run(l.client(nil), dir); err != nil {
		t.Fatal(err)
	}
	var files []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		whole, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		change := func(what string, b []byte) {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := l.verify(dir); !errors.Is(err, client.ErrIntegrity) && !errors.Is(err, client.ErrBackupDirectory) {
				t.Errorf("%s, %s: %v", f, what, err)
			}
		}
		for at := 0; at < len(whole); at += max(1, len(whole)/40) {
			bent := slices.Clone(whole)
			bent[at] ^= 4
			change(fmt.Sprint("a bit at ", at), bent)
		}
		change("cut", whole[:len(whole)-1])
		change("longer", append(slices.Clone(whole), 0))
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
		if _, err := l.verify(dir); err == nil {
			t.Errorf("%s: gone, and nobody missed it", f)
		}
		if err := os.WriteFile(f, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.holds(dir, 6)
	if _, err := client.VerifyBackup(context.Background(), dir, l.noteKeys()[2:], format.Origin(testCluster), nil); err == nil {
		t.Error("verified by keys that did not sign")
	}
}

func TestABackupGoesIntoItsOwnDirectory(t *testing.T) {
	l := newBackupLog(t, 1)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photos"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.run(l.client(nil), dir); !errors.Is(err, client.ErrBackupDirectory) {
		t.Error(err)
	}
}
