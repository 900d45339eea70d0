package keyarchive

import (
	"crypto/ecdh"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// The text blocks that a request and what it is answered travel in.
const (
	requestBlock = "SAGO KEY REQUEST"
	releaseBlock = "SAGO KEY SHARES"
)

// RequestText is a request as its file holds it.
func RequestText(q format.ReleaseRequest) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: q.Encode()})
}

// ParseRequest reads RequestText.
func ParseRequest(text []byte) (format.ReleaseRequest, error) {
	b, err := textBlock(text, requestBlock)
	if err != nil {
		return format.ReleaseRequest{}, err
	}
	return format.DecodeReleaseRequest(b)
}

// ReleaseText is a release as its file holds it.
func ReleaseText(a format.Release) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: releaseBlock, Bytes: a.Encode()})
}

// ParseRelease reads ReleaseText.
func ParseRelease(text []byte) (format.Release, error) {
	b, err := textBlock(text, releaseBlock)
	if err != nil {
		return format.Release{}, err
	}
	return format.DecodeRelease(b)
}

func textBlock(text []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(rest) > 0 {
		return nil, fmt.Errorf("not one %q block", kind)
	}
	return block.Bytes, nil
}

// Release opens a holder's shares of archives, which ascend by sequence and are of
// one period, and seals each to the request's key. Who asks is the caller's to
// check.
func Release(q format.ReleaseRequest, own *ecdh.PrivateKey, archives []*Archive) (format.Release, error) {
	out := format.Release{Cluster: q.Cluster, Request: q.Key}
	public := PublicOf(own.PublicKey())
	for _, a := range archives {
		p, err := a.Point(own)
		if err != nil {
			return out, fmt.Errorf("archive %d: %w", a.Sequence, err)
		}
		if a.Cluster != q.Cluster {
			return out, errors.New("the request is of another cluster")
		}
		s := format.ReleasedShare{Sequence: a.Sequence, X: p.X}
		out.Period = a.Period
		for _, h := range a.Shares {
			if h.Holder == public {
				out.Person = h.Person
			}
		}
		s.Ephemeral, s.Sealed, err = sealTo(q.Key, labelRelease, releaseData(out, s), &p.Y)
		clear(p.Y[:])
		if err != nil {
			return out, err
		}
		out.Shares = append(out.Shares, s)
	}
	return out, nil
}

// releaseData binds a released share to what it is of.
func releaseData(a format.Release, s format.ReleasedShare) []byte {
	var w format.Writer
	w.Raw(a.Cluster[:])
	w.Raw(a.Period[:])
	w.U64(a.Person)
	w.U64(s.Sequence)
	w.U8(s.X)
	return w.Bytes()
}

// Take opens what was released to a request's own key: shares by the sequence of
// their archive. The caller wipes them.
func Take(own *ecdh.PrivateKey, a format.Release) (map[uint64]Point, error) {
	if a.Request != PublicOf(own.PublicKey()) {
		return nil, errors.New("the shares were released to another request")
	}
	out := map[uint64]Point{}
	for _, s := range a.Shares {
		y, err := openFrom(own, labelRelease, releaseData(a, s), s.Ephemeral, s.Sealed)
		if err != nil {
			return nil, fmt.Errorf("share of archive %d: %w", s.Sequence, err)
		}
		out[s.Sequence] = Point{X: s.X, Y: y}
		clear(y[:])
	}
	return out, nil
}
