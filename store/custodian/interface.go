package custodian

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/keyring"
)

// Custodian is what a store needs of the one who may change what was written once.
// Local fulfils it in the daemon's own process, Remote by asking a process of its
// own. Names are relative to the data directory, with slashes. Errors match the
// sentinels of this package, fs.ErrExist and fs.ErrNotExist in both.
type Custodian interface {
	keyring.Blocks
	// Create, Append and Seal are Local's, and so are the others.
	Create(name string) (*os.File, error)
	Append(name string) (*os.File, error)
	Seal(name string) error
	Place(name string, fill func(io.Writer) error) error
	// ReassertAll comes at a start, before any order.
	ReassertAll() error
	Destroy(ctx context.Context, w Warrant, work Work) (Done, error)
	DestroyAll(ctx context.Context, orders []Order) (Done, error)
	// RemoveIndex and ExchangeIndex are about the index, which is the daemon's own.
	RemoveIndex(path string) error
	ExchangeIndex(path string) error
	// PutAside renames the data directory: suffix is appended to its name. An empty
	// one stands in its place if the custodian is a process of its own.
	PutAside(suffix string) error
	// DestroyAside destroys a data directory that was put aside, by its full path.
	DestroyAside(dir string) error
	Protection() Protection
}

var (
	_ Custodian = (*Local)(nil)
	_ Custodian = (*Remote)(nil)
)

// ReassertAll tells the custodian of every file that is in use: all but the newest
// of each series are sealed, and key blocks, carried files and bases always are.
func (l *Local) ReassertAll() error {
	for _, room := range []string{dirSegments, dirHistory, dirKeys} {
		list, err := os.ReadDir(filepath.Join(l.dir, room))
		if err != nil {
			return err
		}
		var grow []string
		for _, e := range list {
			name := room + "/" + e.Name()
			switch filepath.Ext(e.Name()) {
			case ".seg", ".his":
				grow = append(grow, name)
			case ".kb", ".car", ".bas":
				if err := l.Reassert(name, true); err != nil {
					return err
				}
			}
		}
		slices.Sort(grow)
		for i, name := range grow {
			if err := l.Reassert(name, i < len(grow)-1 || l.isSealed(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// PutAside renames the data directory. Nothing in it may be in use any more.
func (l *Local) PutAside(suffix string) error { return putAside(l.dir, suffix) }

func putAside(dir, suffix string) error {
	if suffix == "" || filepath.Base(suffix) != suffix {
		return fmt.Errorf("custodian: %w: suffix %q", ErrName, suffix)
	}
	if err := os.Rename(dir, dir+suffix); err != nil {
		return fmt.Errorf("custodian: putting the data directory aside: %w", err)
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// DestroyAside is the function of that name.
func (l *Local) DestroyAside(dir string) error { return DestroyAside(dir) }
