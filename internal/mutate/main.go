// Command mutate takes the guards of deletion out of the code, one at a time, and
// insists that a test fails each time: a guard that no test misses is not held
// (P18). Its one list is guards.go. The tree stays as it is: go test reads the
// changed file through an overlay.
//
//	mutate [-list] [-only TEXT]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// within bounds the tests of one guard, building included.
const within = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	list := flags.Bool("list", false, "only show the guards, and that each stands where the list says")
	only := flags.String("only", "", "only guards whose name holds this text")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	survived, wrong, tried := 0, 0, 0
	for _, g := range append(guards(), gateGuards()...) {
		if !strings.Contains(g.name, *only) {
			continue
		}
		tried++
		verdict, err := g.verdict(ctx, dir, *list)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			verdict, wrong = err.Error(), wrong+1
			fmt.Fprintf(os.Stderr, "%s: %s\n", g.name, verdict)
		case verdict == unheld:
			survived++
		}
		fmt.Printf("%-60s %s\n", g.name, verdict)
	}
	switch {
	case tried == 0:
		return errors.New("no such guard")
	case wrong > 0:
		return fmt.Errorf("the list is out of date: %d of %d guards", wrong, tried)
	case survived > 0:
		return fmt.Errorf("%d of %d guards can be removed and no test fails", survived, tried)
	case !*list:
		fmt.Printf("%d guards: each removal makes a test fail\n", tried)
	}
	return nil
}

// unheld is said of a guard that can be removed.
const unheld = "NO TEST MISSES IT"

// verdict says what holds a guard, or, asked only for that, where it stands.
func (g guard) verdict(ctx context.Context, dir string, list bool) (string, error) {
	overlay, err := g.overlay(dir)
	if err != nil || list {
		return g.file, err
	}
	if killed, err := g.killed(ctx, overlay); err != nil || !killed {
		return unheld, err
	}
	return "held by " + g.tests, nil
}

// overlay writes the file without the guard, and the description of the overlay.
func (g guard) overlay(dir string) (string, error) {
	source, err := os.ReadFile(g.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), g.is); n != 1 {
		return "", fmt.Errorf("stands %d times in %s, not once", n, g.file)
	}
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), g.is, g.becomes, 1)), 0o600); err != nil {
		return "", err
	}
	whole, err := filepath.Abs(g.file)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {whole: changed}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// killed runs the tests that hold the guard without it: true when one fails. Code
// that does not build, and a pattern that names no test, prove nothing.
func (g guard) killed(ctx context.Context, overlay string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "test", "-count=1", "-vet=off", "-overlay", overlay, "-run", "^("+g.tests+")$", g.pkg).CombinedOutput()
	text := string(out)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		return false, fmt.Errorf("without the guard it does not build:\n%s", text)
	case strings.Contains(text, "no tests to run"):
		return false, fmt.Errorf("no test is named %s in %s", g.tests, g.pkg)
	case err == nil:
		return false, nil
	case strings.Contains(text, "--- FAIL") || strings.Contains(text, "panic:"):
		return true, nil
	}
	return false, fmt.Errorf("%w:\n%s", err, text)
}
