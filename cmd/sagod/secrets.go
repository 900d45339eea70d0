package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepSecrets keeps this process's memory from others of its user and from disk:
// no core dump, by limit and, for handlers that a pipe feeds, by the process's
// mark; the mark also keeps debuggers of the same user off (ptrace, /proc/PID/mem).
func keepSecrets() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	return nil
}
