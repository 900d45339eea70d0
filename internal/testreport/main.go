// Command testreport runs `go test -json` and prints what a person needs of it: one line per package, every failure in
// full, every skipped test with its reason, and at the very end one line `N passed, N failed, N skipped`. It guarantees
// that a run which outlives its bound, or (with -no-skips) skips a test, is a failed run.
//
//	go run ./internal/testreport [-bound 15m] [-no-skips] [-name race] -- ./... [go test flags]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	opts := options{}
	flag.DurationVar(&opts.bound, "bound", 15*time.Minute, "end the run, as failed, after this long")
	flag.BoolVar(&opts.noSkips, "no-skips", false, "fail when a test skipped")
	flag.StringVar(&opts.name, "name", "", "begin the last line with this word")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, opts, flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}
