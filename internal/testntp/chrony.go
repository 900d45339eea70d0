package testntp

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// TB is what Chrony needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ChronyOptions say what a chronyd serves.
type ChronyOptions struct {
	FalseTime time.Time // if set, served instead of the host's date (chronyc settime)
	Keys      []string  // lines of its key file: "1 SHA1 HEX:..."
	NTS       bool
	CertStart time.Time // validity of the NTS certificate; default 2020
	CertEnd   time.Time // default 2090
}

// Chrony is a running chronyd, which never touches the host's clock (-x).
type Chrony struct {
	Addr   string // host:port of NTP
	KEAddr string // host:port of the NTS key exchange
	CAFile string // PEM file of its issuer
	Name   string // in its NTS certificate
}

// StartChrony starts a chronyd on a free port of 127.0.0.1 and ends it, by its
// process id, with the test. It skips the test where chrony is not installed.
func StartChrony(t TB, o ChronyOptions) *Chrony {
	t.Helper()
	daemon, err := findTool("chronyd")
	if err != nil {
		t.Skipf("chronyd is not installed: %v", err)
	}
	dir, err := os.MkdirTemp("", "chrony")
	if err != nil {
		t.Fatalf("chrony: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &Chrony{Name: "time.example.test"}
	config := c.configure(t, dir, o)
	path := filepath.Join(dir, "chrony.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatalf("chrony: %v", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatalf("chrony: %v", err)
	}
	command := exec.Command(daemon, "-x", "-d", "-U", "-u", me.Username, "-f", path)
	output := &strings.Builder{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatalf("chronyd: %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-exited
	})
	if err := c.awaitReady(dir, o); err != nil {
		_ = command.Process.Kill()
		err = fmt.Errorf("%w; chronyd ended with: %v", err, <-exited)
		exited <- nil
		t.Fatalf("chrony: %v\n%s", err, output.String())
	}
	return c
}

// findTool also looks where Debian keeps daemons, which is not on everyone's path.
func findTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return exec.LookPath("/usr/sbin/" + name)
	}
	return path, nil
}

func (c *Chrony) configure(t TB, dir string, o ChronyOptions) string {
	c.Addr = freePort(t, "udp")
	_, port, _ := net.SplitHostPort(c.Addr)
	lines := []string{
		"port " + port, "bindaddress 127.0.0.1", "allow 127.0.0.0/8", "local stratum 1", "cmdport 0",
		"bindcmdaddress " + filepath.Join(dir, "cmd.sock"), "pidfile " + filepath.Join(dir, "pid"),
		"driftfile " + filepath.Join(dir, "drift"),
	}
	if !o.FalseTime.IsZero() {
		lines = append(lines, "manual")
	}
	if len(o.Keys) > 0 {
		path := filepath.Join(dir, "keys")
		if err := os.WriteFile(path, []byte(strings.Join(o.Keys, "\n")+"\n"), 0o600); err != nil {
			t.Fatalf("chrony: %v", err)
		}
		lines = append(lines, "keyfile "+path)
	}
	if o.NTS {
		c.KEAddr = freePort(t, "tcp")
		_, kePort, _ := net.SplitHostPort(c.KEAddr)
		ca, cert, key, err := writeCertificates(dir, c.Name, o.CertStart, o.CertEnd)
		if err != nil {
			t.Fatalf("chrony: certificates: %v", err)
		}
		c.CAFile = ca
		lines = append(lines, "ntsserverkey "+key, "ntsservercert "+cert, "ntsport "+kePort,
			"ntsdumpdir "+dir, "ntsprocesses 0")
	}
	return strings.Join(lines, "\n") + "\n"
}

// freePort finds a port that was free a moment ago.
func freePort(t TB, network string) string {
	if network == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("chrony: %v", err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("chrony: %v", err)
	}
	defer l.Close()
	return l.LocalAddr().String()
}

// awaitReady waits until chronyd answers, and sets its false time.
func (c *Chrony) awaitReady(dir string, o ChronyOptions) error {
	tool, err := findTool("chronyc")
	if err != nil {
		return err
	}
	run := func(args ...string) error {
		args = append([]string{"-h", filepath.Join(dir, "cmd.sock")}, args...)
		out, err := exec.Command(tool, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("chronyc %v: %w: %s", args, err, out)
		}
		return nil
	}
	if err := poll(func() error { return run("tracking") }); err != nil {
		return err
	}
	if !o.FalseTime.IsZero() {
		return run("settime", o.FalseTime.Local().Format("Jan 2, 2006 15:04:05"))
	}
	return nil
}

// poll tries until it succeeds or five seconds have passed.
func poll(try func() error) error {
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-timeout.C:
			return err
		case <-tick.C:
		}
	}
}
