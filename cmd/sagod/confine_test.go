package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTheFilterHoldsBack interprets the filter of system calls.
func TestTheFilterHoldsBack(t *testing.T) {
	const arch, self = unix.AUDIT_ARCH_X86_64, 4711
	f := callFilter(arch, true, self)
	run := func(number, first, arch uint32) uint32 {
		data := map[uint32]uint32{dataNumber: number, dataFirst: first, dataArch: arch}
		var a uint32
		for pc := 0; ; pc++ {
			switch i := f[pc]; {
			case i.Code == bpfLoad:
				a = data[i.K]
			case i.Code == bpfRet:
				return i.K
			case i.Code == bpfEqual && a == i.K, i.Code == bpfLeast && a >= i.K:
				pc += int(i.Jt)
			default:
				pc += int(i.Jf)
			}
		}
	}
	type call struct{ number, first, arch, want uint32 }
	calls := []call{
		{unix.SYS_READ, 0, arch, retAllow}, {unix.SYS_OPENAT, 0, arch, retAllow}, {unix.SYS_IOCTL, 0, arch, retAllow},
		{unix.SYS_SOCKET, unix.AF_UNIX, arch, retAllow}, {unix.SYS_SOCKET, unix.AF_INET, arch, retEPERM},
		{unix.SYS_SOCKET, unix.AF_INET6, arch, retEPERM}, {unix.SYS_SOCKET, unix.AF_NETLINK, arch, retEPERM},
		{unix.SYS_SOCKET, unix.AF_PACKET, arch, retEPERM},
		{unix.SYS_KILL, self, arch, retAllow}, {unix.SYS_KILL, self + 1, arch, retEPERM}, {unix.SYS_KILL, 0, arch, retEPERM},
		{unix.SYS_KILL, ^uint32(0), arch, retEPERM}, {unix.SYS_TGKILL, self, arch, retAllow}, {unix.SYS_TGKILL, self + 1, arch, retEPERM},
		{unix.SYS_READ | 0x40000000, 0, arch, retKill}, {unix.SYS_READ, 0, unix.AUDIT_ARCH_I386, retKill},
	}
	for _, n := range deniedCalls() {
		calls = append(calls, call{n, self, arch, retEPERM}, call{n | 0x40000000, self, arch, retKill})
	}
	for _, c := range calls {
		if got := run(c.number, c.first, c.arch); got != c.want {
			t.Errorf("call %d(%d) on %#x: %#x, want %#x", c.number, c.first, c.arch, got, c.want)
		}
	}
}

// asFiltered has a run of this test binary put itself behind the filter.
const asFiltered = "SAGOD_TEST_FILTERED"

// TestTheKernelHoldsBack puts a process behind the filter and makes the calls: every
// one that is denied, and signals to itself and to another process.
func TestTheKernelHoldsBack(t *testing.T) {
	if os.Getenv(asFiltered) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTheKernelHoldsBack$", "-test.v")
		cmd.Env = append(os.Environ(), asFiltered+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestTheKernelHoldsBack") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	runtime.LockOSThread() // whose privileges the others get with the filter
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := filterCalls(); err != nil {
		t.Fatal(err)
	}
	call := func(number uint32, a, b uintptr) error {
		if _, _, errno := unix.Syscall6(uintptr(number), a, b, 0, 0, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}
	for _, n := range deniedCalls() {
		if err := call(n, 0, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("call %d: %v", n, err)
		}
	}
	self, parent := uintptr(os.Getpid()), uintptr(os.Getppid())
	for _, c := range []struct {
		what   string
		number uint32
		a, b   uintptr
		denied bool
	}{
		{"a signal to oneself", unix.SYS_KILL, self, 0, false},
		{"a signal to one's own thread", unix.SYS_TGKILL, self, uintptr(unix.Gettid()), false},
		{"a signal to another process", unix.SYS_KILL, parent, 0, true},
		{"a signal to another's thread", unix.SYS_TGKILL, parent, parent, true},
		{"a signal to the group", unix.SYS_KILL, 0, 0, true},
		{"a signal to everybody", unix.SYS_KILL, ^uintptr(0), 0, true},
		{"a handle of another process", unix.SYS_PIDFD_OPEN, parent, 0, true},
		{"a socket of the network", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, true},
	} {
		if err := call(c.number, c.a, c.b); c.denied != errors.Is(err, unix.EPERM) || !c.denied && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for range 20 { // the runtime stops goroutines that never yield, by signals to its own threads
		stop := make(chan struct{})
		go spin(stop)
		runtime.GC()
		close(stop)
	}
}

// spin goes on until it is stopped, without ever yielding by itself.
func spin(stop <-chan struct{}) {
	for i := 0; ; i++ {
		if i%(1<<20) == 0 {
			select {
			case <-stop:
				return
			default:
			}
		}
	}
}
