package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store/custodian"
)

// orderRekey is what `sagod rekey` says on the control socket.
const orderRekey = "rekey"

type rekeyCmd struct {
	Config string `required:"" placeholder:"FILE" help:"The node's configuration."`
}

// rekeyAnswer is what a rotation found, on its way from the daemon.
type rekeyAnswer struct {
	Live     int      `json:"live"`
	Erased   int      `json:"erased"`
	Damaged  []string `json:"damaged,omitempty"`
	Root     string   `json:"root"`
	Recorded bool     `json:"recorded"`
}

func answerOf(done replication.Rekeyed) rekeyAnswer {
	a := rekeyAnswer{Live: done.Live, Erased: done.Erased, Root: hex.EncodeToString(done.Root[:]), Recorded: done.Recorded}
	for _, s := range done.Damaged {
		a.Damaged = append(a.Damaged, s.String())
	}
	return a
}

// Run has the node's daemon change its root key; where none runs it does so
// itself, under the node's lock.
func (c *rekeyCmd) Run(s *shell) error {
	cfg, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if err := cfg.checkPlaces().err(); err != nil {
		return err
	}
	var done rekeyAnswer
	err = askNode(s.ctx, cfg.KeyDir, orderRekey, &done)
	if errors.Is(err, errNotServed) {
		done, err = rekeyStopped(s.ctx, cfg)
	}
	if err != nil {
		return err
	}
	return c.report(s, cfg, done)
}

func (c *rekeyCmd) report(s *shell, cfg nodeConfig, done rekeyAnswer) error {
	if err := s.say("root key changed: %d key slots sealed again, %d erased ones kept erased; public id %s", done.Live, done.Erased, done.Root); err != nil {
		return err
	}
	if !done.Recorded {
		if err := s.say("note: the node's next start records it in the history"); err != nil {
			return err
		}
	}
	if note, err := custodian.CheckFilesystem(cfg.KeyDir); err != nil || note != "" {
		if err := s.say("note: the old root key was overwritten in %s, where that may not erase it: %v%s", cfg.KeyDir, either(err), note); err != nil {
			return err
		}
	}
	for _, slot := range done.Damaged {
		if err := s.say("damaged: key slot %s", slot); err != nil {
			return err
		}
	}
	if len(done.Damaged) > 0 {
		return &fileDamage{fmt.Errorf("%d key slots were damaged before, and stay so", len(done.Damaged))}
	}
	return nil
}

func either(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// rekeyStopped is the same for a node that does not run. Files that it makes are
// its user's: it is run as the user that the node's files belong to.
func rekeyStopped(ctx context.Context, cfg nodeConfig) (done rekeyAnswer, err error) {
	if err := keepSecrets(); err != nil {
		return done, err
	}
	lock, err := lockFile(filepath.Join(cfg.KeyDir, "LOCK"))
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	var st unix.Stat_t
	if err := unix.Stat(cfg.KeyDir, &st); err != nil {
		return done, err
	}
	if int(st.Uid) != os.Geteuid() {
		return done, inputf("%s belongs to user %d: run this as that user, or while the node runs", cfg.KeyDir, st.Uid)
	}
	found, err := replication.RekeyStopped(ctx, cfg.DataDir, cfg.KeyDir)
	return answerOf(found), err
}

// orders is what the node's control socket takes.
func (u *unit) orders() map[string]order {
	return map[string]order{orderRekey: func(ctx context.Context) (any, error) {
		node := u.current()
		if node == nil {
			return nil, replication.ErrNotNow
		}
		done, err := node.Rekey(ctx)
		return answerOf(done), err
	}}
}
