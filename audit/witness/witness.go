// Package witness is an independent witness of checkpoints (C2SP tlog-witness): it
// signs a checkpoint only if the tree that it signed before is its beginning.
// Whoever trusts the witness knows that nobody was shown another history.
//
// It guarantees that
//
//   - a checkpoint is cosigned only when a majority of the log's listed node keys
//     signed it and the tree of the newest cosigned one is proven to be its
//     beginning; requests for one log are taken one after another,
//   - the whole newest checkpoint is on disk before its cosignature is answered
//     (P54): a killed witness signs nothing that contradicts what it answered,
//   - of a checkpoint that contradicts the kept one, both signed notes are kept as
//     proof, on disk before the refusal is answered,
//   - what a stranger sends takes bounded room, time and disk.
//
// It reads no clock of its own; it removes nothing.
package witness

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store/format"
)

// Log is a log that the witness knows.
type Log struct {
	Origin string
	// Nodes are the keys that sign its checkpoints; more than half of them must.
	Nodes []format.NoteKey
}

// Options say what a witness works on. All but Log are required.
type Options struct {
	Dir  string
	Key  Key
	Logs []Log
	// Now is the time that cosignatures carry, the witness's own.
	Now func() time.Time
	// Log takes a line for each cosignature and each refusal of a signed
	// checkpoint. nil: none.
	Log *slog.Logger
	// kept is called between the durable write and the answer; for tests.
	kept func()
}

// Why a checkpoint is not cosigned. The HTTP status follows from it.
var (
	ErrUnknownLog = errors.New("no log of this origin is known here")
	ErrUnsigned   = errors.New("not signed by a majority of the log's nodes")
	ErrBadSize    = errors.New("the old size is greater than the checkpoint's")
	ErrProof      = errors.New("the consistency proof does not verify")
	ErrFailed     = errors.New("the witness has failed and must be started again")
)

// Conflict means that the witness has cosigned a tree of another size than the
// request began with, or another tree of that size.
type Conflict struct {
	Size uint64 // of the newest cosigned checkpoint
}

// Error implements error.
func (c *Conflict) Error() string { return fmt.Sprintf("the newest cosigned size is %d", c.Size) }

// Witness cosigns. Its methods may be used by several goroutines.
type Witness struct {
	opts Options
	log  *slog.Logger
	lock *os.File
	logs map[string]*state
}

// state is what is kept of one log.
type state struct {
	Log
	dir string

	mu     sync.Mutex
	newest note // without a text before the first one
	failed error
}

// note is a signed checkpoint and what it says.
type note struct {
	format.Note
	cp format.Checkpoint
}

// Open reads what the directory holds and takes its lock; Close gives it up.
func Open(o Options) (*Witness, error) {
	w := &Witness{opts: o, log: o.Log, logs: map[string]*state{}}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if w.lock, err = os.OpenFile(filepath.Join(o.Dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(w.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: in use by another witness: %w", o.Dir, err), w.lock.Close())
	}
	for _, l := range o.Logs {
		if err := w.add(l); err != nil {
			return nil, errors.Join(err, w.lock.Close())
		}
	}
	return w, nil
}

// Close gives the directory up. No other method may run or be called any more.
func (w *Witness) Close() error { return w.lock.Close() }

func (w *Witness) add(l Log) error {
	if w.logs[l.Origin] != nil || len(l.Nodes) == 0 {
		return fmt.Errorf("log %s: listed twice, or without nodes", l.Origin)
	}
	st := &state{Log: l, dir: logDir(w.opts.Dir, l.Origin)}
	if err := os.MkdirAll(st.dir, 0o700); err != nil {
		return err
	}
	if err := durable.SyncDir(w.opts.Dir); err != nil {
		return err
	}
	var err error
	if st.newest, err = readNewest(st.dir, w.opts.Key.Public()); err != nil {
		return err
	}
	w.logs[l.Origin] = st
	return nil
}

// Add takes a request for a cosignature and answers the witness's line. Errors
// wrap those above or are a *Conflict; a malformed checkpoint wraps
// format.ErrMalformed.
func (w *Witness) Add(a format.AddCheckpoint) (format.NoteLine, error) {
	var none format.NoteLine
	cp, err := format.ParseCheckpoint(a.Note.Text)
	if err != nil {
		return none, err
	}
	st := w.logs[format.Origin(cp.Cluster)]
	if st == nil {
		return none, ErrUnknownLog
	}
	offered := note{cp: cp}
	if offered.Note, err = st.signed(a.Note); err != nil {
		return none, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failed != nil {
		return none, st.failed
	}
	if err := w.judge(st, a, offered); err != nil {
		return none, err
	}
	return w.cosign(st, offered)
}

// signed answers the note with the lines of the log's nodes alone, of whom each
// stands once, if a majority signed. A line under a node's name and key id that
// does not verify spoils the note.
func (l Log) signed(n format.Note) (format.Note, error) {
	out := format.Note{Text: n.Text}
	for _, key := range l.Nodes {
		line, signed, spoilt := n.SignedBy(key)
		if spoilt {
			return out, fmt.Errorf("%w: the signature of %s does not verify", ErrUnsigned, key.Name)
		}
		if signed {
			out.Lines = append(out.Lines, line)
		}
	}
	if 2*len(out.Lines) <= len(l.Nodes) {
		return out, fmt.Errorf("%w: %d of %d", ErrUnsigned, len(out.Lines), len(l.Nodes))
	}
	return out, nil
}

// judge says why the offered checkpoint is not cosigned, and keeps the proof when
// it contradicts the newest one.
func (w *Witness) judge(st *state, a format.AddCheckpoint, offered note) error {
	kept := st.newest
	if offered.cp.Size == 0 || offered.cp.Size > 1<<62 {
		return fmt.Errorf("%w: checkpoint of size %d", format.ErrMalformed, offered.cp.Size)
	}
	if a.Old > offered.cp.Size {
		return ErrBadSize
	}
	if kept.Text == "" {
		if a.Old != 0 {
			return &Conflict{0}
		}
		return emptyProof(a.Proof)
	}
	if c := contradiction(kept.cp, offered.cp); c != "" {
		w.accuse(st, c, a, offered)
		return &Conflict{kept.cp.Size}
	}
	if a.Old != kept.cp.Size {
		return &Conflict{kept.cp.Size}
	}
	if a.Old == offered.cp.Size {
		return emptyProof(a.Proof)
	}
	proof := make(tlog.TreeProof, len(a.Proof))
	for i, h := range a.Proof {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(proof, int64(offered.cp.Size), tlog.Hash(offered.cp.Root), int64(kept.cp.Size), tlog.Hash(kept.cp.Root)); err != nil {
		w.accuse(st, proven(proof, kept.cp, offered.cp), a, offered)
		return fmt.Errorf("%w: from size %d", ErrProof, kept.cp.Size)
	}
	return nil
}

func emptyProof(proof []format.Digest) error {
	if len(proof) != 0 {
		return fmt.Errorf("%w: nothing is to be proven", ErrProof)
	}
	return nil
}

// cosign keeps the offered checkpoint as the newest, and answers only then.
func (w *Witness) cosign(st *state, offered note) (format.NoteLine, error) {
	line := w.opts.Key.cosign(offered.Text, uint64(max(0, w.opts.Now().Unix())))
	offered.Lines = append(offered.Lines, line)
	if err := durable.WriteFile(filepath.Join(st.dir, newestFile), []byte(offered.String()), 0o600); err != nil {
		// Which of the two checkpoints is on disk is not known any more.
		st.failed = fmt.Errorf("%w: %w", ErrFailed, err)
		w.log.Error("the newest checkpoint could not be kept", "origin", st.Origin, "error", err)
		return format.NoteLine{}, st.failed
	}
	st.newest = offered
	if w.opts.kept != nil {
		w.opts.kept()
	}
	w.log.Info("cosigned", "origin", st.Origin, "size", offered.cp.Size)
	return line, nil
}

// Newest is the newest cosigned checkpoint of the log whose origin has this
// SHA-256 in hex; ok is false when there is none.
func (w *Witness) Newest(originHash string) (n format.Note, ok bool) {
	for origin, st := range w.logs {
		if cosign.OriginHash(origin) != originHash {
			continue
		}
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.newest.Note, st.newest.Text != ""
	}
	return n, false
}
