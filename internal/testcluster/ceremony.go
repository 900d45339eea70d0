package testcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Names in the cluster's directory.
const (
	authDir     = "ca"
	contextsDir = "contexts"
	planFile    = "plan.toml"
	actFile     = "ceremony.act"
)

// path is a name in the cluster's directory.
func (c *Cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.opts.Dir}, names...)...)
}

// Sagod runs a command of sagod other than run and dev, and answers what it said
// on standard output.
func (c *Cluster) Sagod(ctx context.Context, args ...string) (Output, error) {
	return c.program(ctx, "sagod", args...)
}

// init runs a step of the ceremony, which must succeed.
func (c *Cluster) init(ctx context.Context, args ...string) (string, error) {
	out, err := c.Sagod(ctx, append([]string{"init"}, args...)...)
	if err == nil && out.Exit != 0 {
		err = fmt.Errorf("sagod init %s: exit %d: %s", args[0], out.Exit, strings.TrimSpace(out.Stderr))
	}
	return strings.TrimSpace(out.Stdout), err
}

// ceremony makes what the first start of every node needs: an authority, the
// nodes' keys, everybody's certificates, and the signed document.
func (c *Cluster) ceremony(ctx context.Context) error {
	if _, err := c.init(ctx, "ca", "--dir", c.path(authDir)); err != nil {
		return err
	}
	requests, err := c.createNodes(ctx)
	if err != nil {
		return err
	}
	if err := c.createPersons(ctx); err != nil {
		return err
	}
	if err := writeTOML(c.path(planFile), c.plan()); err != nil {
		return err
	}
	if err := c.sign(ctx, requests); err != nil {
		return err
	}
	for i := range c.nodes {
		if err := c.writeConfig(i); err != nil {
			return err
		}
	}
	return c.writeContexts()
}

// createNodes gives every node its keys and its certificate for clients, and
// answers their requests.
func (c *Cluster) createNodes(ctx context.Context) (requests []string, err error) {
	for i, n := range c.nodes {
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return nil, err
		}
		if err := c.writeConfig(i); err != nil {
			return nil, err
		}
		out, err := c.init(ctx, "node", "--config", c.Config(i), "--number", strconv.Itoa(i+1))
		if err != nil {
			return nil, err
		}
		requests = append(requests, out)
		if err := c.readKey(n, out); err != nil {
			return nil, err
		}
		if _, err := c.init(ctx, "certificate", "--ca", c.path(authDir), "--role", "server", "--name", n.name,
			"--organization", Institution, "--host", "127.0.0.1", "--host", "localhost", "--out", filepath.Join(n.dir, "tls.pem")); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// readKey notes a node's public key for the contexts of clients.
func (c *Cluster) readKey(n *node, request string) error {
	raw, err := os.ReadFile(request)
	if err != nil {
		return err
	}
	var r struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(raw, &r); err != nil || r.PublicKey == "" {
		return fmt.Errorf("%s names no public key: %w", request, err)
	}
	c.keys = append(c.keys, contextNode{Name: n.name, PublicKey: r.PublicKey})
	return nil
}

func (c *Cluster) createPersons(ctx context.Context) error {
	if err := os.MkdirAll(c.path(contextsDir), 0o700); err != nil {
		return err
	}
	for _, p := range persons() {
		args := []string{"certificate", "--ca", c.path(authDir), "--role", "client", "--name", p.name,
			"--organization", Institution, "--department", p.department, "--out", c.path(contextsDir, p.name+".pem")}
		if p.role != "application" {
			args = append(args, "--email", p.name+"@demo.example")
		}
		if _, err := c.init(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// signers are the two who compare the document's digest and sign it.
var signers = [...]string{"manager", "admin"}

// sign makes the document, signs it by two persons and has it checked.
func (c *Cluster) sign(ctx context.Context, requests []string) error {
	args := []string{"document", "--plan", c.path(planFile), "--out", c.path(actFile)}
	for _, r := range requests {
		args = append(args, "--request", r)
	}
	out, err := c.init(ctx, args...)
	if err != nil {
		return err
	}
	var ok bool
	if _, c.digest, ok = strings.Cut(out, "sha256 "); !ok {
		return fmt.Errorf("sagod init document answered no digest: %q", out)
	}
	for i, p := range persons() {
		for _, s := range signers {
			if p.name != s {
				continue
			}
			if _, err := c.init(ctx, "sign", c.path(actFile), "--person", strconv.Itoa(i+1), "--key", c.path(contextsDir, p.name+".key")); err != nil {
				return err
			}
		}
	}
	if _, err := c.init(ctx, "check", c.path(actFile), "--digest", c.digest); err != nil {
		return err
	}
	shown, err := c.init(ctx, "show", c.path(actFile))
	if err != nil {
		return err
	}
	for line := range strings.Lines(shown) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "cluster" {
			c.id = f[1]
		}
	}
	if c.id == "" {
		return errors.New("sagod init show named no cluster")
	}
	return nil
}

// Output is what a program said, and its exit code.
type Output struct {
	Stdout, Stderr string
	Exit           int
}

// programWithin bounds a run of a program that has no earlier deadline.
const programWithin = 2 * time.Minute

// program runs one of the programs to its end. An error is a program that could
// not be run or was cut off; a program that fails is an answer.
func (c *Cluster) program(ctx context.Context, name string, args ...string) (Output, error) {
	ctx, cancel := context.WithTimeout(ctx, programWithin)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.opts.Bin, name), args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = &stdout, &stderr, c.opts.Dir, environment()
	cmd.SysProcAttr = ownGroup()
	err := runBound(cmd)
	out := Output{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return out, err
}

// environment is that of every program: none of this process's settings. What the
// command line remembers stays in the cluster's own folder.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8", "SAGO_STATE=memory"}
}

func writeTOML(path string, v any) error {
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(v); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o600)
}
