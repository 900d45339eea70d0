package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// confine takes from this process, all of its threads, what a custodian has no use
// for: every capability but the one that inode flags need, new privileges, the
// network, other programs, other processes, the clock, mounts, core dumps. There is
// no way back. A program that was built with cgo cannot do it, and ends here.
func confine() error {
	if err := keepSecrets(); err != nil {
		return err
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		// Without CAP_SETPCAP the bounding set stays; nothing is executed that could
		// draw on it.
		err := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		if c == unix.CAP_LINUX_IMMUTABLE || err == nil || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
			continue
		}
		return fmt.Errorf("bounding set: %w", err)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	if err := keepOneCapability(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return filterCalls()
}

// allThreads makes a system call on every thread of this process.
func allThreads(trap, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(trap, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// keepOneCapability keeps CAP_LINUX_IMMUTABLE where it is held; without it flags
// are not active, and status says so.
func keepOneCapability() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, keep [2]unix.CapUserData
	if err := unix.Capget(&head, &have[0]); err != nil {
		return err
	}
	keep[0].Permitted = have[0].Permitted & (1 << unix.CAP_LINUX_IMMUTABLE)
	keep[0].Effective = keep[0].Permitted
	return allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&keep[0])), 0)
}

// deniedCalls are refused to the custodian with EPERM.
func deniedCalls() []uint32 {
	return []uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		// other processes: their memory, descriptors and signals; those to itself are allowed apart
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE,
		unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
		unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
		// the clock
		unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
		// mounts and namespaces
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR,
		unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_SETNS, unix.SYS_UNSHARE,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_ACCT,
		// the kernel
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_FANOTIFY_INIT,
		unix.SYS_IO_URING_SETUP, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	}
}

// The classic BPF instructions of the filter, and what it answers.
const (
	bpfLoad  = 0x20 // BPF_LD | BPF_W | BPF_ABS
	bpfEqual = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	bpfLeast = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	bpfRet   = 0x06 // BPF_RET | BPF_K

	retAllow = 0x7fff0000
	retEPERM = 0x00050000 | uint32(unix.EPERM)
	retKill  = 0x80000000

	// Offsets in struct seccomp_data; arguments are little-endian.
	dataNumber, dataArch, dataFirst = 0, 4, 16
)

// callFilter is the filter as instructions, for one architecture and the process of
// this number: Go's scheduler interrupts its own threads by tgkill, so signals to
// oneself stay. The kernel, too, reads only the low half of a process's number.
func callFilter(arch uint32, amd64 bool, self uint32) []unix.SockFilter {
	f := []unix.SockFilter{
		{Code: bpfLoad, K: dataArch}, {Code: bpfEqual, Jt: 1, K: arch}, {Code: bpfRet, K: retKill},
		{Code: bpfLoad, K: dataNumber},
	}
	if amd64 { // the x32 table would pass by all that follows
		f = append(f, unix.SockFilter{Code: bpfLeast, Jf: 1, K: 0x40000000}, unix.SockFilter{Code: bpfRet, K: retKill})
	}
	for _, n := range deniedCalls() {
		f = append(f, unix.SockFilter{Code: bpfEqual, Jf: 1, K: n}, unix.SockFilter{Code: bpfRet, K: retEPERM})
	}
	only := func(call, first uint32) { // only with this first argument
		f = append(f,
			unix.SockFilter{Code: bpfEqual, Jf: 4, K: call}, unix.SockFilter{Code: bpfLoad, K: dataFirst},
			unix.SockFilter{Code: bpfEqual, Jt: 1, K: first}, unix.SockFilter{Code: bpfRet, K: retEPERM}, unix.SockFilter{Code: bpfRet, K: retAllow})
	}
	only(unix.SYS_KILL, self)
	only(unix.SYS_TGKILL, self)
	only(unix.SYS_SOCKET, unix.AF_UNIX)
	return append(f, unix.SockFilter{Code: bpfRet, K: retAllow})
}

// filterCalls puts the filter before every thread.
func filterCalls() error {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return fmt.Errorf("no filter of system calls for %s", runtime.GOARCH)
	}
	f := callFilter(arch, runtime.GOARCH == "amd64", uint32(os.Getpid()))
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	const setModeFilter, allThreadsToo = 1, 1 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
	if r, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, allThreadsToo, uintptr(unsafe.Pointer(&prog))); errno != 0 || r != 0 {
		return fmt.Errorf("filter of system calls: thread %d: %w", r, errno)
	}
	return nil
}
