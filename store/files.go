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
		// Of the files that grow, all but the newest are sealed.
		list, err := os.ReadDir(filepath.Join(s.dir, room))
		if err != nil {
			return err
		}
		var names []string
		for _, e := range list {
			switch filepath.Ext(e.Name()) {
			case ".seg", ".his", ".kb":
				names = append(names, room+"/"+e.Name())
			case ".car", ".bas":
				if err := s.custodian.Reassert(room+"/"+e.Name(), true); err != nil {
					return err
				}
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
