package custodian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// destroyAside destroys a directory that was put aside, if the history says that
// whoever wrote it was replaced.
func (s *Server) destroyAside(ctx context.Context, suffix string, l *link) error {
	leaves, err := passed(l)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(suffix, ".gone-") || filepath.Base(suffix) != suffix {
		return fmt.Errorf("custodian: %w: suffix %q", ErrName, suffix)
	}
	dir := s.dir + suffix
	if err := ownedHere(dir); err != nil {
		return err
	}
	who, err := incarnationsOf(dir)
	if err != nil {
		return fmt.Errorf("custodian: %w", err)
	}
	if err := s.o.Gate.AdmitAside(ctx, who, leaves); err != nil {
		return fmt.Errorf("custodian: %w: %w", ErrWarrant, err)
	}
	if err := os.Chmod(dir, dirPerm); err != nil { // from here on the daemon exchanges nothing in it
		return fmt.Errorf("custodian: %w", err)
	}
	if err := DestroyAside(dir); err != nil {
		return fmt.Errorf("custodian: %w", err)
	}
	s.o.Log.Info("destroyed a data directory that was put aside", "suffix", suffix)
	return nil
}

// incarnationsOf reads in the headers of its files who wrote a data directory. A
// directory with key blocks and nothing that says whose they are is refused.
func incarnationsOf(dir string) ([]format.ID, error) {
	var who []format.ID
	for _, room := range []string{dirSegments, dirHistory} {
		list, err := os.ReadDir(filepath.Join(dir, room))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			id, err := incarnationOf(filepath.Join(dir, room, e.Name()))
			if err != nil {
				return nil, err
			}
			if id != (format.ID{}) && !slices.Contains(who, id) {
				who = append(who, id)
			}
		}
	}
	keys, err := filepath.Glob(filepath.Join(dir, dirKeys, "*"))
	if err == nil && len(who) == 0 && len(keys) > 0 {
		err = fmt.Errorf("%w: nothing in %s says whose keys it holds", ErrNotEmpty, dir)
	}
	return who, err
}

// incarnationOf is zero for a file without a header that tells.
func incarnationOf(path string) (id format.ID, err error) {
	f, err := os.Open(path)
	if err != nil {
		return id, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, format.FileHeaderSize)
	if _, err := io.ReadFull(f, head); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return id, nil
		}
		return id, err
	}
	for _, kind := range []format.FileKind{format.KindSegment, format.KindHistory, format.KindCarried, format.KindBase} {
		if h, err := format.DecodeFileHeader(kind, head); err == nil {
			return h.Incarnation, nil
		}
	}
	return id, nil
}
