package system_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// keeper is a custodian process, and a daemon's user who is up to no good.
type keeper struct {
	*evidence
	dir    string // the data directory
	socket string
	cmd    *exec.Cmd
	ranges map[int]custodian.Range
	lying  custodian.Range
}

// TestRoot_I1_P21_AMaliciousDaemonDestroysNothing gives a user the socket, the group
// and every signing key but a majority's, and lets it try.
func TestRoot_I1_P21_AMaliciousDaemonDestroysNothing(t *testing.T) {
	ctx := bounded(t, 40*time.Second)
	k := startKeeper(t, ctx)
	k.asDaemon(k.fill)
	before := k.pictures()
	k.asDaemon(func(r *custodian.Remote) {
		k.refused(r)
		k.requests(r)
		k.byPath()
	})
	if after := k.pictures(); after != before {
		t.Fatalf("something changed:\n%s\nwas\n%s", after, before)
	}
	k.strangers(ctx)
	k.asDaemon(k.honest)
	k.exactly()
	k.asDaemon(k.aside)
}

func startKeeper(t *testing.T, ctx context.Context) *keeper {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("processes of several users need root")
	}
	home := t.TempDir()
	for _, dir := range []string{bin, filepath.Dir(home)} {
		must(t, os.Chmod(dir, 0o711))
	}
	k := &keeper{evidence: newEvidence(t), dir: filepath.Join(home, "data"), socket: filepath.Join(home, "s")}
	config := fmt.Sprintf("data_dir = %q\nsocket = %q\ndaemon_user = \"%d\"\nceremony_digest = \"%x\"\n", k.dir, k.socket, daemonUser, sha256.Sum256(k.ceremony))
	must(t, os.WriteFile(filepath.Join(home, "custodian.toml"), []byte(config), 0o644))
	must(t, errors.Join(os.Chown(home, custodianUser, daemonUser), os.Chmod(home, 0o750)))
	k.cmd = exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(bin, "sagod"), "custodian", "--config", filepath.Join(home, "custodian.toml"))
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: custodianUser, Gid: daemonUser}, AmbientCaps: []uintptr{unix.CAP_LINUX_IMMUTABLE}}
	var said strings.Builder
	k.cmd.Stderr = &said
	must(t, k.cmd.Start())
	t.Cleanup(func() {
		_ = k.cmd.Process.Signal(syscall.SIGTERM)
		if err := k.cmd.Wait(); err != nil {
			t.Errorf("the custodian ended with %v", err)
		}
		if t.Failed() {
			t.Log(said.String())
		}
		must(t, custodian.ClearTree(home))
	})
	must(t, testcluster.Await(ctx, "the custodian listens", func(context.Context) (bool, string, error) {
		_, err := os.Stat(k.socket)
		return err == nil, said.String(), nil
	}))
	return k
}

// asDaemon runs what as the daemon's user.
func (k *keeper) asDaemon(what func(*custodian.Remote)) {
	k.t.Helper()
	var err error
	as(daemonUser, func() {
		var r *custodian.Remote
		if r, err = custodian.NewRemote(context.Background(), k.dir, k.socket); err == nil {
			what(r)
		}
	})
	must(k.t, err)
}

// fill writes history, payload and keys, as an honest daemon would.
func (k *keeper) fill(r *custodian.Remote) {
	if p := r.Protection(); !p.AppendOnly || !p.Immutable || !p.Split {
		k.t.Skip("no inode flags here: ", p)
	}
	var payload []byte
	payload, k.ranges, k.lying = k.payload()
	for name, b := range map[string][]byte{segment: payload, active: []byte("growing"), lines: k.history()} {
		f, err := r.Create(name)
		if err == nil {
			_, err = f.Write(b)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			k.t.Error(name, err)
		}
	}
	if err := errors.Join(r.Seal(segment), r.CreateBlock(keyring.FileName(k.block), k.keyBlock())); err != nil {
		k.t.Error(err)
	}
}

// pictures is every name of the three rooms: owner, mode, flags, size, digest.
func (k *keeper) pictures() (all string) {
	k.t.Helper()
	must(k.t, filepath.WalkDir(k.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Dir(path) == k.dir && !e.IsDir() {
			return err
		}
		st, err := os.Stat(path)
		must(k.t, err)
		all += fmt.Sprintf("%s %d %v", path, st.Sys().(*syscall.Stat_t).Uid, st.Mode())
		if e.Type().IsRegular() {
			f, err := os.Open(path)
			must(k.t, err)
			flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
			must(k.t, err)
			sum := sha256.New()
			_, err = io.Copy(sum, f)
			must(k.t, errors.Join(err, f.Close()))
			all += fmt.Sprintf(" %x %d %x", flags&0x30, st.Size(), sum.Sum(nil))
		}
		all += "\n"
		return nil
	}))
	return all
}

// order is a destruction under a warrant. That it says to be of unused slots spares
// it the look at a permit which an honest daemon takes.
func (k *keeper) order(decision, checkpoint []byte, work custodian.Work) custodian.Order {
	work.Unused = !work.History
	return custodian.Order{Warrant: custodian.Warrant{Decision: decision, Checkpoint: checkpoint}, Work: work}
}

func (k *keeper) work(slot int) custodian.Work {
	return custodian.Work{Slots: []format.Slot{k.slot(slot)}, Ranges: []custodian.Range{k.ranges[slot]}}
}

// refused gives every order that no majority's history decides.
func (k *keeper) refused(r *custodian.Remote) {
	size := len(k.records)
	majority := []*ecdsa.PrivateKey{k.keys[0], k.keys[1]}
	good := k.checkpoint(size, nil, majority...)
	decision, own := k.decision(gone), k.work(gone)
	forged := k.encode(uint64(size-2), k.expiry(due), format.BundleRef{Store: k.store(due)})
	shifted, neighbour := k.ranges[gone], k.ranges[gone]
	shifted.Offset += 8
	neighbour.Length += 8
	foreign := []*ecdsa.PrivateKey{signingKey(k.t), signingKey(k.t), signingKey(k.t)}
	retire := k.records[size-1]
	with := func(change func(*custodian.Work)) custodian.Work {
		w := custodian.Work{Slots: slices.Clone(own.Slots), Ranges: slices.Clone(own.Ranges)}
		change(&w)
		return w
	}
	for name, o := range map[string]custodian.Order{
		"no evidence":                        k.order(nil, nil, own),
		"no checkpoint":                      k.order(decision, nil, own),
		"no decision":                        k.order(nil, good, own),
		"forged record":                      k.order(forged, good, k.work(due)),
		"record beyond the history":          k.order(k.encode(uint64(size), k.expiry(due), format.BundleRef{Store: k.store(due)}), good, k.work(due)),
		"record of no decision":              k.order(k.records[k.store(kept)], good, k.work(kept)),
		"signed by a minority":               k.order(decision, k.checkpoint(size, nil, k.keys[0]), own),
		"signed by foreign keys":             k.order(decision, k.checkpoint(size, nil, foreign...), own),
		"signed by one key thrice":           k.order(decision, k.checkpoint(size, nil, k.keys[0], k.keys[0], k.keys[0]), own),
		"another root":                       k.order(decision, k.checkpoint(size, func(c *format.Checkpoint) { c.Root[0] ^= 1 }, majority...), own),
		"another cluster":                    k.order(decision, k.checkpoint(size, func(c *format.Checkpoint) { c.Cluster[0] ^= 1 }, majority...), own),
		"stale checkpoint":                   k.order(decision, k.checkpoint(size-3, nil, majority...), own),
		"checkpoint beyond the history":      k.order(decision, k.checkpoint(size, func(c *format.Checkpoint) { c.Size++ }, majority...), own),
		"expired before its time":            k.order(k.decision(early), good, k.work(early)),
		"before its time, and the clock old": k.order(decision, k.checkpoint(size, func(c *format.Checkpoint) { c.Clock -= 4 * 3600 * 1e6 }, majority...), own),
		"another bundle's slot":              k.order(decision, good, k.work(kept)),
		"a neighbour's slot besides":         k.order(decision, good, with(func(w *custodian.Work) { w.Slots = append(w.Slots, k.slot(kept)) })),
		"a neighbour's range":                k.order(decision, good, with(func(w *custodian.Work) { w.Ranges = append(w.Ranges, k.ranges[kept]) })),
		"a range moved":                      k.order(decision, good, with(func(w *custodian.Work) { w.Ranges[0] = shifted })),
		"a range made longer":                k.order(decision, good, with(func(w *custodian.Work) { w.Ranges[0] = neighbour })),
		"a header that lies":                 k.order(decision, good, with(func(w *custodian.Work) { w.Ranges[0] = k.lying })),
		"a range of the key block":           k.order(decision, good, with(func(w *custodian.Work) { w.Ranges[0].File = keyring.FileName(k.block) })),
		"a range of the history":             k.order(decision, good, with(func(w *custodian.Work) { w.Ranges[0].File = lines })),
		"a range outside":                    k.order(decision, good, with(func(w *custodian.Work) { w.Ranges[0].File = "segments/../../../etc/passwd" })),
		"a used slot as an unused one":       k.order(retire, good, custodian.Work{Slots: []format.Slot{k.slot(kept)}}),
		"a slot of another block":            k.order(retire, good, custodian.Work{Slots: []format.Slot{{Block: format.ID{9}, Index: 1}}}),
		"closed without an act":              k.order(k.closed, good, k.work(kept)),
		"a bundle's slot as a spent one":     k.order(k.spent, good, k.work(kept)),
		"a history key's as a spent one":     k.order(k.spent, good, custodian.Work{Slots: []format.Slot{k.slot(uses)}}),
		"a free slot as a spent one":         k.order(k.spent, good, custodian.Work{Slots: []format.Slot{k.slot(unused)}}),
		"use records without a closing":      k.order(k.usesEnd, good, custodian.Work{Slots: []format.Slot{k.slot(uses)}}),
		"a file to remove":                   k.order(decision, good, with(func(w *custodian.Work) { w.Remove = []string{segment} })),
		"history by an expiry":               k.order(decision, good, custodian.Work{History: true, Remove: []string{lines}}),
		"history by nothing":                 k.order(nil, nil, custodian.Work{History: true, Remove: []string{lines}}),
	} {
		for _, orders := range [][]custodian.Order{{o}, {k.order(decision, good, own), o}} { // beside a good one, too
			if _, err := r.DestroyAll(context.Background(), orders); !errors.Is(err, custodian.ErrWarrant) {
				k.t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// requests misuses every other request.
func (k *keeper) requests(r *custodian.Remote) {
	place := func(name string) error {
		return r.Place(name, func(w io.Writer) error { _, err := w.Write([]byte("mine")); return err })
	}
	create := func(name string) error { _, err := r.Create(name); return err }
	block := keyring.FileName(k.block)
	for name, try := range map[string]func() error{
		"create over":           func() error { return create(segment) },
		"create outside":        func() error { return create("../x") },
		"create a key block":    func() error { return create("keys/x.kb") },
		"append to sealed":      func() error { _, err := r.Append(segment); return err },
		"place over":            func() error { return place(lines) },
		"place in another room": func() error { return place(segment) },
		"a block over":          func() error { return r.CreateBlock(block, []byte("mine")) },
		"a live slot":           func() error { return r.RewriteSlot(block, keyring.SlotOffset(1), keyring.ErasedSlot()) },
		"a whole header":        func() error { return r.RewriteHeader(block, k.keyBlock()[:format.FileHeaderSize]) },
		"aside elsewhere":       func() error { return r.PutAside("/../other") },
		"aside under any name":  func() error { return r.PutAside(".old") },
		"destroy the present":   func() error { return r.DestroyAside(k.dir) },
	} {
		if err := try(); err == nil {
			k.t.Errorf("%s: not refused", name)
		}
	}
}

// byPath goes for the files themselves, with the descriptor that was passed and by
// name.
func (k *keeper) byPath() {
	for _, name := range []string{segment, active, lines, keyring.FileName(k.block)} {
		open, _ := strike(daemonUser, filepath.Join(k.dir, name))
		for _, o := range open {
			k.t.Error(o)
		}
	}
	r, err := custodian.NewRemote(context.Background(), k.dir, k.socket)
	if err != nil {
		k.t.Error(err)
		return
	}
	f, err := r.Append(active)
	if err != nil {
		k.t.Error(err)
		return
	}
	defer f.Close()
	fd := int(f.Fd())
	clear := func() error {
		flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
		return errors.Join(err, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^0x30)))
	}
	reopen := func(flag int) func() error {
		return func() error { _, err := os.OpenFile(fmt.Sprint("/proc/self/fd/", fd), flag, 0); return err }
	}
	for name, try := range map[string]func() error{
		"reopen to write":  reopen(os.O_RDWR),
		"reopen to append": reopen(os.O_WRONLY | os.O_APPEND),
		"clear O_APPEND":   func() error { _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); return err },
		"truncate":         func() error { return unix.Ftruncate(fd, 0) },
		"punch":            func() error { return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4) },
		"clear flags":      clear,
		"mode":             func() error { return unix.Fchmod(fd, 0o777) },
		"a room":           func() error { return os.Rename(filepath.Join(k.dir, "history"), filepath.Join(k.dir, "h")) },
		"remove a room":    func() error { return os.RemoveAll(filepath.Join(k.dir, "keys")) },
		"in a room":        func() error { return os.WriteFile(filepath.Join(k.dir, "keys", "x.kb"), nil, 0o600) },
		"the directory":    func() error { return os.Rename(k.dir, k.dir+".mine") },
		"its socket":       func() error { return os.Remove(k.socket) },
		"its memory":       func() error { _, err := os.Open(fmt.Sprintf("/proc/%d/mem", k.cmd.Process.Pid)); return err },
		"its life":         func() error { return unix.Kill(k.cmd.Process.Pid, unix.SIGKILL) },
	} {
		if err := try(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			k.t.Errorf("%s: %v", name, err)
		}
	}
}

// strangers are other users, who get no answer at all.
func (k *keeper) strangers(ctx context.Context) {
	k.t.Helper()
	if _, err := custodian.NewRemote(ctx, k.dir, k.socket); err == nil {
		k.t.Error("root was answered")
	}
}

// honest gives the orders that the history decides.
func (k *keeper) honest(r *custodian.Remote) {
	size := len(k.records)
	good := k.checkpoint(size, nil, k.keys[0], k.keys[1])
	for range 2 { // and once more, as after a crash
		done, err := r.DestroyAll(context.Background(), []custodian.Order{k.order(k.decision(gone), good, k.work(gone)),
			k.order(k.records[size-1], good, custodian.Work{Slots: []format.Slot{k.slot(unused)}}),
			k.order(k.spent, good, custodian.Work{Slots: []format.Slot{k.slot(wasted)}})})
		if err != nil || done.Slots != 3 || done.Ranges != 1 {
			k.t.Error(done, err)
		}
	}
}

// exactly insists that the order destroyed its own and nothing else.
func (k *keeper) exactly() {
	k.t.Helper()
	payload, ranges, _ := k.payload()
	clear(payload[ranges[gone].Offset:][:ranges[gone].Length])
	keys := k.keyBlock()
	for _, slot := range []uint32{gone, unused, wasted} {
		copy(keys[keyring.SlotOffset(slot):], keyring.ErasedSlot())
	}
	for name, want := range map[string][]byte{segment: payload, keyring.FileName(k.block): keys, lines: k.history()} {
		got, err := os.ReadFile(filepath.Join(k.dir, name))
		must(k.t, err)
		if string(got) != string(want) {
			k.t.Errorf("%s is not what the honest order leaves", name)
		}
	}
}

// aside puts the directory aside, which destroys nothing, and asks for it to be
// destroyed, which no history says.
func (k *keeper) aside(r *custodian.Remote) {
	if err := r.PutAside(".gone-x"); err != nil {
		k.t.Error(err)
	}
	if err := r.DestroyAside(k.dir + ".gone-x"); !errors.Is(err, custodian.ErrWarrant) {
		k.t.Error("destroyed what was put aside: ", err)
	}
	if got, err := os.ReadFile(filepath.Join(k.dir+".gone-x", lines)); err != nil || string(got) != string(k.history()) {
		k.t.Error("what was put aside is not there any more: ", err)
	}
}
