package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// EraseHistory makes on this node what PRUNE dropped gone: the records that stay
// are carried into a new file, then the files before it, and the bases that still
// name what was dropped, are destroyed under the PRUNE record. It waits (nil) for
// a base and a checkpoint behind that record. It may be asked at any time, and
// again after any failure; with nothing to do it costs nothing.
func (s *Store) EraseHistory(ctx context.Context) error {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	p := s.Pruned()
	if p.Decision == s.erased || p.Decision > s.Summary().Checkpoint.Checkpoint.Size {
		return nil
	}
	b, err := s.newestBase()
	if err != nil || b == nil || b.head.Mark.Size < p.Decision {
		return err
	}
	if s.log.Decided() != p.Decision {
		if err := s.carry(ctx, p); err != nil {
			return fmt.Errorf("carrying history records: %w", err)
		}
	}
	if err := s.destroyHistory(ctx, p); err != nil {
		return fmt.Errorf("destroying history files: %w", err)
	}
	s.erased = p.Decision
	return nil
}

// WantsRewrite reports whether the index file holds rows, in free pages of bbolt,
// whose records were erased: RewriteIndex is due.
func (s *Store) WantsRewrite() bool {
	s.erasing.Lock()
	erased := s.erased
	s.erasing.Unlock()
	s.flushing.Lock()
	defer s.flushing.Unlock()
	return s.rewritten != erased && erased == s.Pruned().Decision
}

// RewriteIndex makes the index file anew and destroys the old one. It waits for
// views that are open (StateView); nothing else waits for it.
func (s *Store) RewriteIndex() error {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	p := s.Pruned()
	if err := s.Flush(); err != nil {
		return err
	}
	if err := s.idx.Rewrite(s.custodian); err != nil {
		return err
	}
	s.flushing.Lock()
	s.rewritten = p.Decision
	s.flushing.Unlock()
	return s.Flush()
}

// errMoved says that another PRUNE came between: what was begun is begun again.
var errMoved = errors.New("another PRUNE was recorded meanwhile")

// carry replaces the files below the bound. A rebuild from the base needs what it
// drops no more; rows newer than that PRUNE are not looked at.
func (s *Store) carry(ctx context.Context, p format.PrunedRow) error {
	if err := s.Flush(); err != nil {
		return err
	}
	s.mu.Lock()
	var err error
	if s.log.InNewest(p.Bound) {
		err = s.log.Roll()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.log.Carry(ctx, p.Bound, p.Decision, func(seq uint64) (bool, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.pruned.Decision != p.Decision {
			return false, errMoved
		}
		v, err := s.idx.Get(tCarried, key64(seq))
		return v != nil, err
	})
}

// leftovers lists the files of the history room that nothing reads any more.
func (s *Store) leftovers() (names []string, lengths []int64, err error) {
	list, err := s.log.Leftovers()
	if err != nil {
		return nil, nil, err
	}
	for _, f := range list {
		names, lengths = append(names, f.Name), append(lengths, f.Length)
	}
	numbers, err := s.baseNumbers()
	if err != nil {
		return nil, nil, err
	}
	for i, n := range numbers {
		if i+1 == len(numbers) {
			break
		}
		st, err := os.Stat(filepath.Join(s.dir, baseName(n)))
		if err != nil {
			return nil, nil, err
		}
		names, lengths = append(names, baseName(n)), append(lengths, st.Size())
	}
	return names, lengths, nil
}

func (s *Store) destroyHistory(ctx context.Context, p format.PrunedRow) error {
	names, lengths, err := s.leftovers()
	if err != nil || len(names) == 0 {
		return errors.Join(err, s.log.Forget())
	}
	decision, err := s.log.Read(p.Decision - 1)
	if err != nil {
		return err
	}
	work := custodian.Work{History: true, Remove: names}
	for i, name := range names {
		if n := lengths[i] - format.FileHeaderSize; n > 0 {
			work.Ranges = append(work.Ranges, custodian.Range{File: name, Offset: format.FileHeaderSize, Length: n})
		}
	}
	if err := s.SyncHistory(); err != nil {
		return err
	}
	w := custodian.Warrant{Decision: decision, Checkpoint: format.EncodeEffect(s.Summary().Checkpoint)}
	if _, err := s.custodian.Destroy(ctx, w, work); err != nil {
		return err
	}
	return s.log.Forget()
}

// JudgeHistory checks the decision to erase history records, that the named files
// are ones that nothing reads any more, and that all that stays is readable from
// the others.
func (j warrantJudge) JudgeHistory(w custodian.Warrant, files []string) error {
	rec, err := j.decision(w)
	if err != nil {
		return err
	}
	s := j.store
	p := s.Pruned()
	if rec.Action != format.ActPrune || p.Decision != rec.Sequence+1 || s.log.Decided() != p.Decision {
		return fmt.Errorf("record %d is not the decision by which the carried file was made", rec.Sequence)
	}
	b, err := s.newestBase()
	if err != nil {
		return err
	}
	if b == nil || b.head.Mark.Size < p.Decision {
		return fmt.Errorf("no base stands behind record %d", rec.Sequence)
	}
	left, _, err := s.leftovers()
	if err != nil {
		return err
	}
	for _, f := range files {
		if !slices.Contains(left, f) {
			return fmt.Errorf("%s is in use", f)
		}
	}
	return s.checkCarried(context.Background(), p)
}

// checkCarried reads every record below the first whole file that has to be here.
func (s *Store) checkCarried(ctx context.Context, p format.PrunedRow) error {
	next := uint64(0)
	err := s.log.Kept(ctx, 0, p.Bound, func(seq uint64, _ []byte) error {
		s.mu.RLock()
		defer s.mu.RUnlock()
		wanted, err := s.nextCarried(next)
		if err == nil && wanted != seq {
			err = &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("record %d", min(wanted, seq)), Err: errors.New("carried record and row do not belong together")}
		}
		next = seq + 1
		return err
	})
	if err != nil {
		return err
	}
	s.mu.RLock()
	wanted, err := s.nextCarried(next)
	s.mu.RUnlock()
	if err == nil && wanted < p.Bound {
		err = &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("record %d", wanted), Err: os.ErrNotExist}
	}
	if err != nil {
		return err
	}
	return s.log.Range(ctx, p.Bound, max(p.Bound, s.log.Whole()), func(uint64, []byte) error { return nil })
}

// nextCarried is the first carried sequence at or after from; the greatest of all
// when there is none.
func (m *Machine) nextCarried(from uint64) (uint64, error) {
	found := ^uint64(0)
	err := m.idx.Ascend(tCarried, key64(from), nil, func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		found = r.U64()
		return false, r.Done()
	})
	return found, err
}
