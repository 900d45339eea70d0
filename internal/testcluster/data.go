package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/custodian"
)

// ClearFlags takes append-only and immutable off every file under dir.
func ClearFlags(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return custodian.ClearTree(dir)
}

// Wipe removes the data directory of node i, inode flags and all; its keys stay.
func (c *Cluster) Wipe(i int) error {
	if c.Running(i) {
		return fmt.Errorf("%s: %w", c.nodes[i].name, ErrRuns)
	}
	return errors.Join(ClearFlags(c.DataDir(i)), os.RemoveAll(c.DataDir(i)))
}

// LoseKeys removes the key directory of node i and has it make new keys, which the
// clients of the contexts pin from now on, beside the lost ones. It answers the path of the node's request.
func (c *Cluster) LoseKeys(ctx context.Context, i int) (request string, err error) {
	n := c.nodes[i]
	if c.Running(i) {
		return "", fmt.Errorf("%s: %w", n.name, ErrRuns)
	}
	if err := os.RemoveAll(filepath.Join(n.dir, "keys")); err != nil {
		return "", err
	}
	if request, err = c.init(ctx, "node", "--config", c.Config(i), "--number", strconv.Itoa(i+1)); err != nil {
		return "", err
	}
	at := slices.IndexFunc(c.keys, func(k contextNode) bool { return k.Name == n.name })
	lost := c.keys[at].PublicKey
	c.keys = slices.Delete(c.keys, at, at+1)
	if err := c.readKey(n, request); err != nil {
		return "", err
	}
	c.keys[len(c.keys)-1].Former = []string{lost}
	return request, c.writeContexts()
}

// CopyData copies the data directory of node i to a folder that does not exist
// yet, as a backup of a stopped node would.
func (c *Cluster) CopyData(i int, to string) error {
	if c.Running(i) {
		return fmt.Errorf("%s: %w", c.nodes[i].name, ErrRuns)
	}
	return os.CopyFS(to, os.DirFS(c.DataDir(i)))
}

// ReplaceData puts a copy in the place of the data directory of node i.
func (c *Cluster) ReplaceData(i int, from string) error {
	if err := c.Wipe(i); err != nil {
		return err
	}
	return os.CopyFS(c.DataDir(i), os.DirFS(from))
}

// The inode flags of linux/fs.h that keep what is written.
const (
	immutable  = 0x10
	appendOnly = 0x20
)

// Protection says which inode flags a file carries.
type Protection struct{ AppendOnly, Immutable bool }

// ProtectionOf reads a file's inode flags; a file system without them answers
// none.
func ProtectionOf(path string) (Protection, error) {
	f, err := os.Open(path)
	if err != nil {
		return Protection{}, err
	}
	defer f.Close() // opened for reading: nothing can be lost
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return Protection{}, nil
	}
	return Protection{flags&appendOnly != 0, flags&immutable != 0}, nil
}

// Flip inverts one bit of a file, as a bad disk or an intruder with every right
// would: its inode flags are taken off and set again. A node may be running.
func (c *Cluster) Flip(path string, offset int64) (err error) {
	if rel, err := filepath.Rel(c.opts.Dir, path); err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%s is not in the cluster's directory", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&(appendOnly|immutable) != 0 {
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^(appendOnly|immutable)); err != nil {
			return fmt.Errorf("%s: taking flags off: %w", path, err)
		}
		defer func() { err = errors.Join(err, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)) }()
	}
	return flipBit(path, offset)
}

func flipBit(path string, offset int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		return err
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, offset); err != nil {
		return err
	}
	return f.Sync()
}
