package client_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// keyLog is a history whose node sends a key archive with a backup that asks.
type keyLog struct {
	*backupLog
	holders []format.ArchiveHolder
	asked   []*sagov1.BackupRequest
	change  func(raw []byte) []byte // of the archive's bytes
	cutKeys bool                    // break off in the middle of it
	gap     uint64                  // records that it passes over
}

func newKeyLog(t *testing.T) *keyLog {
	l := &keyLog{backupLog: newBackupLog(t, 3)}
	for i := range 2 {
		key, err := keyarchive.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		public := keyarchive.PublicOf(key.PublicKey())
		l.holders = append(l.holders, format.ArchiveHolder{Person: uint64(i + 1), PublicKey: public[:]})
	}
	l.keys = l.archive
	return l
}

// archive is what is sent behind the first records.
func (l *keyLog) archive(r *sagov1.BackupRequest, begun uint64) (out []*sagov1.BackupResponse) {
	l.asked = append(l.asked, r)
	if !r.GetKeys() {
		return nil
	}
	var raw bytes.Buffer
	w, err := keyarchive.NewWriter(&raw, format.ArchiveHead{Cluster: testCluster, Period: format.ID{7}, From: r.GetArchived() + l.gap, Sequence: begun, Needed: 2}, l.holders)
	if err != nil {
		l.t.Error(err)
		return nil
	}
	for i := range uint32(4) {
		err = errors.Join(err, w.Add(format.Slot{Block: format.ID{7}, Index: i}, [32]byte{byte(i)}))
	}
	if err = errors.Join(err, w.End()); err != nil {
		l.t.Error(err)
	}
	b := raw.Bytes()
	if l.change != nil {
		b = l.change(b)
	}
	send := func(m *sagov1.BackupArchive) {
		out = append(out, &sagov1.BackupResponse{Part: &sagov1.BackupResponse_Archive{Archive: m}})
	}
	send(&sagov1.BackupArchive{Data: b[:100]})
	send(&sagov1.BackupArchive{Data: b[100:]})
	if l.cutKeys {
		return append(out, nil)
	}
	send(&sagov1.BackupArchive{Ends: true, Keys: 4})
	return out
}

func (l *keyLog) run(cl *client.Client, dir string) (*client.BackupResult, error) {
	r, err := cl.Backup(l.t.Context(), client.BackupOptions{Dir: dir, Keys: true})
	l.serving.Lock()
	defer l.serving.Unlock()
	return r, err
}

// TestBackupWithKeys: an archive takes its name whole; the next run asks for what
// came since; one that was cut short is fetched again and leaves nothing.
func TestBackupWithKeys(t *testing.T) {
	l := newKeyLog(t)
	dir := filepath.Join(t.TempDir(), "backup")
	cl := l.client(nil)
	l.cutKeys = true
	if _, err := l.run(cl, dir); err == nil {
		t.Fatal("an archive that was cut short was taken")
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "keys")); len(left) != 0 {
		t.Errorf("of an archive that was cut short is left: %v", left)
	}
	l.cutKeys = false
	first, err := l.run(cl, dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.run(cl, dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.Archive == nil || second.Archive == nil || second.Archive.Keys != 4 || second.Archive.Needed != 2 || second.Archive.Sequence <= first.Archive.Sequence {
		t.Fatalf("%+v, %+v", first.Archive, second.Archive)
	}
	last := l.asked[len(l.asked)-1]
	if last.GetArchived() != first.Archive.Sequence || format.ID(last.GetPeriod()) != (format.ID{7}) {
		t.Errorf("the second run says that it has %v", last)
	}
	if r, err := l.verify(dir); err != nil || r.Archives != 2 {
		t.Errorf("%d archives, %v", r.Archives, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "keys", "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	name := files[0]
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.verify(dir); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("a bent archive verifies: %v", err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := l.verify(dir); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("a missing archive is not missed: %v", err)
	}
}

// TestSpoiltKeyArchive: an archive that is not whole, not of this run or not of
// this cluster takes no name.
func TestSpoiltKeyArchive(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"a bit":     func(b []byte) []byte { b[len(b)-90] ^= 1; return b },
		"cut":       func(b []byte) []byte { return b[:len(b)-1] },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"of no key": func([]byte) []byte { return make([]byte, 300) },
	} {
		l := newKeyLog(t)
		l.change = change
		dir := filepath.Join(t.TempDir(), "backup")
		cl := l.client(nil)
		if _, err := l.run(cl, dir); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "keys")); len(left) != 0 {
			t.Errorf("%s: %v took a name", name, left)
		}
		l.change = nil
		if _, err := l.run(cl, dir); err != nil {
			t.Errorf("%s, then an honest one: %v", name, err)
		}
	}
	l := newKeyLog(t)
	dir := filepath.Join(t.TempDir(), "backup")
	for l.gap = range uint64(2) { // the second one begins behind where the first one ended
		if _, err := l.run(l.client(nil), dir); errors.Is(err, client.ErrIntegrity) != (l.gap > 0) {
			t.Errorf("an archive that passes over %d records: %v", l.gap, err)
		}
	}
	l.keys = nil // what was asked for does not come
	if _, err := l.run(l.client(nil), filepath.Join(t.TempDir(), "backup")); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("without an archive: %v", err)
	}
}
