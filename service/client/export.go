package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// ErrExportDirectory: the directory is not one that an export may be written to.
var ErrExportDirectory = errors.New("export directory")

// ExportOptions say what is exported and where it goes.
type ExportOptions struct {
	// Dir is an empty directory, or none yet, or one that an export of the same
	// cluster, scope and times was broken off in: it then goes on where it was.
	Dir string
	// Tree exports the appliance's whole log; otherwise it is the records of the
	// caller's own institution.
	Tree bool
	// Institution, when set, is the code that the caller's own institution must
	// have. It narrows nothing: nobody exports another's records.
	Institution string
	// Since and Until bound the records' quorum clock: from Since on, before Until.
	// The zero time is no bound.
	Since, Until time.Time
	// Progress, when set, is called now and then, from one goroutine.
	Progress func(ExportProgress)
}

// ExportProgress is how far an export is, counted in records that are on disk.
type ExportProgress struct{ Records, Of uint64 }

// ExportResult is a whole export.
type ExportResult struct {
	Directory string
	// Scope is "tree" or "institution".
	Scope           string
	InstitutionCode string
	// First and End are the range that the appliance found between the two times,
	// and Minimum is where in it the records begin that history retention has
	// erased none of: sequences, or the institution's own sequences.
	First, End, Minimum uint64
	// Records is how many of the range the export holds.
	Records uint64
	// Checkpoint was signed by a majority of the pinned nodes; every record is
	// proven in its tree.
	Checkpoint *SignedCheckpoint
	// ExportSequence is the sequence of the EXPORT record.
	ExportSequence uint64
	// Resumed says that an earlier call had begun it.
	Resumed bool
}

// Export writes records to a directory, with what proves them to a stranger
// (docs/formats/export.md). Everything is verified before it appears under its
// name: each tile up to the root that a majority of the pinned nodes signed, each
// record against its tile or its own proof.
//
// When a node breaks off, the next one goes on. When the whole call breaks off,
// the same call goes on where it was. Errors wrap [ErrIntegrity] when what was
// answered does not verify, and [ErrExportDirectory] when the directory is
// another export's, or holds anything else.
func (c *Client) Export(ctx context.Context, o ExportOptions) (*ExportResult, error) {
	x := &exporter{client: c, opts: o, dir: exportDir(o.Dir)}
	if err := x.open(); err != nil {
		return nil, err
	}
	resumed := x.manifest != nil
	defer x.lines.close()
	_, err := call(ctx, c, repeatable, func(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (struct{}, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return struct{}{}, x.attempt(ctx, conn, opts)
	})
	if err != nil {
		return nil, err
	}
	records, err := x.finish()
	if err != nil {
		return nil, err
	}
	m := x.manifest
	return &ExportResult{
		Directory: o.Dir, Scope: m.Scope, InstitutionCode: m.InstitutionCode, First: m.First, End: m.End, Minimum: m.Minimum,
		Records: records, Checkpoint: x.checkpoint, ExportSequence: m.ExportSequence, Resumed: resumed,
	}, nil
}

// exporter is one call of Export. What it knows beyond its directory lasts for
// one attempt.
type exporter struct {
	client *Client
	opts   ExportOptions
	dir    exportDir

	manifest   *manifest // nil until the first header
	checkpoint *SignedCheckpoint
	known      uint64 // records that there were before a new export was asked for
	lines      lineFile
	position

	from, to uint64 // sequences that come in entry bundles
	low      uint64 // numbers below it come one by one

	tiles   func() (format.Tile, bool) // what comes next of them; they come before records
	partial map[int][]tlog.Hash        // partial tiles before the root is known
	cached  struct {
		tile   format.Tile
		hashes []tlog.Hash
	}
}

// attempt has one node send what is missing.
func (x *exporter) attempt(ctx context.Context, conn *grpc.ClientConn, opts []grpc.CallOption) error {
	req, err := x.request()
	if err != nil {
		return err
	}
	stream, err := sagov1.NewHistoryServiceClient(conn).Export(ctx, req, opts...)
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return ended(err)
	}
	if err := x.header(ctx, first.GetHeader()); err != nil {
		return err
	}
	next, stop := iter.Pull(format.Tiles(x.manifest.CheckpointSize))
	defer stop()
	if x.tiles, x.partial = next, map[int][]tlog.Hash{}; req.GetNext() != 0 {
		x.tiles = func() (format.Tile, bool) { return format.Tile{}, false } // here already
	}
	return x.receive(stream)
}

// request asks for a new export, or for what is missing of one.
func (x *exporter) request() (*sagov1.ExportRequest, error) {
	req := &sagov1.ExportRequest{Tree: x.opts.Tree, Since: stampOf(micros(x.opts.Since)), Until: stampOf(micros(x.opts.Until)), Institution: x.opts.Institution}
	if x.manifest == nil {
		had, err := x.client.remembered()
		if had != nil {
			x.known = had.Checkpoint.Size
		}
		return req, err
	}
	if err := x.locate(); err != nil {
		return nil, err
	}
	req.Resume, req.CheckpointSize, req.Next = x.manifest.ExportSequence+1, x.manifest.CheckpointSize, x.next()
	return req, nil
}

// header takes in the header: of a new export, or of the one that is gone on with.
func (x *exporter) header(ctx context.Context, h *sagov1.ExportHeader) error {
	if h == nil {
		return integrity("an export without a header")
	}
	s, err := x.client.signed(h.GetCheckpoint())
	if err != nil {
		return err
	}
	m := manifestOf(h, x.opts.Tree, s.Checkpoint)
	if err := m.check(x.opts); err != nil {
		return err
	}
	if x.manifest == nil && m.ExportSequence < x.known {
		// One of an earlier export would hide what came after it.
		return integrity("a new export was answered by record %d, which is older than the %d that are remembered", m.ExportSequence, x.known)
	}
	if x.manifest != nil && (*x.manifest != m || x.checkpoint != nil && x.checkpoint.Checkpoint != s.Checkpoint) {
		return integrity("the export that was begun as record %d is now described otherwise", x.manifest.ExportSequence)
	}
	had, err := x.client.remembered()
	if err != nil {
		return err
	}
	if err := x.client.hold(ctx, s, had, nil); err != nil {
		return err
	}
	x.checkpoint = s
	if x.manifest == nil {
		if err := x.dir.begin(m); err != nil {
			return err
		}
		x.manifest = &m
		if err := x.locate(); err != nil {
			return err
		}
	}
	return x.dir.write(checkpointFile, []byte(s.Note))
}

// receive takes in tiles and records until the stream ends with all of them.
func (x *exporter) receive(stream grpc.ServerStreamingClient[sagov1.ExportResponse]) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return x.end()
		}
		if err != nil {
			return err
		}
		switch p := m.GetPart().(type) {
		case *sagov1.ExportResponse_Tile:
			err = x.tile(p.Tile)
		case *sagov1.ExportResponse_Record:
			err = x.record(p.Record)
		default:
			err = integrity("a second header")
		}
		if err != nil {
			return err
		}
	}
}

// end checks that nothing is missing.
func (x *exporter) end() error {
	if x.opts.Tree {
		if t, more := x.tiles(); more {
			return integrity("the answer ends before %s", t.Path())
		}
	}
	switch {
	case x.at < x.low && x.manifest.Minimum < x.low:
		return integrity("the answer ends before record %d of %d to %d", x.at, x.manifest.First, x.low)
	case x.bundled < x.to:
		return integrity("the answer ends before record %d", x.bundled)
	case !x.has(x.manifest.ExportSequence):
		return integrity("the answer does not hold its own EXPORT record")
	}
	return nil
}

// finish makes the directory a whole export and counts its records of the range.
func (x *exporter) finish() (uint64, error) {
	if err := x.publishSingles(); err != nil {
		return 0, err
	}
	m := *x.manifest
	m.Complete = true
	records := x.singles
	if first, end := max(x.from, m.First), min(x.to, m.End); first < end {
		records += end - first
	}
	if at := m.ExportSequence; x.last.sequence == at && x.last.number >= m.End && (at < x.from || at >= x.to) {
		records-- // the EXPORT record, beyond the range
	}
	return records, x.dir.finish(m, x.singles)
}

func (x *exporter) progress() {
	if x.opts.Progress == nil {
		return
	}
	of := x.low - min(x.low, x.manifest.First) + x.to - x.from
	x.opts.Progress(ExportProgress{Records: min(x.stored(), of), Of: of})
}

func (m *manifest) check(o ExportOptions) error {
	switch {
	case m.Since != micros(o.Since) || m.Until != micros(o.Until):
		return integrity("asked for the time from %d to %d, answered was %d to %d", micros(o.Since), micros(o.Until), m.Since, m.Until)
	case o.Institution != "" && o.Institution != m.InstitutionCode:
		return integrity("asked for the records of %q, answered were those of %q", o.Institution, m.InstitutionCode)
	case m.First > m.End || m.CheckpointSize <= m.ExportSequence:
		return integrity("an export of records %d to %d, recorded as %d, in a tree of %d", m.First, m.End, m.ExportSequence, m.CheckpointSize)
	case o.Tree && m.End > m.ExportSequence+1 || m.End > m.CheckpointSize:
		return integrity("an export up to record %d in a tree of %d", m.End, m.CheckpointSize)
	}
	return nil
}

// micros is an instant in microseconds since the Unix epoch; 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func stampOf(us int64) *timestamppb.Timestamp {
	if us == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMicro(us))
}

func microsOf(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixMicro()
}

func directoryError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrExportDirectory, fmt.Sprintf(format, args...))
}
