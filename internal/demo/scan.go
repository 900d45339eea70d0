package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The scan looks for pieces: a text of 2·piece-1 bytes or more cannot hide from
// it, however it is shifted or cut.
const piece = 16

// least is the shortest needle: what the first look at a place compares.
const least = 8

// needles are byte strings to be looked for, many at once.
type needles struct {
	maybe []uint64            // one bit per hash of the first 8 bytes
	first map[uint64][]needle // by the first 8 bytes
}

type needle struct {
	what string
	text []byte
}

const maybeBits = 20

func newNeedles() *needles {
	return &needles{maybe: make([]uint64, 1<<maybeBits/64), first: map[uint64][]needle{}}
}

func slotOf(word uint64) uint64 { return word * 0x9e3779b97f4a7c15 >> (64 - maybeBits) }

// word takes one text as it is, of at least 8 bytes.
func (n *needles) word(what string, text []byte) {
	if len(text) < least {
		return
	}
	key := binary.LittleEndian.Uint64(text)
	n.maybe[slotOf(key)/64] |= 1 << (slotOf(key) % 64)
	n.first[key] = append(n.first[key], needle{what, text})
}

// text takes a text in pieces; a piece of one byte repeated says nothing and is
// left out.
func (n *needles) text(what string, text []byte) {
	for at := 0; at+piece <= len(text); at += piece {
		p := text[at : at+piece]
		if bytes.Count(p, p[:1]) < piece {
			n.word(fmt.Sprintf("%s, byte %d", what, at), p)
		}
	}
}

// in answers the first needle that data holds.
func (n *needles) in(data []byte) (what string, at int) {
	for i := 0; i+least <= len(data); i++ {
		key := binary.LittleEndian.Uint64(data[i:])
		if s := slotOf(key); n.maybe[s/64]&(1<<(s%64)) == 0 {
			continue
		}
		for _, c := range n.first[key] {
			if bytes.HasPrefix(data[i:], c.text) {
				return c.what, i
			}
		}
	}
	return "", -1
}

// scanned is what a scan has looked at.
type scanned struct {
	files int
	bytes int64
}

func (s *scanned) add(o scanned) { s.files += o.files; s.bytes += o.bytes }

// found is a needle in a file.
type found struct {
	what, file string
	at         int
}

func (f *found) Error() string {
	return fmt.Sprintf("%s: found in %s at byte %d", f.what, f.file, f.at)
}

// scan looks through every file under dir, whole, free pages of databases
// included. The error is a *found, or a file that could not be read. A file that
// a running node removes meanwhile is passed over.
func (n *needles) scan(ctx context.Context, dir string) (scanned, error) {
	var s scanned
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if os.IsNotExist(err) || (err == nil && !e.Type().IsRegular()) {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		s.files++
		s.bytes += int64(len(data))
		if what, at := n.in(data); at >= 0 {
			return &found{what, path, at}
		}
		return nil
	})
	return s, err
}
