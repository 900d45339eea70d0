package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/segment/series"
)

// Roll syncs and begins a new file, so that the newest one can be carried from.
// It is the writer's.
func (l *Log) Roll() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.files.Roll(l.Durable()); err != nil {
		return l.latch(err)
	}
	return nil
}

// InNewest reports whether the file that is being written holds a record before
// bound: Carry cannot pass it then.
func (l *Log) InNewest(bound uint64) bool {
	f, ok := l.files.Newest()
	return ok && f.First < bound
}

// Carry makes the carried file anew: of the records in every file that begins
// before bound it takes those from bound on, and those before it that keep names.
// From then on the others are gone for every reader; Leftovers names what is to
// be destroyed. The tree's file is on disk before that. The newest file does not
// hold a record before bound (Roll). decided goes into the header. One caller at a time.
func (l *Log) Carry(ctx context.Context, bound, decided uint64, keep func(seq uint64) (bool, error)) error {
	number := uint64(1)
	if numbers, err := carriedNumbers(l.o.Dir); err != nil {
		return err
	} else if len(numbers) > 0 {
		number = numbers[len(numbers)-1] + 1
	}
	files := l.files.Files()
	i := slices.IndexFunc(files, func(f series.File) bool { return f.First >= bound })
	if i < 0 {
		return fmt.Errorf("%w: record %d is in the newest file", ErrBeyond, bound)
	}
	first := max(files[i].First, l.Whole())
	if err := l.tree.f.Sync(); err != nil {
		return err
	}
	var count uint64
	err := l.o.Place(carriedName(number), func(w io.Writer) error {
		h := format.FileHeader{Kind: format.KindCarried, Cluster: l.o.Cluster, Incarnation: l.o.Incarnation, Number: number, First: first,
			PrevGood: decided}
		if _, err := w.Write(h.Encode()); err != nil {
			return err
		}
		return l.Kept(ctx, 0, first, func(seq uint64, encoded []byte) error {
			if seq < bound {
				if stays, err := keep(seq); err != nil || !stays {
					return err
				}
			}
			count++
			_, err := w.Write(appendFrame(nil, encoded))
			return err
		})
	})
	if err != nil {
		return err
	}
	return l.takeCarried(number, count)
}

// takeCarried reads a new carried file back and goes over to it.
func (l *Log) takeCarried(number, count uint64) error {
	c, err := openCarried(l.o, number)
	if err != nil {
		return err
	}
	err = c.scan(l, nil)
	if err == nil && c.count != count {
		err = &format.DamageError{File: carriedName(number), Offset: -1, What: fmt.Sprintf("%d records where %d were written", c.count, count)}
	}
	if err != nil {
		return errors.Join(err, c.close())
	}
	l.mu.Lock()
	old := l.carried
	l.carried = c
	l.mu.Unlock()
	return old.close()
}

// Leftover is a file that nothing reads any more, and its length in bytes.
type Leftover struct {
	Name   string
	Length int64
}

// Leftovers lists the files that the carried file speaks for and that are still
// here: history files, oldest first, then carried files before the newest.
func (l *Log) Leftovers() ([]Leftover, error) {
	var names []string
	for _, f := range l.files.Files() {
		if l.stale(f.Number) {
			names = append(names, l.files.Name(f.Number))
		}
	}
	numbers, err := carriedNumbers(l.o.Dir)
	if err != nil {
		return nil, err
	}
	for i, n := range numbers {
		if i+1 < len(numbers) {
			names = append(names, carriedName(n))
		}
	}
	var out []Leftover
	for _, name := range names {
		st, err := os.Stat(filepath.Join(l.o.Dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Leftover{name, st.Size()})
	}
	return out, nil
}

// Forget lets go of the history files that Leftovers named: they are destroyed.
func (l *Log) Forget() error {
	for _, f := range l.files.Files() {
		if !l.stale(f.Number) {
			return l.files.Drop(f.Number)
		}
	}
	return nil
}
