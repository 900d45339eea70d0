package service

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// piece is the size of a read's data messages, bytes.
const piece = 256 << 10

// Get implements sagov1.BundleServiceServer. The READ record is committed before
// the first byte leaves (I3).
func (s *bundleServer) Get(req *sagov1.GetRequest, stream grpc.ServerStreamingServer[sagov1.GetResponse]) error {
	ctx := stream.Context()
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return err
	}
	detail, err := actingPerson(c, req.GetWho())
	if err != nil {
		return s.deniedWithout(ctx, c, sagov1.BundleService_Get_FullMethodName, req, err)
	}
	request, err := s.requestID(req.GetRequestId())
	if err != nil {
		return err
	}
	read := format.ReadEffect{Request: request}
	if req.GetHold() != "" {
		if read.Store, detail.Query, err = s.readFor(key, req.GetHold()); err != nil {
			return err
		}
	}
	op := store.Op{Kind: store.KindRead, Body: format.EncodeEffect(read)}
	result, err := s.about(ctx, op, key, format.ActRead, format.DetailOther, detail)
	if err != nil {
		return err
	}
	bundle, err := s.open(ctx, key, result.Bundle)
	if err != nil {
		return err
	}
	d := bundle.Description
	header := &sagov1.GetHeader{
		Fingerprint: fingerprintText(d.Fingerprint), Size: result.Bundle.Size, Documents: documentsOf(d),
		HistorySequence: result.Sequence, LeafHash: result.Leaf[:],
	}
	if err := stream.Send(&sagov1.GetResponse{Part: &sagov1.GetResponse_Header{Header: header}}); err != nil {
		return err
	}
	out := &pieces{s: s.Server, key: key, stream: stream}
	if _, err := bundle.WriteTo(out); err != nil {
		return s.readProblem(key, err)
	}
	return out.flush()
}

// requestID is the caller's id of a read, which makes a repeated one-time view
// the same view, or a fresh one.
func (s *Server) requestID(given []byte) (format.ID, error) {
	switch len(given) {
	case 0:
		return s.node.NewID(), nil
	case len(format.ID{}):
		return format.ID(given), nil
	}
	return format.ID{}, invalid(format.ReasonInvalid, "a request id has 16 bytes")
}

// open opens a bundle's bytes, wherever a good copy of each chunk is.
func (s *Server) open(ctx context.Context, key format.BundleKey, row *format.BundleRow) (*store.BundleReader, error) {
	headers, err := s.node.ChunkHeaders(ctx, row)
	if err != nil {
		return nil, s.readProblem(key, err)
	}
	bundle, err := s.node.Store().OpenBundle(row, headers, func(h format.ChunkHeader) ([]byte, error) {
		// Not asked for past the deadline: its absence would look like damage.
		if err := s.alive(key); err != nil {
			return nil, err
		}
		return s.node.FetchChunk(ctx, row, h)
	})
	if err != nil {
		return nil, s.readProblem(key, err)
	}
	return bundle, nil
}

// alive refuses a bundle that has ended.
func (s *Server) alive(key format.BundleKey) error {
	reason, why, err := s.node.Store().Barred(key)
	switch {
	case err != nil || reason == format.ReasonOK || reason == format.ReasonStopped:
		return err
	case reason == format.ReasonNotFound:
		reason = format.ReasonExpired
	}
	return refusal(reason, why)
}

// handed refuses a bundle that is not handed out any more, or not now.
func (s *Server) handed(key format.BundleKey) error {
	reason, why, err := s.node.Store().Barred(key)
	if err == nil && reason == format.ReasonStopped {
		return refusal(reason, why)
	}
	return s.alive(key)
}

// readProblem is why a read ends early. Bytes and keys that go while it runs go
// because the bundle has ended: that is no damage.
func (s *Server) readProblem(key format.BundleKey, err error) error {
	if ended := s.alive(key); ended != nil {
		if problemOf(ended).reason == reasonInternal {
			return errors.Join(err, ended)
		}
		return ended
	}
	if errors.Is(err, store.ErrKeyErased) {
		return damaged(err) // erased though nothing decided it
	}
	if p := problemOf(err); p.reason != reasonInternal {
		return p
	}
	return damaged(err) // a ciphertext that does not open, a file that cannot be read
}

// pieces sends a bundle's bytes in data messages, none after its end or behind an
// order of circulation stop.
type pieces struct {
	s      *Server
	key    format.BundleKey
	stream grpc.ServerStreamingServer[sagov1.GetResponse]
	buf    []byte
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if p.buf == nil {
			p.buf = make([]byte, 0, piece) // what was sent stays gRPC's
		}
		take := min(len(b), piece-len(p.buf))
		p.buf = append(p.buf, b[:take]...)
		b = b[take:]
		if len(p.buf) == piece {
			if err := p.flush(); err != nil {
				return n - len(b), err
			}
		}
	}
	return n, nil
}

// flush sends what is gathered.
func (p *pieces) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	if err := p.s.handed(p.key); err != nil {
		return err
	}
	data := p.buf
	p.buf = nil
	return p.stream.Send(&sagov1.GetResponse{Part: &sagov1.GetResponse_Data{Data: data}})
}
