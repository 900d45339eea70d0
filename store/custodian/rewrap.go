package custodian

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// rekeySuffix names the other file of a key block while it is replaced: first the
// one to come, after the exchange the one to go. A start wipes either.
const rekeySuffix = ".rekey"

// RewrapBlock seals every key of a block that is sealed under the root key from
// under to, in a new file, and destroys the old one. It looks at the slots itself,
// where no erasure can come between, and never takes the caller's word for what a
// slot holds: the new file is read back, and must open to the same keys, before it
// takes the name. It may be asked again after any failure; a block with nothing
// under from is only looked at.
func (l *Local) RewrapBlock(name string, cluster format.ID, from, to keyring.RootKey) (out keyring.Rewrapped, err error) {
	defer clear(from[:])
	defer clear(to[:])
	p, err := l.locate(name, dirKeys)
	if err != nil {
		return out, err
	}
	id, ok := keyring.BlockOf(name)
	if !ok {
		return out, fmt.Errorf("custodian: %w: %q", ErrName, name)
	}
	l.work.Lock()
	defer l.work.Unlock()
	if err := wipeReplaced(p); err != nil {
		return out, fmt.Errorf("custodian: %s: %w", name, err)
	}
	content, err := os.ReadFile(p)
	if err != nil {
		return out, fmt.Errorf("custodian: %w", err)
	}
	fresh, out, err := keyring.RewrapContent(content, cluster, id, &from, &to)
	if err == nil && fresh != nil {
		err = l.replaceBlock(p, fresh, func(read []byte) error {
			return keyring.SameKeys(content, read, cluster, id, &from, &to)
		})
	}
	if err != nil {
		return out, fmt.Errorf("custodian: sealing %s again: %w", name, err)
	}
	return out, nil
}

// replaceBlock puts a file in a key block's place once check has seen it on disk,
// and wipes the one before.
func (l *Local) replaceBlock(p string, fresh []byte, check func([]byte) error) error {
	temp := p + rekeySuffix
	err := l.step("write new block", func() error { return writeBeside(temp, fresh) })
	if err == nil {
		err = l.step("read new block", func() error {
			read, err := readFromDisk(temp)
			if err == nil && !bytes.Equal(read, fresh) {
				err = errors.New("other bytes than were written")
			}
			return errors.Join(err, check(read))
		})
	}
	if err == nil {
		err = l.exchange(p, temp)
	}
	if err != nil {
		return err // what lies beside is wiped by the next attempt, or the next start
	}
	return l.step("wipe old block", func() error { return wipe(temp) })
}

// exchange lets the two files change names; the one in place has its flags on
// before and afterwards, whatever fails.
func (l *Local) exchange(p, temp string) error {
	err := l.step("clear flags", func() error { return onFile(p, unprotect) })
	if err == nil {
		err = l.step("exchange blocks", func() error {
			if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, p, unix.RENAME_EXCHANGE); err != nil {
				return err
			}
			return durable.SyncDir(filepath.Dir(p))
		})
	}
	return errors.Join(err, l.step("set flags", func() error {
		return onFile(p, func(f *os.File) error { return l.protect(f, flagImmutable) })
	}))
}

func onFile(p string, fn func(*os.File) error) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	return errors.Join(fn(f), f.Close())
}

func writeBeside(p string, content []byte) error {
	f, err := durable.CreateExclusive(p, os.O_WRONLY, filePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readFromDisk reads a file that was synced, past the pages that are still in
// memory where the system gives them up.
func readFromDisk(p string) (b []byte, err error) {
	err = onFile(p, func(f *os.File) error {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // a hint: what stays in memory is read from there
		b, err = os.ReadFile(p)
		return err
	})
	return b, err
}

// wipeReplaced wipes what an attempt that was cut short left beside a block. The
// exchange, if there was one, is on disk first.
func wipeReplaced(p string) error {
	temp := p + rekeySuffix
	if _, err := os.Lstat(temp); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := durable.SyncDir(filepath.Dir(p)); err != nil {
		return err
	}
	if err := onFile(temp, unprotect); err != nil {
		return err
	}
	return wipe(temp)
}
