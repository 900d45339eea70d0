package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type getCmd struct {
	number
	who
	Hold      string `help:"${help_get_hold}" placeholder:"NAME"`
	RequestID string `name:"request-id" help:"${help_request_id}" placeholder:"HEX"`
	To        string `short:"o" help:"${help_to}" default:"-" placeholder:"FILE"`
}

// readJSON is the answer of a get.
type readJSON struct {
	Transaction     string         `json:"transaction"`
	Part            uint32         `json:"part"`
	Fingerprint     string         `json:"fingerprint"`
	Size            uint64         `json:"size"`
	Documents       []documentJSON `json:"documents"`
	HistorySequence uint64         `json:"history_sequence"`
	LeafHash        string         `json:"leaf_hash"`
	// RequestID repeats a one-time view.
	RequestID string `json:"request_id"`
}

// Run reads a bundle.
func (c *getCmd) Run(s *session) error {
	who, err := c.message()
	if err != nil {
		return err
	}
	request, err := c.request()
	if err != nil {
		return err
	}
	req := &sagov1.GetRequest{Transaction: c.Transaction, Part: c.Part, Who: who, RequestId: request, Hold: c.Hold}
	return s.watched(func(cl *client.Client) error {
		if c.To == "-" {
			return c.toStream(s, cl, req, s.stdout, s.stderr)
		}
		if isStream(c.To) {
			f, err := os.OpenFile(c.To, os.O_WRONLY, 0)
			if err != nil {
				return &inputError{"FILE", err.Error()}
			}
			return errors.Join(c.toStream(s, cl, req, f, s.stdout), f.Close())
		}
		return c.toFiles(s, cl, req)
	})
}

// request is the read's own id, which repeats a one-time view (1회성 열람): the given
// one, or a fresh one that the answer shows.
func (c *getCmd) request() ([]byte, error) {
	id := make([]byte, 16)
	if c.RequestID == "" {
		rand.Read(id)
		c.RequestID = hex.EncodeToString(id)
		return id, nil
	}
	id, err := hex.DecodeString(c.RequestID)
	if err != nil || len(id) != 16 {
		return nil, &inputError{"USAGE", "--request-id has 32 hexadecimal digits"}
	}
	return id, nil
}

// isStream reports whether a path names something that is no file to be replaced:
// a device, a pipe. Renaming over it would take it away from everybody.
func isStream(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// toStream holds the documents back in memory until they verified: a reader of
// the pipe cannot take anything back, and a file beside would be a trace.
func (c *getCmd) toStream(s *session, cl *client.Client, req *sagov1.GetRequest, to, report io.Writer) error {
	header, documents, err := cl.GetBytes(s.ctx, req)
	if err != nil {
		return err
	}
	for _, d := range documents {
		if _, err := to.Write(d); err != nil {
			return err
		}
	}
	return c.report(s, report, header, nil)
}

func (c *getCmd) toFiles(s *session, cl *client.Client, req *sagov1.GetRequest) error {
	target := &target{path: c.To}
	defer target.discard()
	bar := s.progress(0)
	header, err := cl.Get(s.ctx, req, func(h *sagov1.GetHeader) ([]io.Writer, error) {
		bar = s.progress(int64(h.GetSize()))
		writers, err := target.begin(h.GetDocuments())
		for i := range writers {
			writers[i] = bar.writer(writers[i])
		}
		return writers, err
	})
	bar.end()
	if err != nil {
		return err
	}
	names, err := target.finish()
	if err != nil {
		return err
	}
	return c.report(s, s.stdout, header, names)
}

func (c *getCmd) report(s *session, w io.Writer, h *sagov1.GetHeader, names []string) error {
	result := readJSON{
		Transaction: c.Transaction, Part: c.Part, Fingerprint: h.GetFingerprint(), Size: h.GetSize(),
		Documents: toDocuments(h.GetDocuments()), HistorySequence: h.GetHistorySequence(), LeafHash: hexOf(h.GetLeafHash()),
		RequestID: c.RequestID,
	}
	for i := range names {
		result.Documents[i].File = names[i]
	}
	return s.answerTo(w, result, func(p *page) {
		p.line("읽고 확인했습니다: "+c.Transaction, "read and verified: "+c.Transaction)
		p.pair("지문", "fingerprint", h.GetFingerprint())
		p.pair("크기(바이트)", "size (bytes)", h.GetSize())
		p.pair("이력 일련번호", "history sequence", h.GetHistorySequence())
		p.pair("잎 해시", "leaf hash", result.LeafHash)
		p.pair("요청 번호", "request id", c.RequestID)
		for _, d := range result.Documents {
			p.pair("문서", "document", fmt.Sprintf("%s (%s) %s", d.Name, d.MediaType, d.File))
		}
	})
}
