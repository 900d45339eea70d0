package client

import (
	"context"
	"errors"
	"fmt"
)

// Memory keeps the newest checkpoint of one cluster that a client has verified,
// so that a later one can be held against it. [FileMemory] is one.
type Memory interface {
	// Load answers the remembered note, "" when there is none.
	Load() (string, error)
	// Swap replaces the remembered note old ("" for none) by another. It changes
	// nothing and reports false when something else is remembered by now.
	Swap(old, new string) (bool, error)
	// Keep stores two notes that contradict each other, as proof, and answers
	// where.
	Keep(a, b string) (string, error)
}

// ErrMemory: the memory cannot be read or written, or what it holds is no
// checkpoint of this cluster.
var ErrMemory = errors.New("remembered checkpoint")

// RollbackError says that the appliance shows fewer records than a majority of
// its nodes once signed: at least the records from Has up to and with Had-1 are
// missing. An appliance that was put back and has gone on writing may have lost
// earlier ones as well. It wraps [ErrIntegrity].
type RollbackError struct {
	// Had is the size of the checkpoint that is remembered, or was kept.
	Had uint64
	// Has is the size of the newest checkpoint that the appliance shows; 0 when it
	// shows none.
	Has uint64
	// Note is the checkpoint of size Had, whole.
	Note string
}

// Error names the sequences that are missing.
func (e *RollbackError) Error() string {
	return fmt.Sprintf("the history went back: a majority signed %d records, the appliance shows %d; at least records %d to %d are missing",
		e.Had, e.Has, e.Has, e.Had-1)
}

// Unwrap makes it an [ErrIntegrity].
func (e *RollbackError) Unwrap() error { return ErrIntegrity }

// ForkError says that of two checkpoints, each signed by a majority of the pinned
// nodes, one is not shown to be the other's beginning. With the same number of
// records the two notes alone prove a fork to anybody; with different ones, an
// appliance that is honest can show a consistency proof and this one did not. It
// wraps [ErrIntegrity].
type ForkError struct {
	// Had and Has are the notes, the one of fewer records first.
	Had, Has string
	Why      string
	// Kept is where the memory keeps both; empty without a memory.
	Kept string
}

// Error says why, and where the proof is.
func (e *ForkError) Error() string {
	if e.Kept == "" {
		return "the history was forked: " + e.Why
	}
	return "the history was forked: " + e.Why + "; both signed checkpoints are kept in " + e.Kept
}

// Unwrap makes it an [ErrIntegrity].
func (e *ForkError) Unwrap() error { return ErrIntegrity }

// forked keeps both notes and answers the error.
func (c *Client) forked(had, has, why string) error {
	f := &ForkError{Had: had, Has: has, Why: why}
	if c.memory == nil {
		return f
	}
	var err error
	if f.Kept, err = c.memory.Keep(had, has); err != nil {
		return errors.Join(f, fmt.Errorf("%w: keeping the proof: %w", ErrMemory, err))
	}
	return f
}

// remembered answers the newest checkpoint of the memory, verified as at the
// first day; nil when there is none.
func (c *Client) remembered() (*SignedCheckpoint, error) {
	if c.memory == nil {
		return nil, nil
	}
	note, err := c.memory.Load()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMemory, err)
	}
	if note == "" {
		return nil, nil
	}
	s, err := c.signed(note)
	if err != nil {
		return nil, fmt.Errorf("%w does not verify: %v", ErrMemory, err)
	}
	return s, nil
}

// hold holds a verified checkpoint against what is remembered, and remembers it
// when it is newer. consistency is the proof from had; when another process has
// remembered a newer one meanwhile, that is held against it as well.
func (c *Client) hold(ctx context.Context, s, had *SignedCheckpoint, consistency [][]byte) error {
	if c.memory == nil {
		return nil
	}
	for {
		newer := had == nil || s.Checkpoint.Size > had.Checkpoint.Size
		if err := c.holdAgainst(ctx, s, had, consistency); err != nil || !newer {
			return err
		}
		old := ""
		if had != nil {
			old = had.Note
		}
		done, err := c.memory.Swap(old, s.Note)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMemory, err)
		}
		if done {
			return nil
		}
		if had, err = c.remembered(); err != nil {
			return err
		}
		consistency = nil // was from another one
	}
}

func (c *Client) holdAgainst(ctx context.Context, s, had *SignedCheckpoint, consistency [][]byte) error {
	switch {
	case had == nil:
		return nil
	case s.Checkpoint.Size > had.Checkpoint.Size && len(consistency) > 0:
		return c.consistent(had, s, consistency)
	}
	return c.Consistency(ctx, had, s)
}
