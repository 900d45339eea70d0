package custodian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrFilesystem is returned for a file system on which overwriting does not erase.
var ErrFilesystem = errors.New("file system keeps what is overwritten")

// Protection says which levels of protection by the operating system are active;
// status and audit show it as it is.
type Protection struct {
	AppendOnly bool // files in use carry the append-only flag
	Immutable  bool // sealed files and key blocks carry the immutable flag
	Split      bool // the right to clear flags is in another process
	Notes      []string
}

// Protection returns what is active now.
func (l *Local) Protection() Protection {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.protection
	p.Notes = slices.Clone(p.Notes)
	return p
}

// String is one line for status.
func (p Protection) String() string {
	word := map[bool]string{true: "active", false: "NOT active"}
	parts := []string{"append-only flag " + word[p.AppendOnly], "immutable flag " + word[p.Immutable]}
	if p.Split {
		parts = append(parts, "custodian is a process of its own")
	} else {
		parts = append(parts, "custodian runs inside the daemon: the second gate is no gate here")
	}
	return strings.Join(append(parts, p.Notes...), "; ")
}

func (p *Protection) note(s string) {
	if s != "" && !slices.Contains(p.Notes, s) {
		p.Notes = append(p.Notes, s)
	}
}

// lost remembers that flags could not be set.
func (l *Local) lost(flags uint32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if flags&flagAppend != 0 {
		l.protection.AppendOnly = false
		l.protection.note("append-only flag: " + err.Error())
	}
	if flags&flagImmutable != 0 {
		l.protection.Immutable = false
		l.protection.note("immutable flag: " + err.Error())
	}
}

// Magic numbers of statfs that golang.org/x/sys/unix lacks or names otherwise.
const (
	magicZFS      = 0x2fc12fc1
	magicBcachefs = 0xca451a4e
)

// copying file systems write elsewhere what is overwritten.
var copying = map[int64]string{
	unix.BTRFS_SUPER_MAGIC: "btrfs", magicZFS: "zfs", magicBcachefs: "bcachefs",
	unix.F2FS_SUPER_MAGIC: "f2fs", unix.NILFS_SUPER_MAGIC: "nilfs2",
}

// noted file systems overwrite in place as far as they can tell.
var noted = map[int64]string{
	unix.EXT4_SUPER_MAGIC:      "",
	unix.XFS_SUPER_MAGIC:       "xfs: do not clone files of the data directory (reflink); clones keep what is erased",
	unix.TMPFS_MAGIC:           "tmpfs: nothing here outlives a power cut",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs: whether overwriting erases depends on the file system below, which is not seen from here",
}

// CheckFilesystem returns ErrFilesystem, wrapped with the reason, if overwriting a
// file under dir is known not to erase it or the file system is not known; else a
// note for status, mostly empty. It reads statfs, the mount table, the directory's
// flags and ext4's own list of options.
func CheckFilesystem(dir string) (note string, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("statfs %s: %w", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", dir, err)
	}
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("mount table: %w", err)
	}
	options := mountOptions(string(mounts), device)
	// The mount table leaves out options that are the file system's own default.
	if link, err := os.Readlink("/sys/dev/block/" + device); err == nil {
		if b, err := os.ReadFile(filepath.Join("/proc/fs/ext4", filepath.Base(link), "options")); err == nil {
			options = append(options, strings.Fields(string(b))...)
		}
	}
	return judgeFilesystem(int64(fs.Type), options, directoryFlags(dir))
}

func judgeFilesystem(magic int64, options []string, flags uint32) (string, error) {
	if name, ok := copying[magic]; ok {
		return "", fmt.Errorf("%w: %s", ErrFilesystem, name)
	}
	if slices.Contains(options, "data=journal") || flags&flagJournalData != 0 {
		return "", fmt.Errorf("%w: data=journal copies content into the journal", ErrFilesystem)
	}
	note, ok := noted[magic]
	if !ok {
		return "", fmt.Errorf("%w as far as is known: type %#x", ErrFilesystem, magic)
	}
	return note, nil
}

// mountOptions lists the super-block options of a device in a mount table.
func mountOptions(table, device string) (options []string) {
	for line := range strings.Lines(table) {
		front, back, ok := strings.Cut(strings.TrimSpace(line), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if ok && len(f) > 2 && f[2] == device && len(b) > 2 {
			options = append(options, strings.Split(b[2], ",")...)
		}
	}
	return options
}

func directoryFlags(dir string) uint32 {
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer f.Close() // opened for reading: nothing to lose
	flags, err := getFlags(f)
	if err != nil {
		return 0 // no such flags here
	}
	return flags
}

// Free is how many bytes a file system can still take from this process.
func Free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
