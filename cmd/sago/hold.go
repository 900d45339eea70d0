package main

import (
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type holdGroup struct {
	Place   holdPlaceCmd   `cmd:"" help:"${help_hold_place}"`
	Release holdReleaseCmd `cmd:"" help:"${help_hold_release}"`
	List    holdListCmd    `cmd:"" help:"${help_hold_list}"`
}

// heldThing names what a hold is on, and the hold.
type heldThing struct {
	Transaction string `help:"${help_transaction}" placeholder:"NO" xor:"on" required:""`
	SubjectCI   string `name:"subject-ci" help:"${help_subject_ci}" placeholder:"CI" xor:"on" required:""`
	BundleID    string `name:"bundle-id" help:"${help_bundle_id}" placeholder:"ID" xor:"on" required:""`
	Part        uint32 `help:"${help_part}" default:"1"`
	Name        string `help:"${help_hold_name}" required:"" placeholder:"N"`
}

// holdJSON is a hold, with the field names that scripts rely on.
type holdJSON struct {
	Name            string  `json:"name"`
	ID              string  `json:"id"`
	Scope           string  `json:"scope"`
	State           string  `json:"state"`
	Transaction     string  `json:"transaction,omitempty"`
	Part            uint32  `json:"part,omitempty"`
	BundleID        string  `json:"bundle_id,omitempty"`
	Subject         string  `json:"subject,omitempty"`
	BasisKind       string  `json:"basis_kind"`
	Basis           string  `json:"basis"`
	Owner           string  `json:"owner"`
	PlacedAt        *string `json:"placed_at"`
	Review          *string `json:"review"`
	ReviewDue       bool    `json:"review_due"`
	HistorySequence uint64  `json:"history_sequence"`
}

func toHold(h *sagov1.Hold) holdJSON {
	return holdJSON{
		Name: h.GetName(), ID: h.GetId(), Scope: h.GetScope(), State: h.GetState(), Transaction: h.GetTransaction(), Part: h.GetPart(),
		BundleID: h.GetBundleId(), Subject: h.GetSubject(), BasisKind: h.GetBasisKind(), Basis: h.GetBasis(), Owner: h.GetOwner(),
		PlacedAt: utc(h.GetPlacedAt()), Review: utc(h.GetReview()), ReviewDue: h.GetReviewDue(), HistorySequence: h.GetHistorySequence(),
	}
}

func toHolds(holds []*sagov1.Hold) []holdJSON {
	out := make([]holdJSON, 0, len(holds))
	for _, h := range holds {
		out = append(out, toHold(h))
	}
	return out
}

// on says what a hold is on.
func on(h *sagov1.Hold) string {
	return strings.TrimSpace(h.GetScope() + " " + h.GetTransaction() + h.GetBundleId() + h.GetSubject())
}

// reviewText marks a review date that has passed.
func reviewText(p *page, h *sagov1.Hold) string {
	text := local(h.GetReview())
	if h.GetReviewDue() {
		text += p.lang.pick(" — 재검토할 때가 지났습니다", ", review is due")
	}
	return text
}

type holdPlaceCmd struct {
	heldThing
	Basis     string `help:"${help_hold_basis}" required:"" placeholder:"TEXT"`
	BasisKind string `help:"${help_hold_basis_kind}" enum:"law,court" default:"law"`
	Review    from   `help:"${help_hold_review}" placeholder:"T"`
}

// Run places a hold (보존 조치).
func (c *holdPlaceCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.PlaceHold(s.ctx, &sagov1.HoldServicePlaceRequest{
			Transaction: c.Transaction, Part: c.Part, SubjectCi: c.SubjectCI, BundleId: c.BundleID, Name: c.Name,
			Basis: c.Basis, BasisKind: c.BasisKind, Review: c.Review.Timestamp,
		})
		if err != nil {
			return err
		}
		h := r.GetHold()
		result := struct {
			holdJSON
			LeafHash string `json:"leaf_hash"`
		}{toHold(h), hexOf(r.GetLeafHash())}
		return s.answer(result, func(p *page) {
			p.line("보존조치를 걸었습니다: "+h.GetName(), "hold placed: "+h.GetName())
			p.pair("대상", "on", on(h))
			p.pair("근거", "basis", h.GetBasisKind()+" "+h.GetBasis())
			p.pair("재검토", "review", reviewText(p, h))
			p.pair("이력 일련번호", "history sequence", h.GetHistorySequence())
			p.pair("잎 해시", "leaf hash", result.LeafHash)
		})
	})
}

type holdReleaseCmd struct {
	heldThing
	Reason string `help:"${help_hold_reason}" required:"" placeholder:"TEXT"`
}

// Run opens the act that releases the hold, and signs it as the caller.
func (c *holdReleaseCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		act, err := cl.ReleaseHold(s.ctx, &sagov1.HoldServiceReleaseRequest{
			Transaction: c.Transaction, Part: c.Part, SubjectCi: c.SubjectCI, BundleId: c.BundleID, Name: c.Name, Reason: c.Reason,
		})
		if err != nil {
			return err
		}
		return s.opened(cl, act)
	})
}

type holdListCmd struct {
	Transaction string `help:"${help_transaction}" placeholder:"NO"`
	Part        uint32 `help:"${help_part}" default:"1"`
	Limit       uint32 `help:"${help_limit}" default:"0"`
}

// Run lists holds.
func (c *holdListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		found := []*sagov1.Hold{}
		for h, err := range cl.Holds(s.ctx, &sagov1.HoldServiceListRequest{Transaction: c.Transaction, Part: c.Part, Limit: c.Limit}) {
			if err != nil {
				return err
			}
			found = append(found, h)
		}
		return s.answer(map[string]any{"holds": toHolds(found)}, func(p *page) {
			p.head("이름", "NAME", "대상", "ON", "근거", "BASIS", "설정자", "OWNER", "설정 시각", "PLACED AT", "재검토", "REVIEW", "상태", "STATE")
			for _, h := range found {
				p.row(h.GetName(), on(h), h.GetBasisKind()+" "+h.GetBasis(), h.GetOwner(), local(h.GetPlacedAt()), reviewText(p, h), h.GetState())
			}
		})
	})
}
