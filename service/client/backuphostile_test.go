package client_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// TestP54_AHostileNodeSpoilsNoBackup changes each message in every way; nothing
// unverified takes a name, and an honest node goes on.
func TestP54_AHostileNodeSpoilsNoBackup(t *testing.T) {
	ways := map[string]func(*backupLog, *sagov1.BackupResponse) bool{
		"a bit of a record":   onRecords(func(m *sagov1.BackupRecords) { bend(m.Records[0]) }),
		"a record left out":   onRecords(func(m *sagov1.BackupRecords) { m.Records = m.Records[1:] }),
		"records swapped":     onRecords(func(m *sagov1.BackupRecords) { m.Records[0], m.Records[1] = m.Records[1], m.Records[0] }),
		"no proof":            onRecords(func(m *sagov1.BackupRecords) { m.Consistency = [][]byte{make([]byte, 32)} }),
		"a torn proof":        onRecords(func(m *sagov1.BackupRecords) { m.Consistency = [][]byte{{1}} }),
		"another actor":       onRecords(func(m *sagov1.BackupRecords) { m.Records[0] = otherActor(m.Records[0]) }),
		"a bit of ciphertext": onChunk(func(m *sagov1.BackupChunk) { bend(m.Sealed) }),
		"short ciphertext":    onChunk(func(m *sagov1.BackupChunk) { m.Sealed = m.Sealed[1:] }),
		"a bit of a head":     onChunk(func(m *sagov1.BackupChunk) { bend(m.Header) }),
		"another bundle's":    onChunk(func(m *sagov1.BackupChunk) { m.Store += 2 }),
		"of no STORE record":  onChunk(func(m *sagov1.BackupChunk) { m.Store++ }),
		"other text, its digest": onChunk(func(m *sagov1.BackupChunk) {
			h, _ := format.DecodeChunkHeader(m.Header)
			c := format.NewChunk(h.Slot, h.Chunk, bytes.Repeat([]byte{1}, len(m.Sealed)))
			m.Header, m.Sealed = c.Encode(), c.Sealed
		}),
		"an unsigned checkpoint": onNote(func(l *backupLog, m *sagov1.BackupCheckpoint) { m.Note = l.signedBy(l.next(), l.nodes[0]) }),
		"an old checkpoint":      onNote(func(l *backupLog, m *sagov1.BackupCheckpoint) { m.Note = l.note(3) }),
		"of no BACKUP record":    onNote(func(_ *backupLog, m *sagov1.BackupCheckpoint) { m.Sequence = 0 }),
		"nothing at all":         func(_ *backupLog, m *sagov1.BackupResponse) bool { m.Part = nil; return true },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for _, at := range []int{0, 1, 6} {
				l := newBackupLog(t, 6)
				met := false
				n := 0
				l.spoil = func(m *sagov1.BackupResponse, _ int) {
					if met {
						return
					}
					spoilt := proto.CloneOf(m)
					if way(l, spoilt) {
						if n == at {
							proto.Reset(m)
							proto.Merge(m, spoilt)
							met = true
						}
						n++
					}
				}
				dir := filepath.Join(t.TempDir(), "b")
				cl := l.client(nil)
				_, err := l.run(cl, dir)
				if met && !errors.Is(err, client.ErrIntegrity) || !met && err != nil {
					t.Fatalf("at %d: %v", at, err)
				}
				if met {
					if _, err := os.Stat(filepath.Join(dir, "manifest")); err == nil {
						t.Errorf("at %d: the run is called whole", at)
					}
				}
				l.spoil = nil
				if _, err := l.run(cl, dir); err != nil {
					t.Fatalf("at %d, then honest: %v", at, err)
				}
				l.holds(dir, 6)
			}
		})
	}
}

func onRecords(change func(*sagov1.BackupRecords)) func(*backupLog, *sagov1.BackupResponse) bool {
	return func(_ *backupLog, m *sagov1.BackupResponse) bool {
		ok := len(m.GetRecords().GetRecords()) > 1
		if ok {
			change(m.GetRecords())
		}
		return ok
	}
}

func onChunk(change func(*sagov1.BackupChunk)) func(*backupLog, *sagov1.BackupResponse) bool {
	return func(_ *backupLog, m *sagov1.BackupResponse) bool {
		if m.GetChunk() != nil {
			change(m.GetChunk())
		}
		return m.GetChunk() != nil
	}
}

func onNote(change func(*backupLog, *sagov1.BackupCheckpoint)) func(*backupLog, *sagov1.BackupResponse) bool {
	return func(l *backupLog, m *sagov1.BackupResponse) bool {
		if m.GetCheckpoint() != nil {
			change(l, m.GetCheckpoint())
		}
		return m.GetCheckpoint() != nil
	}
}

func otherActor(encoded []byte) []byte {
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		panic(err)
	}
	rec.Actor++
	return rec.Encode()
}
