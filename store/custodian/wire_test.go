package custodian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// gateOf admits everything, or nothing.
type gateOf struct{ shut atomic.Bool }

func (g *gateOf) Admit(context.Context, []Order, io.ReaderAt) error {
	if g.shut.Load() {
		return errNo
	}
	return nil
}

func (g *gateOf) AdmitAside(ctx context.Context, _ []format.ID, _ io.ReaderAt) error {
	return g.Admit(ctx, nil, nil)
}

func (g *gateOf) Forget() {}

// serveHere serves a directory in this process, and asks it.
func serveHere(t *testing.T, peer uint32, g Gate) (*Remote, string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s, err := NewServer(ctx, dir, ServerOptions{Peer: peer, Gate: g, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "wire") // the path of a socket has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(short, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
		if err := errors.Join(ClearTree(filepath.Dir(dir)), os.RemoveAll(short)); err != nil {
			t.Error(err)
		}
	})
	r, err := NewRemote(ctx, dir, socket)
	return r, dir, err
}

// TestARemoteDoesWhatLocalDoes goes once through every request.
func TestARemoteDoesWhatLocalDoes(t *testing.T) {
	g := &gateOf{}
	r, dir, err := serveHere(t, uint32(os.Geteuid()), g)
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Protection(); !p.Split {
		t.Error(p)
	}
	f, err := r.Create(segmentOne)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte{1}, 1000)); err != nil {
		t.Error(err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&(unix.O_APPEND|unix.O_ACCMODE) != unix.O_APPEND|unix.O_WRONLY {
		t.Errorf("descriptor with %#x, %v", flags, err)
	}
	wants(t, "seal under a writer", r.Seal(segmentOne), ErrWriter)
	if err := errors.Join(f.Close(), r.ReassertAll(), r.Seal(segmentOne)); err != nil {
		t.Fatal(err)
	}
	_, err = r.Append(segmentOne)
	wants(t, "append to sealed", err, ErrSealed)
	_, err = r.Create(segmentOne)
	wants(t, "create again", err, fs.ErrExist)
	content := bytes.Repeat([]byte("base"), 1<<20)
	fill := func(w io.Writer) error { _, err := w.Write(content); return err }
	if err := r.Place("history/00000001.bas", fill); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "history/00000001.bas")); err != nil || !bytes.Equal(got, content) {
		t.Error("what was placed is not what was sent", err)
	}
	failed := errors.New("failed")
	wants(t, "a fill that fails", r.Place("history/00000002.bas", func(w io.Writer) error { return errors.Join(fill(w), failed) }), failed)
	name := keyring.FileName(format.ID{7})
	if err := r.CreateBlock(name, bytes.Repeat([]byte{3}, format.FileHeaderSize+4*keyring.SlotSize)); err != nil {
		t.Error(err)
	}
	wants(t, "a slot of no key", r.RewriteSlot(name, keyring.SlotOffset(0), make([]byte, keyring.SlotSize)), nil)
	work := Work{Unused: true, Slots: []format.Slot{{Block: format.ID{7}, Index: 2}}, Ranges: []Range{{segmentOne, 200, 300}, {"segments/00000077.seg", 200, 1}}}
	done, err := r.DestroyAll(t.Context(), []Order{{Work: work}})
	if err != nil || done.Slots != 1 || done.Ranges != 1 || done.Bytes != 300 || len(done.Absent) != 1 {
		t.Error(done, err)
	}
	work.Unused = false
	_, err = r.Destroy(t.Context(), Warrant{}, work)
	wants(t, "without a permit", err, ErrWarrant)
	g.shut.Store(true)
	work.Unused = true
	_, err = r.Destroy(t.Context(), Warrant{}, work)
	wants(t, "what the gate refuses", err, ErrWarrant)
	r.aside(t, dir, g)
}

// aside puts the directory aside, and destroys it once the gate lets it.
func (r *Remote) aside(t *testing.T, dir string, g *gateOf) {
	t.Helper()
	old := dir + ".gone-1"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "index.db"), []byte("rows"), 0o600), r.PutAside(".gone-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, segmentOne)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	wants(t, "aside, with keys of nobody", r.DestroyAside(old), ErrNotEmpty)
	header := format.FileHeader{Kind: format.KindHistory, Incarnation: format.ID{5}}.Encode()
	if err := os.WriteFile(filepath.Join(old, "history", "00000001.his"), header, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, "aside, and the gate refuses", r.DestroyAside(old), ErrWarrant)
	g.shut.Store(false)
	if err := r.DestroyAside(old); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it is still there: ", err)
	}
}

// wants insists on an error, on any where want is nil.
func wants(t *testing.T, what string, err, want error) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestWhoAskedForAFileIsItsOnlyWriter: a custodian that is slow to close its own
// descriptor does not have the seal refused that follows.
func TestWhoAskedForAFileIsItsOnlyWriter(t *testing.T) {
	socket := fmt.Sprintf("@%s-%d", t.Name(), os.Getpid())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var closed atomic.Bool
	var slow sync.WaitGroup
	slow.Go(func() {
		c, err := l.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		end := &link{c: c}
		_, _, err = end.receive()
		f, fileErr := os.Create(filepath.Join(t.TempDir(), "file"))
		if err := errors.Join(err, fileErr, end.send(answerDone, nil, f)); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		closed.Store(true)
		if err := end.close(); err != nil {
			t.Error(err)
		}
	})
	f, err := (&Remote{socket: socket}).Create(segmentOne)
	if err != nil || !closed.Load() {
		t.Errorf("answered while the custodian has the file open: %v", err)
	}
	slow.Wait()
	if err := errors.Join(f.Close(), l.Close()); err != nil {
		t.Error(err)
	}
}

func TestAnotherUserIsNotAnswered(t *testing.T) {
	if _, _, err := serveHere(t, uint32(os.Geteuid()+1), &gateOf{}); err == nil {
		t.Error("answered")
	}
}

func TestARoomOfAnotherUserIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(t.Context(), dir, ServerOptions{Peer: 1, Gate: &gateOf{}}); err == nil {
		t.Error("a link was taken for a room")
	}
	if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(t.Context(), dir, ServerOptions{Peer: 1, Gate: &gateOf{}}); err == nil {
		t.Error("everybody may rename the data directory")
	}
}

func FuzzRequests(f *testing.F) {
	o := []Order{{Warrant{Decision: []byte("d"), Checkpoint: []byte("c")}, Work{Bundle: 3, Slots: []format.Slot{{Index: 1}}, Ranges: []Range{{segmentOne, 1, 2}}}},
		{Warrant{Checkpoint: []byte("c")}, Work{History: true, Remove: []string{"history/1"}}}}
	f.Add(encodeOrders(o))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeDone(b)
		_, _ = decodeProtection(b)
		_ = decodeFailure(b)
		orders, err := decodeOrders(b)
		if err != nil {
			return
		}
		again, err := decodeOrders(encodeOrders(orders))
		if err != nil || !reflect.DeepEqual(again, orders) {
			t.Fatalf("%v, %v", again, err)
		}
	})
}
