package client

import (
	"context"
	"errors"
	"slices"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// errUnnamed is why archives of a manifest that the history does not name do not count.
var errUnnamed = errors.New("the history does not name the manifest that names the key archives here")

// askArchive asks for the keys that the archives here lack.
func (r *backupRun) askArchive(ctx context.Context, req *sagov1.BackupRequest) (err error) {
	if r.chain, err = r.dir.KeyChain(ctx); err != nil {
		return err
	}
	c := r.chain
	req.Keys, req.Period, req.Archived, req.Lacking = true, c.Period[:], c.Sequence, c.Lacking
	req.Manifest, req.ManifestRecords = c.Manifest[:], c.Records
	return nil
}

// goesOn refuses an archive that leaves a gap behind those that are here, and says
// why one does not go on where they end.
func (r *backupRun) goesOn(a format.ArchiveHead) (doubt, err error) {
	end := r.chain.Sequence
	switch same := a.Period == r.chain.Period; {
	case a.From != 0 && (!same || a.From != end):
		return nil, integrity("a key archive begins at record %d, those in the directory end at %d", a.From, end)
	case same && a.From < end:
		return errUnnamed, nil
	}
	return r.chain.Doubt, nil
}

// behindRecords reports whether the records up to the attempt's first checkpoint
// are here, and the second has not come.
func (r *backupRun) behindRecords() bool {
	return r.checkpoint != nil && r.dir.Records() >= r.covered && r.checkpoint.Checkpoint.Size == r.covered
}

// takeArchive takes in a piece of a key archive. One that was cut short is dropped
// with its attempt and fetched again.
func (r *backupRun) takeArchive(m *sagov1.BackupArchive) (err error) {
	if !r.opts.Keys || r.archived != nil || !r.behindRecords() || r.payload != nil {
		return integrity("a key archive comes where it does not belong")
	}
	if r.archive == nil {
		if r.archive, err = r.dir.NewArchive(); err != nil {
			return err
		}
	}
	if err := r.archive.Add(m.GetData()); err != nil || !m.GetEnds() {
		return err
	}
	lacking := m.GetLackingStores()
	if slices.Sort(lacking); len(slices.Compact(lacking)) != len(m.GetLackingStores()) || uint64(len(lacking)) > m.GetLacking() {
		return integrity("a key archive lacks %d keys, of %d bundles", m.GetLacking(), len(lacking))
	}
	w := r.archive
	r.archive = nil
	var got BackupArchive
	err = w.Publish(r.begun, lacking, func(a format.ArchiveHead, keys uint64) error {
		if keys != m.GetKeys() {
			return integrity("a key archive holds %d keys, %d were sent", keys, m.GetKeys())
		}
		doubt, err := r.goesOn(a)
		got = BackupArchive{Period: a.Period, Sequence: a.Sequence, Needed: a.Needed, Keys: keys, Lacking: m.GetLacking(), From: a.From, Doubt: doubt}
		return err
	})
	if err == nil {
		r.archived = &got
	}
	return err
}

// wantsArchive reports whether a key archive is still to come.
func (r *backupRun) wantsArchive() bool { return r.opts.Keys && r.archived == nil }
