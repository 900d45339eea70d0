package forensic_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/audit/forensic"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// archive is a key archive of all of the world's keys, which two of three recovery
// keys open.
func (w *world) archive() (raw []byte, keys []forensic.RecoveryKey) {
	var holders []format.ArchiveHolder
	for i := range 3 {
		key, err := keyarchive.NewPrivateKey()
		must(w.t, err)
		public := keyarchive.PublicOf(key.PublicKey())
		text, err := keyarchive.PrivateKeyText(key)
		must(w.t, err)
		path := filepath.Join(w.t.TempDir(), "recovery.key")
		must(w.t, os.WriteFile(path, text, 0o600))
		read, err := forensic.ReadRecoveryKey(path)
		must(w.t, err)
		holders, keys = append(holders, format.ArchiveHolder{Person: uint64(i + 4), PublicKey: public[:]}), append(keys, read)
	}
	var out bytes.Buffer
	a, err := keyarchive.NewWriter(&out, format.ArchiveHead{Cluster: cluster, Period: format.ID{0x70}, Sequence: 9, Needed: 2}, holders)
	must(w.t, err)
	for i, key := range w.keys {
		must(w.t, a.Add(format.Slot{Block: block, Index: uint32(i)}, key))
	}
	must(w.t, a.End())
	return out.Bytes(), keys
}

// TestP36_KeyArchives: an erased key that is in a key archive is named, and opens
// with as many recovery keys as it needs; with fewer the search was not whole.
func TestP36_KeyArchives(t *testing.T) {
	for _, name := range []string{"keys/00000000000000000009", "disk.img"} {
		w := newWorld(t)
		w.eraseSlot(goes)
		raw, keys := w.archive()
		size := len(raw)
		if name == "disk.img" {
			raw = append(append(bytes.Repeat([]byte{0xcd}, 4099), raw...), bytes.Repeat([]byte{0xce}, 999)...)
			size += 4099
		}
		w.files[name] = raw
		for given := range 4 {
			w.recovery = keys[:given]
			r := w.search(goes)
			if len(r.KeyArchives) != 1 || r.KeyArchives[0].Given != given || r.KeyArchives[0].Opened != (given >= 2) || r.KeyArchives[0].Keys != slotCount || r.KeyArchives[0].Needed != 2 {
				t.Errorf("%s, %d keys: %+v", name, given, r.KeyArchives)
			}
			if given >= 2 {
				w.verdict(r, forensic.Recovered, forensic.Whole)
				continue
			}
			w.verdict(r, forensic.Incomplete, forensic.None)
			if !strings.Contains(strings.Join(r.Problems, "\n"), "2 of 3 recovery keys") {
				t.Error(r.Problems)
			}
		}
		w.files[name] = raw[:size-1]
		if r := w.search(goes); !strings.Contains(strings.Join(r.Problems, "\n"), "is damaged") {
			t.Errorf("a cut archive is no problem: %v", r.Problems)
		}
	}
}
