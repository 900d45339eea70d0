package timesource

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPolicyFaultsAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Policy)
		says   string
	}{
		"two sources":     {func(p *Policy) { p.Sources = p.Sources[:2] }, "2 sources"},
		"none":            {func(p *Policy) { p.Sources = nil }, "0 sources"},
		"min two":         {func(p *Policy) { p.MinSources = 2 }, "min sources 2"},
		"more than there": {func(p *Policy) { p.MinSources = 5 }, "4 sources"},
		"one name twice":  {func(p *Policy) { p.Sources[1].Name = "source-0" }, "twice"},
		"no name":         {func(p *Policy) { p.Sources[1].Name = "" }, "1 to 32"},
		"long operator":   {func(p *Policy) { p.Sources[1].Operator = strings.Repeat("o", 33) }, "1 to 32"},
		"md5":             {func(p *Policy) { p.Sources[1].Auth, p.Sources[1].KeyID = "md5", 1 }, "MD5"},
		"unknown auth":    {func(p *Policy) { p.Sources[1].Auth = "trust me" }, "unknown"},
		"no auth":         {func(p *Policy) { p.Sources[1].Auth = "" }, "unknown"},
		"no key id":       {func(p *Policy) { p.Sources[1].Auth = AuthSHA256 }, "key id"},
		"idle key id":     {func(p *Policy) { p.Sources[1].KeyID = 7 }, "key id"},
		"nts nameless":    {func(p *Policy) { p.Sources[1].Auth = AuthNTS }, "NTS name"},
		"drift":           {func(p *Policy) { p.DriftPPM = 1001 }, "1001 ppm"},
		"negative drift":  {func(p *Policy) { p.DriftPPM = -1 }, "-1 ppm"},
		"root distance":   {func(p *Policy) { p.MaxRootDistance = time.Minute }, "root distance"},
		"width":           {func(p *Policy) { p.MaxWidth = -1 }, "width"},
	} {
		p := fourSources()
		c.change(&p)
		if err := p.Validate(); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if err := fourSources().Validate(); err != nil {
		t.Errorf("the good policy: %v", err)
	}
	alone := fourSources()
	alone.Sources, alone.ClosedNetwork = alone.Sources[:1], true
	if err := alone.Validate(); err != nil {
		t.Errorf("one source in a closed network: %v", err)
	}
}

func endpointsFor(p Policy) []Endpoint {
	var list []Endpoint
	for i, s := range p.Sources {
		list = append(list, Endpoint{Name: s.Name, Address: "time.example:" + string(rune('1'+i))})
	}
	return list
}

func TestNodeFileThatDiffersTellsNoTime(t *testing.T) {
	secret := "HEX:" + strings.Repeat("0f", 16)
	for name, change := range map[string]func(*Policy, *[]Endpoint){
		"missing":     func(_ *Policy, e *[]Endpoint) { *e = (*e)[1:] },
		"extra":       func(_ *Policy, e *[]Endpoint) { *e = append(*e, Endpoint{Name: "x", Address: "y:1"}) },
		"twice":       func(_ *Policy, e *[]Endpoint) { *e = append(*e, (*e)[0]) },
		"other name":  func(_ *Policy, e *[]Endpoint) { (*e)[0].Name = "x" },
		"one address": func(_ *Policy, e *[]Endpoint) { (*e)[0].Address = (*e)[1].Address },
		"no port":     func(_ *Policy, e *[]Endpoint) { (*e)[0].Address = "time.example" },
		"idle key":    func(_ *Policy, e *[]Endpoint) { (*e)[0].Key = secret },
		"idle CA":     func(_ *Policy, e *[]Endpoint) { (*e)[0].CAFile = "ca.pem" },
		"no key":      func(p *Policy, _ *[]Endpoint) { p.Sources[0].Auth, p.Sources[0].KeyID = AuthSHA1, 1 },
		"short key": func(p *Policy, e *[]Endpoint) {
			p.Sources[0].Auth, p.Sources[0].KeyID, (*e)[0].Key = AuthSHA1, 1, secret[:20]
		},
		"wrong size": func(p *Policy, e *[]Endpoint) {
			p.Sources[0].Auth, p.Sources[0].KeyID, (*e)[0].Key = AuthAES128, 1, secret+"00"
		},
		"no prefix": func(p *Policy, e *[]Endpoint) {
			p.Sources[0].Auth, p.Sources[0].KeyID, (*e)[0].Key = AuthAES128, 1, secret[4:]
		},
	} {
		p := fourSources()
		endpoints := endpointsFor(p)
		change(&p, &endpoints)
		n, err := New(p, endpoints, Options{Floor: func() time.Time { return newYear }})
		if !errors.Is(err, ErrPolicyMismatch) || n == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "0f0f") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
		if r, err := n.Now(); !errors.Is(err, ErrPolicyMismatch) || r.Status != Unsynchronized {
			t.Errorf("%s: Now gives %v %v", name, r.Status, err)
		}
		if report := n.Report(); !strings.Contains(report.Reason, "differs from policy") {
			t.Errorf("%s: report says %q", name, report.Reason)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	if _, err := New(fourSources(), endpointsFor(fourSources()), Options{}); err == nil {
		t.Error("no floor was taken")
	}
	if _, err := New(Policy{}, nil, Options{Floor: func() time.Time { return newYear }}); !errors.Is(err, ErrPolicy) {
		t.Errorf("an empty policy: %v", err)
	}
}
