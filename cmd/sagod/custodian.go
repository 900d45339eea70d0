package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/BurntSushi/toml"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/custodian/gate"
	"github.com/sago-worm/sago/store/format"
)

type custodianCmd struct {
	Config string `required:"" placeholder:"FILE" help:"The custodian's configuration."`
}

// custodianConfig is the custodian's own file (docs/configuration.md): the daemon
// has no say in it.
type custodianConfig struct {
	DataDir        string `toml:"data_dir"`
	Socket         string `toml:"socket"`
	Daemon         string `toml:"daemon_user"`
	CeremonyDigest string `toml:"ceremony_digest"`
	LogLevel       string `toml:"log_level,omitempty"`
}

// keeperSetup is a configuration that was found whole.
type keeperSetup struct {
	custodianConfig
	peer     uint32
	ceremony format.Digest
	level    slog.Level
}

func readCustodianConfig(path string) (k keeperSetup, err error) {
	meta, err := toml.DecodeFile(path, &k.custodianConfig)
	if err != nil {
		return k, faults{"config: " + path + ": " + err.Error()}
	}
	var wrong faults
	for _, key := range meta.Undecoded() {
		wrong.add("config: %s: unknown key", key)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return k, err
	}
	k.DataDir, k.Socket = beside(dir, k.DataDir), beside(dir, k.Socket)
	for _, m := range []struct{ key, value string }{{"data_dir", k.DataDir}, {"socket", k.Socket}} {
		if m.value == "" {
			wrong.add("config: %s: is missing", m.key)
		}
	}
	if k.DataDir != "" && inside(k.Socket, k.DataDir) {
		wrong.add("config: socket: lies inside data_dir, which is put aside when the node rejoins")
	}
	digest, err := hex.DecodeString(k.CeremonyDigest)
	if err != nil || copy(k.ceremony[:], digest) != len(k.ceremony) || len(digest) != len(k.ceremony) {
		wrong.add("config: ceremony_digest: is not a SHA-256 in hex")
	}
	if k.peer, err = userID(k.Daemon); err != nil {
		wrong.add("config: daemon_user: %v", err)
	} else if int(k.peer) == os.Geteuid() {
		wrong.add("config: daemon_user: is the custodian's own user: the second gate would be no gate")
	}
	if os.Geteuid() == 0 {
		wrong.add("config: the custodian does not run as root: it needs a user of its own, with CAP_LINUX_IMMUTABLE")
	}
	if k.level, err = (&nodeConfig{LogLevel: k.LogLevel}).level(); err != nil {
		wrong.add("config: log_level: %v", err)
	}
	return k, wrong.err()
}

// userID reads a user's number, or finds the number of a name.
func userID(name string) (uint32, error) {
	if name == "" {
		return 0, errors.New("is missing")
	}
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, err
		}
		name = u.Uid
	}
	id, err := strconv.ParseUint(name, 10, 32)
	return uint32(id), err
}

// Run serves one daemon until a signal. Before it touches a file it gives up all
// that it does not need.
func (c *custodianCmd) Run(s *shell) error {
	k, err := readCustodianConfig(c.Config)
	if err != nil {
		return err
	}
	if err := confine(); err != nil {
		return fmt.Errorf("confining the custodian: %w", err)
	}
	syscall.Umask(0o027) // the daemon reads, through its group
	lock, err := lockFile(k.Socket + ".lock")
	if err != nil {
		return err
	}
	return errors.Join(k.serve(s), lock.Close())
}

// socketPerm: the daemon connects through its group; who it is says the kernel.
const socketPerm = 0o660

func (k *keeperSetup) serve(s *shell) error {
	log := s.logger(k.level)
	server, err := custodian.NewServer(s.ctx, k.DataDir, custodian.ServerOptions{Peer: k.peer, Gate: gate.New(k.DataDir, k.ceremony), Log: log})
	if err != nil {
		return err
	}
	// Under the lock: what is there is of a custodian that was killed.
	if err := os.Remove(k.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: k.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(k.Socket, socketPerm); err != nil {
		return errors.Join(err, listener.Close())
	}
	log.Info("serving", "data_dir", k.DataDir, "socket", k.Socket, "daemon", k.peer, "protection", server.Protection().String(), "version", version)
	err = server.Serve(s.ctx, listener)
	log.Info("stopped")
	return err
}

// keeper is the custodian that a node's file names; nil without one.
func (c *nodeConfig) keeper(ctx context.Context) (store.Custodian, error) {
	if c.Custodian == "" {
		return nil, nil
	}
	return custodian.NewRemote(ctx, c.DataDir, c.Custodian)
}
