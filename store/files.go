package store

import (
	"os"
	"path/filepath"
	"slices"
)

// reassert tells the custodian of every file that is in use: all but the newest
// of each series are sealed, and key blocks always are.
func (s *Store) reassert() error {
	for _, room := range []string{"segments", "history", "keys"} {
		list, err := os.ReadDir(filepath.Join(s.dir, room))
		if err != nil {
			return err
		}
		var names []string
		for _, e := range list {
			if ext := filepath.Ext(e.Name()); ext == ".seg" || ext == ".his" || ext == ".kb" {
				names = append(names, room+"/"+e.Name())
			}
		}
		slices.Sort(names)
		for i, name := range names {
			if err := s.custodian.Reassert(name, room == "keys" || i < len(names)-1); err != nil {
				return err
			}
		}
	}
	return nil
}
