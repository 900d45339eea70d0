package main

import (
	"errors"
	"path/filepath"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
)

// indexFile is the index's name in a data directory; the custodian removes no
// file of another name.
const indexFile = "index.db"

type rebuildCmd struct {
	Config string `required:"" placeholder:"FILE" help:"The node's configuration."`
}

// Run throws the index away. Building it again is what every start does that
// finds none, by the everyday code; so it is left to the start.
func (c *rebuildCmd) Run(s *shell) error {
	cfg, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if err := cfg.checkPlaces().err(); err != nil {
		return err
	}
	lock, err := lockFile(filepath.Join(cfg.KeyDir, "LOCK"))
	if err != nil {
		return err
	}
	m, err := store.ReadManifest(cfg.DataDir)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	keeper, err := cfg.keeper(s.ctx)
	if err == nil && keeper == nil {
		keeper, err = custodian.NewLocal(cfg.DataDir, custodian.Options{})
	}
	if err == nil {
		err = keeper.RemoveIndex(filepath.Join(cfg.DataDir, indexFile))
	}
	if err = errors.Join(err, lock.Close()); err != nil {
		return err
	}
	return s.say("index of node %d removed: its next start builds it from the history", m.Node)
}
