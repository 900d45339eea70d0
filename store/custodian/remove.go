package custodian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// indexName is the one file outside the rooms that the custodian wipes: it can be
// built again, and bbolt keeps freed bytes in it.
const indexName = "index.db"

// removeEmpty unlinks a sealed file in which everything was erased.
func (l *Local) removeEmpty(name string) (err error) {
	p, err := l.sealedFile(name)
	if err != nil {
		return err
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := onlyErased(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := l.step("clear flags", func() error { return unprotect(f) }); err != nil {
		return err
	}
	if err := l.step("remove", func() error { return durable.Remove(p) }); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sealed, name)
	return nil
}

// onlyErased insists that behind the file header there are only zeros and chunk
// headers: of a segment the erased chunks' headers stay.
func onlyErased(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, format.ChunkHeaderSize)
	for at := int64(format.FileHeaderSize); at < st.Size(); {
		n := st.Size() - at
		if _, err := f.ReadAt(head, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if h, err := format.DecodeChunkHeader(head); err == nil && n >= format.ChunkHeaderSize {
			at += format.ChunkHeaderSize
			n = min(int64(h.Length), st.Size()-at)
			if h.Erased {
				n = 0
			}
		}
		if err := onlyZeros(f, at, n); err != nil {
			return err
		}
		at += n
	}
	return nil
}

func onlyZeros(f *os.File, at, n int64) error {
	zeros, b := make([]byte, min(n, zeroChunk)), make([]byte, min(n, zeroChunk))
	for n > 0 {
		part := min(n, zeroChunk)
		if _, err := f.ReadAt(b[:part], at); err != nil {
			return err
		}
		if !bytes.Equal(b[:part], zeros[:part]) {
			return ErrNotEmpty
		}
		at, n = at+part, n-part
	}
	return nil
}

// RemoveIndex zeroes and removes an index file that nobody has open, before it is
// built again or once it is replaced. path is that of index.db in the data
// directory, or of the file beside it that takes its place (index.db.new); every
// other is refused with ErrName. A missing file is nil.
func (l *Local) RemoveIndex(path string) error {
	l.work.Lock()
	defer l.work.Unlock()
	return removeIndex(l.dir, path)
}

func removeIndex(dir, path string) error {
	own := filepath.Join(dir, indexName)
	if p := filepath.Clean(path); p != own && p != own+newSuffix {
		return fmt.Errorf("custodian: %w: %q", ErrName, path)
	}
	if err := wipe(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("custodian: %w", err)
	}
	return nil
}

// ExchangeIndex lets index.db and the file that takes its place (index.db.new)
// change names at once; on an error nothing has changed. The caller syncs the
// directory.
func (l *Local) ExchangeIndex(path string) error {
	l.work.Lock()
	defer l.work.Unlock()
	return exchangeIndex(l.dir, path)
}

func exchangeIndex(dir, path string) error {
	if filepath.Clean(path) != filepath.Join(dir, indexName) {
		return fmt.Errorf("custodian: %w: %q", ErrName, path)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, path+newSuffix, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("custodian: %w", err)
	}
	return nil
}

// wipeUnfinished wipes files that never came into place: nothing can name the
// slots of such key blocks, and what such history files hold stands elsewhere; so
// no warrant is needed, and neither may lie where no erasure would find it. So with
// a key block's other file whose replacing was cut short: the one in place is
// whole, and holds the same keys.
func (l *Local) wipeUnfinished() error {
	for _, room := range []string{dirKeys, dirHistory} {
		left, err := filepath.Glob(filepath.Join(l.dir, room, "*"+newSuffix))
		if err != nil {
			return err
		}
		for _, p := range left {
			if err := wipe(p); err != nil {
				return err
			}
		}
	}
	replaced, err := filepath.Glob(filepath.Join(l.dir, dirKeys, "*"+rekeySuffix))
	if err != nil {
		return err
	}
	for _, p := range replaced {
		if err := wipeReplaced(strings.TrimSuffix(p, rekeySuffix)); err != nil {
			return err
		}
	}
	return nil
}

// wipe zeroes a whole file that is in nobody's use, and removes it.
func wipe(p string) error {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		err = zero(context.Background(), f, 0, st.Size(), 1, make([]byte, min(st.Size(), zeroChunk)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.Remove(p)
}
