package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// History is what a sink reads: a *store.Store.
type History interface {
	// Summary says how much has been applied.
	Summary() store.Summary
	// DurableSize is how many records are on disk.
	DurableSize() uint64
	// Kept calls each with the encoded records that are still here of [from, to), in order.
	Kept(ctx context.Context, from, to uint64, each func(sequence uint64, encoded []byte) error) error
}

// Options say what a Sink reads and where it sends. Of File and Syslog one is set.
type Options struct {
	History History
	File    string // path
	Syslog  *Syslog
	// Cursor is the path of the file that remembers how far the sink is; it outlives
	// the data directory.
	Cursor string
	Node   string           // this node's name
	Time   func() time.Time // the quorum clock's floor, for certificates
	Log    *slog.Logger
	// Patience is how late records may be before the sink lags; 0 means 10 s.
	Patience time.Duration
}

// What bounds a sink's pace.
const (
	pollEvery    = 100 * time.Millisecond // looking for new records
	settleEvery  = time.Second            // the least between two syncs, but at idle
	portion      = 256                    // records between two looks at the rest
	firstBackoff = 200 * time.Millisecond
	mostBackoff  = 15 * time.Second
	closeWithin  = 2 * time.Second
)

// Why a sink does not send.
var (
	errReopen = errors.New("the file was rotated")
	errAhead  = errors.New("the history here does not reach what was sent; waiting for it")
	errOther  = errors.New("what was sent is not of this history")
)

// target is a place that records are sent to, open.
type target interface {
	// write takes a record's line, perhaps only into a buffer; flush hands on what
	// is there; settle returns nil once all of it is safe.
	write(text []byte, rec *format.Record, leaf format.Digest) error
	flush(ctx context.Context) error
	settle(ctx context.Context) error
	// check says whether it is still the right one; errReopen is no failure.
	check() error
	close() error
}

// Sink sends a history, from Start until Close.
type Sink struct {
	opts     Options
	cancel   context.CancelFunc
	done     chan struct{} // closed when both goroutines have ended
	mistrust bool          // the file's own end is no proof, after a failed sync

	mu     sync.Mutex
	cursor cursor
	erased uint64 // records that were gone before they could be sent
	err    error  // why nothing is sent at present
	lags   bool
}

// Start begins to send what the history holds behind the cursor. It fails only
// where the cursor cannot be read; a target that cannot be reached is tried again.
func Start(o Options) (*Sink, error) {
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	c, err := readCursor(o.Cursor)
	if errors.Is(err, errCursor) {
		o.Log.Warn("history sink", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("history sink: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sink{opts: o, cancel: cancel, done: make(chan struct{}), cursor: c}
	var both sync.WaitGroup
	both.Go(func() { s.run(ctx) })
	both.Go(func() { s.watch(ctx) })
	go func() { // ends with the two
		both.Wait()
		close(s.done)
	}()
	return s, nil
}

// ErrHangs says that a sink was left behind in a call that does not return.
var ErrHangs = errors.New("the history sink hangs and is left behind")

// Close ends the sink within 2 seconds. What was not sent is sent after the next
// Start. The error is ErrHangs or nil.
func (s *Sink) Close() error {
	s.cancel()
	hang := time.NewTimer(closeWithin)
	defer hang.Stop()
	select {
	case <-s.done:
		return nil
	case <-hang.C:
		return ErrHangs
	}
}

// size is how many records are committed, applied and on disk.
func (s *Sink) size() uint64 { return min(s.opts.History.Summary().Size, s.opts.History.DurableSize()) }

// run sends until ctx ends.
func (s *Sink) run(ctx context.Context) {
	wait := firstBackoff
	var contrary contradiction
	for ctx.Err() == nil {
		before := s.position()
		err := s.attempt(ctx)
		contrary.tell(s, err)
		if errors.Is(err, errReopen) {
			continue
		}
		s.mistrust = s.mistrust || errors.Is(err, errUnsynced)
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		if s.position() != before {
			wait = firstBackoff
		}
		if pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, mostBackoff)
	}
}

func (s *Sink) position() cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// attempt opens the target and sends until something fails.
func (s *Sink) attempt(ctx context.Context) error {
	t, at, err := s.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.pump(ctx, t, at), t.close())
}

// open answers the target, and which record it takes next.
func (s *Sink) open(ctx context.Context) (target, cursor, error) {
	at := s.position()
	if at.next > 0 {
		if err := s.verify(ctx, place{at.next - 1, at.leaf}); err != nil {
			return nil, at, err
		}
	}
	if s.opts.Syslog != nil {
		t, err := openSyslog(ctx, s.opts.Syslog, s.opts.Node, s.opts.Time)
		return t, cursor{next: at.next - min(at.next, overlap)}, err
	}
	t, err := openFile(s.opts.File)
	if err != nil {
		return nil, at, err
	}
	if at, err = s.place(ctx, t, at); err != nil {
		return nil, at, errors.Join(err, t.close())
	}
	s.mistrust = false
	return t, at, nil
}

// verify holds a record that was sent against the history.
func (s *Sink) verify(ctx context.Context, sent place) error {
	if sent.sequence >= s.size() {
		return fmt.Errorf("%w: record %d", errAhead, sent.sequence)
	}
	return s.opts.History.Kept(ctx, sent.sequence, sent.sequence+1, func(seq uint64, encoded []byte) error {
		if seq == sent.sequence && format.LeafHash(encoded) != sent.leaf {
			return fmt.Errorf("%w: record %d differs", errOther, seq)
		}
		return nil
	})
}

// place finds the next record by the file's own end, and completes a line that
// was torn; an empty file goes on from the cursor.
func (s *Sink) place(ctx context.Context, t *fileTarget, at cursor) (cursor, error) {
	end, err := t.end(at.next)
	if err != nil {
		return at, err
	}
	if end.found && !s.mistrust {
		if err := s.verify(ctx, end.last); err != nil {
			return at, fmt.Errorf("%s: %w", t.path, err)
		}
		at = cursor{end.last.sequence + 1, end.last.leaf}
	}
	if len(end.torn) == 0 {
		return at, nil
	}
	if at.next >= s.size() {
		return at, fmt.Errorf("%s: %w: record %d", t.path, errAhead, at.next)
	}
	return s.complete(ctx, t, at, end.torn)
}

// complete writes the rest of a line that begins like the next record's; other
// bytes are ended as a line that nobody takes for one.
func (s *Sink) complete(ctx context.Context, t *fileTarget, at cursor, torn []byte) (cursor, error) {
	rest, then := []byte("\n"), at
	err := s.opts.History.Kept(ctx, at.next, at.next+1, func(seq uint64, encoded []byte) error {
		text, _, leaf, err := encodeLine(encoded)
		if missing, ok := bytes.CutPrefix(text, torn); ok {
			rest, then = append(missing, '\n'), cursor{seq + 1, leaf}
		}
		return err
	})
	if err != nil {
		return at, err
	}
	_, err = t.f.Write(rest)
	return then, err
}

// pump sends from a record on. What is settled moves the cursor.
func (s *Sink) pump(ctx context.Context, t target, at cursor) error {
	last := time.Now()
	for {
		sent, err := s.forward(ctx, t, at, s.size())
		if err != nil {
			return err
		}
		quiet := sent == at
		at = sent
		if quiet || time.Since(last) >= settleEvery {
			if err := s.settle(ctx, t, at); err != nil {
				return err
			}
			last = time.Now()
		}
		if !quiet && at.next < s.size() {
			continue
		}
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// forward sends the next portion of what there is.
func (s *Sink) forward(ctx context.Context, t target, at cursor, size uint64) (cursor, error) {
	to := min(size, at.next+portion)
	if at.next >= to {
		return at, nil
	}
	err := s.opts.History.Kept(ctx, at.next, to, func(seq uint64, encoded []byte) error {
		text, rec, leaf, err := encodeLine(encoded)
		if err != nil {
			return err
		}
		s.missing(at.next, seq)
		at = cursor{seq + 1, leaf}
		return t.write(text, &rec, leaf)
	})
	if err != nil {
		return at, err
	}
	s.missing(at.next, to)
	at.next = to
	return at, t.flush(ctx)
}

// missing says so when records [from, to) are in the history no more.
func (s *Sink) missing(from, to uint64) {
	if from >= to {
		return
	}
	s.opts.Log.Error("history sink: records were erased before they were sent; they are lost to the sink", "first", from, "last", to-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erased += to - from
}

// settle makes everything before at safe, and then remembers that it is.
func (s *Sink) settle(ctx context.Context, t target, at cursor) error {
	if was := s.position(); at.next > was.next || s.failing() {
		if err := t.settle(ctx); err != nil {
			return err
		}
		if at.next > was.next {
			if err := at.write(s.opts.Cursor); err != nil {
				return fmt.Errorf("cursor: %w", err)
			}
		}
		s.mu.Lock()
		s.cursor.next, s.err = max(s.cursor.next, at.next), nil
		if s.cursor.next == at.next {
			s.cursor.leaf = at.leaf
		}
		s.mu.Unlock()
	}
	return t.check()
}

func (s *Sink) failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// contradiction is what was sent against the history that is here. A node that is
// copying its history is behind for a while; one that stays behind was rolled back.
type contradiction struct {
	since time.Time
	told  bool
}

// tell says so once, when it has lasted longer than the sink's patience.
func (c *contradiction) tell(s *Sink, err error) {
	switch {
	case !errors.Is(err, errAhead) && !errors.Is(err, errOther):
		*c = contradiction{}
	case c.since.IsZero():
		c.since = time.Now()
	case !c.told && time.Since(c.since) >= s.opts.Patience:
		c.told = true
		s.opts.Log.Error("ROLLBACK: the history sink holds what this node's history does not", "error", err, "here", s.size())
	}
}
