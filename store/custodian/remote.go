package custodian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Remote asks a custodian that is a process of its own. Its methods may be called
// from any goroutine; each request is a connection of its own, so a custodian that
// was started again is simply asked again.
type Remote struct {
	dir, socket string
}

// askWithin bounds a request that has no earlier deadline of its own. A
// destruction has none: it ends with its context.
const askWithin = 2 * time.Minute

// NewRemote is the client of the custodian of this data directory that listens on
// the socket. It asks it once, and so finds out whether it is there.
func NewRemote(ctx context.Context, dir, socket string) (*Remote, error) {
	r := &Remote{dir: filepath.Clean(dir), socket: socket}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if _, err := r.protection(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// ask makes one request and returns the answer; more, when not nil, sends what
// follows the request's first frame.
func (r *Remote) ask(ctx context.Context, kind uint8, body []byte, file *os.File, more func(*link) error) (answer []byte, fd *os.File, err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", r.socket)
	if err != nil {
		return nil, nil, fmt.Errorf("custodian: %w", err)
	}
	l := &link{c: c.(*net.UnixConn)}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer func() {
		stop()
		err = errors.Join(err, ignoreClosed(l.close()))
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}()
	// A custodian that refuses may not read to the end: its answer says more than
	// the failure to send.
	sent := l.send(kind, body, file)
	if sent == nil && more != nil {
		if sent = more(l); sent != nil && !isNetwork(sent) {
			return nil, nil, sent
		}
	}
	got, answer, err := l.receive()
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("custodian: %w", errors.Join(sent, err))
	case got == answerFailed:
		return nil, nil, decodeFailure(answer)
	case got != answerDone:
		return nil, nil, fmt.Errorf("custodian: answer of kind %d", got)
	}
	if l.fd != nil {
		// The custodian closes its own descriptor, then the connection: whoever asked
		// is from then on the file's only writer, and can have it sealed.
		if err := l.end(); err != nil {
			return nil, nil, fmt.Errorf("custodian: %w", err)
		}
	}
	fd, l.fd = l.fd, nil
	return answer, fd, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func isNetwork(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// simple makes a request that is answered by nothing.
func (r *Remote) simple(kind uint8, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	_, _, err := r.ask(ctx, kind, body, nil, nil)
	return err
}

// open makes a request that is answered by a descriptor.
func (r *Remote) open(kind uint8, name string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	_, fd, err := r.ask(ctx, kind, nameBody(name), nil, nil)
	if err == nil && fd == nil {
		err = errors.New("custodian: an answer without a descriptor")
	}
	if err != nil {
		return nil, err
	}
	return fd, nil
}

// Create makes a new file and answers a descriptor that can only append.
func (r *Remote) Create(name string) (*os.File, error) { return r.open(askCreate, name) }

// Append answers a descriptor of a file that is not sealed, which can only append.
func (r *Remote) Append(name string) (*os.File, error) { return r.open(askAppend, name) }

// Seal makes a file immutable; the caller has closed its descriptor.
func (r *Remote) Seal(name string) error { return r.simple(askSeal, nameBody(name)) }

// CreateBlock makes a whole key-block file.
func (r *Remote) CreateBlock(name string, content []byte) error {
	return r.simple(askCreateBlock, blockBody(name, 0, content))
}

// RewriteSlot puts a sealed key over a damaged slot.
func (r *Remote) RewriteSlot(name string, offset int64, slot []byte) error {
	return r.simple(askRewriteSlot, blockBody(name, offset, slot))
}

// RewriteHeader puts a header over a damaged one.
func (r *Remote) RewriteHeader(name string, header []byte) error {
	return r.simple(askRewriteHeader, blockBody(name, 0, header))
}

// ReassertAll has the flags of every file set again.
func (r *Remote) ReassertAll() error { return r.simple(askReassert, nil) }

// Place makes a whole file of the history room from what fill writes. An error of
// fill leaves none.
func (r *Remote) Place(name string, fill func(io.Writer) error) error {
	_, _, err := r.ask(context.Background(), askPlace, nameBody(name), nil, func(l *link) error {
		if err := fill(placeWriter{l}); err != nil {
			return err // without an end the custodian keeps nothing
		}
		return l.send(placeEnd, nil, nil)
	})
	return err
}

// placeWriter sends what a file is made of.
type placeWriter struct{ l *link }

func (w placeWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), zeroChunk)]
		if err := w.l.send(placeBytes, part, nil); err != nil {
			return n, err
		}
		n, p = n+len(part), p[len(part):]
	}
	return n, nil
}

// Destroy is DestroyAll of one order.
func (r *Remote) Destroy(ctx context.Context, w Warrant, work Work) (Done, error) {
	return r.DestroyAll(ctx, []Order{{w, work}})
}

// DestroyAll asks for destructions. The custodian comes to its own judgement from
// its own files; the warrants' permits are looked at here, and stay here.
func (r *Remote) DestroyAll(ctx context.Context, orders []Order) (Done, error) {
	for _, o := range orders {
		if err := o.permitted(); err != nil {
			return Done{}, fmt.Errorf("custodian: bundle %d: %w", o.Work.Bundle, err)
		}
	}
	answer, err := r.askByTree(ctx, askDestroy, encodeOrders(orders))
	if err != nil {
		return Done{}, err
	}
	return decodeDone(answer)
}

// treeName holds the leaf hashes of records that were erased, which the daemon
// keeps; the custodian believes them only under a root that a majority signed.
const treeName = "history.tree"

// askByTree is ask of something that these leaf hashes are passed with, where there
// are any.
func (r *Remote) askByTree(ctx context.Context, kind uint8, body []byte) (answer []byte, err error) {
	leaves, err := os.Open(filepath.Join(r.dir, treeName))
	if errors.Is(err, fs.ErrNotExist) {
		leaves, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	answer, _, err = r.ask(ctx, kind, body, leaves, nil)
	if leaves != nil {
		err = errors.Join(err, leaves.Close())
	}
	return answer, err
}

// RemoveIndex zeroes and removes the daemon's own index file, here.
func (r *Remote) RemoveIndex(path string) error { return removeIndex(r.dir, path) }

// ExchangeIndex exchanges the daemon's own index files, here.
func (r *Remote) ExchangeIndex(path string) error { return exchangeIndex(r.dir, path) }

// PutAside has the data directory renamed and an empty one made in its place.
func (r *Remote) PutAside(suffix string) error { return r.simple(askPutAside, nameBody(suffix)) }

// DestroyAside removes what the daemon itself has in a directory that was put
// aside, then asks for the rest: the custodian looks up in its own history whether
// its incarnation is gone.
func (r *Remote) DestroyAside(dir string) error {
	suffix, ok := strings.CutPrefix(filepath.Clean(dir), r.dir)
	if !ok || suffix == "" || filepath.Base(suffix) != suffix {
		return fmt.Errorf("custodian: %w: %q", ErrName, dir)
	}
	if err := removeOwn(dir); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	_, err := r.askByTree(ctx, askDestroyAside, nameBody(suffix))
	return err
}

// Protection says what is active; what a custodian that does not answer protects
// is not known.
func (r *Remote) Protection() Protection {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	p, err := r.protection(ctx)
	if err != nil {
		return Protection{Split: true, Notes: []string{"the custodian does not answer: " + err.Error()}}
	}
	return p
}

func (r *Remote) protection(ctx context.Context) (Protection, error) {
	answer, _, err := r.ask(ctx, askProtection, nil, nil, nil)
	if err != nil {
		return Protection{}, err
	}
	return decodeProtection(answer)
}
