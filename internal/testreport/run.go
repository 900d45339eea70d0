package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// options are the command's own flags.
type options struct {
	bound   time.Duration
	noSkips bool
	name    string
}

// run executes go test with args, reports to w and returns why the run counts as failed, or nil.
func run(ctx context.Context, opts options, args []string, w io.Writer) error {
	fmt.Fprintf(w, "bound %s: go test %s\n", opts.bound, strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(ctx, opts.bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1"}, args...)...)
	cmd.Stderr = os.Stderr
	// go test and what it starts are a group of their own, so that ending the run leaves no test process behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("pipe to go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go test: %w", err)
	}
	rep := newReport(w)
	readErr := read(out, rep)
	waitErr := cmd.Wait()
	if ctx.Err() != nil {
		rep.unfinished()
		waitErr = fmt.Errorf("cut off (bound %s): %w", opts.bound, ctx.Err())
	}
	rep.summary(opts.name)
	return errors.Join(readErr, waitErr, rep.verdict(opts.noSkips))
}

// read feeds every line of r to the report until r ends. Lines that are no test event are passed on as they are.
func read(r io.Reader, rep *report) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				rep.add(e)
			} else {
				fmt.Fprintln(rep.w, strings.TrimRight(line, "\n"))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read go test: %w", err)
		}
	}
}
