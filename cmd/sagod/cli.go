package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes, a promise to scripts and service managers (docs/operations.md).
const (
	exitFailed = 1
	exitInput  = 2
	exitFound  = 3 // forensic: what should be gone opened
	exitDamage = 7
)

// version is set by the linker.
var version = "unknown"

type grammar struct {
	Dev     devCmd     `cmd:"" help:"Run a development cluster in one process."`
	Init    initGroup  `cmd:"" help:"The ceremony: the first act of a cluster."`
	Run     runCmd     `cmd:"" help:"Run one node."`
	Rebuild rebuildCmd `cmd:"" name:"rebuild-index" help:"Throw a stopped node's index away; its next start builds it from the history."`
	Search  searchCmd  `cmd:"" name:"forensic" help:"Try every way to recover a bundle (묶음정보) from files, and say what was found."`
	Rekey   rekeyCmd   `cmd:"" help:"Seal a node's keys under a new root key and destroy the old one, while the node runs or not."`
	Version versionCmd `cmd:"" help:"Show the version."`
	Check   checkCmd   `cmd:"" name:"check-file" hidden:"" help:"Read a database file whole, as a child process."`
}

// shell is what a command has of the outside.
type shell struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

func (s *shell) say(f string, args ...any) error {
	_, err := fmt.Fprintf(s.stdout, f+"\n", args...)
	return err
}

// inputError is a wrong command line or a wrong file, found before anything is
// changed.
type inputError struct{ what string }

func (e *inputError) Error() string { return e.what }

func inputf(f string, args ...any) error { return &inputError{fmt.Sprintf(f, args...)} }

// faults are all that is wrong with a file, one line each.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func (f faults) Error() string { return strings.Join(f, "; ") }

// err is nil when nothing is wrong.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// run does what the arguments say and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	err := execute(args, stdout, stderr)
	var wrong faults
	var input *inputError
	var damage *fileDamage
	var verdict *notNothing
	switch {
	case err == nil:
		return 0
	case errors.As(err, &verdict):
		return verdict.code // the report has said it
	case errors.As(err, &wrong):
		for _, line := range wrong {
			fmt.Fprintln(stderr, oneLine(line))
		}
		return exitInput
	case errors.As(err, &damage):
		fmt.Fprintln(stderr, oneLine(damage.Error()))
		return exitDamage
	}
	fmt.Fprintln(stderr, "error: "+oneLine(err.Error()))
	if errors.As(err, &input) {
		return exitInput
	}
	return exitFailed
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func execute(args []string, stdout, stderr io.Writer) error {
	var g grammar
	parser, err := kong.New(&g, kong.Name("sagod"), kong.Description("The daemon of a Sago WORM storage appliance (보안저장소)."),
		kong.Writers(stdout, stderr), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return &inputError{err.Error()}
	}
	syscall.Umask(0o077) // nothing that this program makes is for others to read
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return parsed.Run(&shell{ctx, stdout, stderr})
}

// logger writes JSON lines to standard error.
func (s *shell) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(s.stderr, &slog.HandlerOptions{Level: level}))
}

type versionCmd struct{}

// Run shows what this program was built from.
func (versionCmd) Run(s *shell) error { return s.say("sagod %s", version) }
