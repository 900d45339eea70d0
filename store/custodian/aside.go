package custodian

import (
	"fmt"
	"os"
	"path/filepath"
)

// DestroyAside destroys a data directory that its node has replaced by a whole
// new incarnation: flags off, every key block zeroed, then everything removed.
// What it held lives on the other nodes and in the new incarnation; without this
// an old copy of a key could outlive the key's erasure.
func DestroyAside(dir string) error {
	if err := ClearTree(dir); err != nil {
		return err
	}
	blocks, err := filepath.Glob(filepath.Join(dir, dirKeys, "*"))
	if err != nil {
		return err
	}
	for _, p := range blocks {
		if err := wipe(p); err != nil {
			return fmt.Errorf("wiping %s: %w", p, err)
		}
	}
	return os.RemoveAll(dir)
}
