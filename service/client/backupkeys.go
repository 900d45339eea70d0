package client

import sagov1 "github.com/sago-worm/sago/proto/sago/v1"

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
	w := r.archive
	r.archive = nil
	if err := w.Publish(r.begun); err != nil {
		return err
	}
	a, err := r.dir.Archive(r.begun)
	if err != nil {
		return err
	}
	if a.End.Entries != m.GetKeys() {
		return integrity("a key archive holds %d keys, %d were sent", a.End.Entries, m.GetKeys())
	}
	r.archived = &BackupArchive{Period: a.Period, Sequence: a.Sequence, Needed: a.Needed, Keys: a.End.Entries, Lacking: m.GetLacking()}
	return nil
}

// wantsArchive reports whether a key archive is still to come.
func (r *backupRun) wantsArchive() bool { return r.opts.Keys && r.archived == nil }
