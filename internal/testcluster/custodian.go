package testcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Where custodians are processes of their own, each node's data directory lies in a
// vault that belongs to its custodian: the daemon reads there, through its group.

const vault = "vault"

// vaultPerm lets the daemon pass and rename nothing.
const vaultPerm = 0o750

// dataDir and socket are as node files name them.
func (c *Cluster) dataDir() string {
	if c.opts.Custodian != 0 {
		return filepath.Join(vault, "data")
	}
	return "data"
}

func (c *Cluster) socket() string {
	if c.opts.Custodian != 0 {
		return filepath.Join(vault, "s")
	}
	return ""
}

type custodianTOML struct {
	DataDir        string `toml:"data_dir"`
	Socket         string `toml:"socket"`
	Daemon         string `toml:"daemon_user"`
	CeremonyDigest string `toml:"ceremony_digest"`
}

// CustodianConfig is the configuration file of node i's custodian.
func (c *Cluster) CustodianConfig(i int) string { return c.nodes[i].custodianConfig() }

func (n *node) custodianConfig() string { return filepath.Join(n.dir, vault, "custodian.toml") }

// handOverVaults makes the vaults, and gives them to the custodians.
func (c *Cluster) handOverVaults() error {
	if c.opts.Custodian == 0 {
		return nil
	}
	if err := os.Chmod(c.opts.Dir, vaultPerm); err != nil {
		return err
	}
	for _, n := range c.nodes {
		dir := filepath.Join(n.dir, vault)
		if err := os.MkdirAll(dir, vaultPerm); err != nil {
			return err
		}
		file := custodianTOML{DataDir: "data", Socket: "s", Daemon: fmt.Sprint(c.opts.User), CeremonyDigest: c.digest}
		if err := writeTOML(n.custodianConfig(), file); err != nil {
			return err
		}
		for _, path := range []string{dir, n.custodianConfig()} {
			if err := os.Lchown(path, int(c.opts.Custodian), int(c.opts.User)); err != nil {
				return err
			}
		}
		for _, path := range []string{n.dir, dir} {
			if err := os.Chmod(path, vaultPerm); err != nil {
				return err
			}
		}
	}
	return nil
}

// custodianWithin is how long a custodian may take until it listens.
const custodianWithin = 20 * time.Second

// startCustodian starts a node's custodian if it does not run, and waits until it
// listens. The caller holds n.mu.
func (c *Cluster) startCustodian(n *node) error {
	if n.keeper.running() {
		return nil
	}
	dir := filepath.Join(n.dir, vault)
	socket := filepath.Join(dir, "s")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	p, err := c.spawn(filepath.Join(n.dir, "custodian.jsonl"), dir, c.opts.Custodian, true, "custodian", "--config", n.custodianConfig())
	if err != nil {
		return err
	}
	n.keeper = p
	late := time.After(custodianWithin)
	tick := time.NewTicker(pollEvery / 5)
	defer tick.Stop()
	for {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the custodian of %s ended: %w: %s", n.name, p.err, c.custodianLog(n))
		case <-late:
			return fmt.Errorf("the custodian of %s does not listen: %s", n.name, c.custodianLog(n))
		case <-tick.C:
		}
	}
}

func (c *Cluster) custodianLog(n *node) string {
	raw, _ := os.ReadFile(filepath.Join(n.dir, "custodian.jsonl"))
	return string(raw)
}

// CustodianLog is what the custodian of node i has said.
func (c *Cluster) CustodianLog(i int) string { return c.custodianLog(c.nodes[i]) }

// CustodianPid is the process id of node i's custodian while it runs.
func (c *Cluster) CustodianPid(i int) (pid int, ok bool) {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.keeper.running() {
		return 0, false
	}
	return n.keeper.pid, true
}

// CustodianEnded is closed when the last run of node i's custodian has ended; nil
// where none was started.
func (c *Cluster) CustodianEnded(i int) <-chan struct{} {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keeper == nil {
		return nil
	}
	return n.keeper.done
}

// KillCustodian ends the custodian of node i at once (SIGKILL), if one runs. The
// next start of the node starts it again, as does StartCustodian.
func (c *Cluster) KillCustodian(i int) error {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.keeper.running() {
		return nil
	}
	if err := syscall.Kill(n.keeper.pid, syscall.SIGKILL); err != nil {
		return err
	}
	<-n.keeper.done
	return nil
}

// StartCustodian starts the custodian of node i, beside a node that may be running.
func (c *Cluster) StartCustodian(i int) error {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	return c.startCustodian(n)
}
