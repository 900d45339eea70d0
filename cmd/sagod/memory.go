package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// collectLess has the garbage collector run when the heap is five times what lives,
// not twice: a node keeps little and allocates much, so that costs little and saved
// a fifth of its CPU in the one run that compared the two. Beyond half of the memory that it may use it
// collects as often as it must. GOGC and GOMEMLIMIT overrule both.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	var machine unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && unix.Sysinfo(&machine) == nil {
		debug.SetMemoryLimit(min(int64(machine.Totalram)*int64(machine.Unit), groupLimit("/")) / 2)
	}
}

// groupLimit is how many bytes the control groups of this process allow it, such as a
// unit with MemoryMax: that of each group from its own up to the root, in either version's files below root.
func groupLimit(root string) int64 {
	least := int64(math.MaxInt64)
	raw, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		tree, file := filepath.Join(root, "sys/fs/cgroup"), "memory.max"
		if fields[1] != "" {
			if !slices.Contains(strings.Split(fields[1], ","), "memory") {
				continue
			}
			tree, file = filepath.Join(tree, "memory"), "memory.limit_in_bytes"
		}
		for group := filepath.Clean("/" + fields[2]); ; group = filepath.Dir(group) {
			if n, err := readLimit(filepath.Join(tree, group, file)); err == nil {
				least = min(least, n)
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// readLimit reads one group's file; "max" is no number.
func readLimit(file string) (int64, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
}
