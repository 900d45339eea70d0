package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// bundleServer answers BundleService.
type bundleServer struct {
	sagov1.UnimplementedBundleServiceServer
	*Server
}

// Put implements sagov1.BundleServiceServer.
func (s *bundleServer) Put(ctx context.Context, req *sagov1.PutRequest) (*sagov1.PutResponse, error) {
	b, err := checkHeader(callerOf(ctx), req.GetHeader(), maxUnary)
	if err != nil {
		return nil, err
	}
	if len(req.GetContents()) != len(b.documents) {
		return nil, invalid(format.ReasonInvalid, "%d contents for %d documents", len(req.GetContents()), len(b.documents))
	}
	for i, content := range req.GetContents() {
		if uint64(len(content)) != b.documents[i].Size {
			return nil, invalid(format.ReasonInvalid, "document %d has %d bytes, the header says %d", i+1, len(content), b.documents[i].Size)
		}
	}
	contents := req.GetContents()
	receipt, err := s.put(ctx, b, func() ([]byte, error) {
		if len(contents) == 0 {
			return nil, io.EOF
		}
		next := contents[0]
		contents = contents[1:]
		return next, nil
	})
	return &sagov1.PutResponse{Receipt: receipt}, err
}

// PutStream implements sagov1.BundleServiceServer.
func (s *bundleServer) PutStream(stream grpc.ClientStreamingServer[sagov1.PutStreamRequest, sagov1.PutStreamResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return noEOF(err)
	}
	b, err := checkHeader(callerOf(stream.Context()), first.GetHeader(), format.MaxBundle)
	if err != nil {
		return err
	}
	receipt, err := s.put(stream.Context(), b, func() ([]byte, error) {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if _, data := m.GetPart().(*sagov1.PutStreamRequest_Data); !data {
			return nil, invalid(format.ReasonInvalid, "a second header")
		}
		return m.GetData(), nil
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&sagov1.PutStreamResponse{Receipt: receipt})
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return invalid(format.ReasonInvalid, "the stream is empty")
	}
	return err
}

// put takes a bundle's bytes from next until io.EOF, seals and proposes them
// while they come, and stores the bundle. A number that is taken already costs
// no key: the bytes are only hashed and compared.
func (s *bundleServer) put(ctx context.Context, b newBundle, next func() ([]byte, error)) (*sagov1.Receipt, error) {
	existing, err := s.node.Store().Bundle(b.key)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		fingerprint, err := b.hash(next, io.Discard)
		if err != nil {
			return nil, err
		}
		if existing, err = s.confirmed(ctx, b.key); err != nil {
			return nil, err
		}
		return s.answerExisting(ctx, b, existing, fingerprint)
	}
	subject, err := s.node.Store().SubjectRef(b.key.Institution, b.subjectCI)
	if err != nil {
		return nil, err
	}
	slot, err := s.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer s.node.SlotDone(slot) // after the flight
	flight := s.newChunkFlight(ctx)
	defer flight.abandon()
	seal, err := s.node.Store().NewBundleSeal(slot, flight.send)
	if err != nil {
		return nil, err
	}
	defer seal.Wipe()
	fingerprint, err := b.hash(next, seal)
	if err != nil {
		return nil, err
	}
	last, effect, err := seal.Finish(format.Description{Fingerprint: fingerprint, Basis: b.basis, Documents: b.documents})
	if err != nil {
		return nil, err
	}
	if err := flight.land(); err != nil {
		return nil, err
	}
	effect.Definition, effect.Rule, effect.BasisKind, effect.Subject = b.definition, b.rule.String(), uint8(b.basisKind), subject
	return s.store(ctx, b, effect, last, fingerprint)
}

// slot waits for a key slot no longer than for a majority.
func (s *Server) slot(ctx context.Context) (format.Slot, error) {
	ctx, cancel := context.WithTimeout(ctx, proposeWithin)
	defer cancel()
	return s.node.Slot(ctx)
}

// store proposes the STORE that makes the sealed chunks a bundle.
func (s *bundleServer) store(ctx context.Context, b newBundle, effect format.StoreEffect, last format.Chunk, fingerprint format.Digest) (*sagov1.Receipt, error) {
	detail := callerOf(ctx).detail()
	detail.Basis = b.basis
	op := store.Op{Kind: store.KindStore, Transaction: b.key.Transaction, Part: b.key.Part, Body: format.EncodeEffect(effect)}
	result, err := s.propose(ctx, op, format.DetailOther, detail, last)
	if err != nil {
		return nil, err
	}
	row := result.Bundle
	if row == nil {
		if row, err = s.node.Store().Bundle(b.key); err != nil || row == nil {
			return nil, errors.Join(err, errors.New("a bundle that was stored is not there"))
		}
	}
	if result.Outcome == store.Exists {
		return s.answerExisting(ctx, b, row, fingerprint)
	}
	receipt, err := s.receipt(b.key, row, result.Leaf)
	if err == nil {
		receipt.Fingerprint = fingerprintText(fingerprint)
	}
	return receipt, err
}

// confirmed is the bundle's row after an entry that a majority took: a node that
// is cut off must not confirm what the others may have erased meanwhile.
func (s *bundleServer) confirmed(ctx context.Context, key format.BundleKey) (*format.BundleRow, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	row, err := s.node.Store().Bundle(key)
	if err == nil && row == nil {
		err = errors.New("a bundle is gone from the state")
	}
	return row, err
}

// answerExisting answers the first receipt for the same content, and for other
// content records and answers the conflict. The same content under another rule
// is still the same content: the first receipt says how long it is kept.
func (s *bundleServer) answerExisting(ctx context.Context, b newBundle, row *format.BundleRow, fingerprint format.Digest) (*sagov1.Receipt, error) {
	why := "the number is taken by a bundle whose retention has ended"
	if reason, _, err := s.node.Store().Barred(b.key); err != nil {
		return nil, err
	} else if reason == format.ReasonSpecialDeleted {
		why = "the number is taken by a bundle that was specially deleted"
	}
	if !s.ended(b.key, row) {
		commitment, err := s.node.Store().Commitment(row.Slot, fingerprint)
		if err == nil && commitment == row.Commitment {
			return s.firstReceipt(b.key, row, fingerprint)
		}
		if err != nil && !errors.Is(err, store.ErrKeyErased) {
			return nil, err
		}
		why = "other content is stored under this transaction number"
	}
	c := callerOf(ctx)
	one := denial{
		reason: format.ReasonConflict, verb: format.ActStore, actor: c.ID, institution: c.Institution, transaction: b.key.Transaction, part: b.key.Part,
		count: 1, detail: c.detail(),
	}
	if err := s.deny(ctx, c, one); err != nil {
		return nil, &problem{reason: reasonUnavailable, code: codes.Unavailable, why: "the refusal could not be recorded", err: err}
	}
	return nil, refusal(format.ReasonConflict, why)
}

func (s *bundleServer) firstReceipt(key format.BundleKey, row *format.BundleRow, fingerprint format.Digest) (*sagov1.Receipt, error) {
	_, encoded, err := s.node.Store().Record(row.Store)
	if err != nil {
		return nil, err
	}
	receipt, err := s.receipt(key, row, format.LeafHash(encoded))
	if err == nil {
		receipt.Fingerprint, receipt.AlreadyStored = fingerprintText(fingerprint), true
	}
	return receipt, err
}

// hash copies all the bytes to w and gives each document its digest; it answers
// the bundle's fingerprint: the digest of the one document, or of all the digests
// one after another.
func (b *newBundle) hash(next func() ([]byte, error), w io.Writer) (format.Digest, error) {
	h, at := sha256.New(), 0
	left := b.documents[0].Size
	closeFull := func() {
		for left == 0 && at < len(b.documents) {
			b.documents[at].Digest = format.Digest(h.Sum(nil))
			h.Reset()
			if at++; at < len(b.documents) {
				left = b.documents[at].Size
			}
		}
	}
	for {
		closeFull()
		data, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return format.Digest{}, err
		}
		for len(data) > 0 {
			if closeFull(); at == len(b.documents) {
				return format.Digest{}, invalid(format.ReasonInvalid, "more bytes than the header says")
			}
			n := min(uint64(len(data)), left)
			h.Write(data[:n])
			if _, err := w.Write(data[:n]); err != nil {
				return format.Digest{}, fmt.Errorf("seal: %w", err)
			}
			data, left = data[n:], left-n
		}
	}
	if at < len(b.documents) {
		return format.Digest{}, invalid(format.ReasonInvalid, "the bytes end within document %d", at+1)
	}
	return fingerprintOf(b.documents), nil
}
