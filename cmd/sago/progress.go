package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
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
	if total < worthShowing || !isTerminal(s.stderr) {
		return &bar{}
	}
	return &bar{w: s.stderr, total: total}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS) // /dev/null is a character device as well
	return err == nil
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

// counter shows how far a long command is in what it counts: on a terminal in
// one line that changes, elsewhere as a line now and then.
type counter struct {
	w        io.Writer
	terminal bool
	next     time.Time // when it is shown again
}

// Between two times that a counter is shown.
const (
	countTerminal = 200 * time.Millisecond
	countLines    = 10 * time.Second
)

// count starts a counter on standard error.
func (s *session) count() *counter {
	c := &counter{w: s.stderr, terminal: isTerminal(s.stderr)}
	c.next = time.Now().Add(c.every())
	return c
}

func (c *counter) every() time.Duration {
	if c.terminal {
		return countTerminal
	}
	return countLines
}

func (c *counter) at(done, of uint64) {
	now := time.Now()
	if now.Before(c.next) || of == 0 {
		return
	}
	c.next = now.Add(c.every())
	text := fmt.Sprintf("%3.0f%% %d / %d", 100*float64(done)/float64(of), done, of)
	if c.terminal {
		fmt.Fprint(c.w, "\r"+text)
	} else {
		fmt.Fprintln(c.w, text)
	}
}

// end clears the counter's line.
func (c *counter) end() {
	if c.terminal {
		fmt.Fprint(c.w, "\r\033[K")
	}
}
