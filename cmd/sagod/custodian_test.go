package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCustodianConfigNamesEveryFault reads files of a custodian that must not start.
func TestCustodianConfigNamesEveryFault(t *testing.T) {
	const digest = "ceremony_digest = \"7d0c5a0c9a0c7bbd0a4a7c1e1a8e5e0bb3a2b8a6f1b4f0c83f0d2a58c3d1e9f2\"\n"
	const good = "data_dir = \"d\"\nsocket = \"s\"\ndaemon_user = \"64999\"\n" + digest
	for want, text := range map[string]string{
		"":                               good,
		"config: data_dir: is missing":   strings.Replace(good, "data_dir = \"d\"\n", "", 1),
		"config: socket: is missing":     strings.Replace(good, "socket = \"s\"\n", "", 1),
		"config: socket: lies inside":    strings.Replace(good, "\"s\"", "\"d/s\"", 1),
		"config: daemon_user: is missi":  strings.Replace(good, "64999", "", 1),
		"config: daemon_user: user: unk": strings.Replace(good, "64999", "nobody-of-this-name", 1),
		"config: ceremony_digest: is no": strings.Replace(good, "7d0c", "", 1),
		"config: log_level: ":            good + "log_level = \"loud\"\n",
		"config: custodian: unknown key": good + "custodian = \"x\"\n",
	} {
		path := filepath.Join(t.TempDir(), "custodian.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readCustodianConfig(path)
		said := ""
		if err != nil {
			said = err.Error()
		}
		const root = "config: the custodian does not run as root"
		if os.Geteuid() == 0 && !strings.Contains(said, root) {
			t.Errorf("root may run a custodian: %s", said)
		}
		if want == "" && strings.Contains(strings.Replace(said, root, "", 1), "config:") || !strings.Contains(said, want) {
			t.Errorf("%q: %s", want, said)
		}
	}
}

// TestTheFilterHoldsTheNetworkBack interprets the filter of system calls.
func TestTheFilterHoldsTheNetworkBack(t *testing.T) {
	const arch = unix.AUDIT_ARCH_X86_64
	f := callFilter(arch, true)
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
	for _, c := range []struct{ number, first, arch, want uint32 }{
		{unix.SYS_READ, 0, arch, retAllow}, {unix.SYS_OPENAT, 0, arch, retAllow}, {unix.SYS_IOCTL, 0, arch, retAllow},
		{unix.SYS_SOCKET, unix.AF_UNIX, arch, retAllow}, {unix.SYS_SOCKET, unix.AF_INET, arch, retEPERM},
		{unix.SYS_SOCKET, unix.AF_INET6, arch, retEPERM}, {unix.SYS_SOCKET, unix.AF_NETLINK, arch, retEPERM},
		{unix.SYS_SOCKET, unix.AF_PACKET, arch, retEPERM}, {unix.SYS_EXECVE, 0, arch, retEPERM}, {unix.SYS_PTRACE, 0, arch, retEPERM},
		{unix.SYS_CLOCK_SETTIME, 0, arch, retEPERM}, {unix.SYS_MOUNT, 0, arch, retEPERM}, {unix.SYS_IO_URING_SETUP, 0, arch, retEPERM},
		{unix.SYS_READ | 0x40000000, 0, arch, retKill}, {unix.SYS_READ, 0, unix.AUDIT_ARCH_I386, retKill},
	} {
		if got := run(c.number, c.first, c.arch); got != c.want {
			t.Errorf("call %d(%d) on %#x: %#x, want %#x", c.number, c.first, c.arch, got, c.want)
		}
	}
}
