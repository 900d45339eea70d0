package service

import (
	"bufio"
	"bytes"
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// keysOut is what a backup run takes out of keys.
type keysOut struct {
	period format.ArchiveRow
	from   uint64 // sequence from which the caller's archives of the period lack keys
	// institutions are slots that were there before the run's record.
	institutions []format.Slot
}

// keysOut finds out what a run takes that asks for keys.
func (s *clusterServer) keysOut(req *sagov1.BackupRequest) (*keysOut, error) {
	st := s.node.Store()
	open, err := st.OpenArchive()
	if err != nil {
		return nil, err
	}
	if open == nil {
		return nil, refusal(format.ReasonState, "no period of key archives is open: open one (sago key-archive open), or back up without --keys")
	}
	out := &keysOut{period: *open}
	if bytes.Equal(req.GetPeriod(), open.Period[:]) {
		out.from = req.GetArchived()
	}
	if size := st.Summary().Size; out.from > size {
		return nil, refusal(format.ReasonState, "the backup has keys up to record "+number(out.from)+", the history has "+number(size))
	}
	out.institutions, err = st.InstitutionSlots()
	return out, err
}

// archive sends the key archive, which a checkpoint covers the record of.
func (b *outgoing) archive(ctx context.Context) error {
	if b.keys == nil {
		return nil
	}
	p := b.keys.period
	head := format.ArchiveHead{Cluster: b.s.node.Store().Summary().Cluster, Period: p.Period, From: b.keys.from, Sequence: b.sequence, Needed: p.Needed}
	w := bufio.NewWriterSize(archiveStream{b}, backupMessage)
	keys, lacking, err := b.s.node.Archive(ctx, w, head, p.Holders, b.keys.institutions)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	return b.sendArchive(&sagov1.BackupArchive{Ends: true, Keys: keys, Lacking: lacking})
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
