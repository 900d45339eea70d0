package keyring

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
)

// ErrRotating is returned by Rotate while the root key before the present one is
// still needed.
var ErrRotating = errors.New("a root key rotation is not finished")

// Rewrapped is what a rewrapping found in one key block.
type Rewrapped struct {
	Live, Erased int
	// Damaged are the slots that are damaged or open under neither root key. Their
	// bytes are carried over as they are.
	Damaged []uint32
}

// Rotation is Rewrapped over all key blocks of a node.
type Rotation struct {
	Live, Erased int
	Damaged      []format.Slot
}

// BlockOf is the block whose file has that name.
func BlockOf(name string) (format.ID, bool) {
	dir, file := path.Split(name)
	id, ok := blockName(file)
	return id, ok && dir == "keys/"
}

// RewrapContent answers a block's file with every key that is sealed under from
// sealed under to: the same slots, erased ones erased, and everything else as it
// was. nil says that nothing is sealed under from.
func RewrapContent(content []byte, cluster, block format.ID, from, to *RootKey) (fresh []byte, out Rewrapped, err error) {
	return rewrapContent(rand.Reader, content, cluster, block, from, to)
}

func rewrapContent(rand io.Reader, content []byte, cluster, block format.ID, from, to *RootKey) (fresh []byte, out Rewrapped, err error) {
	fresh = append(fresh, content...)
	changed := false
	for i := uint32(0); SlotOffset(i)+SlotSize <= int64(len(fresh)); i++ {
		s, old := format.Slot{Block: block, Index: i}, fresh[SlotOffset(i):][:SlotSize]
		switch StateOf(i, old) {
		case SlotErased:
			out.Erased++
			continue
		case SlotAbsent:
			continue
		case SlotDamaged:
			out.Damaged = append(out.Damaged, i)
			continue
		}
		key, err := openSlot(to, cluster, s, old)
		if err == nil {
			clear(key[:])
			out.Live++
			continue
		}
		if key, err = openSlot(from, cluster, s, old); err != nil {
			out.Damaged = append(out.Damaged, i)
			continue
		}
		slot, err := sealSlot(rand, to, cluster, s, key)
		clear(key[:])
		if err != nil {
			return nil, out, err
		}
		copy(old, slot)
		changed = true
		out.Live++
	}
	if !changed {
		fresh = nil
	}
	return fresh, out, nil
}

// SameKeys returns an error unless fresh holds, slot for slot, what content
// holds: under to the key that opens in content under from or to, and the same
// bytes wherever no key opens.
func SameKeys(content, fresh []byte, cluster, block format.ID, from, to *RootKey) error {
	if len(content) != len(fresh) || len(content) < format.FileHeaderSize {
		return fmt.Errorf("%d bytes where %d belong", len(fresh), len(content))
	}
	slots := (len(content) - format.FileHeaderSize) / SlotSize
	end := SlotOffset(uint32(slots))
	if string(content[:format.FileHeaderSize]) != string(fresh[:format.FileHeaderSize]) || string(content[end:]) != string(fresh[end:]) {
		return errors.New("other bytes beside the slots")
	}
	for i := range uint32(slots) {
		old, now := content[SlotOffset(i):][:SlotSize], fresh[SlotOffset(i):][:SlotSize]
		if string(old) != string(now) && !sameKey(old, now, cluster, format.Slot{Block: block, Index: i}, from, to) {
			return fmt.Errorf("slot %d does not hold its key", i)
		}
	}
	return nil
}

func sameKey(old, now []byte, cluster format.ID, s format.Slot, from, to *RootKey) bool {
	if StateOf(s.Index, old) != SlotLive || StateOf(s.Index, now) != SlotLive {
		return false
	}
	was, err := openSlot(from, cluster, s, old)
	defer clear(was[:])
	if err != nil {
		return false
	}
	is, err := openSlot(to, cluster, s, now)
	defer clear(is[:])
	return err == nil && hmac.Equal(was[:], is[:])
}

// Rotate makes to the root key: from now on keys are sealed under it. What the
// present one sealed still opens, until Forget. ErrRotating before that.
func (r *Ring) Rotate(to RootKey) error {
	defer clear(to[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.root == nil || r.former != nil {
		return fmt.Errorf("keyring: %w", cmp.Or(r.closed(), ErrRotating))
	}
	root, err := newSecret(&to)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	r.former, r.root = r.root, root
	return nil
}

// Rewrap has every block sealed under the present root key and reads each once
// more under that key alone. nil says that nothing needs the former one. It may be
// asked again after any failure; keys are served and installed meanwhile.
func (r *Ring) Rewrap(ctx context.Context) (Rotation, error) {
	for _, id := range r.Blocks() {
		if err := ctx.Err(); err != nil {
			return Rotation{}, err
		}
		if err := r.rewrap(id); err != nil {
			return Rotation{}, fmt.Errorf("keyring: sealing block %x again: %w", id, err)
		}
	}
	var all Rotation
	for _, id := range r.Blocks() {
		out, err := r.rewrapped(id)
		if err != nil {
			return Rotation{}, fmt.Errorf("keyring: reading block %x again: %w", id, err)
		}
		all.Live, all.Erased = all.Live+out.Live, all.Erased+out.Erased
		for _, i := range out.Damaged {
			all.Damaged = append(all.Damaged, format.Slot{Block: id, Index: i})
		}
	}
	return all, nil
}

// rewrap holds everybody off one block: a reader that had opened the file before
// would read the zeros that it is wiped with.
func (r *Ring) rewrap(id format.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.root == nil || r.former == nil {
		return r.closed()
	}
	_, err := r.blocks.RewrapBlock(FileName(id), r.cluster, *r.former.key(), *r.root.key())
	return err
}

func (r *Ring) rewrapped(id format.ID) (Rewrapped, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.root == nil {
		return Rewrapped{}, ErrClosed
	}
	content, err := os.ReadFile(filepath.Join(r.dir, FileName(id)))
	if err != nil {
		return Rewrapped{}, err
	}
	former := cmp.Or(r.former, r.root)
	_, out, err := rewrapContent(noRandomness{}, content, r.cluster, id, former.key(), r.root.key())
	return out, err
}

// noRandomness fails a sealing: there must be none left to do.
type noRandomness struct{}

func (noRandomness) Read([]byte) (int, error) {
	return 0, errors.New("a key is still sealed under the former root key")
}

// Forget drops the former root key from memory; Rewrap came before.
func (r *Ring) Forget() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.former.destroy()
	r.former = nil
	return err
}

// RootID is the public name of the present root key: derived from it, and of no
// use for opening anything.
func (r *Ring) RootID() format.Digest {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.root == nil {
		return format.Digest{}
	}
	return DeriveKey([32]byte(*r.root.key()), labelRootID, r.cluster[:])
}

// RootIs reports whether key is the present root key.
func (r *Ring) RootIs(key RootKey) bool {
	defer clear(key[:])
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.root != nil && hmac.Equal(key[:], r.root.key()[:])
}

// Close wipes the root keys from memory: every key is refused with ErrClosed
// afterwards.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.root.destroy(), r.former.destroy())
	r.root, r.former = nil, nil
	return err
}

// closed is ErrClosed after Close. The caller holds mu.
func (r *Ring) closed() error {
	if r.root == nil {
		return ErrClosed
	}
	return nil
}

// Note says how the root key in memory is less protected than it could be, or
// nothing.
func (r *Ring) Note() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.root == nil {
		return ""
	}
	return r.root.note
}
