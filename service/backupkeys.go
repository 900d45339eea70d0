package service

import (
	"bufio"
	"bytes"
	"context"
	"slices"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store/format"
)

// keysOut is what a backup run takes out of keys.
type keysOut struct {
	period format.ArchiveRow
	from   uint64   // sequence from which the caller's archives of the period lack keys
	again  []uint64 // STORE records before it whose keys they lack
	// institutions are slots that were there before the run's record.
	institutions []format.Slot
}

// keysOut finds out what a run takes that asks for keys.
func (s *clusterServer) keysOut(ctx context.Context, req *sagov1.BackupRequest) (*keysOut, error) {
	st := s.node.Store()
	open, err := st.OpenArchive()
	if err != nil {
		return nil, err
	}
	if open == nil {
		return nil, refusal(format.ReasonState, "no period of key archives is open: open one (sago key-archive open), or back up without --keys")
	}
	out := &keysOut{period: *open}
	if size := st.Summary().Size; bytes.Equal(req.GetPeriod(), open.Period[:]) && req.GetArchived() > size {
		return nil, refusal(format.ReasonState, "the backup has keys up to record "+number(req.GetArchived())+", the history has "+number(size))
	}
	if out.from, out.again, err = s.goesOn(ctx, req, open.Period); err != nil {
		return nil, err
	}
	out.institutions, err = st.InstitutionSlots()
	return out, err
}

// goesOn is where the caller's archives of the open period end, and what they lack.
// What the caller says of them counts only under a manifest that the history names:
// whoever can write to the directory could otherwise make the run pass over keys.
func (s *clusterServer) goesOn(ctx context.Context, req *sagov1.BackupRequest, open format.ID) (from uint64, again []uint64, err error) {
	again = req.GetLacking()
	switch ascending := slices.IsSorted(again) && len(slices.Compact(slices.Clone(again))) == len(again); {
	case len(again) > replication.MaxLacking || !ascending:
		return 0, nil, invalid(format.ReasonInvalid, "STORE records whose keys are lacking ascend, and are at most %d", replication.MaxLacking)
	case !bytes.Equal(req.GetPeriod(), open[:]) || req.GetArchived() == 0:
		return 0, nil, nil
	}
	named, err := s.namesManifest(ctx, req.GetManifest(), req.GetManifestRecords())
	if err != nil {
		return 0, nil, err
	}
	if !named {
		s.log.Warn("the history does not name the manifest of a backup: its key archives are not relied on", "archived", req.GetArchived())
		return 0, nil, nil
	}
	from = req.GetArchived()
	return from, slices.DeleteFunc(slices.Clone(again), func(store uint64) bool { return store >= from }), nil
}

// namesManifest reports whether a BACKUP record behind the first size records names
// the digest of a manifest of that size.
func (s *clusterServer) namesManifest(ctx context.Context, digest []byte, size uint64) (named bool, err error) {
	st := s.node.Store()
	if to := st.Summary().Size; size < to && len(digest) == len(format.Digest{}) {
		err = st.Kept(ctx, size, to, func(_ uint64, encoded []byte) error {
			ends, err := format.EndsBackup(encoded, format.Digest(digest), size)
			named = named || ends
			return err
		})
	}
	return named, err
}

// archive sends the key archive, which a checkpoint covers the record of.
func (b *outgoing) archive(ctx context.Context) error {
	if b.keys == nil {
		return nil
	}
	p := b.keys.period
	head := format.ArchiveHead{Cluster: b.s.node.Store().Summary().Cluster, Period: p.Period, From: b.keys.from, Sequence: b.sequence, Needed: p.Needed}
	w := bufio.NewWriterSize(archiveStream{b}, backupMessage)
	out, err := b.s.node.Archive(ctx, w, head, p.Holders, replication.ArchiveOf{Slots: b.keys.institutions, Again: b.keys.again})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	return b.sendArchive(&sagov1.BackupArchive{Ends: true, Keys: out.Keys, Lacking: out.Lacking, LackingStores: out.Stores})
}

func (b *outgoing) sendArchive(m *sagov1.BackupArchive) error {
	return b.stream.Send(&sagov1.BackupResponse{Part: &sagov1.BackupResponse_Archive{Archive: m}})
}

// archiveStream sends the bytes of an archive.
type archiveStream struct{ b *outgoing }

// Write implements io.Writer.
func (w archiveStream) Write(p []byte) (int, error) {
	return len(p), w.b.sendArchive(&sagov1.BackupArchive{Data: bytes.Clone(p)})
}
