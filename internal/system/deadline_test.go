package system_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// TestEachNodeShowsTheSameDeadline stores on 2026-03-01 in Korea and asks the
// nodes one by one when the periods end: counted as the Civil Code does
// (초일 불산입), to the same microsecond at every node.
func TestEachNodeShowsTheSameDeadline(t *testing.T) {
	ctx := bounded(t, time.Minute)
	s := newSite(t, testcluster.Options{})
	s.hold(ctx, amend{time: time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)})
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	file := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(file, contentOf("D"), 0o600))
	ends := map[string]string{
		"P5Y":        "2031-03-02T00:00:00+09:00",
		"P1Y":        "2027-03-02T00:00:00+09:00",
		"P6M":        "2026-09-02T00:00:00+09:00",
		"P1M":        "2026-04-02T00:00:00+09:00",
		"P90D":       "2026-05-31T00:00:00+09:00",
		"P1D":        "2026-03-03T00:00:00+09:00",
		"2031-12-31": "2032-01-01T00:00:00+09:00",
		"PT12H":      "", // runs from the tick after the put
	}
	for rule := range ends {
		s.sago(ctx, 0, 0, "app", putArgs("D-"+rule, rule, file)...)
	}
	for rule, end := range ends {
		var seen []time.Time
		for i := range s.Size() {
			cl := s.client(ctx, i, "auditor")
			var b *sagov1.Bundle
			await(t, ctx, rule+" has begun at "+s.Name(i), func(c context.Context) (_ bool, _ string, err error) {
				b, err = cl.Show(c, &sagov1.ShowRequest{Transaction: "D-" + rule, Part: 1})
				return b.GetDeadline() != nil, b.String(), err
			})
			seen = append(seen, b.GetDeadline().AsTime())
			answer := s.sago(ctx, 0, i, "auditor", "bundle", "show", "--transaction", "D-"+rule)
			if shown, err := time.Parse(time.RFC3339, answer["deadline"].(string)); err != nil || !shown.Equal(seen[i]) {
				t.Errorf("%s at %s: the command line shows %v, the node answers %v (%v)", rule, s.Name(i), shown, seen[i], err)
			}
		}
		want := seen[0]
		if end != "" {
			var err error
			want, err = time.Parse(time.RFC3339, end)
			must(t, err)
		}
		for i, got := range seen {
			if !got.Equal(want) {
				t.Errorf("%s ends %v at %s, want %v", rule, got, s.Name(i), want)
			}
		}
	}
}
