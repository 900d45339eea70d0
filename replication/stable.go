package replication

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// stableStore keeps raft's term and vote, each with a checksum over key and
// value. All keys are written when the log is made, so that one which is not
// there is damage and never "no vote yet".
type stableStore struct {
	bolt *raftboltdb.BoltStore
	// attest is told of a term before it is stored.
	attest func(term uint64) error
	failed func(error)
}

// The keys that raft uses.
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm")
	keyVoteCand = []byte("LastVoteCand")
)

func (s *stableStore) begin() error {
	for _, k := range [][]byte{keyTerm, keyVoteTerm} {
		if err := s.Set(k, make([]byte, 8)); err != nil {
			return err
		}
	}
	return s.Set(keyVoteCand, nil)
}

func stableSum(key, value []byte) []byte {
	h := sha256.New()
	h.Write([]byte{byte(len(key))})
	h.Write(key)
	h.Write(value)
	return h.Sum(nil)
}

// Set stores a value.
func (s *stableStore) Set(key, value []byte) error {
	row := append(append([]byte(nil), value...), stableSum(key, value)...)
	if err := s.bolt.Set(key, row); err != nil {
		s.failed(err)
		return err
	}
	return nil
}

// Get reads a value.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	row, err := s.bolt.Get(key)
	n := len(row) - sumSize
	if err == nil && (n < 0 || string(stableSum(key, row[:n])) != string(row[n:])) {
		err = errors.New("checksum")
	}
	if err != nil {
		err = &format.DamageError{File: store.LogFile, Offset: -1, What: fmt.Sprintf("raft's %s", key), Err: err}
		return nil, err
	}
	return row[:n], nil
}

// SetUint64 stores a number.
func (s *stableStore) SetUint64(key []byte, v uint64) error {
	if string(key) == string(keyTerm) {
		if err := s.attest(v); err != nil {
			s.failed(err)
			return err
		}
	}
	return s.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

// GetUint64 reads a number.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, &format.DamageError{File: store.LogFile, Offset: -1, What: fmt.Sprintf("raft's %s", key)}
	}
	return binary.BigEndian.Uint64(b), nil
}
