package testntp

import (
	"context"
	"testing"
	"time"

	"github.com/beevik/ntp"
)

var date = time.Date(2031, 3, 1, 9, 0, 0, 0, time.UTC)

func start(t *testing.T, b Behaviour) *Server {
	t.Helper()
	if b.Epoch.IsZero() {
		b.Epoch = EpochOf(date)
	}
	s, err := Start(context.Background(), "127.0.0.1:0", b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestServerTellsItsEpochAndLies(t *testing.T) {
	s := start(t, Behaviour{})
	for _, offset := range []time.Duration{0, 30 * 24 * time.Hour, -time.Hour} {
		s.Set(func(b *Behaviour) { b.Offset = offset })
		r, err := ntp.QueryWithOptions(s.Addr(), ntp.QueryOptions{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if off := s.Now().Add(offset).Sub(r.Timestamps.ServerXmit); off < 0 || off > time.Second {
			t.Errorf("offset %v: server says %v", offset, r.Timestamps.ServerXmit)
		}
		if err := r.Validate(); err != nil {
			t.Errorf("offset %v: %v", offset, err)
		}
	}
	if s.Queries() != 3 {
		t.Errorf("%d queries counted", s.Queries())
	}
}

func TestServerFields(t *testing.T) {
	s := start(t, Behaviour{Stratum: 7, Leap: 2, RootDelay: 250 * time.Millisecond, RootDispersion: 2 * time.Second})
	r, err := ntp.QueryWithOptions(s.Addr(), ntp.QueryOptions{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Stratum != 7 || r.Leap != ntp.LeapDelSecond || r.RootDelay != 250*time.Millisecond || r.RootDispersion != 2*time.Second {
		t.Errorf("answer %+v", r)
	}
	s.Set(func(b *Behaviour) { b.Kiss = "RATE" })
	r, err = ntp.QueryWithOptions(s.Addr(), ntp.QueryOptions{Timeout: time.Second})
	if err != nil || r.KissCode != "RATE" {
		t.Errorf("kiss: %v %v", r, err)
	}
	s.Set(func(b *Behaviour) { b.Silent = true })
	if _, err := ntp.QueryWithOptions(s.Addr(), ntp.QueryOptions{Timeout: 50 * time.Millisecond}); err == nil {
		t.Error("a silent server answered")
	}
}

func TestServerKeys(t *testing.T) {
	const text = "HEX:000102030405060708090a0b0c0d0e0f"
	long := text + text[4:]
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i % 16)
	}
	for _, c := range []struct {
		kind string
		auth ntp.AuthType
		key  string
		size int
	}{
		{"sha1", ntp.AuthSHA1, text, 16},
		{"sha256", ntp.AuthSHA256, text, 16},
		{"sha512", ntp.AuthSHA512, text, 16},
		{"aes128-cmac", ntp.AuthAES128, text, 16},
		{"aes256-cmac", ntp.AuthAES256, long, 32},
	} {
		s := start(t, Behaviour{Key: &Key{ID: 5, Kind: c.kind, Secret: secret[:c.size]}})
		ask := func(id uint32) error {
			_, err := ntp.QueryWithOptions(s.Addr(), ntp.QueryOptions{
				Timeout: 200 * time.Millisecond, Auth: ntp.AuthOptions{Type: c.auth, Key: c.key, KeyID: id},
			})
			return err
		}
		if err := ask(5); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
		if err := ask(6); err == nil {
			t.Errorf("%s: an unknown key id was answered", c.kind)
		}
	}
}

func TestChronyServesTheHostsDateOrAFalseOne(t *testing.T) {
	honest := StartChrony(t, ChronyOptions{})
	lying := StartChrony(t, ChronyOptions{FalseTime: time.Now().Add(48 * time.Hour)})
	for addr, want := range map[string]time.Duration{honest.Addr: 0, lying.Addr: 48 * time.Hour} {
		r, err := ntp.QueryWithOptions(addr, ntp.QueryOptions{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if off := r.ClockOffset - want; off < -3*time.Second || off > 3*time.Second {
			t.Errorf("%s: offset %v, want %v", addr, r.ClockOffset, want)
		}
	}
}
