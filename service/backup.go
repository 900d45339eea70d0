package service

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/sago-worm/sago/replication"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// How much of a backup travels in one message, bytes, and how many records and
// bytes make a file of it.
const (
	backupMessage = 512 << 10
	backupRecords = 16 << 10
	backupFile    = 16 << 20
)

// outgoing is one backup run on its way out: what the receiver has so far.
type outgoing struct {
	s                       *clusterServer
	stream                  grpc.ServerStreamingServer[sagov1.BackupResponse]
	records, payload, known uint64
	sequence                uint64   // of the BACKUP record
	keys                    *keysOut // nil: no keys leave
}

// Backup implements sagov1.ClusterServiceServer. The BACKUP record is committed,
// and a checkpoint covers it, before the first byte leaves. Behind the payload
// come the records since: they say which bundles ended meanwhile.
func (s *clusterServer) Backup(req *sagov1.BackupRequest, stream grpc.ServerStreamingServer[sagov1.BackupResponse]) error {
	ctx := stream.Context()
	c := callerOf(ctx)
	if err := s.exports.enter(c.ID); err != nil {
		return err
	}
	defer s.exports.leave(c.ID)
	b := &outgoing{s: s, stream: stream, records: req.GetRecords(), payload: req.GetPayload(), known: req.GetKnown()}
	if size := s.node.Store().Summary().Size; b.records > size || b.payload > b.records {
		return refusal(format.ReasonState, fmt.Sprintf("the backup holds %d records and payload up to %d, the history has %d records", b.records, b.payload, size))
	}
	begun := format.BackupEffect{First: b.records}
	asked := query("backup", "from", "#"+number(b.records))
	if req.GetKeys() {
		var err error
		if b.keys, err = s.keysOut(ctx, req); err != nil {
			return err
		}
		begun.Period = b.keys.period.Period
		asked = query("backup", "from", "#"+number(b.records), "keys", "period "+hex.EncodeToString(begun.Period[:]))
	}
	result, err := s.proposeBackup(ctx, begun, asked)
	if err != nil {
		return err
	}
	b.sequence = result.Sequence
	covered, err := b.history(ctx)
	if err != nil {
		return err
	}
	if err := b.archive(ctx); err != nil {
		return err
	}
	if err := b.bundles(ctx, covered); err != nil {
		return err
	}
	_, err = b.history(ctx)
	return err
}

func (s *clusterServer) proposeBackup(ctx context.Context, e format.BackupEffect, asked string) (store.Result, error) {
	d := callerOf(ctx).detail()
	d.Query = clip(asked, maxName)
	return s.propose(ctx, store.Op{Kind: store.KindBackup, Body: format.EncodeEffect(e)}, format.DetailOther, d)
}

// BackupDone implements sagov1.ClusterServiceServer.
func (s *clusterServer) BackupDone(ctx context.Context, req *sagov1.BackupDoneRequest) (*sagov1.BackupDoneResponse, error) {
	e := format.BackupEffect{First: req.GetFirst(), End: req.GetEnd(), Size: req.GetSize(), Begun: req.GetBegun()}
	if copy(e.Digest[:], req.GetDigest()) != len(e.Digest) || len(req.GetDigest()) != len(e.Digest) || !e.Whole() {
		return nil, invalid(format.ReasonInvalid, "the digest of a manifest is a SHA-256")
	}
	result, err := s.proposeBackup(ctx, e, query("backup", "to", "#"+number(e.End), "size", e.Size))
	return &sagov1.BackupDoneResponse{Sequence: result.Sequence}, err
}

// history sends a fresh checkpoint and the records up to it, and answers its size.
func (b *outgoing) history(ctx context.Context) (uint64, error) {
	st := b.s.node.Store()
	if err := b.s.node.Checkpoint(ctx, true); err != nil {
		return 0, err
	}
	cp := st.Summary().Checkpoint
	size := cp.Checkpoint.Size
	if size < b.records || size <= b.sequence {
		return 0, fmt.Errorf("%w: the newest checkpoint is of %d records", replication.ErrUnavailable, size)
	}
	note := &sagov1.BackupCheckpoint{Note: b.s.note(cp), Sequence: b.sequence + 1}
	if b.known > 0 && b.known < size {
		proof, err := st.ProveConsistency(b.known, size)
		if err != nil {
			return 0, err
		}
		note.Consistency = slicesOf(proof)
	}
	if err := b.stream.Send(&sagov1.BackupResponse{Part: &sagov1.BackupResponse_Checkpoint{Checkpoint: note}}); err != nil {
		return 0, err
	}
	b.known = size
	if b.records == 0 {
		if err := b.beginning(ctx, size); err != nil {
			return 0, err
		}
	}
	err := b.sendRecords(ctx, size)
	if errors.Is(err, store.ErrPruned) {
		err = refusal(format.ReasonState, "history retention has erased records that this backup lacks; begin a new one in an empty directory")
	}
	return size, err
}

// sendRecords sends the records that the receiver lacks, file by file.
func (b *outgoing) sendRecords(ctx context.Context, size uint64) error {
	st := b.s.node.Store()
	out, waiting, file, first := &sagov1.BackupRecords{}, 0, 0, b.records
	send := func() error {
		m := out
		out, waiting = &sagov1.BackupRecords{}, 0
		return b.stream.Send(&sagov1.BackupResponse{Part: &sagov1.BackupResponse_Records{Records: m}})
	}
	return st.History(ctx, b.records, size, func(sequence uint64, encoded []byte) error {
		out.Records = append(out.Records, bytes.Clone(encoded))
		waiting, file, b.records = waiting+len(encoded), file+len(encoded), sequence+1
		if b.records == size || b.records-first >= backupRecords || file >= backupFile {
			proof, err := st.ProveConsistency(b.records, size)
			if err != nil {
				return err
			}
			out.Ends, out.Consistency, file, first = true, slicesOf(proof), 0, b.records
			return send()
		}
		if waiting < backupMessage {
			return nil
		}
		return send()
	})
}

// beginning sends what stands for erased records, where there are any.
func (b *outgoing) beginning(ctx context.Context, size uint64) error {
	st := b.s.node.Store()
	var head store.Beginning
	waiting := 0
	out := &sagov1.BackupBeginning{}
	send := func() error {
		m := out
		out, waiting = &sagov1.BackupBeginning{}, 0
		return b.stream.Send(&sagov1.BackupResponse{Part: &sagov1.BackupResponse_Beginning{Beginning: m}})
	}
	// A message holds one part only, so that each ends where the next begins.
	grown := func(another bool, n int, add func()) error {
		if another && waiting > 0 || waiting >= backupMessage {
			if err := send(); err != nil {
				return err
			}
		}
		add()
		waiting += n
		return nil
	}
	err := st.SendBeginning(ctx,
		func(h store.Beginning) error {
			if head = h; head.Whole > size {
				return fmt.Errorf("%w: erased beyond the checkpoint", replication.ErrUnavailable)
			}
			out.Whole, out.Decided, out.Entry = head.Whole, head.Decided, head.Entry
			return send()
		},
		func(f []byte) error {
			return grown(false, len(f), func() { out.Base = append(out.Base, bytes.Clone(f)) })
		},
		func(d format.Digest) error {
			return grown(len(out.Base) > 0, len(d), func() { out.Leaves = append(out.Leaves, d[:]...) })
		},
		func(r []byte) error {
			return grown(len(out.Leaves) > 0, len(r), func() { out.Records = append(out.Records, bytes.Clone(r)) })
		})
	if errors.Is(err, store.ErrNothingErased) {
		return nil
	}
	if err != nil {
		return err
	}
	proof, err := st.ProveConsistency(head.Whole, size)
	if err != nil {
		return err
	}
	out.Ends, out.Consistency, b.records = true, slicesOf(proof), head.Whole
	return send()
}

// bundles sends the chunks of every bundle that was stored in the range and has
// not ended.
func (b *outgoing) bundles(ctx context.Context, size uint64) error {
	if b.payload >= size {
		return nil
	}
	return b.s.node.Store().Kept(ctx, b.payload, size, func(sequence uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil || rec.Action != format.ActStore {
			return err
		}
		key := format.BundleKey{Institution: rec.Institution, Transaction: rec.Transaction, Part: rec.Part}
		row, err := b.s.node.Store().Bundle(key)
		if err != nil || row == nil || row.Store != sequence || row.Expire != 0 {
			return err
		}
		err = b.bundle(ctx, row)
		if err == nil || !b.absent(key, err) {
			return err
		}
		b.s.log.Warn("a bundle is left out of a backup", "store", sequence, "error", err)
		gone := &sagov1.BackupChunk{Store: sequence, Absent: true}
		return b.stream.Send(&sagov1.BackupResponse{Part: &sagov1.BackupResponse_Chunk{Chunk: gone}})
	})
}

// absent reports whether a bundle could not be sent because it ended under the
// hands of this run, or because no node has it whole: others are sent all the same.
func (b *outgoing) absent(key format.BundleKey, err error) bool {
	var damage *format.DamageError
	if errors.As(err, &damage) {
		return true
	}
	now, rerr := b.s.node.Store().Bundle(key)
	return rerr == nil && now != nil && now.Expire != 0
}

func (b *outgoing) bundle(ctx context.Context, row *format.BundleRow) error {
	headers, err := b.s.node.ChunkHeaders(ctx, row)
	if err != nil {
		return err
	}
	for _, h := range headers {
		sealed, err := b.s.node.FetchChunk(ctx, row, h)
		if err != nil {
			return err
		}
		chunk := &sagov1.BackupChunk{Store: row.Store, Header: h.Encode(), Sealed: sealed}
		if err := b.stream.Send(&sagov1.BackupResponse{Part: &sagov1.BackupResponse_Chunk{Chunk: chunk}}); err != nil {
			return err
		}
	}
	return nil
}

// backupState is the newest backup, and whether there should be a newer one.
func (s *Server) backupState() (*sagov1.BackupState, bool, error) {
	row, overdue, err := s.node.Store().LastBackup()
	if err != nil || row == nil {
		return nil, overdue, err
	}
	return &sagov1.BackupState{Clock: instant(row.Clock), End: row.End}, overdue, nil
}
