package custodian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// Gate judges for a custodian that is a process of its own, from the files that
// the custodian owns and from nothing that the daemon says. It MUST NOT answer nil
// when in doubt. One method runs at a time.
type Gate interface {
	// Admit answers nil if every order destroys exactly what a decision in the
	// custodian's history, under a majority's checkpoint, allows. leaves, nil for
	// none, holds leaf hashes of records that were erased: not to be trusted.
	Admit(ctx context.Context, orders []Order, leaves io.ReaderAt) error
	// AdmitAside answers nil if the member table of the custodian's history says that
	// every one of these incarnations was replaced, and that the present one votes.
	AdmitAside(ctx context.Context, incarnations []format.ID, leaves io.ReaderAt) error
	// Forget is told that files of the history room were destroyed or moved.
	Forget()
}

// ServerOptions say who is served.
type ServerOptions struct {
	// Peer is the user id of the daemon; every other is refused.
	Peer uint32
	Gate Gate
	Log  *slog.Logger
}

// Server is the custodian as a process of its own: it owns the three rooms of a
// data directory and does what Local does, for one user, over a unix socket. What
// is destroyed is what its gate admits.
type Server struct {
	dir string
	o   ServerOptions

	mu    sync.Mutex // held by what changes the directory as a whole, and by destructions
	local *Local
}

// dataDirPerm: the daemon, in this process's group, makes files of its own in the
// data directory; it cannot rename or remove what is the custodian's there.
const dataDirPerm = 0o770 | fs.ModeSticky

// maxLinks is how many requests are answered at once; more wait.
const maxLinks = 16

// NewServer takes over the rooms of a data directory, which it makes where they
// are missing, sets every flag again, and completes a destruction of history files
// that was cut short. A room that belongs to another user is refused: what somebody
// else owns, somebody else can change.
func NewServer(ctx context.Context, dir string, o ServerOptions) (*Server, error) {
	s := &Server{dir: filepath.Clean(dir), o: o}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// begin opens the directory as it is now.
func (s *Server) begin(ctx context.Context) error {
	if err := s.keptFromPeer(filepath.Dir(s.dir)); err != nil {
		return err
	}
	// The rooms come before the daemon may make anything beside them.
	for _, dir := range []string{"", dirSegments, dirHistory, dirKeys} {
		dir = filepath.Join(s.dir, dir)
		if err := os.Mkdir(dir, dirPerm|groupReadDir); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("custodian: %w", err)
		}
		if err := ownedHere(dir); err != nil {
			return err
		}
	}
	if err := os.Chmod(s.dir, dataDirPerm); err != nil {
		return fmt.Errorf("custodian: %w", err)
	}
	l, err := NewLocal(s.dir, Options{Group: true})
	if err != nil {
		return err
	}
	l.protection.Split = true
	if err := l.ReassertAll(); err != nil {
		return err
	}
	s.local = l
	s.o.Gate.Forget()
	return s.completeHistory(ctx)
}

// keptFromPeer insists that the daemon's user cannot rename the data directory: the
// folder that holds it is not that user's, and nobody writes to it but its owner.
func (s *Server) keptFromPeer(parent string) error {
	var st unix.Stat_t
	if err := unix.Stat(parent, &st); err != nil {
		return fmt.Errorf("custodian: %s: %w", parent, err)
	}
	if st.Uid == s.o.Peer && int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("custodian: %s: others than this user may rename what is in it", parent)
	}
	return nil
}

// ownedHere insists that this process's user owns a path.
func ownedHere(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("custodian: %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("custodian: %s belongs to user %d, not to this one (%d)", path, st.Uid, os.Geteuid())
	}
	return nil
}

// SetFault is Local's.
func (s *Server) SetFault(hook func(step string, done bool) error) { s.current().SetFault(hook) }

// Protection is Local's.
func (s *Server) Protection() Protection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local.Protection()
}

// Serve answers requests until ctx ends or the listener fails. It returns once
// every request that it took has ended.
func (s *Server) Serve(ctx context.Context, listener *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	slots := make(chan struct{}, maxLinks)
	var links sync.WaitGroup
	defer links.Wait()
	for {
		c, err := listener.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("custodian: %w", err)
		}
		slots <- struct{}{}
		links.Go(func() {
			defer func() { <-slots }()
			s.serve(ctx, c)
		})
	}
}

// serve answers the one request of a connection.
func (s *Server) serve(ctx context.Context, c *net.UnixConn) {
	l := &link{c: c}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	defer func() { _ = l.close() }() // the answer is out, or nobody waits for it
	if err := s.known(c); err != nil {
		s.o.Log.Warn("refused", "error", err)
		return
	}
	kind, body, err := l.receive()
	if err != nil {
		s.o.Log.Warn("request", "error", err)
		return
	}
	answer, file, err := s.answer(ctx, l, kind, body)
	if err != nil {
		s.o.Log.Warn("refused", "request", kind, "error", err)
		err = l.send(answerFailed, encodeFailure(err), nil)
	} else {
		err = l.send(answerDone, answer, file)
	}
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		s.o.Log.Warn("answering", "request", kind, "error", err)
	}
}

// known refuses everybody but the daemon's user.
func (s *Server) known(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, credErr); err != nil {
		return err
	}
	if cred.Uid != s.o.Peer {
		return fmt.Errorf("user %d is not the daemon's", cred.Uid)
	}
	return nil
}

// answer does what a request asks for.
func (s *Server) answer(ctx context.Context, l *link, kind uint8, body []byte) (answer []byte, file *os.File, err error) {
	switch kind {
	case askProtection:
		return encodeProtection(s.Protection()), nil, nil
	case askCreate, askAppend, askSeal, askPlace, askPutAside, askDestroyAside:
		name, err := decodeName(body)
		if err != nil {
			return nil, nil, err
		}
		file, err = s.named(ctx, l, kind, name)
		return nil, file, err
	case askCreateBlock, askRewriteSlot, askRewriteHeader:
		r := format.NewReader(body)
		name, offset, content := r.Str(), r.I64(), r.Blob()
		if err := r.Done(); err != nil {
			return nil, nil, err
		}
		return nil, nil, s.block(kind, name, offset, content)
	case askRewrapBlock:
		answer, err = s.rewrap(body)
		return answer, nil, err
	case askReassert:
		return nil, nil, s.current().ReassertAll()
	case askDestroy:
		orders, err := decodeOrders(body)
		if err != nil {
			return nil, nil, err
		}
		done, err := s.destroy(ctx, orders, l)
		return encodeDone(done), nil, err
	}
	return nil, nil, fmt.Errorf("custodian: no request of kind %d", kind)
}

func (s *Server) current() *Local {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local
}

// named does what a request for one file asks for.
func (s *Server) named(ctx context.Context, l *link, kind uint8, name string) (*os.File, error) {
	switch kind {
	case askCreate:
		return s.current().Create(name)
	case askAppend:
		return s.current().Append(name)
	case askSeal:
		return nil, s.current().Seal(name)
	case askPlace:
		return nil, s.current().Place(name, func(w io.Writer) error { return takePlaced(w, l) })
	case askPutAside:
		return nil, s.putAside(ctx, name)
	}
	return nil, s.destroyAside(ctx, name, l)
}

func (s *Server) block(kind uint8, name string, offset int64, content []byte) error {
	switch kind {
	case askCreateBlock:
		return s.current().CreateBlock(name, content)
	case askRewriteSlot:
		return s.current().RewriteSlot(name, offset, content)
	}
	return s.current().RewriteHeader(name, content)
}

// takePlaced writes what follows a request to place a file, up to its end.
func takePlaced(w io.Writer, l *link) error {
	for {
		kind, body, err := l.receive()
		if err != nil {
			return err
		}
		switch kind {
		case placeEnd:
			return nil
		case placeBytes:
			if _, err := w.Write(body); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: kind %d within a file", format.ErrMalformed, kind)
		}
	}
}

// passed is the leaf hashes that came with a request, nil without; only a regular
// file is read.
func passed(l *link) (io.ReaderAt, error) {
	if l.fd == nil {
		return nil, nil
	}
	st, err := l.fd.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("custodian: what was passed is no regular file")
	}
	if err != nil {
		return nil, err
	}
	return l.fd, nil
}

// destroy is the only way of this process to a destruction in use.
func (s *Server) destroy(ctx context.Context, orders []Order, l *link) (Done, error) {
	leaves, err := passed(l)
	if err != nil {
		return Done{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.completeHistory(ctx); err != nil {
		return Done{}, err
	}
	if err := s.o.Gate.Admit(ctx, orders, leaves); err != nil {
		return Done{}, fmt.Errorf("custodian: %w: %w", ErrWarrant, err)
	}
	if slices.ContainsFunc(orders, func(o Order) bool { return o.Work.History }) {
		return s.destroyHistory(ctx, orders)
	}
	done, err := s.local.destroy(ctx, orders)
	if err != nil {
		return done, fmt.Errorf("custodian: %w", err)
	}
	s.o.Log.Info("destroyed", "orders", len(orders), "slots", done.Slots, "ranges", done.Ranges, "bytes", done.Bytes)
	return done, nil
}

// pendingName holds, in the history room, an admitted destruction of history files:
// once it has begun, what would vouch for it may be gone.
const pendingName = dirHistory + "/pending"

// destroyHistory writes an admitted order down before it is begun.
func (s *Server) destroyHistory(ctx context.Context, orders []Order) (Done, error) {
	if err := durable.WriteFile(filepath.Join(s.dir, pendingName), encodeOrders(orders), s.local.filePerm); err != nil {
		return Done{}, fmt.Errorf("custodian: %w", err)
	}
	return s.finishHistory(ctx, orders)
}

func (s *Server) finishHistory(ctx context.Context, orders []Order) (Done, error) {
	s.o.Gate.Forget()
	done, err := s.local.destroy(ctx, orders)
	if err == nil {
		err = durable.Remove(filepath.Join(s.dir, pendingName))
	}
	if err != nil {
		return done, fmt.Errorf("custodian: %w", err)
	}
	s.o.Log.Info("destroyed history files", "ranges", done.Ranges, "bytes", done.Bytes)
	return done, nil
}

// completeHistory goes on with a destruction of history files that was cut short.
func (s *Server) completeHistory(ctx context.Context) error {
	raw, err := os.ReadFile(filepath.Join(s.dir, pendingName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("custodian: %w", err)
	}
	orders, err := decodeOrders(raw)
	if err != nil {
		return fmt.Errorf("custodian: %s: %w", pendingName, err)
	}
	_, err = s.finishHistory(ctx, orders)
	return err
}

// putAside renames the data directory and begins an empty one. Nothing is
// destroyed by that: what was put aside goes only by destroyAside.
func (s *Server) putAside(ctx context.Context, suffix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(suffix, ".gone-") {
		return fmt.Errorf("custodian: %w: suffix %q", ErrName, suffix)
	}
	if err := putAside(s.dir, suffix); err != nil {
		return err
	}
	s.o.Log.Warn("data directory put aside", "suffix", suffix)
	return s.begin(ctx)
}
