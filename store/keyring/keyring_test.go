package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

var (
	testRoot    = RootKey{7}
	testCluster = format.ID{0xc1}
)

// plainFiles fulfils Blocks as the custodian does, without flags.
type plainFiles struct{ dir string }

func (p plainFiles) CreateBlock(name string, content []byte) error {
	f, err := os.OpenFile(filepath.Join(p.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func (p plainFiles) write(name string, offset int64, b []byte) error {
	f, err := os.OpenFile(filepath.Join(p.dir, name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, offset)
	return errors.Join(err, f.Close())
}

func (p plainFiles) RewriteSlot(name string, offset int64, slot []byte) error {
	return p.write(name, offset, slot)
}

func (p plainFiles) RewriteHeader(name string, header []byte) error { return p.write(name, 0, header) }

func (p plainFiles) RewrapBlock(name string, cluster format.ID, from, to RootKey) (Rewrapped, error) {
	content, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return Rewrapped{}, err
	}
	id, _ := BlockOf(name)
	fresh, out, err := RewrapContent(content, cluster, id, &from, &to)
	if err == nil && fresh != nil {
		err = errors.Join(SameKeys(content, fresh, cluster, id, &from, &to), p.write(name, 0, fresh))
	}
	return out, err
}

func newRing(t *testing.T) (*Ring, plainFiles) {
	t.Helper()
	files := plainFiles{t.TempDir()}
	if err := os.Mkdir(filepath.Join(files.dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	return reopen(t, files), files
}

func reopen(t *testing.T, files plainFiles) *Ring {
	t.Helper()
	r, err := Open(files.dir, testRoot, testCluster, files)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newBlock(t *testing.T, r *Ring, slots int) Block {
	t.Helper()
	b, err := NewBlock(rand.Reader, 3, slots)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Install(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func erase(t *testing.T, files plainFiles, s format.Slot) {
	t.Helper()
	if err := files.write(FileName(s.Block), SlotOffset(s.Index), ErasedSlot()); err != nil {
		t.Fatal(err)
	}
}

func TestKeysComeBackAfterReopen(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 5)
	for _, r := range []*Ring{r, reopen(t, files)} {
		for i, want := range b.Keys {
			if got, err := r.Key(format.Slot{Block: b.ID, Index: uint32(i)}); got != want || err != nil {
				t.Fatalf("slot %d: %x, %v", i, got, err)
			}
		}
		if got := r.Blocks(); len(got) != 1 || got[0] != b.ID || !r.Has(b.ID) || r.Has(format.ID{1}) {
			t.Fatalf("blocks %x", got)
		}
		for _, s := range []format.Slot{{Block: b.ID, Index: 5}, {Block: format.ID{1}}} {
			if _, err := r.Key(s); !errors.Is(err, ErrNoBlock) {
				t.Errorf("slot %s: %v", s, err)
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(files.dir, FileName(b.ID)))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range b.Keys {
		if bytes.Contains(raw, key[:16]) || bytes.Contains(raw, key[16:]) {
			t.Fatal("a key stands in the file in clear (I7)")
		}
	}
	if len(ErasedSlot()) != SlotSize {
		t.Fatalf("erased slot of %d bytes", len(ErasedSlot()))
	}
}

func TestInstallTwice(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 3)
	erase(t, files, format.Slot{Block: b.ID, Index: 1})
	if err := r.Install(b); err != nil {
		t.Fatalf("same content: %v", err)
	}
	if _, err := r.Key(format.Slot{Block: b.ID, Index: 1}); !errors.Is(err, ErrErased) {
		t.Fatalf("P37: the second install brought an erased key back: %v", err)
	}
	other := Block{ID: b.ID, Owner: b.Owner, Keys: append([][32]byte{{9}}, b.Keys[1:]...), Erased: b.Erased}
	if err := r.Install(other); !errors.Is(err, ErrConflict) {
		t.Fatalf("other key: %v", err)
	}
	other = Block{ID: b.ID, Owner: 9, Keys: b.Keys, Erased: b.Erased}
	if err := r.Install(other); !errors.Is(err, ErrConflict) {
		t.Fatalf("other owner: %v", err)
	}
	got, damaged, err := r.Export(b.ID)
	if err != nil || len(damaged) != 0 || !got.Erased[1] || got.Keys[1] != [32]byte{} || got.Keys[2] != b.Keys[2] || got.Owner != 3 {
		t.Fatalf("export %+v %v %v", got, damaged, err)
	}
	// A peer that receives the export holds the erased slot erased.
	peer, _ := newRing(t)
	if err := peer.Install(got); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Key(format.Slot{Block: b.ID, Index: 1}); !errors.Is(err, ErrErased) {
		t.Fatal(err)
	}
}

// TestP45_EveryFlippedByteOfABlockIsNamed flips each byte: the slot it lies in (or
// the header) is named, no key is wrong, all others read on.
func TestP45_EveryFlippedByteOfABlockIsNamed(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 4)
	erase(t, files, format.Slot{Block: b.ID, Index: 2})
	path := filepath.Join(files.dir, FileName(b.ID))
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range clean {
		for _, mask := range []byte{1, 0x80} {
			if err := files.write(FileName(b.ID), int64(at), []byte{clean[at] ^ mask}); err != nil {
				t.Fatal(err)
			}
			hit := HeaderSlot
			if at >= format.FileHeaderSize {
				hit = uint32(at-format.FileHeaderSize) / SlotSize
			}
			oneDamage(t, files, b, at, hit)
		}
		if err := files.write(FileName(b.ID), int64(at), clean[at:at+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, int64(len(clean)-1)); err != nil {
		t.Fatal(err)
	}
	oneDamage(t, files, b, len(clean)-1, HeaderSlot)
}

// oneDamage insists that hit is damaged, and nothing else.
func oneDamage(t *testing.T, files plainFiles, b Block, at int, hit uint32) {
	t.Helper()
	r := reopen(t, files)
	for i := range uint32(len(b.Keys)) {
		key, err := r.Key(format.Slot{Block: b.ID, Index: i})
		var damage *format.DamageError
		switch {
		case hit == i || hit == HeaderSlot:
			if !errors.As(err, &damage) || key != [32]byte{} || damage.File != FileName(b.ID) || (hit == i && damage.Offset != SlotOffset(i)) {
				t.Fatalf("byte %d, slot %d: %x, %v", at, i, key, err)
			}
		case i == 2:
			if !errors.Is(err, ErrErased) {
				t.Fatalf("byte %d: erased slot: %v", at, err)
			}
		case err != nil || key != b.Keys[i]:
			t.Fatalf("byte %d, slot %d: %v", at, i, err)
		}
	}
	var found []uint32
	err := r.Verify(t.Context(), func(s format.Slot, err error) error {
		if err != nil && !errors.Is(err, ErrErased) {
			found = append(found, s.Index)
		}
		return nil
	})
	if err != nil || fmt.Sprint(found) != fmt.Sprint([]uint32{hit}) {
		t.Fatalf("byte %d: Verify found %v, %v", at, found, err)
	}
}

func TestRepair(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 3)
	slot := func(i uint32) format.Slot { return format.Slot{Block: b.ID, Index: i} }
	erase(t, files, slot(1))
	for i := range uint32(2) {
		if err := r.Repair(b.ID, i, b.Keys[i]); !errors.Is(err, ErrNotDamaged) {
			t.Fatalf("slot %d: %v", i, err)
		}
	}
	if err := files.write(FileName(b.ID), SlotOffset(2)+20, []byte("zap")); err != nil {
		t.Fatal(err)
	}
	if _, damaged, err := r.Export(b.ID); err != nil || len(damaged) != 1 || damaged[0] != 2 {
		t.Fatalf("export: %v, %v", damaged, err)
	}
	if err := r.Repair(b.ID, 2, b.Keys[2]); err != nil {
		t.Fatal(err)
	}
	if key, err := r.Key(slot(2)); key != b.Keys[2] || err != nil {
		t.Fatal(err)
	}
	if err := r.RepairHeader(b.ID, 3); !errors.Is(err, ErrNotDamaged) {
		t.Fatal(err)
	}
	if err := files.write(FileName(b.ID), 3, []byte("zap")); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, files)
	if err := r.RepairHeader(b.ID, 3); err != nil {
		t.Fatal(err)
	}
	if key, err := reopen(t, files).Key(slot(0)); key != b.Keys[0] || err != nil {
		t.Fatal(err)
	}
}

// TestKeysAreBoundToTheirPlace moves a whole, valid slot elsewhere and opens the
// ring with other secrets: damage or refusal, never a key.
func TestKeysAreBoundToTheirPlace(t *testing.T) {
	r, files := newRing(t)
	a, b := newBlock(t, r, 2), newBlock(t, r, 2)
	raw, err := os.ReadFile(filepath.Join(files.dir, FileName(a.ID)))
	if err != nil {
		t.Fatal(err)
	}
	moved := raw[SlotOffset(0):SlotOffset(1)]
	var damage *format.DamageError
	for _, to := range []format.Slot{{Block: a.ID, Index: 1}, {Block: b.ID, Index: 0}} {
		if err := files.write(FileName(to.Block), SlotOffset(to.Index), moved); err != nil {
			t.Fatal(err)
		}
		if key, err := r.Key(to); !errors.As(err, &damage) || key != [32]byte{} {
			t.Errorf("slot moved to %s: %x, %v", to, key, err)
		}
	}
	other, err := Open(files.dir, RootKey{8}, testCluster, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Key(format.Slot{Block: b.ID, Index: 1}); !errors.Is(err, errRoot) {
		t.Errorf("another root key: %v", err)
	}
	if _, err := Open(files.dir, testRoot, format.ID{0xc2}, files); err == nil {
		t.Error("a block of another cluster was taken")
	}
}

func TestVerifyStops(t *testing.T) {
	r, _ := newRing(t)
	newBlock(t, r, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Verify(ctx, func(format.Slot, error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stop := errors.New("stop")
	if err := r.Verify(t.Context(), func(format.Slot, error) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func FuzzStateOf(f *testing.F) {
	f.Add(uint32(0), ErasedSlot())
	f.Add(uint32(1), []byte("short"))
	f.Fuzz(func(t *testing.T, i uint32, b []byte) {
		if StateOf(i, b) == SlotErased && !bytes.Equal(b, ErasedSlot()) {
			t.Fatal("taken for erased")
		}
		if StateOf(i, b) == SlotLive {
			if _, err := openSlot(&testRoot, testCluster, format.Slot{Index: i}, b); err == nil {
				t.Fatal("opened bytes that nobody sealed")
			}
		}
	})
}
