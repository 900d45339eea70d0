package system_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/internal/testntp"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// TestChronydAsSources has real chronyd processes, with keys, tell the time; one
// of the four lies by a day and is named.
func TestChronydAsSources(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, time.Minute)
	s := newSite(t, testcluster.Options{Sources: fourSources()})
	var addresses []string
	for i, src := range tables(s.readTOML(s.Config(0))["time"].(map[string]any)["source"]) {
		o := testntp.ChronyOptions{Keys: []string{keyLine(i+1, src.(map[string]any)["key"].(string))}}
		if i == 3 {
			o.FalseTime = time.Now().Add(24 * time.Hour)
		}
		addresses = append(addresses, testntp.StartChrony(t, o).Addr)
	}
	for i := range s.Size() {
		s.editTOML(s.Config(i), func(file map[string]any) {
			for k, src := range tables(file["time"].(map[string]any)["source"]) {
				src.(map[string]any)["address"] = addresses[k]
			}
		})
	}
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.awaitClocks(ctx, "three selected, one falseticker", func(a *sagov1.ClockServiceStatusResponse) bool {
		states := ""
		for _, src := range a.GetSources() {
			states += src.GetState() + " "
		}
		return synchronized(a) && states == "selected selected selected falseticker "
	})
	for i := range s.Size() {
		a := s.clockOf(ctx, i)
		if off := time.Since(a.GetEarliest().AsTime()); off < -time.Second || off > 5*time.Second {
			t.Errorf("%s says %v, off by %v", s.Name(i), a.GetEarliest().AsTime(), off)
		}
	}
	for i := range s.sources {
		if n := s.TimeSource(i).Queries(); n != 0 {
			t.Errorf("the stand-in source %d was asked %d times", i, n)
		}
	}
}

// keyLine is a key of a node's file in chrony's own form.
func keyLine(id int, key string) string {
	return fmt.Sprintf("%d AES128 %s", id, key)
}
