package service

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// maxListed is how many CIs one list may name, and subjectsAtOnce how many of them
// one message answers.
const (
	maxListed      = 1 << 20
	subjectsAtOnce = 10_000
)

// matched is what became of a list of CIs.
type matched struct {
	bundles  []uint32
	affected map[format.Digest]bool // by subject reference
	digest   format.Digest
}

// Subjects implements sagov1.InstitutionServiceServer. The list is matched as it
// comes; of a CI nothing is kept but its number of bundles and, where it has some,
// its reference.
func (s *institutionServer) Subjects(stream grpc.BidiStreamingServer[sagov1.SubjectsRequest, sagov1.SubjectsResponse]) error {
	ctx := stream.Context()
	c := callerOf(ctx)
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		first, err = &sagov1.SubjectsRequest{}, nil
	}
	if err != nil {
		return err
	}
	own, err := s.node.Store().Institution(c.Institution)
	if err != nil {
		return err
	}
	if first.GetInstitution() != "" && first.GetInstitution() != own.Code {
		return s.deniedWithout(ctx, c, sagov1.InstitutionService_Subjects_FullMethodName, nil, refusal(format.ReasonNotFound, "no institution has this code"))
	}
	summary, err := noticeDates(first)
	if err != nil {
		return err
	}
	m, err := s.match(c, first, stream.Recv)
	if err != nil {
		return err
	}
	all, err := s.node.Store().Subjects(ctx, c.Institution)
	if err != nil {
		return err
	}
	summary.Listed, summary.Affected, summary.AffectedDigest = uint64(len(m.bundles)), uint64(len(m.affected)), m.digest[:]
	summary.Unlisted = all - min(all, summary.Affected)
	asked := query("subjects", summary.Listed, "affected", summary.Affected, "unlisted", summary.Unlisted,
		"digest", fingerprintText(m.digest), "suspend", dayOf(first.GetSuspend().AsTime(), first.GetSuspend() != nil), "close", dayOf(first.GetClose().AsTime(), first.GetClose() != nil))
	result, err := s.recordQuery(ctx, format.ListSubjects, asked)
	if err != nil {
		return err
	}
	summary.HistorySequence = result.Sequence
	for rest := m.bundles; len(rest) > 0; {
		n := min(len(rest), subjectsAtOnce)
		if err := stream.Send(&sagov1.SubjectsResponse{Bundles: rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return stream.Send(&sagov1.SubjectsResponse{Summary: summary})
}

// match looks up each CI of a list.
func (s *Server) match(c *caller, req *sagov1.SubjectsRequest, next func() (*sagov1.SubjectsRequest, error)) (matched, error) {
	m, h := matched{affected: map[format.Digest]bool{}}, sha256.New()
	for {
		for _, ci := range req.GetSubjectCis() {
			if ci == "" || !printable(ci, maxCI) || len(m.bundles) == maxListed {
				return m, invalid(format.ReasonInvalid, "line %d: a subject's CI has 1 to %d bytes, a list at most %d of them", len(m.bundles)+1, maxCI, maxListed)
			}
			subject, err := s.subject(c, ci)
			if err != nil {
				return m, err
			}
			n, err := s.node.Store().BundlesOf(c.Institution, subject)
			if err != nil {
				return m, err
			}
			if n > 0 && !m.affected[subject] {
				m.affected[subject] = true
				h.Write([]byte(ci + "\n"))
			}
			m.bundles = append(m.bundles, uint32(n))
		}
		var err error
		if req, err = next(); errors.Is(err, io.EOF) {
			m.digest = format.Digest(h.Sum(nil))
			return m, nil
		} else if err != nil {
			return m, err
		}
	}
}

// korea is where days are counted.
func korea() *time.Location { return time.FixedZone("KST", 9*3600) }

func dayOf(t time.Time, given bool) string {
	if !given {
		return ""
	}
	return t.In(korea()).Format(time.DateOnly)
}

// noticeDates are the days that follow from the day of a suspension or closing.
func noticeDates(req *sagov1.SubjectsRequest) (*sagov1.SubjectsSummary, error) {
	out := &sagov1.SubjectsSummary{}
	if req.GetSuspend() != nil && req.GetClose() != nil {
		return nil, invalid(format.ReasonInvalid, "a suspension or a closing, not both")
	}
	if _, err := micros(req.GetSuspend()); err != nil {
		return nil, err
	}
	if _, err := micros(req.GetClose()); err != nil {
		return nil, err
	}
	day := func(t time.Time, days int) string { return dayOf(t.AddDate(0, 0, days), true) }
	if t := req.GetSuspend(); t != nil {
		out.ReportBy = day(t.AsTime(), -30)
		out.SuspendedUntil = dayOf(t.AsTime().In(korea()).AddDate(0, 6, 0), true)
	}
	if t := req.GetClose(); t != nil {
		out.ReportBy = day(t.AsTime(), -60)
		out.EraseBy, out.EraseLatest = day(t.AsTime(), 0), day(t.AsTime(), 30)
	}
	return out, nil
}
