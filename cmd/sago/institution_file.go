package main

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// registerFile is the file of a registration (docs/cli.md). Certificates are named
// relative to it.
type registerFile struct {
	Code            string               `toml:"code"`
	Quota           uint64               `toml:"quota"`
	Name            string               `toml:"name"`
	CorporateNumber string               `toml:"corporate_number"`
	ServiceField    string               `toml:"service_field"`
	Storage         string               `toml:"storage"`
	Telephone       string               `toml:"telephone"`
	Email           string               `toml:"email"`
	Description     string               `toml:"description"`
	URL             string               `toml:"url"`
	Regulations     string               `toml:"regulations"`
	Necessity       string               `toml:"necessity"`
	CommonName      string               `toml:"common_name"`
	Officers        []registerOfficer    `toml:"officer"`
	Definitions     []registerDefinition `toml:"definition"`
}

type registerOfficer struct {
	Certificate string `toml:"certificate"`
	Role        string `toml:"role"`
	Department  string `toml:"department"`
	Position    string `toml:"position"`
	Name        string `toml:"name"`
	Telephone   string `toml:"telephone"`
	Mobile      string `toml:"mobile"`
	Email       string `toml:"email"`
	Duties      string `toml:"duties"`
	UserType    string `toml:"user_type"`
	Reason      string `toml:"reason"`
}

type registerDefinition struct {
	BundleID      string `toml:"bundle_id"`
	Version       uint32 `toml:"version"`
	Grade         uint32 `toml:"grade"`
	RetentionRule string `toml:"retention_rule"`
}

func readRegistration(path string) (*sagov1.RegisterRequest, error) {
	var f registerFile
	meta, err := toml.DecodeFile(path, &f)
	if err != nil {
		return nil, &inputError{"FILE", err.Error()}
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, &inputError{"FILE", fmt.Sprintf("%s: unknown key %s", path, unknown[0])}
	}
	if missing := f.missing(); len(missing) > 0 {
		return nil, &inputError{"FILE", fmt.Sprintf("%s: it does not say %s", path, strings.Join(missing, ", "))}
	}
	req := &sagov1.RegisterRequest{
		Code: f.Code, Quota: f.Quota, Name: f.Name, CorporateNumber: f.CorporateNumber, ServiceField: f.ServiceField, Storage: f.Storage,
		Telephone: f.Telephone, Email: f.Email, Description: f.Description, Url: f.URL, Regulations: f.Regulations, Necessity: f.Necessity, CommonName: f.CommonName,
	}
	for _, o := range f.Officers {
		der, err := readOfficerCertificate(filepath.Dir(path), o.Certificate)
		if err != nil {
			return nil, &inputError{"FILE", err.Error()}
		}
		req.Officers = append(req.Officers, &sagov1.Officer{
			Certificate: der, Role: o.Role, Department: o.Department, Position: o.Position, Name: o.Name, Telephone: o.Telephone,
			Mobile: o.Mobile, Email: o.Email, Duties: o.Duties, UserType: o.UserType, Reason: o.Reason,
		})
	}
	for _, d := range f.Definitions {
		req.Definitions = append(req.Definitions, &sagov1.RegisteredDefinition{BundleId: d.BundleID, Version: d.Version, Grade: d.Grade, RetentionRule: d.RetentionRule})
	}
	return req, nil
}

// missing names every key that a registration must have and that the file has not,
// so that nobody finds them one by one.
func (f *registerFile) missing() (out []string) {
	need := func(prefix, key, value string) {
		if strings.TrimSpace(value) == "" {
			out = append(out, prefix+key)
		}
	}
	for _, k := range [][2]string{{"code", f.Code}, {"name", f.Name}, {"service_field", f.ServiceField}, {"storage", f.Storage},
		{"telephone", f.Telephone}, {"email", f.Email}, {"description", f.Description}, {"common_name", f.CommonName}} {
		need("", k[0], k[1])
	}
	if len(f.Officers) == 0 {
		out = append(out, "[[officer]]")
	}
	for i, o := range f.Officers {
		for _, k := range [][2]string{{"certificate", o.Certificate}, {"role", o.Role}, {"department", o.Department}, {"position", o.Position},
			{"name", o.Name}, {"telephone", o.Telephone}, {"email", o.Email}, {"duties", o.Duties}} {
			need(fmt.Sprintf("officer %d ", i+1), k[0], k[1])
		}
	}
	return out
}

func readOfficerCertificate(dir, name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: no certificate (PEM)", name)
	}
	return block.Bytes, nil
}

type institutionRegisterCmd struct {
	File string `help:"${help_register_file}" required:"" placeholder:"FILE"`
}

// Run registers an institution.
func (c *institutionRegisterCmd) Run(s *session) error {
	req, err := readRegistration(c.File)
	if err != nil {
		return err
	}
	return s.with(func(cl *client.Client) error {
		r, err := cl.RegisterInstitution(s.ctx, req)
		if err != nil {
			return err
		}
		return s.answerInstitution(r.GetInstitution(), r.GetPersons(), r.GetHistorySequence())
	})
}

type institutionSubjectsCmd struct {
	institutionRef
	CIFile  string `name:"ci-file" help:"${help_subjects_file}" required:"" placeholder:"FILE"`
	Close   from   `help:"${help_subjects_close}" xor:"day" placeholder:"DATE"`
	Suspend from   `help:"${help_subjects_suspend}" xor:"day" placeholder:"DATE"`
}

type subjectJSON struct {
	SubjectCI string `json:"subject_ci"`
	Affected  bool   `json:"affected"`
	Bundles   uint32 `json:"bundles"`
}

// subjectsJSON is whom a suspension or closing must be told to.
type subjectsJSON struct {
	Subjects        []subjectJSON `json:"subjects"`
	Listed          uint64        `json:"listed"`
	Affected        uint64        `json:"affected"`
	Unlisted        uint64        `json:"unlisted"`
	AffectedDigest  string        `json:"affected_digest"`
	ReportBy        string        `json:"report_by,omitempty"`
	SuspendedUntil  string        `json:"suspended_until,omitempty"`
	EraseBy         string        `json:"erase_by,omitempty"`
	EraseLatest     string        `json:"erase_latest,omitempty"`
	HistorySequence uint64        `json:"history_sequence"`
}

// Run matches the institution's own list of CIs.
func (c *institutionSubjectsCmd) Run(s *session) error {
	cis, err := readLines(c.CIFile)
	if err != nil {
		return &inputError{"FILE", err.Error()}
	}
	return s.with(func(cl *client.Client) error {
		req := &sagov1.SubjectsRequest{Institution: c.Institution, Suspend: c.Suspend.Timestamp, Close: c.Close.Timestamp}
		bundles, sum, err := cl.MatchSubjects(s.ctx, req, cis)
		if err != nil {
			return err
		}
		out := subjectsJSON{
			Subjects: []subjectJSON{}, Listed: sum.GetListed(), Affected: sum.GetAffected(), Unlisted: sum.GetUnlisted(), AffectedDigest: "sha256:" + hexOf(sum.GetAffectedDigest()),
			ReportBy: sum.GetReportBy(), SuspendedUntil: sum.GetSuspendedUntil(), EraseBy: sum.GetEraseBy(), EraseLatest: sum.GetEraseLatest(), HistorySequence: sum.GetHistorySequence(),
		}
		for i, ci := range cis {
			out.Subjects = append(out.Subjects, subjectJSON{ci, bundles[i] > 0, bundles[i]})
		}
		return s.answer(out, func(p *page) { subjectsPage(p, out) })
	})
}

func subjectsPage(p *page, out subjectsJSON) {
	p.head("정보주체 CI", "SUBJECT CI", "통보 대상", "AFFECTED", "묶음정보 수", "BUNDLES")
	for _, r := range out.Subjects {
		p.row(r.SubjectCI, p.yes(r.Affected), r.Bundles)
	}
	p.flush()
	p.pair("목록", "listed", out.Listed)
	p.pair("통보 대상", "affected", out.Affected)
	p.pair("목록에 없는 정보주체", "subjects not listed", out.Unlisted)
	p.pair("통보 대상 목록 해시", "digest of those affected", out.AffectedDigest)
	p.pair("신고 기한", "report by", out.ReportBy)
	if out.ReportBy != "" {
		p.pair("정보주체 통보", "tell subjects", p.lang.pick("신고한 뒤 지체 없이", "without delay after the report"))
	}
	p.pair("휴지 최종일", "suspended at most until", out.SuspendedUntil)
	p.pair("삭제 예정일", "erase by", out.EraseBy)
	p.pair("삭제 기한", "at the latest", out.EraseLatest)
}

// readLines reads a file of one CI a line; empty lines do not count. What is no text
// is no list.
func readLines(path string) (lines []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		if !utf8.Valid(in.Bytes()) || bytes.ContainsFunc(bytes.TrimSpace(in.Bytes()), unicode.IsControl) {
			return nil, fmt.Errorf("%s: line %d is no text", path, n)
		}
		if line := strings.TrimSpace(in.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, in.Err()
}
