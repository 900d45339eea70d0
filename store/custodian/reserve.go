package custodian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
)

// ReserveFile is the name of the file that holds the reserved room.
const ReserveFile = "reserve"

// How the room of a disk is divided, in bytes.
const (
	// reserveMost is how much is reserved, on a file system of eight times as much or more.
	reserveMost = 128 << 20
	// headroom is what payload leaves free beside the reserve: with less, a node
	// counts as full.
	headroom = 16 << 20
	// spare is what Keep leaves free: for the small files that are replaced whole,
	// and new names.
	spare = 4 << 20
	// claimStep is how far a claim goes beyond what is asked for, at least, and
	// claimLeaves what it may count too much: the file system's own blocks of a file.
	claimStep, claimLeaves = 1 << 20, 256 << 10
	// reserveStep is how much is given up or taken back at once, at least.
	reserveStep = 1 << 20
)

// Reserve is room on the disk that is taken ahead of need (예비 공간), so that other
// files on the same file system cannot use it up: a file of blocks that were never
// written. What must go on when the disk is full (history, index, raft log) claims
// its blocks before it writes, from what is free or from the reserve; the reserve
// grows again when there is room. All methods are safe for concurrent use.
type Reserve struct {
	dir string

	mu    sync.Mutex
	f     *os.File
	have  int64 // bytes of the file
	whole int64 // bytes that it should have; 0 where the file system cannot reserve
	left  int64 // bytes that payload leaves free beside the file
}

// OpenReserve opens the reserve of a data directory, or makes it. On a full disk
// it may be smaller than it should be: what there is of it then gives this start
// its room.
func OpenReserve(dir string) (*Reserve, error) {
	r := &Reserve{dir: dir, left: headroom}
	err := r.open()
	if err == nil {
		err = r.Keep()
	}
	if err == nil {
		_, err = r.Refill()
	}
	if err != nil {
		return nil, fmt.Errorf("reserve: %w", errors.Join(err, r.Close()))
	}
	return r, nil
}

func (r *Reserve) open() (err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(r.dir, &fs); err != nil {
		return err
	}
	r.whole = min(reserveMost, int64(fs.Blocks)*fs.Bsize/8)
	path := filepath.Join(r.dir, ReserveFile)
	if r.f, err = os.OpenFile(path, os.O_RDWR, filePerm); errors.Is(err, os.ErrNotExist) {
		r.f, err = durable.CreateExclusive(path, os.O_RDWR, filePerm)
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(r.f.Fd()), &st); err != nil {
		return err
	}
	r.have = min(st.Size, st.Blocks*512) // a copy may have holes, which reserve nothing
	return nil
}

// Close ends the use of the file; what it reserves stays reserved.
func (r *Reserve) Close() error {
	if r == nil || r.f == nil {
		return nil
	}
	return r.f.Close()
}

// Keep makes sure that a little is free, as far as the reserve reaches. To be
// called often.
func (r *Reserve) Keep() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, err := r.free()
	if err != nil {
		return err
	}
	return r.give(spare - free)
}

// Claim gives a file its blocks up to end, in bytes, ahead of the writes: from then
// on nobody else's files can make a write below end fail for want of room. The
// file has no holes that it is to keep. With nothing left it does nothing: the
// write will tell.
func (r *Reserve) Claim(f *os.File, end int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	if st.Blocks*512 >= end+claimLeaves {
		return nil
	}
	end = (end + claimLeaves + claimStep) / claimStep * claimStep
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, end)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC) && r.have > 0:
			if err := r.give(reserveStep); err != nil {
				return err
			}
		case err == nil, errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		default:
			return fmt.Errorf("reserve: %w", err)
		}
	}
}

// ClaimMore is Claim of so many bytes beyond the end of the file at path.
func (r *Reserve) ClaimMore(path string, more int64) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	if st.Blocks*512 >= st.Size+more+claimLeaves {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	return errors.Join(r.Claim(f, st.Size+more), f.Close())
}

// Take makes room for need bytes of payload that a majority may be about to have.
// It reports false when that would leave less than half of the reserve to what
// must go on.
func (r *Reserve) Take(need int64) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, err := r.free()
	if err != nil || free >= r.left+need {
		return err == nil, err
	}
	if free+r.have < r.whole/2+spare+need || r.whole == 0 {
		return false, nil
	}
	return true, r.give(need + spare - free)
}

// Refill takes back what was given up as far as the disk has room again, and
// answers how many bytes of payload the disk can take: 0 while the reserve is not
// whole.
func (r *Reserve) Refill() (room uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, err := r.free()
	if err != nil {
		return 0, err
	}
	missing := r.whole - r.have
	if missing > 0 && free-r.left >= min(missing, reserveStep) {
		if err := r.grow(min(missing, free-r.left)); err != nil {
			return 0, err
		}
		if free, err = r.free(); err != nil {
			return 0, err
		}
	}
	if r.have < r.whole {
		return 0, nil
	}
	return uint64(max(free-r.left, 0)), nil
}

func (r *Reserve) free() (int64, error) {
	free, err := Free(r.dir)
	return int64(free), err
}

// give cuts at least n bytes off the file, if it has them.
func (r *Reserve) give(n int64) error {
	if n <= 0 || r.have == 0 {
		return nil
	}
	keep := max(0, r.have-max(n, reserveStep))
	if err := r.f.Truncate(keep); err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	r.have = keep
	// A freed block can be used again once the file system has noted that it is free.
	if err := r.f.Sync(); err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	return nil
}

// grow adds n bytes to the file. Another writer may be faster: then there are as
// many as there are.
func (r *Reserve) grow(n int64) error {
	err := unix.Fallocate(int(r.f.Fd()), 0, r.have, n)
	switch {
	case err == nil:
		r.have += n
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		r.whole, r.left = 0, headroom+reserveMost // counted, and not held
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINTR):
		if err := r.f.Truncate(r.have); err != nil {
			return fmt.Errorf("reserve: %w", err)
		}
	default:
		return fmt.Errorf("reserve: %w", err)
	}
	return nil
}
