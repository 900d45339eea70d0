package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sago-worm/sago/audit"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// certificateJSON is an erasure certificate (docs/formats/certificate.md). All of
// it follows from the evidence, which is verified.
type certificateJSON struct {
	Format       string            `json:"format"`
	Institution  string            `json:"institution"`
	Transaction  string            `json:"transaction"`
	Part         uint32            `json:"part"`
	Way          string            `json:"way"`
	State        string            `json:"state"`
	RetainUntil  *string           `json:"retain_until"`
	Order        string            `json:"order"`
	RequestID    string            `json:"request_id"`
	Signers      []actSignedJSON   `json:"signers"`
	Stored       *certifiedJSON    `json:"stored"`
	Decided      *certifiedJSON    `json:"decided"`
	Erased       *certifiedJSON    `json:"erased"`
	Attestations []attestedJSON    `json:"attestations"`
	Outstanding  []outstandingJSON `json:"outstanding"`
	Archives     []certArchiveJSON `json:"archives"`
	Remains      []remainderJSON   `json:"remains"`
	Checkpoint   string            `json:"checkpoint"`
	Evidence     string            `json:"evidence"`
}

type certifiedJSON struct {
	Sequence uint64  `json:"sequence"`
	Action   string  `json:"action"`
	Time     *string `json:"time"`
	LeafHash string  `json:"leaf_hash"`
}

type attestedJSON struct {
	Node        string         `json:"node"`
	Incarnation string         `json:"incarnation"`
	Signature   string         `json:"signature"`
	Record      *certifiedJSON `json:"record"`
}

type outstandingJSON struct {
	Node        string `json:"node"`
	Number      uint32 `json:"number"`
	Incarnation string `json:"incarnation"`
	Member      bool   `json:"member"`
	Destroyed   bool   `json:"medium_destroyed"`
}

// certArchiveJSON is a period of key archives in which the key may have left; it is
// outstanding until destroyed is a record.
type certArchiveJSON struct {
	Period    string         `json:"period"`
	Opened    uint64         `json:"opened"`
	Needed    uint32         `json:"needed"`
	Holders   []string       `json:"holders"`
	Destroyed *certifiedJSON `json:"destroyed"`
}

type remainderJSON struct {
	Kind string `json:"kind"`
	Ko   string `json:"ko"`
	En   string `json:"en"`
}

const certificateFormat = "sago-certificate/v1"

func toCertified(r *sagov1.CertifiedRecord) *certifiedJSON {
	if r == nil {
		return nil
	}
	return &certifiedJSON{r.GetProof().GetSequence(), r.GetAction(), utc(r.GetTime()), hexOf(r.GetProof().GetLeafHash())}
}

func toCertificate(c *sagov1.Certificate) (certificateJSON, error) {
	evidence, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	out := certificateJSON{
		Format: certificateFormat, Institution: c.GetInstitution(), Transaction: c.GetTransaction(), Part: c.GetPart(), Way: c.GetWay(), State: certificateState(c),
		RetainUntil: utc(c.GetRetainUntil()), Order: c.GetOrder(), RequestID: c.GetRequestId(), Signers: toSigned(&sagov1.Act{Signatures: c.GetSigners()}),
		Stored: toCertified(c.GetStored()), Decided: toCertified(c.GetDecided()), Erased: toCertified(c.GetErased()),
		Attestations: []attestedJSON{}, Outstanding: []outstandingJSON{}, Archives: []certArchiveJSON{}, Remains: []remainderJSON{},
		Checkpoint: c.GetCheckpoint(), Evidence: base64.StdEncoding.EncodeToString(evidence),
	}
	for _, a := range c.GetAttestations() {
		out.Attestations = append(out.Attestations, attestedJSON{a.GetNode(), hexOf(a.GetIncarnation()), hexOf(a.GetSignature()), toCertified(a.GetRecord())})
	}
	for _, h := range c.GetOutstanding() {
		out.Outstanding = append(out.Outstanding, outstandingJSON{h.GetNode(), h.GetNumber(), hexOf(h.GetIncarnation()), h.GetMember(), h.GetDestroyed() != 0})
	}
	for _, a := range c.GetArchives() {
		out.Archives = append(out.Archives, certArchiveJSON{a.GetPeriod(), a.GetOpened(), a.GetNeeded(), append([]string{}, a.GetHolders()...), toCertified(a.GetRecord())})
	}
	for _, r := range c.GetRemains() {
		out.Remains = append(out.Remains, remainderJSON{r.GetKind(), r.GetKo(), r.GetEn()})
	}
	return out, err
}

// certificateState is pending until a majority has destroyed the bundle, interim
// until nothing is outstanding, then final.
func certificateState(c *sagov1.Certificate) string {
	switch {
	case c.GetFinal():
		return "final"
	case c.GetErased() != nil:
		return "interim"
	}
	return "pending"
}

func (s *session) answerCertificate(c *sagov1.Certificate) error {
	row, err := toCertificate(c)
	if err != nil {
		return err
	}
	return s.answer(row, func(p *page) { certificatePage(p, c) })
}

func certificatePage(p *page, c *sagov1.Certificate) {
	states := map[string]string{"pending": "파기 전", "interim": "중간", "final": "최종"}
	p.line("파기 증명서 ("+states[certificateState(c)]+"): "+c.GetTransaction(), "erasure certificate ("+certificateState(c)+"): "+c.GetTransaction())
	p.pair("기관", "institution", c.GetInstitution())
	p.pair("부분", "part", c.GetPart())
	p.pair("방법", "way", c.GetWay())
	p.pair("본래 보유 기한", "original deadline", local(c.GetRetainUntil()))
	p.pair("유통정지 명령", "order", c.GetOrder())
	p.pair("특수삭제 요청", "request", c.GetRequestId())
	for _, g := range c.GetSigners() {
		p.pair("승인자", "approved by", strings.TrimSpace(g.GetActor()+" "+local(g.GetSignedAt())))
	}
	for _, r := range []*sagov1.CertifiedRecord{c.GetStored(), c.GetDecided(), c.GetErased()} {
		if r != nil {
			p.pair("이력", "record", fmt.Sprintf("%d %s %s %s", r.GetProof().GetSequence(), r.GetAction(), local(r.GetTime()), hexOf(r.GetProof().GetLeafHash())))
		}
	}
	for _, a := range c.GetAttestations() {
		p.pair("파기 확인", "attested by", fmt.Sprintf("%s %s %s (%d)", a.GetNode(), hexOf(a.GetIncarnation()), local(a.GetRecord().GetTime()), a.GetRecord().GetProof().GetSequence()))
	}
	for _, h := range c.GetOutstanding() {
		p.pair("확인하지 않음", "outstanding", strings.TrimSpace(h.GetNode()+" "+hexOf(h.GetIncarnation())))
	}
	for _, a := range c.GetArchives() {
		state := p.lang.pick("복구키가 남아 있을 수 있음", "recovery keys may exist")
		if r := a.GetRecord(); r != nil {
			state = p.lang.pick("복구키 파기", "recovery keys destroyed") + " " + local(r.GetTime())
		}
		p.pair("키 보관본", "key archives", fmt.Sprintf("%s %d/%d %s: %s", a.GetPeriod(), a.GetNeeded(), len(a.GetHolders()), strings.Join(a.GetHolders(), " "), state))
	}
	for _, r := range c.GetRemains() {
		p.pair("남아 있는 것", "still exists", p.lang.pick(r.GetKo(), r.GetEn()))
	}
}

type specialCertificateCmd struct{ requestRef }

// Run gets the certificate of a request.
func (c *specialCertificateCmd) Run(s *session) error {
	return s.certificate(&sagov1.SpecialDeleteServiceCertificateRequest{Id: c.Request})
}

type bundleCertificateCmd struct{ number }

// Run gets the certificate of a bundle.
func (c *bundleCertificateCmd) Run(s *session) error {
	return s.certificate(&sagov1.SpecialDeleteServiceCertificateRequest{Transaction: c.Transaction, Part: c.Part})
}

func (s *session) certificate(req *sagov1.SpecialDeleteServiceCertificateRequest) error {
	return s.with(func(cl *client.Client) error {
		cert, err := cl.Certificate(s.ctx, req)
		if err != nil {
			return err
		}
		return s.answerCertificate(cert)
	})
}

type certificateGroup struct {
	Verify certificateVerifyCmd `cmd:"" help:"${help_certificate_verify}"`
}

type certificateVerifyCmd struct {
	File string `arg:"" help:"${help_certificate_file}"`
	Keys string `help:"${help_certificate_keys}" placeholder:"FILE"`
}

// Run verifies a kept certificate: its evidence, and that all it shows follows
// from it.
func (c *certificateVerifyCmd) Run(s *session) error {
	if c.Keys == "" && s.context == "" {
		return &inputError{"USAGE", "--keys FILE, or a context that pins the node keys: the certificate's own are never trusted"}
	}
	keys, err := audit.LoadKeys(c.Keys)
	if c.Keys == "" {
		keys, err = s.pinned()
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return &inputError{"FILE", err.Error()}
	}
	cert, err := readCertificate(text)
	if err != nil {
		return err
	}
	nodes := make([]client.NodeKey, 0, len(keys.Nodes))
	for _, n := range keys.Nodes {
		node := client.NodeKey{Name: n.Name, PublicKey: n.Key}
		for _, f := range keys.Former {
			if f.Name == n.Name {
				node.Former = append(node.Former, f.Key)
			}
		}
		nodes = append(nodes, node)
	}
	cluster, err := clusterOf(keys)
	if err != nil {
		return err
	}
	if _, err := client.VerifyCertificate(cert, cluster, nodes); err != nil {
		return err
	}
	return s.answerCertificate(cert)
}

// clusterOf is the cluster that a keys file is about.
func clusterOf(keys audit.Keys) (id [16]byte, err error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(keys.Origin, "sago.log/"))
	if err != nil || len(raw) != len(id) {
		return id, &inputError{"FILE", "the keys are of no cluster: " + keys.Origin}
	}
	return [16]byte(raw), nil
}

// readCertificate reads a certificate's file. Whatever it shows beside its
// evidence is held against what the evidence says.
func readCertificate(text []byte) (*sagov1.Certificate, error) {
	var shown certificateJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&shown); err != nil || shown.Format != certificateFormat {
		return nil, &inputError{"FILE", "it is no erasure certificate of this version"}
	}
	evidence, err := base64.StdEncoding.DecodeString(shown.Evidence)
	if err != nil {
		return nil, damaged("the evidence: %v", err)
	}
	cert := &sagov1.Certificate{}
	if err := proto.Unmarshal(evidence, cert); err != nil {
		return nil, damaged("the evidence: %v", err)
	}
	said, err := toCertificate(cert)
	if err != nil {
		return nil, err
	}
	said.Evidence = shown.Evidence
	a, err := json.Marshal(said)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(shown)
	if err == nil && !bytes.Equal(a, b) {
		err = damaged("what the certificate shows is not what its evidence says")
	}
	return cert, err
}
