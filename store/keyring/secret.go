package keyring

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// secret is a key that lives long in this process: outside Go's heap, in pages of
// its own that are locked into memory and left out of core dumps, as far as the
// system lets. It is never copied by the collector, and gone after destroy.
type secret struct {
	page []byte // mapped; the key is its beginning
	note string // what the system refused
}

// newSecret takes a copy of key; the caller wipes its own.
func newSecret(key *RootKey) (*secret, error) {
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("memory for a key: %w", err)
	}
	s := &secret{page: page}
	if err := unix.Mlock(page); err != nil {
		s.note = "root key is not locked in memory (" + err.Error() + "): it may be swapped out"
	}
	if err := unix.Madvise(page, unix.MADV_DONTDUMP); err != nil {
		s.note = strings.TrimPrefix(s.note+"; root key is not left out of core dumps ("+err.Error()+")", "; ")
	}
	copy(page, key[:])
	return s, nil
}

// key is the key in place: valid until destroy, never kept.
func (s *secret) key() *RootKey { return (*RootKey)(s.page) }

// destroy zeroes the key and gives its page back. nil, and a second time, is
// nothing.
func (s *secret) destroy() error {
	if s == nil || s.page == nil {
		return nil
	}
	clear(s.page)
	page := s.page
	s.page = nil
	return errors.Join(unix.Munlock(page), unix.Munmap(page))
}
