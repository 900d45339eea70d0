package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Verify implements sagov1.BundleServiceServer: it reads this node's own copy.
func (s *bundleServer) Verify(ctx context.Context, req *sagov1.VerifyRequest) (*sagov1.VerifyResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	result, err := s.about(ctx, store.Op{Kind: store.KindVerify}, key, format.ActVerify, format.DetailOther, c.detail())
	if err != nil {
		return nil, err
	}
	answer := &sagov1.VerifyResponse{Node: s.node.Name(), HistorySequence: result.Sequence}
	fingerprint, found, err := s.verifyCopy(ctx, key, result.Bundle)
	if err != nil {
		return nil, s.readProblem(key, err)
	}
	if len(found) > 0 { // what went because the deadline passed meanwhile is no damage
		if err := s.alive(key); err != nil {
			return nil, err
		}
	}
	answer.Intact, answer.Damage = len(found) == 0, found
	if fingerprint != (format.Digest{}) {
		answer.Fingerprint = fingerprintText(fingerprint)
	}
	return answer, nil
}

// verifyCopy reads every chunk of a bundle here, opens it and hashes every
// document again. It answers the fingerprint that the bundle's own description
// names, and what is damaged; an error only for what is neither.
func (s *Server) verifyCopy(ctx context.Context, key format.BundleKey, row *format.BundleRow) (format.Digest, []string, error) {
	st := s.node.Store()
	headers, err := st.BundleChunks(row)
	if errors.Is(err, store.ErrMissing) {
		return format.Digest{}, []string{err.Error()}, nil
	}
	if err != nil {
		return format.Digest{}, nil, err
	}
	var found []string
	for _, h := range headers {
		if err := ctx.Err(); err != nil {
			return format.Digest{}, nil, err
		}
		if _, err := st.Chunk(h); err != nil {
			if err := s.alive(key); err != nil {
				return format.Digest{}, nil, err
			}
			found = append(found, fmt.Sprintf("chunk %d of slot %s: %v", h.Chunk, h.Slot, err))
			// Asking for the chunk has the node mend its copy from a peer.
			_, _ = s.node.FetchChunk(ctx, row, h)
		}
	}
	if len(found) > 0 {
		return format.Digest{}, found, nil
	}
	fingerprint, err := s.rehash(row, headers)
	switch {
	case err == nil:
		return fingerprint, nil, nil
	case errors.Is(err, store.ErrKeyErased), errors.Is(err, store.ErrKeyMissing):
		return fingerprint, nil, err
	}
	return fingerprint, []string{err.Error()}, nil
}

// rehash opens the copy here and compares every document's digest and the
// fingerprint; opening compares the commitment.
func (s *Server) rehash(row *format.BundleRow, headers []format.ChunkHeader) (format.Digest, error) {
	st := s.node.Store()
	bundle, err := st.OpenBundle(row, headers, func(h format.ChunkHeader) ([]byte, error) {
		c, err := st.Chunk(h)
		return c.Sealed, err
	})
	if err != nil {
		return format.Digest{}, err
	}
	d := bundle.Description
	b := newBundle{documents: make([]format.Document, len(d.Documents))}
	for i, doc := range d.Documents {
		b.documents[i].Size = doc.Size
	}
	if len(b.documents) == 0 {
		return d.Fingerprint, &format.DamageError{File: "segments", Offset: -1, What: "description without documents"}
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends when the pipe does: below, at the latest
		_, err := bundle.WriteTo(w)
		done <- w.CloseWithError(err)
	}()
	buf := make([]byte, piece)
	fingerprint, err := b.hash(func() ([]byte, error) {
		n, err := r.Read(buf)
		return buf[:n], err
	}, io.Discard)
	_ = r.CloseWithError(err) // lets the writer go when hashing ended first
	<-done
	if err != nil {
		return d.Fingerprint, err
	}
	for i, doc := range d.Documents {
		if b.documents[i].Digest != doc.Digest {
			return d.Fingerprint, &format.DamageError{File: "segments", Offset: -1, What: fmt.Sprintf("document %d hashes to sha256:%x", i+1, b.documents[i].Digest)}
		}
	}
	if fingerprint != d.Fingerprint {
		return d.Fingerprint, &format.DamageError{File: "segments", Offset: -1, What: "the documents' digests do not make up the fingerprint"}
	}
	return d.Fingerprint, nil
}

// sum is the SHA-256 of all its parts.
func sum(parts ...[]byte) format.Digest {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return format.Digest(h.Sum(nil))
}
