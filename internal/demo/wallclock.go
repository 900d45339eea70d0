package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// holdClock is the argument by which this program runs itself as the holder of
// the moved wall clock. The holder sets the clock ahead, waits until its standard
// input ends, and sets it back: also when the demo was interrupted or died.
const holdClock = "hold-clock"

// ahead is how far the wall clock is moved.
const ahead = 20 * 365 * 24 * time.Hour

// What the holder answers where it may not, or had better not, move the clock.
const (
	exitNotPermitted = 4
	exitTaken        = 5
)

// clockLock is the name, of no file, that a holder listens on: two of them would
// set back what the other had moved.
const clockLock = "@sago-demo-wall-clock"

// holdWallClock is the holder. It says "moved" once the clock is ahead.
func holdWallClock(stdin io.Reader, stdout, stderr io.Writer) int {
	lock, err := net.Listen("unix", clockLock)
	if err != nil {
		return exitTaken
	}
	defer lock.Close() // ends with this process anyhow
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	difference, err := wallMinusBoot()
	if err == nil {
		err = setWall(difference + ahead)
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return exitNotPermitted
	case err != nil:
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprintln(stdout, "moved")
	// How the input ends does not matter, only that it does.
	_, _ = io.Copy(io.Discard, stdin)
	if err := setWall(difference); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// wallMinusBoot is the wall clock's distance from CLOCK_BOOTTIME, which nobody can
// set.
func wallMinusBoot() (time.Duration, error) {
	boot, err := readClock(unix.CLOCK_BOOTTIME)
	if err != nil {
		return 0, err
	}
	wall, err := readClock(unix.CLOCK_REALTIME)
	return wall - boot, err
}

func readClock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(id, &ts)
	return time.Duration(ts.Nano()), err
}

func setWall(difference time.Duration) error {
	boot, err := readClock(unix.CLOCK_BOOTTIME)
	if err != nil {
		return err
	}
	ts := unix.NsecToTimespec(int64(boot + difference))
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}

// Why the clock is not moved; not a failure of the demo.
var (
	errClockNotPermitted = errors.New("nobody may set the wall clock here")
	errClockTaken        = errors.New("somebody else moves the wall clock of this machine just now")
)

// movedClock is a wall clock that is ahead.
type movedClock struct {
	holder     *exec.Cmd
	release    io.Closer
	difference time.Duration // the true one
}

// moveWall starts the holder and waits until the clock is ahead.
func moveWall() (*movedClock, error) {
	difference, err := wallMinusBoot()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, holdClock)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's signals are not for it
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m := &movedClock{cmd, in, difference}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "moved\n" {
		err = m.back()
		switch cmd.ProcessState.ExitCode() {
		case exitNotPermitted:
			return nil, errClockNotPermitted
		case exitTaken:
			return nil, errClockTaken
		}
		return nil, errors.Join(errors.New("the wall clock was not moved"), err)
	}
	return m, nil
}

// back has the holder set the clock back, and sees that it did.
func (m *movedClock) back() error {
	err := errors.Join(m.release.Close(), m.holder.Wait())
	now, cerr := wallMinusBoot()
	if off := (now - m.difference).Abs(); cerr == nil && off > time.Minute {
		cerr = errors.Join(fmt.Errorf("the wall clock was %v off and was set again", off), setWall(m.difference))
	}
	return errors.Join(err, cerr)
}

// moveWallClock moves the host's wall clock 20 years ahead and looks at what
// follows: nothing.
func (d *demo) moveWallClock(ctx context.Context) error {
	d.title("서버의 시계를 20년 뒤로 돌린다", "the host's wall clock is set 20 years ahead")
	switch {
	case d.leaveClock:
		d.skip("-leave-clock: 벽시계를 그대로 둔다", "-leave-clock: the wall clock is left alone", "R5")
		return nil
	case os.Geteuid() != 0:
		d.skip("root가 아니면 시계를 돌릴 수 없다", "the wall clock needs root", "R5")
		return nil
	case time.Now().Round(0).Sub(d.c.Now()).Abs() > time.Hour: // Round drops the reading that is no wall clock's
		d.skip("누군가 이미 이 기계의 시계를 돌렸다", errClockTaken.Error(), "R5")
		return nil
	}
	moved, err := moveWall()
	switch {
	case errors.Is(err, errClockNotPermitted):
		d.skip("이 기계는 시계를 돌리게 하지 않는다", err.Error(), "R5")
		return nil
	case errors.Is(err, errClockTaken):
		d.skip("누군가 지금 이 기계의 시계를 돌리고 있다", err.Error(), "R5")
		return nil
	case err != nil:
		return err
	}
	err = d.underMovedClock(ctx)
	if err := errors.Join(err, moved.back()); err != nil {
		return err
	}
	d.figure("벽시계를 되돌림 wall clock set back: %s", time.Now().UTC().Format(time.DateOnly))
	d.proves("R5")
	return nil
}

// underMovedClock reads, stores and restarts a node while the wall clock is ahead.
func (d *demo) underMovedClock(ctx context.Context) error {
	before, err := answer[clockState](ctx, d, "admin", "clock", "status")
	if err != nil {
		return err
	}
	began := d.c.Now()
	d.figure("벽시계 wall clock %s, 정족수 시계 quorum clock %s", time.Now().UTC().Format(time.DateOnly), before.Clock.Format(time.DateTime))
	if err := d.readAll(ctx, 0); err != nil {
		return err
	}
	i, err := d.follower(ctx)
	if err != nil {
		return err
	}
	stopping, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := d.c.Stop(stopping, i); err != nil {
		return err
	}
	if err := d.c.Start(i); err != nil {
		return err
	}
	if err := d.c.Ready(ctx); err != nil {
		return err
	}
	if err := d.readAll(ctx, i); err != nil {
		return err
	}
	d.say(fmt.Sprintf("읽기는 그대로; 그동안 다시 띄운 %s도 모두 읽어 준다", d.c.Name(i)), fmt.Sprintf("reads go on, also from %s, restarted meanwhile", d.c.Name(i)))
	if err := d.sameDeadline(ctx); err != nil {
		return err
	}
	return d.clockStayed(ctx, before, began)
}

// clockStayed has a bundle's period start, so that the quorum clock ticks, and
// holds the clock against true time.
func (d *demo) clockStayed(ctx context.Context, before clockState, began time.Time) error {
	b := bundle{transaction: "2026112100000005", subject: people()[0], retain: "P1Y"}
	if err := d.fill(&b, residence(b.subject)); err != nil {
		return err
	}
	var err error
	if b.receipt, err = answer[receipt](ctx, d, "app", b.putArgs(b.retain, b.files...)...); err != nil {
		return err
	}
	d.stored = append(d.stored, b)
	if err := d.sameDeadline(ctx); err != nil {
		return err
	}
	after, err := answer[clockState](ctx, d, "admin", "clock", "status")
	if err != nil {
		return err
	}
	// The first reading may be as old as an idle tick: it is held against the
	// node's own bound of true time.
	went, passed := after.Clock.Sub(before.Earliest), d.c.Now().Sub(began)
	if went > passed+2*time.Second || after.Clock.Before(before.Clock) || after.Status != "synchronized" {
		return fmt.Errorf("the quorum clock went from %v to %v (%s) in %v", before.Clock, after.Clock, after.Status, passed)
	}
	expired, err := d.records(ctx, "--action", "EXPIRE")
	if err != nil || len(expired.Records) > 0 {
		return errors.Join(fmt.Errorf("%d bundles expired", len(expired.Records)), err)
	}
	d.figure("정족수 시계는 %.1f초 감, 흐른 시간 %.1f초 · the quorum clock went %.1f s, in %.1f s", went.Seconds(), passed.Seconds(), went.Seconds(), passed.Seconds())
	d.say("만료된 것 없음; 기한도 그대로", "nothing expired; no deadline moved")
	return nil
}

// follower is a node that does not lead.
func (d *demo) follower(ctx context.Context) (int, error) {
	leader, err := d.c.Leader(ctx)
	return (leader + 1) % d.c.Size(), err
}
