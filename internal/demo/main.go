// Command demo runs the main job of the appliance end to end on this machine and
// tells it as a story: three nodes as processes of their own, three time servers,
// real TLS, invented people.
//
// It guarantees that
//
//   - everything it says it has seen: a step whose outcome is not as told ends the
//     demo with exit code 1, naming the step,
//   - what the machine does not allow (inode flags, the wall clock) is named as
//     skipped, never as shown,
//   - the host's wall clock is set back whatever happens, and
//   - it stops all it started and removes its directory; -keep leaves the directory.
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

// limit bounds a whole run; `make demo` allows two minutes.
const limit = 110 * time.Second

func main() {
	if len(os.Args) == 2 && os.Args[1] == holdClock {
		os.Exit(holdWallClock(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs sagod and sago")
	flag.BoolVar(&o.keep, "keep", false, "leave the cluster's directory behind")
	flag.BoolVar(&o.leaveClock, "leave-clock", false, "do not move the host's wall clock, on a machine that others use")
	flag.Parse()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo took longer than %v", limit))
	defer cancel()
	if err := tell(ctx, o, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "\n데모 실패 · THE DEMO FAILED: %v\n", err)
		os.Exit(1)
	}
}
