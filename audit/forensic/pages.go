package forensic

import (
	"encoding/binary"
	"fmt"
	"io"
)

// pages says which pages of a bbolt file its newer meta page leads to. What it
// says names a place and decides nothing: every page is searched.
type pages struct {
	size int64
	used []bool
}

// The layout of bbolt's pages (docs/formats/index.md), in the byte order of the
// machines that we run on.
const (
	pageHead    = 16
	metaMagic   = 0xED0CDAED
	flagBranch  = 1
	flagLeaf    = 2
	elementSize = 16
	bucketLeaf  = 1 // flag of a leaf's element
	bucketHead  = 16
	leastPage   = 512
	mostPage    = 64 << 10
	mostRun     = 2 << 20 // bytes of a page with its overflow that are looked at for pages it leads to
)

// readPages reads a database file's pages as far as they lead somewhere; nil if it
// has no meta page.
func readPages(r io.ReaderAt, size int64) *pages {
	var p *pages
	var newest, root uint64
	// The second meta page stands behind the first, whose size it alone can say if
	// the first is damaged.
	for at := int64(0); at <= mostPage; at = max(leastPage, 2*at) {
		b := make([]byte, pageHead+64)
		if _, err := r.ReadAt(b, at); err != nil {
			continue
		}
		b = b[pageHead:]
		pageSize := int64(binary.LittleEndian.Uint32(b[8:]))
		if binary.LittleEndian.Uint32(b) != metaMagic || pageSize < leastPage || pageSize > mostPage {
			continue
		}
		if tx := binary.LittleEndian.Uint64(b[48:]); p == nil || tx > newest {
			p, newest, root = &pages{size: pageSize, used: make([]bool, size/pageSize)}, tx, binary.LittleEndian.Uint64(b[16:])
		}
	}
	if p == nil {
		return nil
	}
	for i := range min(2, len(p.used)) {
		p.used[i] = true
	}
	p.reach(r, root)
	return p
}

// reach marks a page and all that it leads to. A page is looked at once, so that a
// damaged file ends it as well.
func (p *pages) reach(r io.ReaderAt, from uint64) {
	for todo := []uint64{from}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if id < 2 || id >= uint64(len(p.used)) || p.used[id] {
			continue
		}
		head := make([]byte, pageHead)
		if _, err := r.ReadAt(head, int64(id)*p.size); err != nil || binary.LittleEndian.Uint64(head) != id {
			continue
		}
		more := min(uint64(binary.LittleEndian.Uint32(head[12:])), uint64(len(p.used))-id-1)
		b := make([]byte, min(int64(more+1)*p.size, mostRun))
		if _, err := r.ReadAt(b, int64(id)*p.size); err != nil {
			continue
		}
		for i := id; i <= id+more; i++ {
			p.used[i] = true
		}
		todo = append(todo, children(b)...)
	}
}

// children are the pages that a page leads to: those of a branch, and the roots of
// a leaf's buckets.
func children(b []byte) (ids []uint64) {
	flags, count := binary.LittleEndian.Uint16(b[8:]), int(binary.LittleEndian.Uint16(b[10:]))
	for i := range count {
		at := pageHead + i*elementSize
		if at+elementSize > len(b) {
			return ids
		}
		e := b[at:]
		switch {
		case flags&flagBranch != 0:
			ids = append(ids, binary.LittleEndian.Uint64(e[8:]))
		case flags&flagLeaf != 0 && binary.LittleEndian.Uint32(e)&bucketLeaf != 0:
			value := uint64(at) + uint64(binary.LittleEndian.Uint32(e[4:])) + uint64(binary.LittleEndian.Uint32(e[8:]))
			if value+bucketHead <= uint64(len(b)) {
				ids = append(ids, binary.LittleEndian.Uint64(b[value:]))
			}
		}
	}
	return ids
}

func (p *pages) unused() (n int) {
	for _, used := range p.used {
		if !used {
			n++
		}
	}
	return n
}

// describe says on which page an offset is.
func (p *pages) describe(at int64) string {
	if p == nil || at/p.size >= int64(len(p.used)) {
		return ""
	}
	if p.used[at/p.size] {
		return fmt.Sprintf("page %d", at/p.size)
	}
	return fmt.Sprintf("page %d, not in use", at/p.size)
}
