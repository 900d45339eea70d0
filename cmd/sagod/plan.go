package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// plan is what the people of a ceremony decide, in a form that they can read
// together (docs/operations.md). Paths are relative to its folder.
type plan struct {
	Production *bool `toml:"production"`
	// Single accepts one node: no second copy, no second gate.
	Single bool `toml:"single"`
	// Time is what two people compared, RFC 3339.
	Time         time.Time         `toml:"time"`
	Authorities  []string          `toml:"authorities"`
	Persons      []planPerson      `toml:"person"`
	Institutions []planInstitution `toml:"institution"`
	Definitions  []planDefinition  `toml:"definition"`
	Policy       planPolicy        `toml:"policy"`
	Sources      []planSource      `toml:"source"`
}

type planPerson struct {
	ID          uint64 `toml:"id"`
	Role        string `toml:"role"`
	Institution uint32 `toml:"institution"`
	Certificate string `toml:"certificate"`
}

type planInstitution struct {
	Number uint32 `toml:"number"`
	Code   string `toml:"code"`
}

type planDefinition struct {
	Institution uint32 `toml:"institution"`
	BundleID    string `toml:"bundle_id"`
	Version     uint32 `toml:"version"`
	Grade       uint8  `toml:"grade"`
	Rule        string `toml:"rule"`
}

type planPolicy struct {
	Slack           time.Duration `toml:"slack"`
	Agreement       time.Duration `toml:"agreement"`
	MaxYears        uint32        `toml:"max_years"`
	SweepWithin     time.Duration `toml:"sweep_within"`
	Approvals       uint8         `toml:"approvals"`
	CoolingOff      time.Duration `toml:"cooling_off"`
	CheckpointEvery time.Duration `toml:"checkpoint_every"`
	HistoryYears    uint32        `toml:"history_years"`
	ClosedNetwork   bool          `toml:"closed_network"`
	MinSources      uint8         `toml:"min_sources"`
	Witnesses       []string      `toml:"witnesses"`
	WitnessesNeeded uint8         `toml:"witnesses_needed"`
	BackupHours     uint32        `toml:"backup_hours"`
}

type planSource struct {
	Name     string `toml:"name"`
	Operator string `toml:"operator"`
	Auth     string `toml:"auth"`
	KeyID    uint16 `toml:"key_id"`
	NTSName  string `toml:"nts_name"`
}

// defaultPolicy is what holds where a plan says nothing.
func defaultPolicy() planPolicy {
	return planPolicy{Slack: time.Hour, Agreement: 10 * time.Second, MaxYears: 100, SweepWithin: 5 * time.Second, Approvals: 2,
		CoolingOff: 72 * time.Hour, CheckpointEvery: time.Minute, HistoryYears: 3, BackupHours: format.Policy{}.BackupWithin()}
}

// readPlan makes the ceremony of a plan and the nodes' requests, or says all
// that is wrong with them.
func readPlan(path string, requests []string) (format.Ceremony, error) {
	p := plan{Policy: defaultPolicy()}
	meta, err := toml.DecodeFile(path, &p)
	if err != nil {
		return format.Ceremony{}, faults{"plan: " + path + ": " + err.Error()}
	}
	var wrong faults
	for _, k := range meta.Undecoded() {
		wrong.add("plan: %s: unknown key", k)
	}
	if p.Production == nil {
		wrong.add("plan: production: is missing: it is for ever")
		p.Production = new(bool)
	}
	if p.Time.IsZero() {
		wrong.add("plan: time: is missing: two people compare it")
	}
	c := format.Ceremony{Production: *p.Production, Time: p.Time.UnixMicro()}
	dir := filepath.Dir(path)
	c.Nodes = readRequests(requests, p.Single, &wrong)
	c.Authorities = p.authorities(dir, &wrong)
	c.Institutions = p.institutions(&wrong)
	c.Persons = p.persons(dir, c.Institutions, &wrong)
	c.Definitions = p.definitions(c.Institutions, &wrong)
	c.Policy = p.policy(&wrong)
	if err := c.Check(); err != nil && len(wrong) == 0 {
		wrong.add("plan: %v", err)
	}
	return c, wrong.err()
}

func readRequests(paths []string, single bool, wrong *faults) []format.CeremonyNode {
	var nodes []format.CeremonyNode
	for _, path := range paths {
		n, err := readRequest(path)
		if err != nil {
			wrong.add("request: %s: %v", path, err)
			continue
		}
		if slices.ContainsFunc(nodes, func(o format.CeremonyNode) bool {
			return o.Number == n.Number || o.Name == n.Name || string(o.PublicKey) == string(n.PublicKey)
		}) {
			wrong.add("request: %s: number, name or key of another request", path)
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b format.CeremonyNode) int { return int(a.Number) - int(b.Number) })
	if err := checkNodes(len(paths)); err != nil {
		wrong.add("request: %v", err)
	} else if len(paths) < 3 && !single {
		wrong.add("plan: single: one node has no second copy: give the requests of 3, or say single = true")
	}
	return nodes
}

func readRequest(path string) (n format.CeremonyNode, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return n, err
	}
	var r nodeRequest
	if err := json.Unmarshal(raw, &r); err != nil {
		return n, err
	}
	n.Number, n.Name = r.Number, r.Name
	if n.PublicKey, err = base64.StdEncoding.DecodeString(r.PublicKey); err != nil {
		return n, fmt.Errorf("public_key: %w", err)
	}
	if _, err := x509.ParsePKIXPublicKey(n.PublicKey); err != nil {
		return n, fmt.Errorf("public_key: %w", err)
	}
	id, err := hex.DecodeString(r.Incarnation)
	if err != nil || len(id) != len(n.Incarnation) || r.Number == 0 || r.Name == "" {
		return n, fmt.Errorf("is not the request of a node")
	}
	copy(n.Incarnation[:], id)
	return n, nil
}

func (p *plan) authorities(dir string, wrong *faults) (der [][]byte) {
	for _, path := range p.Authorities {
		certs, err := readCertificates(beside(dir, path))
		if err != nil {
			wrong.add("plan: authorities: %v", err)
		}
		for _, c := range certs {
			der = append(der, c.Raw)
		}
	}
	if len(p.Authorities) == 0 {
		wrong.add("plan: authorities: is missing: client certificates chain to them")
	}
	return der
}

func (p *plan) institutions(wrong *faults) (out []format.Institution) {
	for _, i := range p.Institutions {
		if i.Number == 0 || i.Code == "" || slices.ContainsFunc(out, func(o format.Institution) bool { return o.Number == i.Number || o.Code == i.Code }) {
			wrong.add("plan: institution: number %d, code %q: is missing, 0, or there twice", i.Number, i.Code)
		}
		out = append(out, format.Institution{Number: i.Number, Code: i.Code})
	}
	return out
}

func knows(all []format.Institution, number uint32) bool {
	return number == 0 || slices.ContainsFunc(all, func(i format.Institution) bool { return i.Number == number })
}

func (p *plan) persons(dir string, institutions []format.Institution, wrong *faults) (out []format.Person) {
	for _, who := range p.Persons {
		i := slices.IndexFunc(access.Roles(), func(r access.Role) bool { return r.String() == who.Role })
		if i < 0 {
			wrong.add("plan: person %d: role: %q is none of %s", who.ID, who.Role, strings.Trim(fmt.Sprint(access.Roles()), "[]"))
			continue
		}
		if !knows(institutions, who.Institution) {
			wrong.add("plan: person %d: institution: %d is not in the plan", who.ID, who.Institution)
		}
		certs, err := readCertificates(beside(dir, who.Certificate))
		if err != nil {
			wrong.add("plan: person %d: certificate: %v", who.ID, err)
			continue
		}
		person := personOf(who.ID, access.Roles()[i], who.Institution, certs[0])
		if who.ID == 0 || slices.ContainsFunc(out, func(o format.Person) bool {
			return o.ID == person.ID || o.Identity == person.Identity || string(o.PublicKey) == string(person.PublicKey)
		}) {
			wrong.add("plan: person %d: id is 0, or id, certificate or key is another person's", who.ID)
		}
		out = append(out, person)
	}
	if least := 2; *p.Production && len(out) < least {
		wrong.add("plan: person: production needs %d who sign", least)
	} else if len(out) == 0 {
		wrong.add("plan: person: nobody is there to sign")
	}
	return out
}

func (p *plan) definitions(institutions []format.Institution, wrong *faults) (out []format.Definition) {
	for _, d := range p.Definitions {
		digits := strings.TrimPrefix(d.BundleID, "MDS")
		if len(d.BundleID) != 10 || len(digits) != 7 || strings.Trim(digits, "0123456789") != "" {
			wrong.add("plan: definition: bundle_id: %q is not MDS and 7 digits", d.BundleID)
		}
		if d.Institution == 0 || !knows(institutions, d.Institution) {
			wrong.add("plan: definition %s: institution: %d is not in the plan", d.BundleID, d.Institution)
		}
		if d.Rule != "" {
			if _, err := retention.ParseRule(d.Rule); err != nil {
				wrong.add("plan: definition %s: rule: %v", d.BundleID, err)
			}
		}
		out = append(out, format.Definition{Institution: d.Institution, BundleID: d.BundleID, Version: max(d.Version, 1), Grade: d.Grade, Rule: d.Rule})
	}
	return out
}

// policy bounds what a ceremony may begin with; later only acts change it.
func (p *plan) policy(wrong *faults) format.Policy {
	in := p.Policy
	out := format.Policy{Version: 1, Slack: in.Slack.Microseconds(), Agreement: in.Agreement.Microseconds(), MaxYears: in.MaxYears,
		SweepWithin: in.SweepWithin.Microseconds(), Approvals: in.Approvals, CoolingOff: in.CoolingOff.Microseconds(),
		CheckpointEvery: in.CheckpointEvery.Microseconds(), HistoryYears: in.HistoryYears, ClosedNetwork: in.ClosedNetwork, MinSources: in.MinSources}
	out.SetBackupWithin(in.BackupHours)
	if err := store.CheckPolicy(out); err != nil {
		for line := range strings.Lines(err.Error()) {
			wrong.add("plan: %s", strings.TrimSpace(line))
		}
	}
	for _, s := range p.Sources {
		out.Sources = append(out.Sources, format.TimeSource{Name: s.Name, Operator: s.Operator, Auth: s.Auth, KeyID: uint32(s.KeyID), NTSName: s.NTSName})
	}
	var witnesses []format.NoteKey
	for _, word := range in.Witnesses {
		k, err := format.ParseVKey(word)
		if err != nil {
			wrong.add("plan: policy.witnesses: %q: %v", word, err)
		}
		witnesses = append(witnesses, k)
	}
	out.SetWitnesses(witnesses)
	out.WitnessesNeeded = in.WitnessesNeeded
	if len(in.Witnesses) > 0 && in.WitnessesNeeded == 0 {
		wrong.add("plan: policy.witnesses_needed: is missing: of how many witnesses a checkpoint needs the cosignature")
	}
	if out.MinSources == 0 && !in.ClosedNetwork {
		out.MinSources = 3
	}
	p.checkSources(out, wrong)
	return out
}

func (p *plan) checkSources(policy format.Policy, wrong *faults) {
	switch {
	case len(p.Sources) == 0 && !*p.Production && policy.ClosedNetwork:
		return // the development clock
	case len(p.Sources) < 3 && !policy.ClosedNetwork:
		wrong.add("plan: source: %d time sources: give 3 of different operators, or say policy.closed_network = true", len(p.Sources))
		return
	}
	if err := timePolicy(policy).Validate(); err != nil {
		for line := range strings.Lines(err.Error()) {
			wrong.add("plan: source: %s", strings.TrimSpace(line))
		}
	}
}
