package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

const (
	// MaxUnary is the greatest size of a bundle that is sent in one message, in bytes.
	MaxUnary = 4 << 20
	// MaxBundle is the greatest size of a bundle, in bytes.
	MaxBundle = 256 << 20
	// piece is the size of a stream's data messages, in bytes.
	piece = 512 << 10
)

// Content is one document to store. Data is read from the beginning for every
// endpoint that is tried, up to Size bytes.
type Content struct {
	Name      string
	MediaType string
	Size      int64
	Data      io.ReaderAt
}

// BytesContent is a document in memory.
func BytesContent(name, mediaType string, data []byte) Content {
	return Content{Name: name, MediaType: mediaType, Size: int64(len(data)), Data: bytes.NewReader(data)}
}

// Put stores a bundle of these documents and returns its receipt. The header's
// own list of documents is not looked at. Up to [MaxUnary] bytes go in one
// message, up to [MaxBundle] as a stream. Storing the same number with the same
// content again answers the first receipt.
//
// The receipt's fingerprint was compared with the bytes that were sent; when
// they differ the error wraps [ErrIntegrity].
func (c *Client) Put(ctx context.Context, header *sagov1.BundleHeader, documents ...Content) (*sagov1.Receipt, error) {
	h := proto.CloneOf(header)
	h.Documents = nil
	var size int64
	for _, d := range documents {
		h.Documents = append(h.Documents, &sagov1.DocumentHeader{Name: d.Name, MediaType: d.MediaType, Size: uint64(d.Size)})
		size += d.Size
		if d.Size < 0 || size > MaxBundle {
			return nil, &Error{
				Reason: "TOO_LARGE", Code: codes.InvalidArgument,
				Message: fmt.Sprintf("a bundle holds at most %d bytes", MaxBundle),
			}
		}
	}
	if len(documents) == 0 {
		return nil, &Error{Reason: "INVALID", Code: codes.InvalidArgument, Message: "a bundle holds at least one document"}
	}
	send := putStream
	if size <= MaxUnary {
		send = putUnary
	}
	return call(ctx, c, repeatable, func(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (*sagov1.Receipt, error) {
		receipt, fingerprint, err := send(ctx, sagov1.NewBundleServiceClient(conn), h, documents, opts)
		if err != nil {
			return nil, err
		}
		if receipt.GetFingerprint() != fingerprint {
			return nil, integrity("sent %s, the receipt says %q", fingerprint, receipt.GetFingerprint())
		}
		return receipt, nil
	})
}

func putUnary(ctx context.Context, to sagov1.BundleServiceClient, h *sagov1.BundleHeader, documents []Content, opts []grpc.CallOption) (*sagov1.Receipt, string, error) {
	req := &sagov1.PutRequest{Header: h}
	var sums [][32]byte
	for _, d := range documents {
		b := make([]byte, d.Size)
		if _, err := io.ReadFull(io.NewSectionReader(d.Data, 0, d.Size), b); err != nil {
			return nil, "", fmt.Errorf("read %q: %w", d.Name, err)
		}
		req.Contents = append(req.Contents, b)
		sums = append(sums, sha256.Sum256(b))
	}
	resp, err := to.Put(ctx, req, opts...)
	return resp.GetReceipt(), Fingerprint(sums...), err
}

func putStream(ctx context.Context, to sagov1.BundleServiceClient, h *sagov1.BundleHeader, documents []Content, opts []grpc.CallOption) (*sagov1.Receipt, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // nothing is stored unless the stream ends well
	stream, err := to.PutStream(ctx, opts...)
	if err != nil {
		return nil, "", err
	}
	err = stream.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Header{Header: h}})
	var sums [][32]byte
	for _, d := range documents {
		if err != nil {
			break
		}
		var sum [32]byte
		sum, err = sendDocument(stream, d)
		sums = append(sums, sum)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	// io.EOF from Send means that the server ended the stream; why is in its answer.
	resp, err := stream.CloseAndRecv()
	if err == nil && len(sums) != len(documents) {
		return nil, "", integrity("the server answered before everything was sent")
	}
	return resp.GetReceipt(), Fingerprint(sums...), err
}

func sendDocument(stream grpc.ClientStreamingClient[sagov1.PutStreamRequest, sagov1.PutStreamResponse], d Content) (sum [32]byte, err error) {
	hash := sha256.New()
	from := io.NewSectionReader(d.Data, 0, d.Size)
	for left := d.Size; left > 0; {
		b := make([]byte, min(left, piece)) // a sent message stays gRPC's
		if _, err := io.ReadFull(from, b); err != nil {
			return sum, fmt.Errorf("read %q: %w", d.Name, noEOF(err))
		}
		hash.Write(b)
		if err := stream.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Data{Data: b}}); err != nil {
			return sum, err
		}
		left -= int64(len(b))
	}
	hash.Sum(sum[:0])
	return sum, nil
}

// noEOF keeps a document that ends early apart from a stream that the server ended.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
