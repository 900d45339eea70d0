package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// Get reads a bundle. It calls open with the answered header, and writes each
// document to the writer that open returned in its place.
//
// What was written is to be used only when Get returns a nil error: then every
// document has the answered size and SHA-256, and all together the answered
// fingerprint. Otherwise the error wraps [ErrIntegrity], or says what ended the
// read. When a node breaks off, the next one is asked and open is called again,
// for the same view under the same request id; it must start anew.
func (c *Client) Get(ctx context.Context, req *sagov1.GetRequest, open func(*sagov1.GetHeader) ([]io.Writer, error)) (*sagov1.GetHeader, error) {
	req = proto.CloneOf(req)
	if len(req.RequestId) == 0 {
		req.RequestId = make([]byte, 16)
		rand.Read(req.RequestId)
	}
	return call(ctx, c, repeatable, func(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (*sagov1.GetHeader, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := sagov1.NewBundleServiceClient(conn).Get(ctx, req, opts...)
		if err != nil {
			return nil, err
		}
		return receive(stream, open)
	})
}

// GetBytes reads a bundle into memory, document by document. See [Client.Get].
func (c *Client) GetBytes(ctx context.Context, req *sagov1.GetRequest) (*sagov1.GetHeader, [][]byte, error) {
	var buffers []*bytes.Buffer
	header, err := c.Get(ctx, req, func(h *sagov1.GetHeader) ([]io.Writer, error) {
		buffers = nil
		var to []io.Writer
		for range h.GetDocuments() {
			b := &bytes.Buffer{}
			buffers, to = append(buffers, b), append(to, b)
		}
		return to, nil
	})
	if err != nil {
		return nil, nil, err
	}
	var documents [][]byte
	for _, b := range buffers {
		documents = append(documents, b.Bytes())
	}
	return header, documents, nil
}

func receive(stream grpc.ServerStreamingClient[sagov1.GetResponse], open func(*sagov1.GetHeader) ([]io.Writer, error)) (*sagov1.GetHeader, error) {
	first, err := stream.Recv()
	if err != nil {
		return nil, ended(err)
	}
	h := first.GetHeader()
	if err := checkHeader(h); err != nil {
		return nil, err
	}
	to, err := open(h)
	if err != nil {
		return nil, err
	}
	if len(to) != len(h.GetDocuments()) {
		return nil, fmt.Errorf("%d writers for %d documents", len(to), len(h.GetDocuments()))
	}
	s := &splitter{header: h, to: to, hash: sha256.New()}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return h, s.finish()
		}
		if err != nil {
			return nil, err
		}
		if _, data := m.GetPart().(*sagov1.GetResponse_Data); !data {
			return nil, integrity("a second header")
		}
		if err := s.write(m.GetData()); err != nil {
			return nil, err
		}
	}
}

// ended turns a stream's end without any answer into damage.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return integrity("an empty answer")
	}
	return err
}

func checkHeader(h *sagov1.GetHeader) error {
	var sum uint64
	for _, d := range h.GetDocuments() {
		if d.GetSize() > MaxBundle {
			return integrity("a document of %d bytes", d.GetSize())
		}
		sum += d.GetSize()
	}
	if len(h.GetDocuments()) == 0 || sum != h.GetSize() || sum > MaxBundle {
		return integrity("%d documents of together %d bytes in a bundle of %d", len(h.GetDocuments()), sum, h.GetSize())
	}
	return nil
}

// splitter hands the stream's bytes to the documents in order and hashes them.
type splitter struct {
	header *sagov1.GetHeader
	to     []io.Writer
	hash   hash.Hash
	in     int    // the document that the next byte belongs to
	done   uint64 // its bytes so far
	sums   [][32]byte
}

func (s *splitter) write(b []byte) error {
	for len(b) > 0 {
		if err := s.closeFull(); err != nil {
			return err
		}
		if s.in == len(s.to) {
			return integrity("more bytes than the header says")
		}
		n := min(uint64(len(b)), s.header.Documents[s.in].GetSize()-s.done)
		s.hash.Write(b[:n])
		if _, err := s.to[s.in].Write(b[:n]); err != nil {
			return err
		}
		s.done += n
		b = b[n:]
	}
	return nil
}

// closeFull ends every document whose bytes are all there, and holds its digest
// against its fingerprint.
func (s *splitter) closeFull() error {
	for s.in < len(s.to) && s.done == s.header.Documents[s.in].GetSize() {
		d := s.header.Documents[s.in]
		sum := [32]byte(s.hash.Sum(nil))
		if Fingerprint(sum) != d.GetFingerprint() {
			return integrity("document %d has %s, the header says %q", s.in+1, Fingerprint(sum), d.GetFingerprint())
		}
		s.sums = append(s.sums, sum)
		s.hash.Reset()
		s.in, s.done = s.in+1, 0
	}
	return nil
}

func (s *splitter) finish() error {
	if err := s.closeFull(); err != nil {
		return err
	}
	if s.in != len(s.to) {
		return integrity("the answer ends within document %d", s.in+1)
	}
	if f := Fingerprint(s.sums...); f != s.header.GetFingerprint() {
		return integrity("the documents have %s, the header says %q", f, s.header.GetFingerprint())
	}
	return nil
}
