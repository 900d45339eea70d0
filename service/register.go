package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"strings"

	"github.com/sago-worm/sago/access"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// maxRegistration bounds what a registration says of institution and persons, so
// that it fits the record's sealed detail, bytes.
const maxRegistration = 6 << 10

// Register implements sagov1.InstitutionServiceServer. That the certificates chain
// to the appliance's authorities is judged here: the record holds their keys and
// identities only. A registration brings no authority of its own.
func (s *institutionServer) Register(ctx context.Context, req *sagov1.RegisterRequest) (*sagov1.RegisterResponse, error) {
	c := callerOf(ctx)
	said, err := registration(req)
	if err != nil {
		return nil, err
	}
	e := format.InstitutionEffect{Verb: format.InstitutionRegister, Code: req.GetCode(), Quota: req.GetQuota()}
	if e.Officers, err = s.officersOf(req.GetOfficers()); err != nil {
		return nil, err
	}
	for _, d := range req.GetDefinitions() {
		def := format.Definition{BundleID: d.GetBundleId(), Version: d.GetVersion(), Grade: uint8(min(d.GetGrade(), 255))}
		if d.GetRetentionRule() != "" {
			rule, err := retention.ParseRule(d.GetRetentionRule())
			if err != nil {
				return nil, invalid(format.ReasonBadRule, "definition %s: %v", d.GetBundleId(), err)
			}
			def.Rule = rule.String()
		}
		e.Definitions = append(e.Definitions, def)
	}
	d := c.detail()
	d.Name = said
	result, err := s.propose(ctx, store.Op{Kind: store.KindInstitution, Body: format.EncodeEffect(e)}, format.DetailOther, d)
	if err != nil {
		return nil, err
	}
	return s.registered(c, result.Sequence)
}

// registered answers what the record of a registration says.
func (s *institutionServer) registered(c *caller, sequence uint64) (*sagov1.RegisterResponse, error) {
	rec, _, err := s.node.Store().Record(sequence)
	if err != nil {
		return nil, err
	}
	e, err := format.DecodeInstitutionEffect(rec.Effect)
	if err != nil {
		return nil, err
	}
	row, err := s.node.Store().Institution(e.Number)
	if err != nil {
		return nil, err
	}
	answer := &sagov1.RegisterResponse{HistorySequence: sequence}
	for _, p := range e.Officers {
		answer.Persons = append(answer.Persons, p.ID)
	}
	answer.Institution, err = s.institution(c, row)
	return answer, err
}

// officersOf reads the certificates of new persons.
func (s *Server) officersOf(officers []*sagov1.Officer) ([]format.Person, error) {
	ders, err := s.cfg.Authorities()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, der := range ders {
		if ca, err := x509.ParseCertificate(der); err == nil {
			roots.AddCert(ca)
		}
	}
	var out []format.Person
	for i, o := range officers {
		cert, err := x509.ParseCertificate(o.GetCertificate())
		if err != nil {
			return nil, invalid(format.ReasonInvalid, "officer %d: not a certificate", i+1)
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: s.cfg.Time(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			return nil, refusal(format.ReasonPolicy, "officer "+number(uint64(i+1))+": the certificate is not of one of the appliance's authorities, and a registration adds none")
		}
		key, ok := cert.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			return nil, invalid(format.ReasonInvalid, "officer %d: the key is not ECDSA P-256", i+1)
		}
		role, ok := roleNamed(o.GetRole())
		if !ok {
			return nil, invalid(format.ReasonInvalid, "officer %d: there is no role %q", i+1, o.GetRole())
		}
		out = append(out, format.Person{ID: uint64(i + 1), Role: uint8(role), PublicKey: cert.RawSubjectPublicKeyInfo,
			Identity: access.Identity(cert.RawIssuer, cert.RawSubject)})
	}
	return out, nil
}

func roleNamed(name string) (access.Role, bool) {
	for _, r := range access.Roles() {
		if r.String() == name {
			return r, true
		}
	}
	return 0, false
}

// item is one thing that a registration says. Those that the guide marks must be
// there.
type item struct {
	name, value string
	needed      bool
}

// registration is what a registration says of institution and persons, as lines of
// name and value for the sealed detail.
func registration(req *sagov1.RegisterRequest) (string, error) {
	if req.GetCode() == "" || len(req.GetOfficers()) == 0 {
		return "", invalid(format.ReasonInvalid, "a registration names the institution's code and its officers")
	}
	items := []item{
		{"기관", req.GetName(), true}, {"법인등록번호", req.GetCorporateNumber(), false}, {"서비스 분야", req.GetServiceField(), true},
		{"보안저장소 구축 현황", req.GetStorage(), true}, {"전화", req.GetTelephone(), true}, {"이메일", req.GetEmail(), true},
		{"설명", req.GetDescription(), true}, {"URL", req.GetUrl(), false}, {"관련규정", req.GetRegulations(), false},
		{"필요성", req.GetNecessity(), false}, {"CN", req.GetCommonName(), true},
	}
	for _, o := range req.GetOfficers() {
		items = append(items, item{"부서", o.GetDepartment(), true}, item{"직급", o.GetPosition(), true}, item{"성명", o.GetName(), true},
			item{"전화", o.GetTelephone(), true}, item{"휴대전화", o.GetMobile(), false}, item{"이메일", o.GetEmail(), true},
			item{"담당업무", o.GetDuties(), true}, item{"사용자 유형", o.GetUserType(), false}, item{"신청 사유", o.GetReason(), false})
	}
	var text strings.Builder
	for _, i := range items {
		switch {
		case i.needed && i.value == "":
			return "", invalid(format.ReasonInvalid, "a registration names %s", i.name)
		case !printable(i.value, maxPurpose):
			return "", invalid(format.ReasonInvalid, "%s has at most %d bytes without control characters", i.name, maxPurpose)
		case i.value != "":
			text.WriteString(i.name + ": " + i.value + "\n")
		}
	}
	if text.Len() > maxRegistration {
		return "", invalid(format.ReasonTooLarge, "a registration says at most %d bytes", maxRegistration)
	}
	return text.String(), nil
}
