package store

import (
	"context"
	"errors"
	"io"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// KeyBlock is a block on its way between nodes.
type KeyBlock = keyring.Block

// Transfer is the way of a block between two nodes, and Ephemeral one end's key of it.
type (
	Transfer  = keyring.Transfer
	Ephemeral = keyring.Ephemeral
)

// NewEphemeral draws one end's key of a transfer.
func NewEphemeral(random io.Reader) (*Ephemeral, error) { return keyring.NewEphemeral(random) }

// NewBlock draws a key block for a node from a source of randomness.
func NewBlock(random io.Reader, owner uint32, slots int) (KeyBlock, error) {
	return keyring.NewBlock(random, owner, slots)
}

// InstallBlock makes a block durable on this node. Slots that the state knows to
// be dead are cleared before any is used. A block that is not announced yet is
// taken as it comes: nothing has used it.
func (s *Store) InstallBlock(b KeyBlock) error {
	row, err := s.Block(b.ID)
	if err != nil {
		return err
	}
	if row != nil {
		for i := range b.Keys {
			lives, err := s.SlotLives(format.Slot{Block: b.ID, Index: uint32(i)})
			if err != nil {
				return err
			}
			if !lives {
				b.Keys[i], b.Erased[i] = [32]byte{}, true
			}
		}
	}
	return s.keys.Install(b)
}

// ExportBlock answers a block for a peer; slots that are damaged here are left
// out, as keys of zero bytes that are not marked erased.
func (s *Store) ExportBlock(id format.ID) (KeyBlock, map[uint32]bool, error) {
	b, damaged, err := s.keys.Export(id)
	if err != nil {
		return b, nil, err
	}
	bad := map[uint32]bool{}
	for _, i := range damaged {
		bad[i] = true
	}
	return b, bad, nil
}

// HasBlock reports whether a block is here.
func (s *Store) HasBlock(id format.ID) bool { return s.keys.Has(id) }

// RepairKey writes a damaged slot again with a peer's key, if the slot lives.
func (s *Store) RepairKey(slot format.Slot, key [32]byte) error {
	lives, err := s.SlotLives(slot)
	if err != nil {
		return err
	}
	if !lives {
		return keyring.ErrErased
	}
	return s.keys.Repair(slot.Block, slot.Index, key)
}

// KeyFits reports whether a key is that of a slot, as far as can be told here: it
// opens the slot's first chunk, or there is none to try it on. A peer may answer any.
func (s *Store) KeyFits(slot format.Slot, key [32]byte) bool {
	chunks, err := s.Chunks(slot)
	if err != nil {
		return true
	}
	tried := false
	for _, h := range chunks {
		sealed, err := s.readChunk(h)
		if h.Chunk != chunks[0].Chunk || err != nil {
			continue
		}
		for _, last := range []bool{true, false} {
			if plain, err := keyring.OpenChunk(key, s.manifest.Cluster, h, last, sealed); err == nil {
				clear(plain)
				return true
			}
		}
		tried = true
	}
	return !tried
}

// RepairBlockHeader writes a block's damaged header again.
func (s *Store) RepairBlockHeader(id format.ID, owner uint32) error {
	return s.keys.RepairHeader(id, owner)
}

// KeyWorks reports whether a slot's key can be used here.
func (s *Store) KeyWorks(slot format.Slot) error {
	key, err := s.keys.Key(slot)
	clear(key[:])
	return err
}

// IsHeader reports whether a slot stands for its block's header.
func IsHeader(s format.Slot) bool { return s.Index == keyring.HeaderSlot }

// Copy takes records in that a peer sent, from this node's own size on. They are
// followed only by Adopt.
func (s *Store) Copy(encoded []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.log.Append(encoded)
	return err
}

// CopiedSize is how many records the history holds, followed or not.
func (s *Store) CopiedSize() uint64 { return s.log.Size() }

// ErrCopyDiffers means that copied records do not have the root a majority signed.
var ErrCopyDiffers = errors.New("copied history does not have the signed root")

// Adopt follows the copied records up to a checkpoint, if they have its root, and
// leaves the Machine at its entry.
func (s *Store) Adopt(ctx context.Context, c format.Checkpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	root, err := s.log.RootAt(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return ErrCopyDiffers
	}
	if err := s.log.Sync(); err != nil {
		return err
	}
	if err := s.adoptRows(ctx, c.Size); err != nil {
		return err
	}
	if s.state != c.State {
		return ErrDiverged
	}
	s.applied = max(s.applied, c.Entry)
	return nil
}

// Skip notes that an entry which carries no operations was passed over.
func (s *Store) Skip(entry uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = max(s.applied, entry)
}

// VerifyNode checks a node's signature over a message.
func VerifyNode(m format.MemberRow, message, signature []byte) bool {
	return verifyNode(m, message, signature)
}

// errFound ends a search.
var errFound = errors.New("found")

// BundleBySlot finds the live bundle whose key is in a slot, or nil. It looks
// through all bundles: it is for repairs.
func (s *Store) BundleBySlot(slot format.Slot) (*format.BundleRow, error) {
	var out *format.BundleRow
	err := s.EachLive(context.Background(), func(row *format.BundleRow) error {
		if row.Slot != slot {
			return nil
		}
		out = row
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return out, err
}
