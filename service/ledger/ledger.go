package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// History is what a ledger reads: a *store.Store.
type History interface {
	// Summary says how much has been applied.
	Summary() store.Summary
	// DurableSize is how many records are on disk.
	DurableSize() uint64
	// SpecialSteps lists the steps with sequences [from, to), at most limit.
	SpecialSteps(from, to uint64, limit int) ([]store.SpecialStep, error)
	// Pruned says below which sequence records may be gone.
	Pruned() format.PrunedRow
}

// Options say what a Ledger reads and where it writes.
type Options struct {
	History History
	File    string // path of the ledger; outlives the data directory
	OSFile  string // path of the operating system's record
	// Sockets are tried in order for the system's own log: journald's, then syslog's.
	// nil: /run/systemd/journal/socket and /dev/log.
	Sockets []string
	Node    string
	Log     *slog.Logger
}

const (
	pollEvery   = 200 * time.Millisecond
	portion     = 256
	mostBackoff = 15 * time.Second
)

// The modes let a site's collector read by its group.
const fileMode = 0o640

// Ledger writes both records, from Start until Close.
type Ledger struct {
	opts   Options
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended

	writing sync.Mutex // held while the files are written, or compared
	seen    uint64     // records below were looked at: no step of them is missing

	mu  sync.Mutex
	err error // why nothing is written at present
}

// Start begins to write what the history holds behind the two files' ends.
func Start(o Options) *Ledger {
	if o.Sockets == nil {
		o.Sockets = []string{"/run/systemd/journal/socket", "/dev/log"}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Ledger{opts: o, cancel: cancel, done: make(chan struct{})}
	go func() { // ends with ctx
		defer close(l.done)
		l.run(ctx)
	}()
	return l
}

// Close ends the ledger. What was not written is written after the next Start.
func (l *Ledger) Close() {
	l.cancel()
	<-l.done
}

// Err is why nothing is written at present, or nil.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *Ledger) run(ctx context.Context) {
	wait := pollEvery
	for {
		err := l.write()
		l.mu.Lock()
		before := l.err
		l.err = err
		l.mu.Unlock()
		if wait = min(2*wait, mostBackoff); err == nil {
			wait = pollEvery
		} else if before == nil {
			l.opts.Log.Error("the special-deletion ledger cannot be written", "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (l *Ledger) ledger() *book { return &book{l.opts.File} }
func (l *Ledger) system() *book { return &book{l.opts.OSFile} }

// size is how many records are committed, applied and on disk.
func (l *Ledger) size() uint64 {
	return min(l.opts.History.Summary().Size, l.opts.History.DurableSize())
}

// write brings both files to the history's end. With nothing new it reads neither.
func (l *Ledger) write() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	size := l.size()
	if l.seen > 0 {
		steps, err := l.opts.History.SpecialSteps(l.seen, size, 1)
		if err != nil || len(steps) == 0 {
			return err
		}
	}
	return l.writeTo(size)
}

// writeTo brings both files to records [0, size). The caller holds writing.
func (l *Ledger) writeTo(size uint64) error {
	if _, err := l.bring(l.ledger(), size); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	lines, err := l.bring(l.system(), size)
	if err != nil {
		return fmt.Errorf("operating system record: %w", err)
	}
	for _, text := range lines {
		l.tell(text)
	}
	l.seen = max(l.seen, size)
	return nil
}

// bring appends to a book what it lacks behind its end.
func (l *Ledger) bring(b *book, size uint64) (lines [][]byte, err error) {
	c, err := b.read()
	if err != nil {
		return nil, err
	}
	for {
		next, _ := c.last()
		if next >= size {
			return lines, nil
		}
		steps, err := l.opts.History.SpecialSteps(next, size, portion)
		if err != nil || len(steps) == 0 {
			return lines, err
		}
		more, err := b.add(&c, steps)
		if err != nil {
			return lines, err
		}
		c.torn = nil
		lines = append(lines, more...)
	}
}

// tell hands a line to the system's own log, as far as there is one. The file
// beside it is what is compared: a log that is rotated away is no proof.
func (l *Ledger) tell(text []byte) {
	err := errors.New("no socket")
	for _, path := range l.opts.Sockets {
		if err = send(path, l.opts.Node, text); err == nil {
			return
		}
	}
	l.opts.Log.Debug("no system log took a special-deletion record", "error", err)
}
