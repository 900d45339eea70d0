package timesource

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrTimeNamespace says that the process runs in a time namespace whose clocks
// are shifted, so that readings of the boot clock prove nothing.
var ErrTimeNamespace = errors.New("timesource: shifted time namespace")

// Boot is one reading of the machine's own clocks. Readings compare only under
// the same ID.
type Boot struct {
	ID      [16]byte // the kernel's random boot id
	Reading int64    // CLOCK_BOOTTIME in nanoseconds; runs on through suspend
	Raw     int64    // CLOCK_MONOTONIC_RAW in nanoseconds; cannot be slewed, stops in suspend
}

// ReadBoot reads boot id and clocks from the kernel. It fails with
// ErrTimeNamespace in a shifted time namespace, and with the kernel's or the
// file's error when one of them cannot be read.
func ReadBoot() (Boot, error) {
	id, err := readBootID("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Boot{}, err
	}
	if err := checkTimeNamespace("/proc/self/timens_offsets"); err != nil {
		return Boot{}, err
	}
	s, err := readStamp()
	if err != nil {
		return Boot{}, err
	}
	return Boot{ID: id, Reading: s.boot, Raw: s.raw}, nil
}

func readBootID(path string) (id [16]byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return id, fmt.Errorf("timesource: boot id: %w", err)
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("timesource: boot id %q is not a UUID", text)
	}
	return [16]byte(raw), nil
}

// checkTimeNamespace takes a kernel without time namespaces (no such file) as
// unshifted: it has nothing that could shift.
func checkTimeNamespace(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("timesource: time namespace: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 || fields[1] != "0" || fields[2] != "0" {
			return fmt.Errorf("%w: %s", ErrTimeNamespace, strings.TrimSpace(line))
		}
	}
	return nil
}

// errBackward says that a later reading of the clocks is before an earlier one.
var errBackward = errors.New("boot clock ran backwards")

// stamp is one instant on both clocks, in nanoseconds.
type stamp struct{ boot, raw int64 }

// before says that s is before o on either clock.
func (s stamp) before(o stamp) bool { return s.boot < o.boot || s.raw < o.raw }

// readStamp reads the boot clock between two readings of the raw clock. When the
// scheduler comes between, it reads again, so that the two belong together to
// within 50 µs (or to the best of eight tries on a starved machine).
func readStamp() (stamp, error) {
	const together, tries = 50_000, 8
	var best stamp
	gap := int64(-1)
	for range tries {
		var before, boot, after unix.Timespec
		err := errors.Join(
			unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &before),
			unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot),
			unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &after))
		if err != nil {
			return stamp{}, fmt.Errorf("timesource: reading clocks: %w", err)
		}
		if g := after.Nano() - before.Nano(); gap < 0 || g < gap {
			gap, best = g, stamp{boot: boot.Nano(), raw: before.Nano() + g/2}
		}
		if gap <= together {
			break
		}
	}
	return best, nil
}

// crossCheck compares the growth of the boot clock with that of the raw clock.
// More than 1000 ppm and 2 ms apart means that somebody slewed the clocks, or
// that the machine was suspended. Both are a fault until one whole window of
// agreement has passed; the interval stays sound meanwhile (see span.after).
type crossCheck struct {
	start stamp
	fault string
}

const (
	crossWindow    = int64(60 * time.Second)
	crossTolerance = int64(2 * time.Millisecond)
	crossRatio     = 1000 // one part in a thousand: 1000 ppm
)

// observe takes the clocks' present reading and returns the fault, or "".
func (c *crossCheck) observe(now stamp) string {
	boot, raw := now.boot-c.start.boot, now.raw-c.start.raw
	switch apart := boot - raw; {
	case boot < 0 || raw < 0:
		c.start, c.fault = now, errBackward.Error()
	case apart > crossTolerance+raw/crossRatio:
		c.fault = fmt.Sprintf("boot clock gained %v over the raw clock in %v: suspended or slewed",
			time.Duration(apart).Round(time.Microsecond), time.Duration(raw).Round(time.Millisecond))
		c.start = now
	case -apart > crossTolerance+raw/crossRatio:
		c.fault = fmt.Sprintf("boot clock lost %v to the raw clock in %v: slewed",
			time.Duration(-apart).Round(time.Microsecond), time.Duration(raw).Round(time.Millisecond))
		c.start = now
	case raw >= crossWindow:
		c.start, c.fault = now, ""
	}
	return c.fault
}
