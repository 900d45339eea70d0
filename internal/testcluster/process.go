package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one run of a node.
type process struct {
	pid  int
	done chan struct{} // closed when it has ended
	err  error         // how; to be read after done
}

// ErrRuns and ErrStopped say that a node is not in the state that was asked for.
var (
	ErrRuns    = errors.New("the node runs already")
	ErrStopped = errors.New("the node does not run")
)

// ownGroup puts a process into a group of its own, which a terminal's signals do
// not reach, and has the kernel end it when the thread that started it does.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// runBound runs a program while holding on to this thread: its death signal is
// bound to the thread, not to the process.
func runBound(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd.Run()
}

// Start starts node i and returns once its process exists. Ready waits until it
// serves.
func (c *Cluster) Start(i int) error {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process.running() {
		return fmt.Errorf("%s: %w", n.name, ErrRuns)
	}
	if c.opts.Custodian != 0 {
		if err := c.startCustodian(n); err != nil {
			return err
		}
	}
	p, err := c.spawn(n.logPath(), n.dir, c.opts.User, c.opts.Custodian == 0, "run", "--config", c.Config(i))
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.process = p
	return nil
}

// spawn starts a command of sagod as a user, with the capability that inode flags
// need or with none; as this process where user is 0.
func (c *Cluster) spawn(logPath, dir string, user uint32, flags bool, args ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(c.opts.Bin, "sagod"), args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = log, log, dir, append(environment(), c.opts.Env...)
	cmd.SysProcAttr = ownGroup()
	if user != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: c.opts.User}
	}
	if user != 0 && flags {
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_LINUX_IMMUTABLE}
	}
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() { // ends with the process, which Close ends
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		p.err = errors.Join(p.err, log.Close())
	}()
	return p, <-started
}

// StartAll starts every node that does not run.
func (c *Cluster) StartAll() error {
	for i := range c.nodes {
		if c.Running(i) {
			continue
		}
		if err := c.Start(i); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Running says whether the process of node i is there.
func (c *Cluster) Running(i int) bool {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process.running()
}

// Stop asks node i to end (SIGTERM) and waits; one that has not ended when ctx
// does is killed, which is an error, as is an exit code other than 0.
func (c *Cluster) Stop(ctx context.Context, i int) error {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.process
	if !p.running() {
		return fmt.Errorf("%s: %w", n.name, ErrStopped)
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s did not stop: %w", n.name, ctx.Err()), p.trace(), p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", n.name, p.err)
	}
	return nil
}

// Kill ends node i at once (SIGKILL) and waits; a node that does not run is left
// alone.
func (c *Cluster) Kill(i int) error {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process.kill()
}

// trace has a process that does not end say where it stands, among its last words.
func (p *process) trace() error {
	if err := syscall.Kill(p.pid, syscall.SIGQUIT); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
	}
	return nil
}

func (p *process) kill() error {
	if !p.running() {
		return nil
	}
	// The whole group: a start reads its files in a child process.
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	<-p.done
	return nil
}

// Ended is closed when the last run of node i has ended; Failure says how. It is
// nil for a node that was never started.
func (c *Cluster) Ended(i int) <-chan struct{} {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	return n.process.done
}

// Failure is how the last run of node i ended: nil for a run that goes on, never
// was, or ended with exit code 0.
func (c *Cluster) Failure(i int) error {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil || n.process.running() {
		return nil
	}
	return n.process.err
}

func (n *node) logPath() string { return filepath.Join(n.dir, "log.jsonl") }

// Log is what node i has logged in all its runs.
func (c *Cluster) Log(i int) (string, error) {
	raw, err := os.ReadFile(c.nodes[i].logPath())
	return string(raw), err
}

// LogTail is the last lines of what node i has logged, for a message; an
// unreadable log is empty.
func (c *Cluster) LogTail(i, lines int) string {
	raw, _ := os.ReadFile(c.nodes[i].logPath())
	all := bytes.Split(bytes.TrimRight(raw, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// Pid is the process id of node i while it runs.
func (c *Cluster) Pid(i int) (pid int, ok bool) {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.process.running() {
		return 0, false
	}
	return n.process.pid, true
}
