package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// fileDamage is what check-file found.
type fileDamage struct{ err error }

func (e *fileDamage) Error() string { return e.err.Error() }

func (e *fileDamage) Unwrap() error { return e.err }

// The kinds of files that check-file reads.
const (
	kindIndex = "index"
	kindLog   = "log"
)

type checkCmd struct {
	Kind string `arg:"" enum:"index,log"`
	Path string `arg:""`
}

// Run reads the file whole and exits 7, with one line, when it is damaged.
func (c *checkCmd) Run(*shell) error {
	check := store.CheckIndexFile
	if c.Kind == kindLog {
		check = store.CheckLogFile
	}
	if err := check(c.Path); err != nil {
		return &fileDamage{err}
	}
	return nil
}

// probe reads a database file in a child process, before this one maps it: a
// damaged page can end the process that maps it beyond recovery.
func probe(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	kind := kindIndex
	if filepath.Base(path) == store.LogFile {
		kind = kindLog
	}
	child := exec.Cmd{Path: self, Args: []string{os.Args[0], "check-file", kind, path}}
	said, err := child.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitDamage {
		return &format.DamageError{File: filepath.Base(path), Offset: -1, What: "database file", Err: errors.New(oneLine(string(said)))}
	}
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %s", exit, oneLine(string(said)))
	}
	return err
}
