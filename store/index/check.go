package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
)

// CheckFile reads a whole index file that nobody writes, without mapping it and
// without bbolt's own code, which a damaged page can crash. It returns nil if both
// meta pages have their checksums, every page below the high-water mark is reached
// exactly once or free, keys stand in order, every row has its checksum and every
// table its count and sum; a *format.DamageError otherwise, or what the file
// system says.
func CheckFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading: nothing to lose
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return checkPages(filepath.Base(path), f, st.Size())
}

// CheckPages reads a whole bbolt file that nobody writes in the same way, and
// tells row of each key and value in each top-level bucket: for a file whose rows
// are another package's. Such a file may keep no free list; then pages that
// nothing reaches are not judged.
func CheckPages(path string, row func(bucket, key, value []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading: nothing to lose
	st, err := f.Stat()
	if err != nil {
		return err
	}
	c := &checker{file: filepath.Base(path), r: f, row: row}
	root, freelist, err := c.metas(st.Size())
	if err != nil {
		return err
	}
	if freelist != noFreelist {
		if err := c.free(freelist); err != nil {
			return err
		}
	}
	return c.tree(root, nil, nil, 0, c.bucket)
}

// noFreelist stands for the free list of a file that does not keep one.
const noFreelist = ^uint64(0)

// The layout of bbolt's version 2, in the machine's byte order.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeader     = 16
	elementSize    = 16
	bucketHeader   = 16
	metaSize       = 64
	minPageSize    = 512
	maxPageSize    = 64 << 10
	flagBranch     = 0x01
	flagLeaf       = 0x02
	flagFreelist   = 0x10
	manyFree       = 0xFFFF // the count stands in the first element
	maxDepth       = 64
	leafRow        = 0
	leafBucket     = 1
	maxOverflowing = 1 << 20 // pages of one run
)

var native = binary.NativeEndian

// checker walks the pages of one file.
type checker struct {
	file     string
	r        io.ReaderAt
	pageSize int64
	high     uint64 // pages in use are below it
	met      []bool // by page: reached or free
	audit    *audit
	row      func(bucket, key, value []byte) error // instead of audit, in another package's file
}

// run is a page with its overflow pages.
type run struct {
	id    uint64
	flags uint16
	count uint16
	b     []byte
}

func checkPages(name string, r io.ReaderAt, size int64) error {
	c := &checker{file: name, r: r, audit: newAudit(name)}
	root, freelist, err := c.metas(size)
	if err != nil {
		return err
	}
	if err := c.free(freelist); err != nil {
		return err
	}
	if err := c.tree(root, nil, nil, 0, c.bucket); err != nil {
		return err
	}
	for id := uint64(2); id < c.high; id++ {
		if !c.met[id] {
			return c.damage(id, "page is neither reached nor free")
		}
	}
	return c.audit.finish()
}

func (c *checker) damage(page uint64, f string, args ...any) error {
	return &format.DamageError{File: c.file, Offset: int64(page) * c.pageSize, What: fmt.Sprintf("page %d", page), Err: fmt.Errorf(f, args...)}
}

// metas checks both meta pages and returns root and free list of the newer one.
func (c *checker) metas(size int64) (root, freelist uint64, err error) {
	var newest uint64
	for i := range uint64(2) {
		b := make([]byte, metaSize)
		if _, err := c.r.ReadAt(b, int64(i)*c.pageSize+pageHeader); err != nil {
			return 0, 0, c.damage(i, "meta page: %w", err)
		}
		h := fnv.New64a()
		h.Write(b[:metaSize-8])
		if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[56:]) != h.Sum64() {
			return 0, 0, c.damage(i, "meta page checksum")
		}
		ps := int64(native.Uint32(b[8:]))
		if ps < minPageSize || ps > maxPageSize || (i == 1 && ps != c.pageSize) {
			return 0, 0, c.damage(i, "page size %d", ps)
		}
		c.pageSize = ps
		if tx := native.Uint64(b[48:]); i == 0 || tx > newest {
			newest = tx
			root, freelist, c.high = native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:])
		}
	}
	if c.high < 2 || c.high > uint64(size/c.pageSize) {
		return 0, 0, c.damage(0, "%d pages in a file of %d bytes", c.high, size)
	}
	c.met = make([]bool, c.high)
	return root, freelist, nil
}

// page reads a page with its overflow pages and marks them met.
func (c *checker) page(id uint64) (run, error) {
	if id < 2 || id >= c.high {
		return run{}, c.damage(id, "page out of range")
	}
	head := make([]byte, pageHeader)
	if _, err := c.r.ReadAt(head, int64(id)*c.pageSize); err != nil {
		return run{}, c.damage(id, "read: %w", err)
	}
	p := run{id: id, flags: native.Uint16(head[8:]), count: native.Uint16(head[10:])}
	more := uint64(native.Uint32(head[12:]))
	if native.Uint64(head) != id || more > maxOverflowing || id+more >= c.high {
		return run{}, c.damage(id, "page header")
	}
	for i := id; i <= id+more; i++ {
		if err := c.meet(i); err != nil {
			return run{}, err
		}
	}
	p.b = make([]byte, int64(more+1)*c.pageSize)
	if _, err := c.r.ReadAt(p.b, int64(id)*c.pageSize); err != nil {
		return run{}, c.damage(id, "read: %w", err)
	}
	return p, nil
}

func (c *checker) meet(id uint64) error {
	if id < 2 || id >= c.high || c.met[id] {
		return c.damage(id, "page is used twice or out of range")
	}
	c.met[id] = true
	return nil
}

// free marks the pages of the free list.
func (c *checker) free(id uint64) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	ids := p.b[pageHeader:]
	n := uint64(p.count)
	if n == manyFree {
		n, ids = native.Uint64(ids), ids[8:]
	}
	if p.flags != flagFreelist || n > uint64(len(ids)/8) {
		return c.damage(id, "free list")
	}
	for i := range n {
		if err := c.meet(native.Uint64(ids[i*8:])); err != nil {
			return err
		}
	}
	return nil
}

// leafFunc is called for each leaf element.
type leafFunc func(page uint64, flags uint32, key, value []byte) error

// tree walks a tree of pages whose keys must lie in [lo, hi).
func (c *checker) tree(id uint64, lo, hi []byte, depth int, fn leafFunc) error {
	p, err := c.page(id)
	if err != nil {
		return err
	}
	if p.flags == flagLeaf {
		return c.leaf(p, lo, hi, fn)
	}
	if p.flags != flagBranch || p.count == 0 || depth > maxDepth {
		return c.damage(id, "neither leaf nor branch")
	}
	keys, kids, err := branchElements(p.b, p.count)
	if err != nil {
		return c.damage(id, "%w", err)
	}
	for i := range keys {
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return c.damage(id, "keys out of order")
		}
	}
	for i := range keys {
		from, to := keys[i], hi
		if i+1 < len(keys) {
			to = keys[i+1]
		}
		if bytes.Compare(from, lo) < 0 {
			return c.damage(id, "key below its branch")
		}
		if err := c.tree(kids[i], from, to, depth+1, fn); err != nil {
			return err
		}
	}
	return nil
}

// branchElements are the first keys and the pages below a branch page.
func branchElements(b []byte, count uint16) (keys [][]byte, kids []uint64, err error) {
	keys, kids = make([][]byte, count), make([]uint64, count)
	for i := range keys {
		at := pageHeader + i*elementSize
		if at+elementSize > len(b) {
			return nil, nil, fmt.Errorf("element %d", i)
		}
		el := b[at:]
		if keys[i], err = elementSlice(b, at+int(native.Uint32(el)), native.Uint32(el[4:])); err != nil {
			return nil, nil, err
		}
		kids[i] = native.Uint64(el[8:])
	}
	return keys, kids, nil
}

func elementSlice(b []byte, from int, n uint32) ([]byte, error) {
	if from < 0 || from > len(b) || uint64(n) > uint64(len(b)-from) {
		return nil, errors.New("element beyond its page")
	}
	return b[from : from+int(n)], nil
}

func (c *checker) leaf(p run, lo, hi []byte, fn leafFunc) error {
	last := lo
	for i := range int(p.count) {
		at := pageHeader + i*elementSize
		if at+elementSize > len(p.b) {
			return c.damage(p.id, "element %d", i)
		}
		el := p.b[at:]
		pos, nkey := at+int(native.Uint32(el[4:])), native.Uint32(el[8:])
		key, err := elementSlice(p.b, pos, nkey)
		if err != nil {
			return c.damage(p.id, "%w", err)
		}
		value, err := elementSlice(p.b, pos+int(nkey), native.Uint32(el[12:]))
		if err != nil {
			return c.damage(p.id, "%w", err)
		}
		low := bytes.Compare(key, last)
		if low < 0 || (i > 0 && low == 0) || (hi != nil && bytes.Compare(key, hi) >= 0) {
			return c.damage(p.id, "keys out of order")
		}
		last = key
		if err := fn(p.id, native.Uint32(el), key, value); err != nil {
			return err
		}
	}
	return nil
}

// rowOf is what takes the rows of a table.
func (c *checker) rowOf(name []byte) leafFunc {
	if c.audit != nil {
		c.audit.table(Table(name[0]))
	}
	return func(page uint64, flags uint32, key, stored []byte) error {
		switch {
		case flags != leafRow:
			return c.damage(page, "row flags")
		case c.audit != nil:
			return c.audit.row(Table(name[0]), key, stored)
		}
		return c.row(name, key, stored)
	}
}

// bucket takes an element of the root: a table, on pages of its own or inside
// the element.
func (c *checker) bucket(page uint64, flags uint32, name, value []byte) error {
	if flags != leafBucket || len(value) < bucketHeader || c.row == nil && (len(name) != 1 || native.Uint64(value[8:]) != 0) {
		return c.damage(page, "table entry")
	}
	row := c.rowOf(name)
	if root := native.Uint64(value); root != 0 {
		return c.tree(root, nil, nil, 0, row)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader {
		return c.damage(page, "table entry")
	}
	if native.Uint64(inline) != 0 || native.Uint16(inline[8:]) != flagLeaf || native.Uint32(inline[12:]) != 0 {
		return c.damage(page, "table inside its entry")
	}
	return c.leaf(run{id: page, count: native.Uint16(inline[10:]), b: inline}, nil, nil, row)
}
