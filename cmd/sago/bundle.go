package main

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type bundleGroup struct {
	Put    putCmd          `cmd:"" help:"${help_bundle_put}"`
	Get    getCmd          `cmd:"" help:"${help_bundle_get}"`
	Show   bundleShowCmd   `cmd:"" help:"${help_bundle_show}"`
	List   bundleListCmd   `cmd:"" help:"${help_bundle_list}"`
	Verify bundleVerifyCmd `cmd:"" help:"${help_bundle_verify}"`

	Certificate bundleCertificateCmd `cmd:"" help:"${help_bundle_certificate}"`
	Extend      bundleExtendCmd      `cmd:"" help:"${help_bundle_extend}"`
	Event       bundleEventCmd       `cmd:"" help:"${help_bundle_event}"`
}

// number names one bundle.
type number struct {
	Transaction string `help:"${help_transaction}" required:"" placeholder:"NO"`
	Part        uint32 `help:"${help_part}" default:"1"`
}

// receiptJSON is a receipt, with the field names that scripts rely on.
type receiptJSON struct {
	Institution     string  `json:"institution"`
	Transaction     string  `json:"transaction"`
	Part            uint32  `json:"part"`
	Fingerprint     string  `json:"fingerprint"`
	Size            uint64  `json:"size"`
	StoredAt        *string `json:"stored_at"`
	RetainUntil     *string `json:"retain_until"`
	RetentionState  string  `json:"retention_state"`
	HistorySequence uint64  `json:"history_sequence"`
	LeafHash        string  `json:"leaf_hash"`
	AlreadyStored   bool    `json:"already_stored"`
}

type documentJSON struct {
	Name        string `json:"name"`
	MediaType   string `json:"media_type"`
	Size        uint64 `json:"size"`
	Fingerprint string `json:"fingerprint"`
	// File is where get wrote the document.
	File string `json:"file,omitempty"`
}

type replicaJSON struct {
	Node  string `json:"node"`
	State string `json:"state"`
}

type bundleJSON struct {
	receiptJSON
	State          string         `json:"state"`
	BundleID       string         `json:"bundle_id"`
	RetentionRule  string         `json:"retention_rule"`
	RetentionBasis string         `json:"retention_basis"`
	BasisKind      string         `json:"basis_kind"`
	Deadline       *string        `json:"deadline"`
	Holds          []string       `json:"holds"`
	HoldDetails    []holdJSON     `json:"hold_details"`
	Documents      []documentJSON `json:"documents"`
	Replicas       []replicaJSON  `json:"replicas"`
	Stop           *bundleStop    `json:"circulation_stop"`
}

// bundleStop is the order of circulation stop in force on a bundle.
type bundleStop struct {
	Order string  `json:"order"`
	At    *string `json:"at"`
}

func toReceipt(r *sagov1.Receipt) receiptJSON {
	return receiptJSON{
		Institution: r.GetInstitution(), Transaction: r.GetTransaction(), Part: r.GetPart(),
		Fingerprint: r.GetFingerprint(), Size: r.GetSize(),
		StoredAt: utc(r.GetStoredAt()), RetainUntil: utc(r.GetRetainUntil()), RetentionState: r.GetRetentionState(),
		HistorySequence: r.GetHistorySequence(), LeafHash: hexOf(r.GetLeafHash()), AlreadyStored: r.GetAlreadyStored(),
	}
}

func toDocuments(ds []*sagov1.Document) []documentJSON {
	out := make([]documentJSON, 0, len(ds))
	for _, d := range ds {
		out = append(out, documentJSON{Name: d.GetName(), MediaType: d.GetMediaType(), Size: d.GetSize(), Fingerprint: d.GetFingerprint()})
	}
	return out
}

func toBundle(b *sagov1.Bundle) bundleJSON {
	out := bundleJSON{
		receiptJSON: toReceipt(b.GetReceipt()), State: b.GetState(), BundleID: b.GetBundleId(),
		RetentionRule: b.GetRetentionRule(), RetentionBasis: b.GetRetentionBasis(), BasisKind: b.GetBasisKind(),
		Deadline: utc(b.GetDeadline()), Holds: append([]string{}, b.GetHolds()...),
		HoldDetails: toHolds(b.GetHoldDetails()), Documents: toDocuments(b.GetDocuments()), Replicas: []replicaJSON{},
	}
	for _, r := range b.GetReplicas() {
		out.Replicas = append(out.Replicas, replicaJSON{r.GetNode(), r.GetState()})
	}
	if stop := b.GetCirculationStop(); stop != nil {
		out.Stop = &bundleStop{stop.GetOrder(), utc(stop.GetAt())}
	}
	return out
}

func receiptText(p *page, r *sagov1.Receipt) {
	p.pair("기관", "institution", r.GetInstitution())
	p.pair("지문", "fingerprint", r.GetFingerprint())
	p.pair("크기(바이트)", "size (bytes)", r.GetSize())
	p.pair("저장 시각", "stored at", local(r.GetStoredAt()))
	p.pair("보유 기한(하한)", "retain until (floor)", untilText(p, r.GetRetainUntil()))
	p.pair("이력 일련번호", "history sequence", r.GetHistorySequence())
	p.pair("잎 해시", "leaf hash", hexOf(r.GetLeafHash()))
}

// untilText says in words that there is no deadline yet.
func untilText(p *page, until *timestamppb.Timestamp) string {
	if until == nil {
		return p.lang.pick("정해지지 않음 — 계속 보유", "not set, kept")
	}
	return local(until)
}

type bundleShowCmd struct {
	number
	Purpose string `help:"${help_purpose_may}"`
}

// Run shows one bundle.
func (c *bundleShowCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		b, err := cl.Show(s.ctx, &sagov1.ShowRequest{Transaction: c.Transaction, Part: c.Part, Purpose: c.Purpose})
		if err != nil {
			return err
		}
		return s.answer(toBundle(b), func(p *page) { bundleText(p, b) })
	})
}

func bundleText(p *page, b *sagov1.Bundle) {
	r := b.GetReceipt()
	p.row(r.GetTransaction(), r.GetPart(), b.GetState())
	p.flush()
	p.pair("묶음정보 ID", "bundle id", b.GetBundleId())
	receiptText(p, r)
	p.pair("보유 기한", "deadline", local(b.GetDeadline()))
	p.pair("보유 규칙", "retention rule", b.GetRetentionRule())
	p.pair("근거", "basis", strings.TrimSpace(b.GetBasisKind()+" "+b.GetRetentionBasis()))
	if stop := b.GetCirculationStop(); stop != nil {
		p.pair("유통정지", "circulation stop", stop.GetOrder()+" "+local(stop.GetAt()))
	}
	if len(b.GetHoldDetails()) == 0 {
		p.pair("보존조치", "holds", strings.Join(b.GetHolds(), ", "))
	}
	for _, h := range b.GetHoldDetails() {
		p.pair("보존조치", "hold", h.GetName()+" ("+h.GetScope()+", "+h.GetBasisKind()+" "+h.GetBasis()+", "+h.GetOwner()+")")
	}
	for _, d := range b.GetDocuments() {
		p.pair("문서", "document", d.GetName()+" ("+d.GetMediaType()+") "+d.GetFingerprint())
	}
	for _, n := range b.GetReplicas() {
		p.pair("사본", "replica", n.GetNode()+" "+n.GetState())
	}
}

type bundleListCmd struct {
	SubjectCI      string  `name:"subject-ci" help:"${help_subject_ci}" placeholder:"CI"`
	BundleID       string  `name:"bundle-id" help:"${help_bundle_id}" placeholder:"ID"`
	Since          from    `help:"${help_since}" placeholder:"T"`
	Until          through `help:"${help_until}" placeholder:"T"`
	ExpiringBefore from    `help:"${help_expiring}" placeholder:"T"`
	Limit          uint32  `help:"${help_limit}" default:"0"`
}

// Run lists bundles.
func (c *bundleListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		req := &sagov1.ListRequest{
			SubjectCi: c.SubjectCI, BundleId: c.BundleID, Since: c.Since.Timestamp, Until: c.Until.Timestamp,
			ExpiringBefore: c.ExpiringBefore.Timestamp, Limit: c.Limit,
		}
		found := []*sagov1.Bundle{}
		rows := []bundleJSON{}
		for b, err := range cl.Bundles(s.ctx, req) {
			if err != nil {
				return err
			}
			found, rows = append(found, b), append(rows, toBundle(b))
		}
		return s.answer(map[string]any{"bundles": rows}, func(p *page) { bundleTable(p, found) })
	})
}

func bundleTable(p *page, bundles []*sagov1.Bundle) {
	p.head("거래일련번호", "TRANSACTION", "부분", "PART", "묶음정보 ID", "BUNDLE ID", "상태", "STATE",
		"저장 시각", "STORED AT", "보유 기한", "RETAIN UNTIL", "크기", "SIZE")
	for _, b := range bundles {
		r := b.GetReceipt()
		until := r.GetRetainUntil()
		if b.GetDeadline() != nil {
			until = b.GetDeadline()
		}
		p.row(r.GetTransaction(), r.GetPart(), b.GetBundleId(), b.GetState(), local(r.GetStoredAt()), local(until), r.GetSize())
	}
}

type bundleVerifyCmd struct{ number }

// Run verifies one bundle on the node that answers.
func (c *bundleVerifyCmd) Run(s *session) error {
	return s.watched(func(cl *client.Client) error {
		v, err := cl.Verify(s.ctx, &sagov1.VerifyRequest{Transaction: c.Transaction, Part: c.Part})
		if err != nil {
			return err
		}
		result := struct {
			Transaction     string   `json:"transaction"`
			Part            uint32   `json:"part"`
			Fingerprint     string   `json:"fingerprint"`
			Intact          bool     `json:"intact"`
			Node            string   `json:"node"`
			Damage          []string `json:"damage"`
			HistorySequence uint64   `json:"history_sequence"`
		}{c.Transaction, c.Part, v.GetFingerprint(), v.GetIntact(), v.GetNode(), append([]string{}, v.GetDamage()...), v.GetHistorySequence()}
		err = s.answer(result, func(p *page) {
			p.pair("거래일련번호", "transaction", c.Transaction)
			p.pair("온전함", "intact", p.yes(v.GetIntact()))
			p.pair("지문", "fingerprint", v.GetFingerprint())
			p.pair("노드", "node", v.GetNode())
			for _, d := range v.GetDamage() {
				p.pair("손상", "damage", d)
			}
		})
		if err == nil && (!v.GetIntact() || len(v.GetDamage()) > 0) {
			return damaged("%s: %s", v.GetNode(), strings.Join(v.GetDamage(), "; "))
		}
		return err
	})
}

// who names the acting person of a read or use.
type who struct {
	Purpose        string `help:"${help_purpose}" placeholder:"TEXT"`
	UserName       string `help:"${help_user}" placeholder:"N"`
	UserDepartment string `help:"${help_department}" placeholder:"D"`
	UserContact    string `help:"${help_contact}" placeholder:"C"`
}

// message checks what holds for everybody. That an application must name its
// user is the server's to say: it knows who is calling.
func (w *who) message() (*sagov1.Who, error) {
	if strings.TrimSpace(w.Purpose) == "" {
		return nil, &inputError{"PURPOSE_REQUIRED", ""}
	}
	return &sagov1.Who{Purpose: w.Purpose, UserName: w.UserName, UserDepartment: w.UserDepartment, UserContact: w.UserContact}, nil
}
