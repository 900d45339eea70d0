package forensic_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/audit/forensic"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestRecoversWhatWasNotErased: the tool can find. Everything of each bundle comes
// back, with the fingerprint that was recorded.
func TestRecoversWhatWasNotErased(t *testing.T) {
	w := newWorld(t)
	w.addLarge()
	for i, th := range w.things {
		w.out = filepath.Join(t.TempDir(), "out")
		r := w.search(i)
		w.verdict(r, forensic.Recovered, forensic.Whole)
		b := r.Bundles[0]
		if b.Fingerprint != hex.EncodeToString(th.fingerprint[:]) || len(b.Documents) != len(th.documents) || len(r.Problems) > 0 {
			t.Errorf("%s: %+v", th.number, r)
		}
		for n, doc := range th.documents {
			got, err := os.ReadFile(filepath.Join(b.Written, "document-00"+string(rune('1'+n))))
			must(t, err)
			if sum := sha256.Sum256(doc); !bytes.Equal(got, doc) || b.Documents[n].SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: document %d differs", th.number, n+1)
			}
		}
		if d := r.Way(forensic.WayDetails); d.Found != 1 || d.Of != 1 {
			t.Errorf("details: %+v", d)
		}
		var text bytes.Buffer
		must(t, r.WriteText(&text))
		packed, err := json.Marshal(r)
		must(t, err)
		if strings.Contains(text.String()+string(packed), "홍길동") {
			t.Error("the report names a person")
		}
	}
}

// TestP36_NothingIsLeft: keys and ciphertext gone, history, log, index and root key
// in hand: nothing, and the neighbour is still found.
func TestP36_NothingIsLeft(t *testing.T) {
	w := newWorld(t)
	w.files["raft.db"] = w.database(map[string][]byte{"1": w.entry(goes)}, nil)
	w.eraseSlot(goes)
	w.zero(goes)
	r := w.search(goes)
	w.verdict(r, forensic.Nothing, forensic.None)
	b := r.Bundles[0]
	if len(b.Keys) != 1 || b.Keys[0].State != "erased" || b.Payload.Zeros != 1 || b.Payload.Whole != 0 || !b.Recorded {
		t.Errorf("what is left: %+v", b)
	}
	for _, way := range []string{forensic.WayRecords, forensic.WayOperations, forensic.WayHeaders} {
		if r.Way(way).Found != 1 {
			t.Errorf("%s: %+v", way, r.Way(way))
		}
	}
	w.verdict(w.search(stays), forensic.Recovered, forensic.Whole)
	w.files[blockFile+".new"] = make([]byte, len(w.files[blockFile])) // a leftover that the custodian zeroed
	w.verdict(w.search(goes), forensic.Nothing, forensic.None)
}

// TestP35_EveryWayFinds: each leftover can be found in one way alone, so that the
// case fails if the way is taken out.
func TestP35_EveryWayFinds(t *testing.T) {
	cases := []struct {
		name, way string
		plant     func(w *world)
		recovery  forensic.Recovery
	}{
		{"a sealed key in a free page of the log", forensic.WayAnywhere, func(w *world) {
			w.files["raft.db"] = w.database(nil, map[string][]byte{"1": append(bytes.Repeat([]byte{7}, 9001), w.sealed(goes)...)})
			w.eraseSlot(goes)
		}, forensic.Whole},
		{"a sealed key at an odd place of another file", forensic.WayAnywhere, func(w *world) {
			w.files["swap"] = append(bytes.Repeat([]byte{7}, 4<<20-20), w.sealed(goes)...) // across two reads
			w.eraseSlot(goes)
		}, forensic.Whole},
		{"a key whose checksum is gone in an old copy of the block", forensic.WayInPlace, func(w *world) {
			old := bytes.Clone(w.files[blockFile])
			old[keyring.SlotOffset(goes)+keyring.SlotSize-1]++
			w.files["aside/"+blockFile+".old"] = old
			w.eraseSlot(goes)
		}, forensic.Whole},
		{"the same inside another file", forensic.WayInPlace, func(w *world) {
			old := bytes.Clone(w.files[blockFile])
			old[keyring.SlotOffset(goes)+keyring.SlotSize-1]++
			w.files["image"] = append(bytes.Repeat([]byte{'S'}, 77), old...)
			w.eraseSlot(goes)
		}, forensic.Whole},
		{"the same in a file of which only the name is left", forensic.WayInPlace, func(w *world) {
			old := bytes.Clone(w.files[blockFile])
			old[keyring.SlotOffset(goes)+keyring.SlotSize-1]++
			clear(old[:format.FileHeaderSize])
			w.files[blockFile+".rekey"] = old
			w.eraseSlot(goes)
		}, forensic.Whole},
		{"a chunk behind another file's end", forensic.WayHeaders, func(w *world) {
			w.files["history/00000002.his"] = format.AppendChunks([]byte("torn"), w.things[goes].chunks...)
			w.zero(goes)
			w.files["segments/00000001.seg"][format.FileHeaderSize]++ // its header
		}, forensic.Whole},
		{"ciphertext behind a destroyed header", forensic.WayDigest, func(w *world) {
			w.files["segments/00000001.seg"][format.FileHeaderSize+9]++
		}, forensic.Whole},
		{"ciphertext at any place", forensic.WayDigest, func(w *world) {
			w.files["fragment"] = append(append(bytes.Repeat([]byte{1}, 1234), w.things[goes].chunks[0].Sealed...), bytes.Repeat([]byte{2}, 777)...)
			w.zero(goes)
		}, forensic.Whole},
		{"ciphertext behind another chunk's header that the log keeps alone", forensic.WayDigest, func(w *world) {
			w.files["raft.db"] = append(append(format.NewChunk(format.Slot{Block: format.ID{5}}, 0, make([]byte, format.MaxChunk)).Encode(), make([]byte, 4321)...), w.things[goes].chunks[0].Sealed...)
			w.files["raft.db"] = append(w.files["raft.db"], bytes.Repeat([]byte{2}, format.MaxChunk)...)
			w.zero(goes)
		}, forensic.Whole},
		{"a record anywhere", forensic.WayRecords, func(w *world) {
			w.files = map[string][]byte{blockFile: w.files[blockFile], "segments/00000001.seg": w.files["segments/00000001.seg"]}
			rec := w.record(goes)
			w.files["tile"] = append([]byte("a tile"), rec.Encode()...)
		}, forensic.Whole},
		{"an operation in a free page", forensic.WayOperations, func(w *world) {
			delete(w.files, "history/00000001.his")
			w.files["raft.db"] = w.database(nil, map[string][]byte{"1": append(bytes.Repeat([]byte{7}, 9001), w.entry(goes)...)})
		}, forensic.Whole},
		{"a row of the index", forensic.WayRows, func(w *world) {
			delete(w.files, "history/00000001.his")
			w.files["index.db"] = w.database(map[string][]byte{string(w.rowKey(goes)): append([]byte("checksum"), w.row(goes)...)}, nil)
		}, forensic.Whole},
		{"a row of a base", forensic.WayRows, func(w *world) {
			delete(w.files, "history/00000001.his")
			w.files["history/00000009.bas"] = frame(format.BaseRow{Table: 3, Key: w.rowKey(goes), Value: w.row(goes)}.Encode())
		}, forensic.Whole},
		{"a key without content", forensic.WayInPlace, func(w *world) { w.zero(goes) }, forensic.KeyOnly},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.plant(w)
			r := w.search(goes)
			w.verdict(r, forensic.Recovered, c.recovery)
			if r.Way(c.way).Found == 0 {
				t.Errorf("%s: %+v", c.way, r.Ways)
			}
		})
	}
}

func (w *world) rowKey(i int) []byte {
	return format.BundleKey{Institution: institution, Transaction: w.things[i].number, Part: 1}.Encode()
}

func (w *world) row(i int) []byte {
	e := w.things[i].effect
	return format.BundleRow{Store: uint64(i + 1), Definition: e.Definition, Slot: e.Slot, Size: e.Size, Sealed: e.Sealed, Chunks: e.Chunks, Digest: e.Digest,
		Commitment: e.Commitment, Subject: e.Subject, Documents: e.Documents}.Encode()
}

// TestPagesAreNamed: what stands in a freed page is said to.
func TestPagesAreNamed(t *testing.T) {
	w := newWorld(t)
	kept := map[string][]byte{"2": w.entry(goes)}
	for i := range 100 { // so many that the bucket has pages of its own
		kept[fmt.Sprintf("3%04d", i)] = bytes.Repeat([]byte{3}, 200)
	}
	w.files["raft.db"] = w.database(kept, map[string][]byte{"1": append(bytes.Repeat([]byte{7}, 9001), w.sealed(goes)...)})
	w.eraseSlot(goes)
	r := w.search(goes)
	w.verdict(r, forensic.Recovered, forensic.Whole)
	free, used := 0, 0
	for _, k := range r.Bundles[0].Keys {
		free += strings.Count(k.Page, "not in use")
	}
	for _, p := range r.Bundles[0].Named {
		if strings.HasPrefix(p.Page, "page") && !strings.Contains(p.Page, "not in use") {
			used++
		}
	}
	if pages := r.Way(forensic.WayPages); free != 1 || used != 1 || pages.Found == 0 || pages.Found >= pages.Of {
		t.Errorf("pages %+v, keys %+v, named %+v", pages, r.Bundles[0].Keys, r.Bundles[0].Named)
	}
}

// TestPartOfALargeBundle: a chunk whose header and digest are gone is found by the
// key; one that is gone leaves the rest.
func TestPartOfALargeBundle(t *testing.T) {
	w := newWorld(t)
	w.addLarge()
	b := w.files["segments/00000001.seg"]
	at := bytes.Index(b, w.things[large].chunks[1].Sealed)
	clear(b[at-format.ChunkHeaderSize : at])
	w.verdict(w.search(large), forensic.Recovered, forensic.Whole)
	clear(b[at : at+100])
	w.out = filepath.Join(t.TempDir(), "out")
	r := w.search(large)
	w.verdict(r, forensic.Recovered, forensic.Part)
	if left, err := os.ReadDir(r.Bundles[0].Written); err != nil || len(left) != 3 {
		t.Errorf("%v, %v: want documents.json and two chunks", left, err)
	}
	w.eraseSlot(large)
	w.out = ""
	r = w.search(large)
	w.verdict(r, forensic.Nothing, forensic.None)
	if len(r.Bounded) < 3 {
		t.Errorf("a chunk that nothing can tell from other bytes is not named: %v", r.Bounded)
	}
}

// TestAnAttemptCounts: content under this number whose STORE was proposed and never
// recorded is content as well.
func TestAnAttemptCounts(t *testing.T) {
	w := newWorld(t)
	again := w.things[stays]
	again.number = "GOES"
	w.things[stays] = again
	w.files["raft.db"] = w.database(map[string][]byte{"1": w.entry(stays)}, nil)
	w.eraseSlot(goes)
	w.zero(goes)
	r := w.search(goes)
	if r.Verdict != forensic.Recovered || len(r.Bundles) != 2 || !r.Bundles[0].Recorded || r.Bundles[0].Recovery != forensic.None ||
		r.Bundles[1].Recorded || r.Bundles[1].Recovery != forensic.Whole {
		t.Errorf("%+v", r)
	}
}

// TestNothingIsCalledWholeUnverified: another commitment than the recorded one, or a
// description that lies about its documents, is no bundle recovered.
func TestNothingIsCalledWholeUnverified(t *testing.T) {
	w := newWorld(t)
	w.things[goes].effect.Commitment[0]++
	w.files["history/00000001.his"] = w.history()
	w.verdict(w.search(goes), forensic.Recovered, forensic.Part)
	w = newWorld(t)
	w.lie = true
	w.add("LIES", []byte("the document"))
	w.files["segments/00000001.seg"], w.files["history/00000001.his"] = w.segment(), w.history()
	r := w.search(len(w.things) - 1)
	w.verdict(r, forensic.Recovered, forensic.Part)
	if r.Bundles[0].Fingerprint != "" {
		t.Errorf("%+v", r.Bundles[0])
	}
}

// TestDetails: they open under the key of their epoch, or under their own key that
// another epoch's carries; never without one.
func TestDetails(t *testing.T) {
	open := func(w *world) int {
		r := w.search(goes)
		d := r.Way(forensic.WayDetails)
		if d.Of != 1 {
			t.Errorf("%+v", d)
		}
		return d.Found
	}
	w := newWorld(t)
	w.eraseSlot(otherSlot)
	if open(w) != 0 {
		t.Error("a detail opened without its epoch's key")
	}
	rec := w.record(goes)
	later := format.KeyEffect{Verb: format.KeyEpoch, Institution: institution, Epoch: 8001,
		Use: format.Slot{Block: block, Index: useSlot}, Other: format.Slot{Block: block, Index: carrySlot}}
	carry := format.CarryEffect{Institution: institution, Epoch: 8001, Keys: []format.CarriedKey{{Sequence: rec.Sequence,
		Sealed: keyring.SealCarried(w.keys[carrySlot], rec.Sequence, keyring.DetailKey(w.keys[otherSlot], rec.Operation, rec.Ordinal))}}}
	for action, effect := range map[format.Action]format.Effect{format.ActKey: later, format.ActCarry: carry} {
		rec := format.Record{Action: action, Effect: format.EncodeEffect(effect)}
		w.files[fmt.Sprint("history/", action)] = frame(rec.Encode())
	}
	if open(w) != 1 {
		t.Error("a detail did not open by its carried key")
	}
	w.eraseSlot(carrySlot)
	if open(w) != 0 {
		t.Error("a detail opened without any key")
	}
}

// TestIncomplete: whatever keeps the search from being whole is named, and keeps
// "nothing" from being said.
func TestIncomplete(t *testing.T) {
	cases := []struct {
		name, want string
		change     func(w *world) (more []string)
	}{
		{"a path that is not there", "no such file", func(w *world) []string { return []string{"/nowhere/at/all"} }},
		{"no root key", "no root key", func(w *world) []string { w.roots = nil; return nil }},
		{"another node's root key", "live slots of 1 key blocks", func(w *world) []string {
			w.files["node2/"+blockFile] = w.block(keyring.RootKey{0x72})
			copy(w.files["node2/"+blockFile][keyring.SlotOffset(goes):], keyring.ErasedSlot())
			return nil
		}},
		{"a damaged slot in a block that tells nothing", "is damaged at", func(w *world) []string {
			b := bytes.Repeat([]byte("half of it"), slotCount*keyring.SlotSize)[:slotCount*keyring.SlotSize]
			w.files["node2/"+blockFile] = append(bytes.Clone(w.files[blockFile][:format.FileHeaderSize]), b...)
			return nil
		}},
		{"another cluster", "2 clusters", func(w *world) []string {
			w.files["other"] = format.FileHeader{Kind: format.KindSegment, Cluster: format.ID{9}, Number: 1}.Encode()
			return nil
		}},
		{"no cluster", "no file header", func(w *world) []string {
			w.files = map[string][]byte{"history": w.files["history/00000001.his"][format.FileHeaderSize:]}
			return nil
		}},
		{"nothing says what to look for", "nothing names", func(w *world) []string { delete(w.files, "history/00000001.his"); return nil }},
		{"no key block", "no copy of key block", func(w *world) []string { delete(w.files, blockFile); return nil }},
		{"a key block that was cut off", "ends before", func(w *world) []string {
			w.files[blockFile+".new"] = w.block(rootKey)[:format.FileHeaderSize]
			return nil
		}},
		{"a compressed copy", "compressed (gzip)", func(w *world) []string { w.files["backup.tar.gz"] = []byte("\x1f\x8b\x08 and so on"); return nil }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.eraseSlot(goes)
			w.zero(goes)
			r := w.search(goes, c.change(w)...)
			if r.Verdict != forensic.Incomplete || !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
				t.Errorf("%s: %v", r.Verdict, r.Problems)
			}
		})
	}
}

// TestSlideIsBounded: what was not tried is said.
func TestSlideIsBounded(t *testing.T) {
	w := newWorld(t)
	w.slide = 1 << 20
	w.eraseSlot(goes)
	w.zero(goes)
	w.files["noise"] = bytes.Repeat([]byte{5}, 1<<20)
	r := w.search(goes)
	w.verdict(r, forensic.Nothing, forensic.None)
	if !strings.Contains(strings.Join(r.Bounded, "\n"), "--slide") || r.Way(forensic.WayDigest).Of > 1<<20/3000 {
		t.Errorf("%v, %+v", r.Bounded, r.Way(forensic.WayDigest))
	}
}

// TestWritesNothing: neither to what is searched, nor over what is there.
func TestWritesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink(dir, dir+"-link"))
	t.Cleanup(func() { _ = os.Remove(dir + "-link") })
	for _, out := range []string{filepath.Join(dir, "out"), filepath.Join(dir+"-link", "out"), dir} {
		_, err := forensic.Search(context.Background(), forensic.Input{Transaction: "TX", Part: 1, Paths: []string{dir}, Out: out})
		if !errors.Is(err, forensic.ErrInput) {
			t.Errorf("--out %s: %v", out, err)
		}
	}
}

func TestReadRoot(t *testing.T) {
	dir := t.TempDir()
	key := bytes.Repeat([]byte{0xab}, 32)
	for name, b := range map[string][]byte{"root.key": []byte(hex.EncodeToString(key) + "\n"), "raw": key} {
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	for _, path := range []string{dir, filepath.Join(dir, "root.key"), filepath.Join(dir, "raw")} {
		if r, err := forensic.ReadRoot(path); err != nil || !bytes.Equal(r.Key[:], key) {
			t.Errorf("%s: %v", path, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "root.key"), []byte("abcd"), 0o600))
	if _, err := forensic.ReadRoot(dir); err == nil {
		t.Error("a short key was taken")
	}
}
