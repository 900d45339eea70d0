// Package witnesses has the policy's independent witnesses cosign this node's
// checkpoints, and keeps what they sign.
//
// It guarantees that the appliance never waits for a witness: each is asked by a
// goroutine of its own, with a time limit, for the newest checkpoint alone, and no
// more often than every few seconds (P55). Only cosignatures that verified under
// the policy's keys are kept and shown. That a witness is not reached, or does not
// sign, is visible in every status (P53). A witness that shows a checkpoint which
// this appliance's own nodes signed and which is not in its history is a rollback
// or fork: it is logged as an error and stays in the status, over restarts, until
// that witness cosigns again.
package witnesses

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Log is the history that is witnessed: a *store.Store.
type Log interface {
	Summary() store.Summary
	Members() []format.MemberRow
	RootAt(size uint64) (format.Digest, error)
	ProveConsistency(old, size uint64) ([]format.Digest, error)
}

var _ Log = (*store.Store)(nil)

// Endpoint is where a witness of the policy is reached.
type Endpoint struct {
	Name string // as the policy lists it
	URL  string // http or https, without a trailing slash
	// Roots are the authorities of an https witness. nil: the system's.
	Roots *x509.CertPool
}

// Options say what Start works on. Log and Path are required.
type Options struct {
	Log Log
	// Path is the file that keeps the cosignatures.
	Path      string
	Endpoints []Endpoint
	// Every is the least time between two requests to one witness, Within the
	// longest that one may take. 0: 5 s and 10 s.
	Every, Within time.Duration
	Logger        *slog.Logger // nil: none
}

const (
	defaultEvery  = 5 * time.Second
	defaultWithin = 10 * time.Second
	// lookEvery is how soon a new checkpoint is seen.
	lookEvery = 200 * time.Millisecond
	// slowest is how rarely a witness is asked that fails: no more than so many
	// times Every lies between two requests.
	slowest = 32
)

// State is one of the policy's witnesses as this node sees it.
type State struct {
	Name string
	// Size is that of the newest checkpoint that it cosigned, as far as this node
	// knows, and CosignedAt the time that its signature carries, seconds since the
	// Unix epoch by its own clock; 0 for none.
	Size, CosignedAt uint64
	// Detail says what is wrong, "" when nothing is.
	Detail string
}

// Witnesses asks the policy's witnesses until Close.
type Witnesses struct {
	log  Log
	opts Options
	out  *slog.Logger

	writing sync.Mutex // held while kept is changed and written

	mu     sync.Mutex
	kept   kept
	detail map[string]string // by witness: what is wrong, but for alarms

	end  context.CancelFunc
	done sync.WaitGroup
}

// Start reads what was kept and begins to ask. It waits for no witness.
func Start(o Options) *Witnesses {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.Within == 0 {
		o.Within = defaultWithin
	}
	w := &Witnesses{log: o.Log, opts: o, out: o.Logger, detail: map[string]string{}}
	if w.out == nil {
		w.out = slog.New(slog.DiscardHandler)
	}
	var err error
	if w.kept, err = readKept(o.Path); err != nil {
		w.out.Warn("what the witnesses signed is asked for again", "error", err)
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	for _, e := range o.Endpoints {
		w.done.Go(func() { w.follow(ctx, e) })
	}
	return w
}

// Close ends all requests and waits for them. What was kept can still be asked
// for.
func (w *Witnesses) Close() {
	w.end()
	w.done.Wait()
}

// follow shows one witness each newest checkpoint: soon, but not often.
func (w *Witnesses) follow(ctx context.Context, e Endpoint) {
	client := cosign.HTTP(e.Roots, w.opts.Within)
	defer client.CloseIdleConnections()
	look := time.NewTicker(min(lookEvery, w.opts.Every))
	defer look.Stop()
	var last time.Time
	wait := w.opts.Every
	for {
		key, ok := policyKey(w.log.Summary().Policy, e.Name)
		if ok && time.Since(last) >= wait && w.unsigned(key) {
			wait = min(2*wait, slowest*w.opts.Every)
			if w.round(ctx, cosign.Witness{URL: e.URL, Key: key, HTTP: client}) {
				wait = w.opts.Every
			}
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func policyKey(p format.Policy, name string) (format.NoteKey, bool) {
	for _, k := range p.Witnesses {
		if k.Name == name {
			return k, true
		}
	}
	return format.NoteKey{}, false
}

// unsigned says that there is a checkpoint which the witness has not signed as
// far as this node knows.
func (w *Witnesses) unsigned(key format.NoteKey) bool {
	c := w.log.Summary().Checkpoint.Checkpoint
	had, _ := w.newest(key)
	return c.Size > 0 && had.Text != c.Text()
}

// round shows the newest checkpoint; false when it is still not signed.
func (w *Witnesses) round(ctx context.Context, to cosign.Witness) bool {
	e := w.log.Summary().Checkpoint
	had, _ := w.newest(to.Key)
	note := e.Note(w.log.Members())
	line, err := to.Ask(ctx, note, e.Checkpoint.Size, had.cp.Size, func(_ context.Context, old uint64) ([]format.Digest, error) {
		return w.log.ProveConsistency(old, e.Checkpoint.Size)
	})
	if err == nil {
		w.keep(to.Key, e.Checkpoint, line)
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	return w.explain(ctx, to, err)
}

// Cosignatures are the lines on this checkpoint of those witnesses that the policy
// lists, as far as this node has them.
func (w *Witnesses) Cosignatures(c format.Checkpoint) (lines []format.NoteLine) {
	policy, text := w.log.Summary().Policy, c.Text()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.kept.notes {
		if n.Text != text {
			continue
		}
		for _, key := range policy.Witnesses {
			if l, ok := n.LineOf(key); ok {
				lines = append(lines, l)
			}
		}
	}
	return lines
}

// States are the policy's witnesses in its order.
func (w *Witnesses) States() (all []State) {
	policy := w.log.Summary().Policy
	reached := map[string]bool{}
	for _, e := range w.opts.Endpoints {
		reached[e.Name] = true
	}
	for _, key := range policy.Witnesses {
		s := State{Name: key.Name}
		if had, ok := w.newest(key); ok {
			s.Size = had.cp.Size
			s.CosignedAt, _, _ = had.line.Cosignature()
		}
		w.mu.Lock()
		s.Detail = w.detail[key.Name]
		if alarm := w.kept.alarms[key.Name]; alarm != "" {
			s.Detail = alarm
		}
		w.mu.Unlock()
		if s.Detail == "" && !reached[key.Name] {
			s.Detail = "this node's configuration does not say where it is reached"
		}
		all = append(all, s)
	}
	return all
}

// cosigned is a checkpoint that a witness signed.
type cosigned struct {
	format.Note
	cp   format.Checkpoint
	line format.NoteLine
}

// newest is the one of the largest tree that this key cosigned, as far as is kept.
func (w *Witnesses) newest(key format.NoteKey) (c cosigned, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range slices.Backward(w.kept.notes) {
		line, signed := n.LineOf(key)
		if cp, err := format.ParseCheckpoint(n.Text); signed && err == nil {
			return cosigned{n, cp, line}, true
		}
	}
	return c, false
}
