package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
)

// The control socket takes orders of whoever administers this machine: root, or
// the user that the daemon runs as. One connection is one line, the order, and one
// JSON object, the answer. It lies in the key directory, which others cannot enter.

// controlFile is the socket's name in the key directory.
const controlFile = "control"

// askWithin bounds how long a caller may take to say what it wants.
const askWithin = 5 * time.Second

// errNotServed is returned by askNode where no daemon listens.
var errNotServed = errors.New("no daemon listens on the control socket")

// order does what a control line asks for; its answer goes out as JSON.
type order func(context.Context) (any, error)

// controlAnswer is what goes back: an answer or an error.
type controlAnswer struct {
	Error  string          `json:"error,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"`
}

// control serves a node's control socket until Close.
type control struct {
	path     string
	listener *net.UnixListener
	orders   map[string]order
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// listenControl opens the socket in dir; the caller holds the node's lock, so that
// a socket which is there is nobody's.
func listenControl(dir string, orders map[string]order) (*control, error) {
	folder, at, err := controlAddress(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close() // opened to be named only
	path := filepath.Join(dir, controlFile)
	if err := durable.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", at)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // its name there ends with this function
	c := &control{path: path, listener: l, orders: orders}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.wg.Go(c.accept)
	return c, nil
}

// controlAddress names the socket by its open folder: a socket's own path may
// have 107 bytes only.
func controlAddress(dir string) (*os.File, *net.UnixAddr, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	return folder, &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), controlFile)}, nil
}

// Close lets no order begin any more and ends those that run.
func (c *control) Close() error {
	c.cancel()
	err := c.listener.Close()
	c.wg.Wait()
	return errors.Join(err, durable.Remove(c.path))
}

func (c *control) accept() {
	for {
		conn, err := c.listener.AcceptUnix()
		if err != nil {
			return // closed
		}
		c.wg.Go(func() {
			defer conn.Close() // the caller reads to the end of the answer, or has left
			text, err := json.Marshal(c.answer(conn))
			if err == nil {
				_, _ = conn.Write(append(text, '\n')) // who has left needs no answer
			}
		})
	}
}

func (c *control) answer(conn *net.UnixConn) controlAnswer {
	answer, err := c.obey(conn)
	if err != nil {
		return controlAnswer{Error: oneLine(err.Error())}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return controlAnswer{Error: err.Error()}
	}
	return controlAnswer{Answer: text}
}

func (c *control) obey(conn *net.UnixConn) (any, error) {
	if err := conn.SetReadDeadline(time.Now().Add(askWithin)); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 256)).ReadString('\n')
	if err != nil {
		return nil, err
	}
	if err := mayOrder(conn); err != nil { // asked after the line is read: who writes hears the answer
		return nil, err
	}
	do, ok := c.orders[strings.TrimSpace(line)]
	if !ok {
		return nil, errors.New("unknown order")
	}
	return do(c.ctx)
}

// mayOrder asks the kernel who is at the other end: root, or this process's user.
func mayOrder(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || asked != nil {
		return errors.Join(err, asked)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not give orders to this node", peer.Uid)
	}
	return nil
}

// askNode gives an order to the daemon of a key directory and decodes its answer.
// errNotServed where there is none.
func askNode(ctx context.Context, dir, order string, answer any) (err error) {
	folder, at, err := controlAddress(dir)
	if err != nil {
		return err
	}
	defer folder.Close() // opened to be named only
	var d net.Dialer
	conn, err := d.DialContext(ctx, at.Net, at.Name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return errNotServed
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // ends the reading
	defer func() { stop(); err = errors.Join(err, conn.Close()) }()
	if _, err := fmt.Fprintln(conn, order); err != nil {
		return err
	}
	var got controlAnswer
	if err := json.NewDecoder(conn).Decode(&got); err != nil {
		return fmt.Errorf("the daemon of %s went away before it answered: %w", filepath.Dir(dir), err)
	}
	if got.Error != "" {
		return errors.New(got.Error)
	}
	return json.Unmarshal(got.Answer, answer)
}
