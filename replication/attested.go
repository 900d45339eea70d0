package replication

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// attested is what a node keeps beside its key, outside the data directory: the
// greatest values that its incarnation durably had. A data directory that holds
// less is an old copy, and gives its incarnation up.
type attested struct {
	Incarnation string `json:"incarnation"`
	Commit      uint64 `json:"commit"`
	Term        uint64 `json:"term"`
	Size        uint64 `json:"history"`
	// Root is the tree's root over these records, in hex; empty while there are none.
	Root string `json:"root,omitempty"`
	// CleanLast is the last log index at a clean stop, 0 while the node runs: a
	// tail that is missing then is not a tail that never was.
	CleanLast uint64 `json:"clean_last,omitempty"`
	// GivenUp says why the incarnation may not be used again; empty while it may.
	GivenUp string `json:"given_up,omitempty"`
	// Aside says why the incarnation before this one was put aside, until this one
	// is whole and votes.
	Aside string `json:"aside,omitempty"`
}

// attestor writes the file. A record is never ahead of what is durable inside.
type attestor struct {
	path string
	mu   sync.Mutex
	have attested
	// room has the disk's reserve give some room; nil before the store is open.
	room func() error
}

func openAttestor(dir string) (*attestor, error) {
	a := &attestor{path: filepath.Join(dir, attestedFile)}
	if err := readSummed(a.path, "attested values", &a.have); err != nil {
		return nil, err
	}
	return a, nil
}

// readSummed reads a file that writeSummed wrote; one that is not there changes
// nothing, one that was changed is damage.
func readSummed(path, what string, v any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := format.DecodeSummed(raw, v); err != nil {
		return &format.DamageError{File: path, Offset: -1, What: what, Err: err}
	}
	return nil
}

// writeSummed writes a value as a summed text, durably.
func writeSummed(path, what string, v any) error {
	text, err := format.EncodeSummed(v)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (a *attestor) write(v attested) error {
	err := writeSummed(a.path, "attested values", v)
	// The keys may lie on the data's own disk. Nothing of a file that is replaced
	// whole counts before the new one has its name, so it may be tried again.
	for range 3 {
		if !errors.Is(err, unix.ENOSPC) || a.room == nil {
			break
		}
		if err = a.room(); err == nil {
			err = writeSummed(a.path, "attested values", v)
		}
	}
	if err != nil {
		return err
	}
	a.have = v
	return nil
}

// begin starts the account of a new incarnation. Why the one before it was put
// aside stays until settled, the first reason first.
func (a *attestor) begin(incarnation format.ID, aside string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.have.Aside != "" {
		aside = a.have.Aside
	}
	return a.write(attested{Incarnation: hex.EncodeToString(incarnation[:]), Aside: aside})
}

// aside says why the incarnation before this one was put aside.
func (a *attestor) aside() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.have.Aside
}

// settled records that this incarnation is whole: nothing is put aside any more.
func (a *attestor) settled() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.have.Aside == "" {
		return nil
	}
	v := a.have
	v.Aside = ""
	return a.write(v)
}

// had is how many records the incarnation durably had; 0 for another one.
func (a *attestor) had(incarnation format.ID) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.have.Incarnation != hex.EncodeToString(incarnation[:]) {
		return 0
	}
	return a.have.Size
}

// raise records greater values; equal or lesser ones write nothing. root is that of
// the first size records.
func (a *attestor) raise(commit, term, size uint64, root format.Digest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.have
	v.Commit, v.Term = max(v.Commit, commit), max(v.Term, term)
	if size > v.Size {
		v.Size, v.Root = size, hex.EncodeToString(root[:])
	}
	if v == a.have {
		return nil
	}
	return a.write(v)
}

// checkRoot holds a history that check let pass against the root that was written
// down with its size: one that was rewritten with all its checksums is damage.
func (a *attestor) checkRoot(rootAt func(size uint64) (format.Digest, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.have.Root == "" {
		return nil // nothing was durable yet
	}
	root, err := rootAt(a.have.Size)
	if err != nil {
		return err
	}
	if hex.EncodeToString(root[:]) != a.have.Root {
		return &format.DamageError{File: "history", Offset: -1,
			What: fmt.Sprintf("the first %d records do not have the root that this node wrote down when they were on its disk", a.have.Size)}
	}
	return nil
}

// commit is the greatest commit index written down.
func (a *attestor) commit() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.have.Commit
}

// stopped records the last log index of a clean stop.
func (a *attestor) stopped(last uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.have
	v.CleanLast = last
	return a.write(v)
}

// giveUp records that the incarnation may not be used again.
func (a *attestor) giveUp(why string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.have
	v.GivenUp = why
	return a.write(v)
}

// check says why an incarnation that durably has the given values may not go on;
// nil when it may.
func (a *attestor) check(incarnation format.ID, last, term, size uint64) error {
	switch {
	case a.have.Incarnation == "":
		return nil // never started: the directory was prepared by the ceremony
	case a.have.Incarnation != hex.EncodeToString(incarnation[:]):
		return fmt.Errorf("the data directory is incarnation %x, this node's is %s", incarnation[:], a.have.Incarnation)
	case a.have.GivenUp != "":
		return fmt.Errorf("given up: %s", a.have.GivenUp)
	case a.have.CleanLast != 0 && last != a.have.CleanLast:
		return fmt.Errorf("the log ends at %d, at the clean stop it ended at %d", last, a.have.CleanLast)
	case last < a.have.Commit || term < a.have.Term || size < a.have.Size:
		return fmt.Errorf("it holds log %d, term %d, history %d and once held %d, %d, %d: an old copy",
			last, term, size, a.have.Commit, a.have.Term, a.have.Size)
	}
	return nil
}
