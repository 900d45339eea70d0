package service

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Page sizes of every list.
const (
	defaultPage = 100
	maxPage     = 1000
)

func pageSize(asked uint32) int {
	if asked == 0 {
		return defaultPage
	}
	return int(min(asked, maxPage))
}

// recordQuery commits the one LIST record of a query before it is answered.
func (s *Server) recordQuery(ctx context.Context, kind format.ListKind, query string) (store.Result, error) {
	d := callerOf(ctx).detail()
	d.Query = clip(query, maxName)
	op := store.Op{Kind: store.KindList, Body: format.EncodeEffect(format.ListEffect{Kind: kind})}
	return s.propose(ctx, op, format.DetailOther, d)
}

// query joins what a list was asked for, name and value; empty values are left
// out. A CI never stands in it, only its keyed hash.
func query(parts ...any) string {
	var out []string
	for i := 0; i+1 < len(parts); i += 2 {
		if v := fmt.Sprint(parts[i+1]); v != "" && v != "0" && v != "false" {
			out = append(out, fmt.Sprintf("%s=%s", parts[i], v))
		}
	}
	return strings.Join(out, " ")
}

// List implements sagov1.BundleServiceServer: the caller's own institution's
// bundles.
func (s *bundleServer) List(ctx context.Context, req *sagov1.ListRequest) (*sagov1.ListResponse, error) {
	c := callerOf(ctx)
	f, err := s.filter(c, req)
	if err != nil {
		return nil, err
	}
	cursor, err := openCursor(c, f.Subject, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	asked := query("subject", subjectText(f.Subject), "bundle_id", f.Definition, "since", f.Since, "until", f.Until,
		"expiring_before", f.ExpiringBefore, "limit", req.GetLimit(), "page", req.GetPageToken() != "")
	kind := format.ListBundles
	if f.Subject != (format.Digest{}) {
		kind = format.ListSubject
	}
	if _, err := s.recordQuery(ctx, kind, asked); err != nil {
		return nil, err
	}
	rows, next, err := s.node.Store().Bundles(c.Institution, f, cursor, pageSize(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	answer := &sagov1.ListResponse{NextPageToken: sealCursor(c, f.Subject, next)}
	for i := range rows {
		b, err := s.bundle(rows[i].Key, &rows[i].Row)
		if err != nil {
			return nil, err
		}
		answer.Bundles = append(answer.Bundles, b)
	}
	return answer, nil
}

func (s *Server) filter(c *caller, req *sagov1.ListRequest) (f store.Filter, err error) {
	f.Definition = req.GetBundleId()
	if !printable(f.Definition, maxBundleID) {
		return f, invalid(format.ReasonInvalid, "a bundle id has at most %d bytes", maxBundleID)
	}
	if f.Since, err = micros(req.GetSince()); err != nil {
		return f, err
	}
	if f.Until, err = micros(req.GetUntil()); err != nil {
		return f, err
	}
	if f.ExpiringBefore, err = micros(req.GetExpiringBefore()); err != nil {
		return f, err
	}
	f.Subject, err = s.subject(c, req.GetSubjectCi())
	return f, err
}

// subject is the keyed hash of a CI that a query names; zero for none.
func (s *Server) subject(c *caller, ci string) (format.Digest, error) {
	if ci == "" {
		return format.Digest{}, nil
	}
	if !printable(ci, maxCI) {
		return format.Digest{}, invalid(format.ReasonInvalid, "a subject's CI has at most %d bytes", maxCI)
	}
	return s.node.Store().SubjectRef(c.Institution, ci)
}

func subjectText(d format.Digest) string {
	if d == (format.Digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:8])
}

// A page token is the hex of a cursor without what the cursor must begin with:
// the caller's own institution, and the subject that was asked for. So no token
// leads to another institution's rows.

func cursorPrefix(c *caller, subject format.Digest) []byte {
	prefix := binary.BigEndian.AppendUint32(nil, c.Institution)
	if subject != (format.Digest{}) {
		prefix = append(prefix, subject[:]...)
	}
	return prefix
}

func sealCursor(c *caller, subject format.Digest, cursor []byte) string {
	return hex.EncodeToString(bytes.TrimPrefix(cursor, cursorPrefix(c, subject)))
}

func openCursor(c *caller, subject format.Digest, token string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	raw, err := hex.DecodeString(token)
	if err != nil || len(raw) > 1024 {
		return nil, invalid(format.ReasonInvalid, "not a page token of this list")
	}
	return append(cursorPrefix(c, subject), raw...), nil
}
