package testcluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Options says what New makes.
type Options struct {
	// Bin is the folder that holds the programs sagod and sago.
	Bin string
	// Dir is the cluster's directory; it must not exist, or be empty. Close removes it.
	Dir string
	// Nodes is 1, 3 or 5; 0 means 3.
	Nodes int
	// Sources are the time servers that New starts and the policy lists; none means
	// DefaultSources.
	Sources []Source
	// Production makes a cluster of production; else it is one of development, with
	// the same sources.
	Production bool
	// Policy replaces what the ceremony's plan would say by default.
	Policy Policy
	// LogLevel is that of the nodes: debug, info, warn or error; "" means info.
	LogLevel string
	// User runs the nodes as this user id, with the capability that inode flags
	// need and no other; 0 runs them as this process. It needs root, a Dir and a Bin
	// that the user can reach.
	User uint32
	// Custodian runs the custodian of each node as this user id, in the group of
	// User, and the nodes without any capability; 0: in the nodes' own process. It
	// needs User.
	Custodian uint32
	// NodeDirs are the nodes' folders, such as file systems of their own; they exist
	// and hold nothing but lost+found, and are not removed. None means folders in Dir.
	NodeDirs []string
	// Env are further variables of the nodes' and custodians' environment. Both run in
	// the folder of their configuration file.
	Env []string
	// Keep leaves the directory behind at Close, without inode flags.
	Keep bool
}

// Source is a time server of this process. It demands an AES-128-CMAC key of its
// queries and answers with it (RFC 8573).
type Source struct {
	Name, Operator string
	// Offset is its lie: what it adds to true time.
	Offset time.Duration
	secret []byte
}

// DefaultSources are three honest time servers of three operators.
func DefaultSources() []Source {
	return []Source{{Name: "time-a", Operator: "operator-a"}, {Name: "time-b", Operator: "operator-b"}, {Name: "time-c", Operator: "operator-c"}}
}

// Policy is what a test may want of the ceremony's plan; a zero value leaves the
// plan's own default, but for CoolingOff and CheckpointEvery: 5 s and 5 s, so that
// nobody waits.
type Policy struct {
	Slack, Agreement, SweepWithin, CoolingOff, CheckpointEvery time.Duration
	MaxYears                                                   uint32
}

// person is who has a context, in the order of their ids, from 1.
type person struct {
	name, role, department string
	institution            int
}

// persons are the roles for which contexts are written, named as those of a
// development directory.
func persons() []person {
	return []person{
		{"app", "application", "정보시스템", 1},
		{"officer", "officer", "업무부", 1},
		{"head", "head", "업무부", 1},
		{"manager", "manager", "정보보호부", 1},
		{"approver1", "approver", "심사부", 1},
		{"approver2", "approver", "심사부", 1},
		{"approver3", "approver", "준법부", 1},
		{"admin", "admin", "전산부", 1},
		{"auditor", "auditor", "감사실", 1},
		{"contractor", "contractor", "외주", 1},
		{"inspector", "auditor", "현장실사", 0},
		{"keeper", "admin", "운영실", 0},
	}
}

// Institution is the code of the cluster's one institution.
const Institution = "demo"

// BundleID is the one bundle definition (묶음정보) of the institution; it allows
// every retention rule.
const BundleID = "MDS0000001"

func (o *Options) complete() error {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Nodes != 1 && o.Nodes != 3 && o.Nodes != 5 {
		return fmt.Errorf("%d nodes: a cluster has 1, 3 or 5", o.Nodes)
	}
	if len(o.Sources) == 0 {
		o.Sources = DefaultSources()
	}
	for i := range o.Sources {
		o.Sources[i].secret = make([]byte, 16)
		_, _ = rand.Read(o.Sources[i].secret) // crypto/rand.Read never fails
	}
	if o.Policy.CoolingOff == 0 {
		o.Policy.CoolingOff = 5 * time.Second
	}
	if o.Policy.CheckpointEvery == 0 {
		o.Policy.CheckpointEvery = 5 * time.Second
	}
	for _, p := range []*string{&o.Bin, &o.Dir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	for _, name := range []string{"sagod", "sago"} {
		if _, err := os.Stat(filepath.Join(o.Bin, name)); err != nil {
			return fmt.Errorf("%w (the programs are made by `make build`)", err)
		}
	}
	return o.emptyDir()
}

// emptyDir makes the directory, which must not hold anything.
func (o *Options) emptyDir() error {
	if o.Dir == "" {
		return errors.New("no directory")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", o.Dir)
	}
	return nil
}
