package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// DestroyAside destroys the data directories beside this one that were put aside
// when this node took a new incarnation: their keys first. It is asked for once
// the new incarnation is whole and votes. A directory whose incarnation the
// member table does not name as gone is left alone.
func (s *Store) DestroyAside(suffix string) error {
	list, err := filepath.Glob(s.dir + suffix + "*")
	if err != nil {
		return err
	}
	var gone []format.ID
	for _, m := range s.Members() {
		if m.Number == s.manifest.Node {
			gone = m.Gone
			if m.Current != s.manifest.Incarnation {
				return errors.New("this incarnation does not vote: what was put aside may still be needed")
			}
		}
	}
	for _, dir := range list {
		m, err := ReadManifest(dir)
		var damage *format.DamageError
		if err == nil && (m.Cluster != s.manifest.Cluster || !slices.Contains(gone, m.Incarnation)) {
			continue
		}
		if err != nil && !errors.As(err, &damage) && !errors.Is(err, ErrNoData) {
			return err
		}
		if err := s.custodian.DestroyAside(dir); err != nil {
			return fmt.Errorf("destroying %s: %w", dir, err)
		}
	}
	return nil
}
