package timesource

import (
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

// Honest chronyds serve the host's date: here, and only here, true time is the
// host's.

func chronyClock(t *testing.T, policy Policy, ends []Endpoint) *NTP {
	t.Helper()
	opts := fastOptions(time.Now().Add(-fortnight))
	clock, err := New(policy, ends, opts)
	if err != nil {
		t.Fatal(err)
	}
	runClock(t, clock)
	return clock
}

func holdsHostTime(t *testing.T, clock *NTP) {
	t.Helper()
	before := time.Now()
	r, err := clock.Now()
	after := time.Now()
	// chronyd smooths and samples the host's date, hence the millisecond.
	if err != nil || r.Latest.Before(before.Add(-time.Millisecond)) || r.Earliest.After(after.Add(time.Millisecond)) {
		t.Errorf("host time %v is not within %v..%v (%v)", before, r.Earliest, r.Latest, err)
	}
}

func TestRealServersHonestAndLying(t *testing.T) {
	p := fourSources()
	var ends []Endpoint
	for i, s := range p.Sources {
		o := testntp.ChronyOptions{}
		if i == 3 {
			o.FalseTime = time.Now().Add(-48 * time.Hour)
		}
		ends = append(ends, Endpoint{Name: s.Name, Address: testntp.StartChrony(t, o).Addr})
	}
	clock := chronyClock(t, p, ends)
	eventually(t, "synchronized, the liar outvoted", func() bool {
		report := clock.Report()
		return report.Reading.Status == Synchronized && report.Sources[3].Falseticker &&
			report.Sources[0].Selected && report.Sources[1].Selected && report.Sources[2].Selected
	})
	holdsHostTime(t, clock)
	if _, _, err := CheckEvidence(clock.Evidence()); err != nil {
		t.Error(err)
	}
}

func TestRealServerSymmetricKeys(t *testing.T) {
	const short = "1dc764e0791b11fa67efc7ecbc4b0d73"
	chrony := testntp.StartChrony(t, testntp.ChronyOptions{Keys: []string{
		"1 SHA1 HEX:" + short, "2 SHA256 HEX:" + short, "3 SHA512 HEX:" + short,
		"4 AES128 HEX:" + short, "5 AES256 HEX:" + short + short,
	}})
	wrong := "HEX:" + strings.Replace(short, "1d", "1e", 1)
	for _, c := range []struct {
		name string
		kind AuthKind
		id   uint16
		key  string
		ok   bool
	}{
		{"sha1", AuthSHA1, 1, "HEX:" + short, true},
		{"sha256", AuthSHA256, 2, "HEX:" + short, true},
		{"sha512", AuthSHA512, 3, "HEX:" + short, true},
		{"aes128", AuthAES128, 4, "HEX:" + short, true},
		{"aes256", AuthAES256, 5, "HEX:" + short + short, true},
		{"sha1 wrong key", AuthSHA1, 1, wrong, false},
		{"aes128 wrong key", AuthAES128, 4, wrong, false},
		{"aes256 wrong key", AuthAES256, 5, wrong + short, false},
		{"unknown key id", AuthSHA1, 99, "HEX:" + short, false},
		{"key of another kind", AuthAES128, 1, "HEX:" + short, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := testClient(t, Source{Name: "s", Operator: "o", Auth: c.kind, KeyID: c.id},
				Endpoint{Name: "s", Address: chrony.Addr, Key: c.key})
			m, err := client.query(t.Context())
			if (err == nil) != c.ok {
				t.Fatalf("query: %v", err)
			}
			if c.ok {
				s, err := m.interval(time.Now().Add(-fortnight).UnixMicro(), 200, limit)
				if now := time.Now(); err != nil || s.latest().Before(now.Add(-2*time.Second)) || s.earliest().After(now) {
					t.Errorf("interval %v..%v: %v", s.earliest(), s.latest(), err)
				}
			}
		})
	}
}

func testClient(t *testing.T, s Source, e Endpoint) *client {
	t.Helper()
	opts, err := fastOptions(newYear).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return &client{
		life: t.Context(), opts: opts, source: s, endpoint: e,
		trusted: func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) },
		claim:   func(string) error { return nil },
	}
}
