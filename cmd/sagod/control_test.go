package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func serveControl(t *testing.T, dir string, orders map[string]order) *control {
	t.Helper()
	c, err := listenControl(dir, orders)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return c
}

// longDir is deeper than a socket's own path may be.
func longDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestControlSocketAnswersOrders(t *testing.T) {
	dir := longDir(t)
	var got rekeyAnswer
	if err := askNode(t.Context(), dir, orderRekey, &got); !errors.Is(err, errNotServed) {
		t.Fatalf("nobody listens: %v", err)
	}
	serveControl(t, dir, map[string]order{
		orderRekey: func(context.Context) (any, error) { return rekeyAnswer{Live: 7, Damaged: []string{"a"}}, nil },
		"fail":     func(context.Context) (any, error) { return nil, errors.New("no\nroom") },
	})
	if err := askNode(t.Context(), dir, orderRekey, &got); err != nil || got.Live != 7 || len(got.Damaged) != 1 {
		t.Fatal(got, err)
	}
	for order, want := range map[string]string{"fail": "no room", "else": "unknown order", "": "unknown order", strings.Repeat("x", 1000): "EOF"} {
		if err := askNode(t.Context(), dir, order, &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("order %.9q: %v", order, err)
		}
	}
}

// TestControlSocketEndsItsOrders: closing ends an order that runs, and a socket
// left by a process that was killed is nobody's.
func TestControlSocketEndsItsOrders(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan struct{})
	c := serveControl(t, dir, map[string]order{"wait": func(ctx context.Context) (any, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	asked := make(chan error, 1)
	go func() { asked <- askNode(t.Context(), dir, "wait", new(int)) }()
	<-begun
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err == nil {
		t.Fatal("an order that was cut short was answered")
	}
	if err := askNode(t.Context(), dir, "wait", new(int)); !errors.Is(err, errNotServed) {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, controlFile)})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if err := askNode(t.Context(), dir, "wait", new(int)); !errors.Is(err, errNotServed) {
		t.Fatalf("a dead socket: %v", err)
	}
	serveControl(t, dir, nil)
}

// askAsOther lets this program be the other user that TestRoot_OthersGiveNoOrders
// needs; TestMain asks.
func askAsOther() bool {
	dir := os.Getenv("SAGOD_TEST_ASK")
	if dir == "" {
		return false
	}
	if err := askNode(context.Background(), dir, orderRekey, new(rekeyAnswer)); err != nil {
		_, _ = io.WriteString(os.Stdout, err.Error())
	}
	return true
}

func TestRoot_OthersGiveNoOrders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("acts as another user: needs root")
	}
	dir, err := os.MkdirTemp("/tmp", "sago-control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	serveControl(t, dir, map[string]order{orderRekey: func(context.Context) (any, error) {
		t.Error("another user's order was obeyed")
		return nil, nil
	}})
	self, err := os.Executable()
	if err == nil {
		var raw []byte
		if raw, err = os.ReadFile(self); err == nil {
			self = filepath.Join(dir, "asker")
			err = os.WriteFile(self, raw, 0o755)
		}
	}
	for _, p := range []string{dir, self, filepath.Join(dir, controlFile)} {
		if err == nil {
			err = os.Chmod(p, 0o777) // a careless administrator
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{"SAGOD_TEST_ASK=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "user 65534 may not give orders") {
		t.Fatalf("%v: %s", err, said)
	}
}
