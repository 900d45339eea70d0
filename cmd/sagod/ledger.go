package main

import (
	"path/filepath"

	"github.com/sago-worm/sago/service/ledger"
)

// ledgerFile is in the ledger directory, which outlives the data directory.
const ledgerFile = "special-delete.ledger"

// placeLedger gives the two records of special deletions their usual places: beside
// the data directory. Where a custodian is apart that folder is the custodian's, and
// the daemon cannot write there.
func (c *nodeConfig) placeLedger() {
	if c.DataDir == "" || c.Custodian != "" {
		return
	}
	if c.LedgerDir == "" {
		c.LedgerDir = filepath.Join(filepath.Dir(c.DataDir), "ledger")
	}
	if c.OSRecord == "" {
		c.OSRecord = filepath.Join(filepath.Dir(c.DataDir), "log", "special-delete.log")
	}
}

// checkLedger holds the three records apart.
func (c *nodeConfig) checkLedger(wrong *faults) {
	if c.DataDir == "" {
		return
	}
	for _, m := range []struct{ key, path string }{{"ledger_dir", c.LedgerDir}, {"os_record", c.OSRecord}} {
		if m.path == "" {
			wrong.add("config: %s: is missing: beside a custodian of its own no folder is taken for granted", m.key)
			continue
		}
		if inside(m.path, c.DataDir) {
			wrong.add("config: %s: lies inside data_dir, which is not kept when the node rejoins", m.key)
		}
	}
	if c.LedgerDir != "" && c.OSRecord != "" && inside(c.OSRecord, c.LedgerDir) {
		wrong.add("config: os_record: lies inside ledger_dir: the two are records of their own")
	}
}

// startLedger writes the steps of special deletions outside, from the open node's
// history.
func (u *unit) startLedger() {
	u.cfg.placeLedger()
	u.ledger.Store(ledger.Start(ledger.Options{History: u.current().Store(), File: filepath.Join(u.cfg.LedgerDir, ledgerFile),
		OSFile: u.cfg.OSRecord, Node: u.cfg.Name, Log: u.log}))
}

// closeLedger ends the ledger before the history that it reads is closed.
func (u *unit) closeLedger() {
	if l := u.ledger.Swap(nil); l != nil {
		l.Close()
	}
}

// compareLedger is the comparison of the three records on this node.
func (u *unit) compareLedger() (ledger.Report, error) {
	l := u.ledger.Load()
	if l == nil {
		return ledger.Report{Disagreements: []string{"the ledger is closed"}}, nil
	}
	return l.Check()
}
