// Package cosign asks an independent witness over HTTP to cosign a checkpoint, as
// C2SP tlog-witness has it (docs/formats/checkpoint.md).
//
// It guarantees that nothing counts before it verified: a cosignature is answered
// only if it is the asked witness's own over the checkpoint that was shown, and
// what a witness answers is bounded in size. It asks at most twice a call, keeps
// nothing, and starts nothing.
package cosign

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sago-worm/sago/store/format"
)

// maxAnswer bounds what is read of a witness's answer, in bytes.
const maxAnswer = 64 << 10

var (
	// ErrContradiction means that the witness takes the checkpoint for that of
	// another history than the one it cosigned before.
	ErrContradiction = errors.New("the witness says that this is not the history that it cosigned before")
	// ErrAnswer means that the witness did not answer as a witness does, or signed
	// something else.
	ErrAnswer = errors.New("not the answer of this witness")
	// ErrRefused means that the witness does not know this log, or its keys.
	ErrRefused = errors.New("the witness refuses the log")
)

// Ahead means that the witness has cosigned a larger tree than it was shown.
type Ahead struct {
	Size uint64 // what it says that it cosigned last
}

// Error implements error.
func (e *Ahead) Error() string { return fmt.Sprintf("the witness has cosigned size %d", e.Size) }

// HTTP is a client fit for witnesses: it takes no longer than this for a call,
// follows nobody elsewhere, and asks no proxy. roots nil: the system's.
func HTTP(roots *x509.CertPool, within time.Duration) *http.Client {
	return &http.Client{
		Timeout:       within,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 16 << 10},
	}
}

// Witness is where a witness is reached, and by what it is known.
type Witness struct {
	URL string // without a trailing slash
	Key format.NoteKey
	// HTTP makes the calls; its time-outs are the caller's to set.
	HTTP *http.Client
}

// Prove answers the RFC 6962 consistency proof from tree size old to the
// checkpoint's. It is not asked for 0 or the checkpoint's own size.
type Prove func(ctx context.Context, old uint64) ([]format.Digest, error)

// Ask shows a checkpoint to the witness, which cosigned a tree of size old last
// as far as the caller knows; a witness that names another size is asked once
// more from there. It answers the witness's signature line. Errors: *Ahead,
// ErrContradiction, ErrRefused, ErrAnswer, those of Prove and of HTTP.
func (w Witness) Ask(ctx context.Context, n format.Note, size, old uint64, prove Prove) (format.NoteLine, error) {
	for again := false; ; again = true {
		if old > size {
			return format.NoteLine{}, &Ahead{old}
		}
		a := format.AddCheckpoint{Old: old, Note: n}
		if old > 0 && old < size {
			var err error
			if a.Proof, err = prove(ctx, old); err != nil {
				return format.NoteLine{}, fmt.Errorf("proof from %d to %d: %w", old, size, err)
			}
		}
		line, has, err := w.post(ctx, a)
		if err == nil || has == nil {
			return line, err
		}
		switch {
		case *has == old:
			return line, fmt.Errorf("%w: at size %d", ErrContradiction, old)
		case again: // somebody else's request came between, or it plays
			return line, fmt.Errorf("%w: it named size %d, then %d", ErrAnswer, old, *has)
		}
		old = *has
	}
}

// post asks once; has is the size that a conflict names.
func (w Witness) post(ctx context.Context, a format.AddCheckpoint) (line format.NoteLine, has *uint64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/add-checkpoint", strings.NewReader(a.String()))
	if err != nil {
		return line, nil, err
	}
	status, body, err := w.do(req)
	if err != nil {
		return line, nil, err
	}
	switch status {
	case http.StatusOK:
		line, err = w.own(a.Note.Text, body)
		return line, nil, err
	case http.StatusConflict:
		size, err := strconv.ParseUint(strings.TrimSuffix(body, "\n"), 10, 63)
		if err != nil {
			return line, nil, fmt.Errorf("%w: a conflict without a size", ErrAnswer)
		}
		return line, &size, fmt.Errorf("conflict at %d", size)
	case http.StatusUnprocessableEntity:
		return line, nil, fmt.Errorf("%w: it takes no proof from size %d", ErrContradiction, a.Old)
	case http.StatusForbidden, http.StatusNotFound:
		return line, nil, fmt.Errorf("%w: HTTP %d", ErrRefused, status)
	}
	return line, nil, fmt.Errorf("%w: HTTP %d", ErrAnswer, status)
}

func (w Witness) do(req *http.Request) (status int, body string, err error) {
	resp, err := w.HTTP.Do(req)
	if err != nil {
		return 0, "", err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, string(raw), errors.Join(err, resp.Body.Close())
}

// own finds the witness's own line; others are no concern of this caller.
func (w Witness) own(text, body string) (format.NoteLine, error) {
	for line := range strings.Lines(body) {
		l, err := format.ParseNoteLine(line)
		if err != nil {
			return l, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if w.Key.Verify(text, l) {
			return l, nil
		}
	}
	return format.NoteLine{}, fmt.Errorf("%w: no signature of %s that verifies", ErrAnswer, w.Key.Name)
}

// Newest fetches the newest checkpoint of this origin that the witness keeps:
// GET /<SHA-256 of the origin in hex>/checkpoint. The witness's signature on it
// verified; the log's own are the caller's to judge.
func (w Witness) Newest(ctx context.Context, origin string) (format.Note, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+"/"+OriginHash(origin)+"/checkpoint", nil)
	if err != nil {
		return format.Note{}, err
	}
	status, body, err := w.do(req)
	if err != nil {
		return format.Note{}, err
	}
	if status != http.StatusOK {
		return format.Note{}, fmt.Errorf("%w: HTTP %d", ErrAnswer, status)
	}
	n, err := format.ParseNote(body)
	if err != nil {
		return n, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if _, ok := n.LineOf(w.Key); ok {
		return n, nil
	}
	return n, fmt.Errorf("%w: no signature of %s that verifies", ErrAnswer, w.Key.Name)
}

// OriginHash names a log in paths: SHA-256 of its origin, lower-case hex.
func OriginHash(origin string) string {
	h := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(h[:])
}
