package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Rotation is what rewrapping found in all key blocks of a node.
type Rotation = keyring.Rotation

// Keys is a node's key blocks while its root key changes: of a running node's
// Store, or of a data directory alone (OpenKeys).
type Keys struct{ ring *keyring.Ring }

// Keys are this node's.
func (s *Store) Keys() Keys { return Keys{s.keys} }

// ErrKeysApart says that the key blocks belong to another user, a custodian apart.
var ErrKeysApart = errors.New("the key blocks are another user's: change the root key while the node runs, and its custodian seals them anew")

// OpenKeys opens the key blocks of a data directory that no node has open. former
// is the root key before the present one where a rotation is not finished, else
// zero. The caller closes it. ErrKeysApart where only a custodian can write them.
func OpenKeys(dir string, root, former RootKey) (Keys, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return Keys{}, err
	}
	if err := ownKeys(dir); err != nil {
		return Keys{}, err
	}
	keeper, err := custodian.NewLocal(dir, custodian.Options{})
	if err != nil {
		return Keys{}, err
	}
	return OpenKeysBy(dir, root, former, m.Cluster, keeper)
}

// ownKeys insists that the folder of the key blocks is this process's own user's.
func ownKeys(dir string) error {
	path := filepath.Join(dir, filepath.Dir(keyring.FileName(format.ID{})))
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if s, ok := st.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w", path, ErrKeysApart)
	}
	return nil
}

// OpenKeysBy is OpenKeys with a custodian that is open already.
func OpenKeysBy(dir string, root, former RootKey, cluster format.ID, keeper keyring.Blocks) (Keys, error) {
	ring, err := openKeys(dir, root, former, cluster, keeper)
	return Keys{ring}, err
}

func openKeys(dir string, root, former RootKey, cluster format.ID, blocks keyring.Blocks) (*keyring.Ring, error) {
	if former == (RootKey{}) {
		return keyring.Open(dir, root, cluster, blocks)
	}
	ring, err := keyring.Open(dir, former, cluster, blocks)
	if err != nil {
		return nil, err
	}
	if err := ring.Rotate(root); err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	return ring, nil
}

// Rotate makes to the root key: keys are sealed under it from now on, and what
// the one before sealed still opens until Forget.
func (k Keys) Rotate(to RootKey) error { return k.ring.Rotate(to) }

// Rewrap seals every key under the present root key and reads each once more
// under it alone. nil says that nothing needs the former one.
func (k Keys) Rewrap(ctx context.Context) (Rotation, error) { return k.ring.Rewrap(ctx) }

// Forget drops the former root key from memory.
func (k Keys) Forget() error { return k.ring.Forget() }

// RootID is the present root key's public name.
func (k Keys) RootID() format.Digest { return k.ring.RootID() }

// RootIs reports whether key is the present root key.
func (k Keys) RootIs(key RootKey) bool { return k.ring.RootIs(key) }

// Note says how the root key in memory is less protected than it could be, or
// nothing.
func (k Keys) Note() string { return k.ring.Note() }

// Opens returns an error if there are whole key slots and the root key opens none:
// then it is another node's.
func (k Keys) Opens(ctx context.Context) error {
	opened, foreign := 0, 0
	err := k.ring.Verify(ctx, func(_ format.Slot, err error) error {
		switch {
		case err == nil:
			opened++
		case keyring.IsForeign(err):
			foreign++
		}
		return nil
	})
	if err == nil && opened == 0 && foreign > 0 {
		err = fmt.Errorf("the root key opens none of %d key slots", foreign)
	}
	return err
}

// Close wipes the root keys from memory.
func (k Keys) Close() error { return k.ring.Close() }
