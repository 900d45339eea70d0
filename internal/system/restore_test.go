package system_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The host's wall clock is set back by a process of its own, whatever becomes of
// the test: it waits until its standard input ends, which it does with the test
// process, and then sets what CLOCK_BOOTTIME says the date ought to be.

// restorerArgument tells the test binary to be that process.
const restorerArgument = "SAGO_RESTORE_WALL_CLOCK"

// restoreIfAsked is the other process; it answers whether this is it.
func restoreIfAsked() bool {
	epoch, err := strconv.ParseInt(os.Getenv(restorerArgument), 10, 64)
	if err != nil {
		return false
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := setWallClock(epoch, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// wallEpoch is the date at which CLOCK_BOOTTIME was zero, in nanoseconds.
func wallEpoch() (int64, error) {
	var boot, wall unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return 0, err
	}
	err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return wall.Nano() - boot.Nano(), err
}

// setWallClock sets the host's date to what it ought to be by CLOCK_BOOTTIME and
// the epoch, and by years more.
func setWallClock(epoch int64, years int) error {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return err
	}
	date := unix.NsecToTimespec(time.Unix(0, epoch+boot.Nano()).AddDate(years, 0, 0).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &date); err != nil {
		return fmt.Errorf("setting the host's date: %w", err)
	}
	return nil
}

// movingWallClock answers how to move the host's date by years from what it ought
// to be; the date is right again after the test. It skips where that is not
// allowed.
func movingWallClock(t *testing.T) func(years int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("setting the host's date needs root")
	}
	epoch, err := wallEpoch()
	must(t, err)
	if err := setWallClock(epoch, 0); err != nil {
		t.Skipf("the host's date cannot be set here: %v", err)
	}
	restorer := exec.Command(os.Args[0])
	restorer.Env = append(os.Environ(), fmt.Sprint(restorerArgument, "=", epoch))
	restorer.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	restorer.Stderr = os.Stderr
	alive, err := restorer.StdinPipe()
	must(t, err)
	must(t, restorer.Start())
	t.Cleanup(func() {
		if err := alive.Close(); err != nil {
			t.Error(err)
		}
		if err := restorer.Wait(); err != nil {
			t.Errorf("the host's date may be wrong: %v", err)
		}
	})
	return func(years int) {
		t.Helper()
		must(t, setWallClock(epoch, years))
	}
}
