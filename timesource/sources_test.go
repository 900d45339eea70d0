package timesource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

func TestRefusedByKissOfDeath(t *testing.T) {
	c := newCluster(t)
	c.servers[0].Set(func(b *testntp.Behaviour) { b.Kiss = "DENY" })
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "refusal", func() bool { return strings.Contains(c.source(0).Reason, "polling stopped") })
	others := c.servers[1].Queries()
	eventually(t, "others are polled on", func() bool { return c.servers[1].Queries() > others+5 })
	if q := c.servers[0].Queries(); q != 1 {
		t.Errorf("the refusing server was asked %d times", q)
	}
	c.servers[0].Set(func(b *testntp.Behaviour) { b.Kiss = "" })
	changed := fourSources()
	changed.DriftPPM = 150
	if err := c.clock.ApplyPolicy(changed); err != nil {
		t.Fatal(err)
	}
	eventually(t, "asked again under a new policy", func() bool { return c.source(0).Selected })
}

func TestPace(t *testing.T) {
	p := newPace(2*time.Second, 64*time.Second)
	steps := func(err error, want ...time.Duration) {
		t.Helper()
		for _, w := range want {
			if got, again := p.after(err); got != w*time.Second || !again {
				t.Fatalf("waits %v %v, want %ds", got, again, w)
			}
		}
	}
	steps(nil, 2, 4, 8, 16, 32, 64, 64)
	steps(kissError("RATE"), 128, 256, 512, 1024, 1024)
	steps(nil, 1024)
	for _, code := range []kissError{"DENY", "RSTR"} {
		if _, again := p.after(code); again {
			t.Errorf("%s is asked again", code)
		}
	}
	p = newPace(2*time.Second, 64*time.Second)
	steps(kissError("RATE"), 4, 16)
}

func TestP08_AHostNameIsOneVote(t *testing.T) {
	c := newCluster(t)
	c.lie(month, 3)
	c.ends[3].Address = "pool.example:123"
	c.opts.Resolver = func(_ context.Context, host string) ([]string, error) {
		if host != "pool.example" {
			return nil, fmt.Errorf("unexpected name %s", host)
		}
		var all []string
		for i := range 20 {
			all = append(all, fmt.Sprintf("192.0.2.%d", i+1))
		}
		return all, nil
	}
	c.opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "192.0.2.") {
			address = c.servers[3].Addr()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "the pool is one outvoted source", func() bool { return c.source(3).Falseticker })
	c.reaches(Synchronized, "")
	if n := len(c.clock.Report().Sources); n != 4 {
		t.Errorf("%d sources", n)
	}
}

func TestP08_OneServerIsOneVote(t *testing.T) {
	c := newCluster(t)
	_, port, _ := net.SplitHostPort(c.servers[0].Addr())
	c.ends[1].Address = "alias.example:" + port
	c.opts.Resolver = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	c.run()
	eventually(t, "one of the two is refused", func() bool {
		return strings.Contains(c.source(0).Reason+c.source(1).Reason, "already answers for source")
	})
	c.reaches(Synchronized, "")
}

func TestUnresolvableSource(t *testing.T) {
	c := newCluster(t)
	c.ends[0].Address = "nowhere.example:123"
	c.opts.Resolver = func(context.Context, string) ([]string, error) { return nil, nil }
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "reason", func() bool { return strings.Contains(c.source(0).Reason, "no address") })
}

func TestSymmetricKeysAgainstTheResponder(t *testing.T) {
	for _, kind := range []AuthKind{AuthSHA1, AuthSHA256, AuthSHA512, AuthAES128, AuthAES256} {
		t.Run(string(kind), func(t *testing.T) {
			c := newCluster(t)
			c.opts.Timeout = 40 * time.Millisecond
			secret := sha256.Sum256([]byte(kind))
			key := secret[:kind.keySize()]
			for i, s := range c.servers {
				s.Set(func(b *testntp.Behaviour) { b.Key = &testntp.Key{ID: 9, Kind: string(kind), Secret: key} })
				c.policy.Sources[i].Auth, c.policy.Sources[i].KeyID = kind, 9
				c.ends[i].Key = "HEX:" + hex.EncodeToString(key)
			}
			wrong := secret
			wrong[0] ^= 1
			c.ends[3].Key = "HEX:" + hex.EncodeToString(wrong[:len(key)])
			c.run()
			c.reaches(Synchronized, "")
			eventually(t, "a wrong key gives no answer", func() bool { return c.source(3).Reason != "not polled yet" })
			// An answer under another key, or under none, is refused as well.
			c.servers[2].Set(func(b *testntp.Behaviour) { b.Key = nil })
			eventually(t, "an unsigned answer is refused", func() bool {
				return strings.Contains(c.source(2).Reason, "authentication")
			})
			if s := c.source(3); s.Selected || s.Reach != 0 {
				t.Errorf("source with a wrong key: %+v", s)
			}
		})
	}
}
