package service

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// maxExports is how many exports one principal may read from this node at once.
// A slow one then keeps neither another principal nor a check of the history
// waiting.
const maxExports = 4

// exports counts those that run, by principal.
type exports struct {
	mu      sync.Mutex
	running map[uint64]int
}

func (e *exports) enter(principal uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[principal] == maxExports {
		return refusal(format.ReasonRate, "")
	}
	if e.running == nil {
		e.running = map[uint64]int{}
	}
	e.running[principal]++
	return nil
}

func (e *exports) leave(principal uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[principal]--; e.running[principal] == 0 {
		delete(e.running, principal)
	}
}

// export is one export on its way out.
type export struct {
	s      *historyServer
	stream grpc.ServerStreamingServer[sagov1.ExportResponse]
	caller *caller

	record  format.Record // the EXPORT record
	encoded []byte
	effect  format.ExportEffect
	size    uint64 // of the tree that everything is proven in
	next    uint64 // nothing before is sent: a sequence, or an own sequence
}

// Export implements sagov1.HistoryServiceServer. The EXPORT record is committed,
// and a checkpoint covers it, before the first record leaves. What is sent is
// read as the caller takes it; no lock and no slot is held meanwhile.
func (s *historyServer) Export(req *sagov1.ExportRequest, stream grpc.ServerStreamingServer[sagov1.ExportResponse]) error {
	ctx := stream.Context()
	c := callerOf(ctx)
	if err := s.exports.enter(c.ID); err != nil {
		return err
	}
	defer s.exports.leave(c.ID)
	e := &export{s: s, stream: stream, caller: c, next: req.GetNext()}
	if err := e.permit(ctx, req); err != nil {
		return err
	}
	find := e.begin
	if req.GetResume() != 0 {
		find = e.resume
	}
	if err := find(ctx, req); err != nil {
		return err
	}
	cp, err := e.checkpoint(ctx, req)
	if err != nil {
		return err
	}
	s.awaitWitnesses(ctx, cp.Checkpoint)
	if err := e.sendHeader(cp); err != nil {
		return err
	}
	if e.effect.Scope == format.ExportTree {
		return e.sendTree(ctx)
	}
	return e.sendOwn(ctx)
}

func scopeOf(req *sagov1.ExportRequest) (format.ExportScope, string) {
	if req.GetTree() {
		return format.ExportTree, "tree"
	}
	return format.ExportInstitution, "institution"
}

// permit refuses another institution's records, and decides again what the first
// call of a resumed export was allowed: Apply decides on new ones.
func (e *export) permit(ctx context.Context, req *sagov1.ExportRequest) error {
	st := e.s.node.Store()
	own, err := st.Institution(e.caller.Institution)
	if err != nil {
		return err
	}
	ok := req.GetInstitution() == "" || req.GetInstitution() == own.Code
	if ok && req.GetTree() && req.GetResume() != 0 {
		if ok, err = st.MayExportTree(own.Number); err != nil {
			return err
		}
	}
	if !ok {
		return e.s.deniedWithout(ctx, e.caller, sagov1.HistoryService_Export_FullMethodName, nil, refusal(format.ReasonNotPermitted, ""))
	}
	return nil
}

// begin commits the EXPORT record.
func (e *export) begin(ctx context.Context, req *sagov1.ExportRequest) error {
	since, err := micros(req.GetSince())
	if err != nil {
		return err
	}
	until, err := micros(req.GetUntil())
	if err != nil {
		return err
	}
	scope, name := scopeOf(req)
	d := e.caller.detail()
	d.Query = clip(query("export", name, "since", since, "until", until), maxName)
	op := store.Op{Kind: store.KindExport, Body: format.EncodeEffect(format.ExportEffect{Scope: scope, Since: since, Until: until})}
	result, err := e.s.propose(ctx, op, format.DetailOther, d)
	if err != nil {
		return err
	}
	return e.read(result.Sequence)
}

// resume finds the EXPORT record of an earlier call. Another institution's, one of
// another scope and one that does not exist answer alike.
func (e *export) resume(ctx context.Context, req *sagov1.ExportRequest) error {
	scope, name := scopeOf(req)
	sequence := req.GetResume() - 1
	asked := query("export", name, "resume", "#"+number(sequence), "size", req.GetCheckpointSize(), "next", req.GetNext())
	result, err := e.s.recordQuery(ctx, format.ListHistory, asked)
	if err != nil {
		return err
	}
	nothing := refusal(format.ReasonNotFound, "")
	if sequence > result.Sequence {
		return nothing
	}
	if err := e.read(sequence); err != nil {
		return err
	}
	if e.record.Action != format.ActExport || e.record.Result != format.ReasonOK || e.record.Institution != e.caller.Institution || e.effect.Scope != scope {
		return nothing
	}
	return nil
}

// read takes in the EXPORT record, if it is one.
func (e *export) read(sequence uint64) (err error) {
	if e.record, e.encoded, err = e.s.node.Store().Record(sequence); err != nil || e.record.Action != format.ActExport {
		return err
	}
	e.effect, err = format.DecodeExportEffect(e.record.Effect)
	return err
}

// checkpoint is the one that the export is proven under: a resumed one's own, or
// the least that covers the EXPORT record, taken now if there is none.
func (e *export) checkpoint(ctx context.Context, req *sagov1.ExportRequest) (cp format.CheckpointEffect, err error) {
	st := e.s.node.Store()
	if req.GetResume() != 0 {
		if cp, err = st.CheckpointAt(req.GetCheckpointSize()); errors.Is(err, store.ErrNoCheckpoint) || err == nil && cp.Checkpoint.Size <= e.record.Sequence {
			err = refusal(format.ReasonNotFound, "no checkpoint over that export has this size")
		}
	} else if err = e.s.node.Checkpoint(ctx, true); err == nil {
		cp, err = st.CheckpointCovering(e.record.Sequence)
	}
	e.size = cp.Checkpoint.Size
	return cp, err
}

func (e *export) sendHeader(cp format.CheckpointEffect) error {
	inst, err := e.s.node.Store().Institution(e.record.Institution)
	if err != nil {
		return err
	}
	h := &sagov1.ExportHeader{
		Sequence: e.record.Sequence, First: e.effect.First, End: e.effect.End, Minimum: e.effect.Minimum, Checkpoint: e.s.note(cp),
		Institution: inst.Number, InstitutionCode: inst.Code, Since: instant(e.effect.Since), Until: instant(e.effect.Until),
	}
	return e.stream.Send(&sagov1.ExportResponse{Part: &sagov1.ExportResponse_Header{Header: h}})
}

// sendTree sends tiles, then records, as docs/formats/export.md lays them out.
func (e *export) sendTree(ctx context.Context) error {
	if e.next == 0 {
		if err := e.sendTiles(ctx); err != nil {
			return err
		}
	}
	x := e.record.Sequence
	from, to := e.effect.Bundled(e.size)
	if err := e.sendRange(ctx, e.effect.First, min(e.effect.End, from), false); err != nil {
		return err
	}
	if err := e.sendRange(ctx, from, to, true); err != nil {
		return err
	}
	inRange := x >= e.effect.First && x < e.effect.End
	if inRange || x >= from && x < to || x < e.next {
		return nil
	}
	return e.sendRecord(x, e.encoded, false)
}

// sendRange sends the records [from, to), as far as they are still wanted.
func (e *export) sendRange(ctx context.Context, from, to uint64, bundled bool) error {
	from = max(from, e.next)
	if from >= to {
		return nil
	}
	at := from
	err := e.s.node.Store().Kept(ctx, from, to, func(sequence uint64, encoded []byte) error {
		if err := e.passOver(at, sequence); err != nil {
			return err
		}
		at = sequence + 1
		return e.sendRecord(sequence, encoded, bundled)
	})
	if err != nil {
		return err
	}
	return e.passOver(at, to)
}

// passOver takes note that the numbers [from, to) are not there any more. From the
// minimum on the EXPORT record says that they are: history retention has come
// further since, and only a new export can say so.
func (e *export) passOver(from, to uint64) error {
	if from < to && to > e.effect.Minimum {
		return refusal(format.ReasonState, "history retention has erased records of this export; begin a new one")
	}
	return nil
}

// sendTiles sends every hash tile of the tree.
func (e *export) sendTiles(ctx context.Context) error {
	for t := range format.Tiles(e.size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		hashes, err := e.s.node.Store().Tile(t)
		if err != nil {
			return err
		}
		tile := &sagov1.ExportTile{Level: uint32(t.Level), Index: t.N, Hashes: hashes}
		if err := e.stream.Send(&sagov1.ExportResponse{Part: &sagov1.ExportResponse_Tile{Tile: tile}}); err != nil {
			return err
		}
	}
	return nil
}

// sendOwn sends the institution's records one by one, each with its proof.
func (e *export) sendOwn(ctx context.Context) error {
	st := e.s.node.Store()
	at := max(e.effect.First, e.next)
	for own := at; own < e.effect.End; own += scanBatch {
		batch, err := st.OwnSequences(e.record.Institution, own, min(own+scanBatch, e.effect.End))
		if err != nil {
			return err
		}
		for _, sequence := range batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			rec, encoded, err := st.Record(sequence)
			if err != nil {
				return err
			}
			if err := e.passOver(at, rec.InstitutionSequence); err != nil {
				return err
			}
			at = rec.InstitutionSequence + 1
			if err := e.sendRecord(sequence, encoded, false); err != nil {
				return err
			}
		}
	}
	if err := e.passOver(at, e.effect.End); err != nil {
		return err
	}
	if own := e.record.InstitutionSequence; own >= e.effect.First && own < e.effect.End || own < e.next {
		return nil
	}
	return e.sendRecord(e.record.Sequence, e.encoded, false)
}

// sendRecord sends one record, with its proof unless a bundle proves it.
func (e *export) sendRecord(sequence uint64, encoded []byte, bundled bool) error {
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return err
	}
	out := &sagov1.ExportRecord{Encoded: bytes.Clone(encoded), Bundled: bundled} // what was sent stays gRPC's
	if !bundled {
		path, err := e.s.node.Store().Prove(sequence, e.size)
		if err != nil {
			return err
		}
		out.Path = slicesOf(path)
	}
	at := sequence
	if e.effect.Scope == format.ExportInstitution {
		at = rec.InstitutionSequence
	}
	if at >= e.effect.First && at < e.effect.End {
		if out.Readable, err = e.readable(&rec, encoded); err != nil {
			return err
		}
	}
	return e.stream.Send(&sagov1.ExportResponse{Part: &sagov1.ExportResponse_Record{Record: out}})
}

// readable is the record as far as the caller may open it: of another
// institution's, what its envelope says to anybody.
func (e *export) readable(rec *format.Record, encoded []byte) (*sagov1.HistoryRecord, error) {
	if rec.Institution == e.caller.Institution || rec.Institution == 0 && isPublic(rec.Action) {
		return e.s.historyRecord(rec, encoded)
	}
	return e.s.envelope(rec, encoded)
}
