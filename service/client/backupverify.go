package client

import (
	"context"

	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// VerifyBackup reads a whole backup without asking anybody and holds it against a
// checkpoint that a majority of these nodes signed. Errors wrap [ErrIntegrity] and
// name the first thing that is not as it was written.
func VerifyBackup(ctx context.Context, dir string, nodes []format.NoteKey, origin string, progress func(done, of uint64)) (backup.Report, error) {
	d, err := backup.Open(dir)
	if err != nil {
		return backup.Report{}, mismatch(err)
	}
	if got := format.Origin(d.Cluster()); got != origin {
		return backup.Report{}, integrity("a backup of %s, the keys are those of %s", got, origin)
	}
	report, err := d.Verify(ctx, func(note string) (format.Checkpoint, error) { return format.VerifyMajority(note, d.Cluster(), nodes) }, progress)
	return report, mismatch(err)
}
