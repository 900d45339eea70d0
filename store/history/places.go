package history

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// placeSize is the length of one place in its file.
const placeSize = 24

// place is where a record begins.
type place struct {
	seq    uint64
	file   uint64
	offset int64
}

// places remembers where records begin, in a file of its own, so that memory does
// not grow with the history. The file is made anew at each start and never
// believed: who reads at a place looks whether the record is there. add is one
// writer's; before is safe beside it.
type places struct {
	f *os.File

	mu      sync.RWMutex
	n       int64 // places in the file
	pending []place
}

// placesAtOnce is how many places are written at once.
const placesAtOnce = 512

// newPlaces begins a file of places. What an earlier start left in it is written
// over and, until then, not read.
func newPlaces(dir, name string) (*places, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &places{f: f}, nil
}

// add remembers a place behind all others. What the file does not take stays in
// memory until it does.
func (p *places) add(s place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, s)
	if len(p.pending)%placesAtOnce != 0 {
		return
	}
	b := make([]byte, 0, len(p.pending)*placeSize)
	for _, s := range p.pending {
		b = binary.BigEndian.AppendUint64(b, s.seq)
		b = binary.BigEndian.AppendUint64(b, s.file)
		b = binary.BigEndian.AppendUint64(b, uint64(s.offset))
	}
	if _, err := p.f.WriteAt(b, p.n*placeSize); err != nil {
		return
	}
	p.n += int64(len(p.pending))
	p.pending = p.pending[:0]
}

// at returns the i-th place. The lock is held.
func (p *places) at(i int64) (place, error) {
	if i >= p.n {
		return p.pending[i-p.n], nil
	}
	var b [placeSize]byte
	if _, err := p.f.ReadAt(b[:], i*placeSize); err != nil {
		return place{}, err
	}
	return place{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), int64(binary.BigEndian.Uint64(b[16:]))}, nil
}

var errNoPlace = errors.New("no place is remembered")

// before returns the newest place at or before a record.
func (p *places) before(seq uint64) (place, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found := place{}
	err := errNoPlace
	for low, high := int64(0), p.n+int64(len(p.pending)); low < high; {
		mid := (low + high) / 2
		s, rerr := p.at(mid)
		switch {
		case rerr != nil:
			return place{}, rerr
		case s.seq > seq:
			high = mid
		default:
			found, err, low = s, nil, mid+1
		}
	}
	return found, err
}
