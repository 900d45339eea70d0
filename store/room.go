package store

import (
	"fmt"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
)

// Room on a disk that fills up: what must go on then (history, index, log)
// claims its blocks before it writes, from the reserve if need be; payload does not.

// indexRowRoom is how many bytes of new pages one changed row of the index may
// cost, about: a page of its own where the keys are far apart.
const indexRowRoom = 4 << 10

// maxIndexRoom bounds what one commit of the index claims, in bytes.
const maxIndexRoom = 24 << 20

// KeepRoom takes the reserve back where there is room again, gives up some of it
// where there is none, and answers how many bytes of payload the disk can take: 0
// when it counts as full. To be called often.
func (s *Store) KeepRoom() (uint64, error) {
	if err := s.reserve.Keep(); err != nil {
		return 0, err
	}
	room, err := s.reserve.Refill()
	if err == nil {
		s.room.Store(room)
	}
	return room, err
}

// Room is what KeepRoom answered last.
func (s *Store) Room() uint64 { return s.room.Load() }

// ClaimLog makes sure that the raft log can take so many bytes on a full disk, as
// far as the reserve reaches.
func (s *Store) ClaimLog(bytes int) error {
	return s.reserve.ClaimMore(filepath.Join(s.dir, LogFile), int64(bytes))
}

// claimIndex is ClaimLog for the index and the rows that wait for it.
func (s *Store) claimIndex() error {
	need := min(s.idx.Pending()*indexRowRoom, maxIndexRoom)
	return s.reserve.ClaimMore(filepath.Join(s.dir, indexFile), int64(need))
}

// takeRoom refuses payload (ErrFull) for which there is no room. Payload of an
// entry that others may have is taken from the reserve, down to its half:
// else an entry that no majority can take would keep all behind it from being
// committed.
func (s *Store) takeRoom(chunks []format.Chunk) error {
	need := 0
	for _, c := range chunks {
		need += format.ChunkHeaderSize + len(c.Sealed)
	}
	ok, err := s.reserve.Take(int64(need))
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if !ok {
		return fmt.Errorf("payload of %d bytes: %w", need, ErrFull)
	}
	return nil
}
