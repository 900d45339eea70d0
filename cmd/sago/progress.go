package main

import (
	"fmt"
	"io"
	"os"
)

// A transfer from this size on shows its progress, in bytes.
const worthShowing = 8 << 20

// bar shows on a terminal how far a transfer is; elsewhere it is silent. It is
// used by one goroutine at a time.
type bar struct {
	w           io.Writer // nil when silent
	done, total int64
	shown       int64
}

// progress starts a bar for so many bytes.
func (s *session) progress(total int64) *bar {
	f, ok := s.stderr.(*os.File)
	if !ok || total < worthShowing {
		return &bar{}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &bar{}
	}
	return &bar{w: f, total: total}
}

func (b *bar) add(n int) {
	b.done += int64(n)
	if b.w != nil && b.done-b.shown >= 1<<20 {
		b.shown = b.done
		fmt.Fprintf(b.w, "\r%3d%% %d / %d MiB", min(b.done*100/b.total, 100), b.done>>20, b.total>>20)
	}
}

// end clears the bar's line.
func (b *bar) end() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\033[K")
	}
}

func (b *bar) reader(r io.ReaderAt) io.ReaderAt { return barReader{r, b} }

func (b *bar) writer(w io.Writer) io.Writer { return barWriter{w, b} }

type barReader struct {
	io.ReaderAt
	bar *bar
}

func (r barReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	r.bar.add(n)
	return n, err
}

type barWriter struct {
	io.Writer
	bar *bar
}

func (w barWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.bar.add(n)
	return n, err
}
