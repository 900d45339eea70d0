package main

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// collectLess has the garbage collector run when the heap is five times what lives,
// not twice: a node keeps little and allocates much, so that costs little and saved
// a fifth of its CPU in the one run that compared the two. Beyond half of the machine's memory it collects as
// often as it must. GOGC and GOMEMLIMIT overrule both.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	var machine unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && unix.Sysinfo(&machine) == nil {
		debug.SetMemoryLimit(int64(machine.Totalram) * int64(machine.Unit) / 2)
	}
}
