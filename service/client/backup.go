package client

import (
	"context"
	"errors"
	"io"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// ErrBackupDirectory: the directory is not one that a backup of this cluster may be
// written to.
var ErrBackupDirectory = backup.ErrDirectory

// BackupOptions say where a backup goes.
type BackupOptions struct {
	// Dir is an empty directory, or none yet, or one with a backup of the same
	// cluster: what it holds already is not sent again.
	Dir string
	// Keys brings a key archive of the open period along.
	Keys bool
	// Progress, when set, is called now and then, from one goroutine, with how far
	// the run is: records, and then again the records whose bundles it brings.
	Progress func(done, of uint64)
}

// BackupResult is what a backup holds at the end of a run.
type BackupResult struct {
	Directory string
	// First and End are the records that the run brought.
	First, End uint64
	// Payload is the sequence below which every bundle that had not ended is there.
	Payload uint64
	// Bundles is how many bundles the run brought, Size the length of all files in
	// bytes, Digest the SHA-256 of the manifest.
	Bundles, Size uint64
	Digest        format.Digest
	// Missing are the STORE records of bundles that have not ended and did not come,
	// because no node has them whole; all of them, and those that this run found.
	Missing, NewMissing []uint64
	// Archive is what the key archive of this run holds; nil without one.
	Archive *BackupArchive
	// Checkpoint was signed by a majority of the pinned nodes over all records.
	Checkpoint *SignedCheckpoint
	// Sequence is that of the BACKUP record of the run's end.
	Sequence uint64
}

// BackupArchive is a key archive that a run brought.
type BackupArchive struct {
	Period   format.ID
	Sequence uint64 // of its BACKUP record
	Needed   uint8  // how many holders open it together
	// Keys is how many are in it, Lacking how many live keys no node has: the next
	// run of the period tries those of bundles again.
	Keys, Lacking uint64
	// From is the record from which on bundles' keys are in it.
	From uint64
	// Doubt says why the archive goes over records again whose keys should have been in
	// the directory: what is there is not what its manifest names, or the history does
	// not name that manifest. nil: it goes on where the one before it ended.
	Doubt error
}

// Backup brings a directory up to date with ciphertext and history
// (docs/formats/backup.md). Nothing of it opens a bundle, unless a key archive comes
// along: then its holders together do.
// Everything is verified before it takes its name: records up to the root that a
// majority of the pinned nodes signed, chunks against their STORE records.
//
// When a node breaks off, the next one goes on; when the whole call breaks off, the
// same call goes on where it was. Errors wrap [ErrIntegrity] when what was answered
// does not verify, and [ErrBackupDirectory]. A bundle that no node has whole is left
// out: the run that finds it answers its result and an error beside it.
func (c *Client) Backup(ctx context.Context, o BackupOptions) (*BackupResult, error) {
	d, err := backup.Create(o.Dir, c.cluster)
	if err != nil {
		return nil, err
	}
	r := &backupRun{client: c, opts: o, dir: d}
	out := &BackupResult{Directory: o.Dir}
	if run := d.Run(); run != nil {
		out.First = run.Records
	}
	_, err = call(ctx, c, repeatable, func(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (struct{}, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return struct{}{}, mismatch(r.attempt(ctx, conn, opts))
	})
	if err != nil {
		return nil, err
	}
	report, err := d.Finish(ctx, r.checkpoint.Note, r.checkpoint.Checkpoint)
	if err != nil {
		return nil, mismatch(err)
	}
	out.End, out.Payload, out.Bundles, out.Size, out.Digest, out.Checkpoint = report.Records, report.Payload, r.bundles, report.Size, report.Digest, r.checkpoint
	done := &sagov1.BackupDoneRequest{First: out.First, End: out.End, Size: out.Size, Digest: out.Digest[:], Begun: r.begun}
	resp, err := unary(ctx, c, repeatable, sagov1.NewClusterServiceClient, sagov1.ClusterServiceClient.BackupDone, done)
	out.Sequence = resp.GetSequence()
	out.Missing, out.NewMissing, out.Archive = report.Missing, report.NewMissing, r.archived
	if err == nil && len(out.NewMissing) > 0 {
		err = integrity("%d bundles that have not ended did not come, the first is that of record %d", len(out.NewMissing), out.NewMissing[0])
	}
	return out, err
}

// mismatch makes what does not fit an integrity error.
func mismatch(err error) error {
	var d *format.DamageError
	if errors.Is(err, backup.ErrMismatch) || errors.As(err, &d) {
		return integrity("%v", err)
	}
	return err
}

// backupRun is one call of Backup. What it knows beyond its directory lasts for one
// attempt.
type backupRun struct {
	client     *Client
	opts       BackupOptions
	dir        *backup.Dir
	checkpoint *SignedCheckpoint
	from       *SignedCheckpoint // what the node proves its next checkpoint from
	bundles    uint64
	begun      uint64 // sequence of the BACKUP record of the last attempt's beginning

	beginning *backup.BeginningWriter
	records   *backup.HistoryWriter
	payload   *backup.PayloadWriter
	archive   *backup.ArchiveWriter
	chain     backup.KeyChain               // what the attempt said of the archives that are here
	archived  *BackupArchive                // what this call brought; no attempt asks for another
	stores    func() (backup.Stored, error) // the STORE records whose bundles are to come
	stop      func()
	covered   uint64 // size of the attempt's first checkpoint: payload goes so far
	store     uint64 // the bundle whose chunks come, plus one
}

// attempt has one node send what is missing.
func (r *backupRun) attempt(ctx context.Context, conn *grpc.ClientConn, opts []grpc.CallOption) (err error) {
	if r.from, err = r.client.remembered(); err != nil {
		return err
	}
	r.checkpoint, r.beginning, r.records, r.payload, r.archive, r.stores, r.covered, r.store = nil, nil, nil, nil, nil, nil, 0, 0
	defer func() { err = errors.Join(err, r.drop()) }()
	req := &sagov1.BackupRequest{Records: r.dir.Records(), Payload: r.dir.Payload()}
	if r.from != nil {
		req.Known = r.from.Checkpoint.Size
	}
	if r.wantsArchive() {
		if err := r.askArchive(ctx, req); err != nil {
			return err
		}
	}
	stream, err := sagov1.NewClusterServiceClient(conn).Backup(ctx, req, opts...)
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return r.end()
		}
		if err != nil {
			return err
		}
		switch p := m.GetPart().(type) {
		case *sagov1.BackupResponse_Checkpoint:
			err = r.takeCheckpoint(ctx, p.Checkpoint)
		case *sagov1.BackupResponse_Beginning:
			err = r.takeBeginning(p.Beginning)
		case *sagov1.BackupResponse_Records:
			err = r.takeRecords(p.Records)
		case *sagov1.BackupResponse_Chunk:
			err = r.takeChunk(ctx, p.Chunk)
		case *sagov1.BackupResponse_Archive:
			err = r.takeArchive(p.Archive)
		default:
			err = integrity("a part of a backup that is none")
		}
		if err != nil {
			return err
		}
	}
}

// drop closes what was not published.
func (r *backupRun) drop() error {
	var errs []error
	if r.beginning != nil {
		errs = append(errs, r.beginning.Drop())
	}
	if r.records != nil {
		errs = append(errs, r.records.Drop())
	}
	if r.payload != nil {
		errs = append(errs, r.payload.Drop())
	}
	if r.archive != nil {
		errs = append(errs, r.archive.Drop())
	}
	if r.stores != nil {
		r.stop()
	}
	return errors.Join(errs...)
}

// takeCheckpoint takes in what the records up to there are held against. The
// second one of a run comes behind the payload.
func (r *backupRun) takeCheckpoint(ctx context.Context, m *sagov1.BackupCheckpoint) error {
	s, err := r.client.signed(m.GetNote())
	if err != nil {
		return err
	}
	// The node proves each checkpoint from the one before it, the first from what was
	// remembered when the run was asked for: another process may have remembered a newer one since.
	if err := r.client.hold(ctx, s, r.from, m.GetConsistency()); err != nil {
		return err
	}
	r.from = s
	size := s.Checkpoint.Size
	switch {
	case m.GetSequence() == 0 || size < m.GetSequence():
		return integrity("the checkpoint does not cover the record of this backup")
	case r.checkpoint == nil:
		r.covered, r.begun = size, m.GetSequence()-1
	case r.checkpoint.Checkpoint.Size != r.dir.Records() || size < r.dir.Records():
		return integrity("another checkpoint comes at record %d of %d", r.dir.Records(), r.checkpoint.Checkpoint.Size)
	default:
		err = r.endPayload()
	}
	r.checkpoint = s
	return err
}

// proven holds a root against the checkpoint.
func (r *backupRun) proven(size uint64, root format.Digest, proof [][]byte) error {
	if r.checkpoint == nil {
		return integrity("records come before their checkpoint")
	}
	c := r.checkpoint.Checkpoint
	path, err := hashesOf(proof)
	switch {
	case err != nil:
		return err
	case size > c.Size:
		return integrity("%d records under a checkpoint of %d", size, c.Size)
	case size == c.Size && root == c.Root && len(path) == 0:
		return nil
	case size == c.Size || tlog.CheckTree(path, int64(c.Size), tlog.Hash(c.Root), int64(size), tlog.Hash(root)) != nil:
		return integrity("the first %d records are not those that a majority signed", size)
	}
	return nil
}

func (r *backupRun) takeBeginning(m *sagov1.BackupBeginning) (err error) {
	if r.beginning == nil {
		if r.checkpoint == nil || r.records != nil {
			return integrity("a beginning behind records")
		}
		r.beginning, err = r.dir.NewBeginning(backup.Beginning{Whole: m.GetWhole(), Decided: m.GetDecided(), Entry: m.GetEntry()})
		if err != nil {
			return err
		}
	}
	for _, f := range m.GetBase() {
		err = errors.Join(err, r.beginning.Base(f))
	}
	err = errors.Join(err, r.beginning.Leaves(m.GetLeaves()))
	for _, f := range m.GetRecords() {
		err = errors.Join(err, r.beginning.Record(f))
	}
	if err != nil || !m.GetEnds() {
		return err
	}
	if err := r.proven(r.beginning.Size(), r.beginning.Root(), m.GetConsistency()); err != nil {
		return err
	}
	w := r.beginning
	r.beginning = nil
	return w.Publish()
}

func (r *backupRun) takeRecords(m *sagov1.BackupRecords) (err error) {
	if r.checkpoint == nil || r.beginning != nil || r.payload != nil {
		return integrity("records come where they do not belong")
	}
	if r.records == nil {
		if r.records, err = r.dir.NewHistory(); err != nil {
			return err
		}
	}
	for _, encoded := range m.GetRecords() {
		if err := r.records.Add(encoded); err != nil {
			return err
		}
	}
	if r.records.Size() > r.checkpoint.Checkpoint.Size {
		return integrity("more records than the checkpoint covers")
	}
	if !m.GetEnds() {
		return nil
	}
	if err := r.proven(r.records.Size(), r.records.Root(), m.GetConsistency()); err != nil {
		return err
	}
	w := r.records
	r.records = nil
	err = w.Publish()
	r.progress(r.dir.Records())
	return err
}

func (r *backupRun) progress(done uint64) {
	if r.opts.Progress != nil {
		r.opts.Progress(done, 2*r.covered)
	}
}

// end checks that the run is whole.
func (r *backupRun) end() error {
	switch {
	case r.checkpoint == nil || r.records != nil || r.beginning != nil || r.payload != nil || r.archive != nil || r.store != 0:
		return integrity("the answer ends before the backup is whole")
	case r.wantsArchive():
		return integrity("the answer ends without the key archive that was asked for")
	case r.dir.Records() != r.checkpoint.Checkpoint.Size || r.dir.Payload() < r.covered:
		return integrity("the answer ends before record %d", r.checkpoint.Checkpoint.Size)
	}
	return nil
}
