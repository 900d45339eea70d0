package system_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/internal/testntp"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// shift moves the true time of all time servers.
func (s *site) shift(by time.Duration) {
	for i := range s.sources {
		s.TimeSource(i).Set(func(b *testntp.Behaviour) { b.Epoch = b.Epoch.Add(by) })
	}
}

// lie has time server i add this to true time; 0 is the truth.
func (s *site) lie(i int, offset time.Duration) {
	s.TimeSource(i).Set(func(b *testntp.Behaviour) { b.Offset = offset })
}

// boottime is CLOCK_BOOTTIME: what has passed, whatever the host's date says.
func boottime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	return time.Duration(now.Nano())
}

// clockOf is what node i says of the clock.
func (s *site) clockOf(ctx context.Context, i int) *sagov1.ClockServiceStatusResponse {
	s.t.Helper()
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	answer, err := s.client(ctx, i, "auditor").ClockStatus(call)
	must(s.t, err)
	return answer
}

// awaitClocks waits until every node says this of its clock.
func (s *site) awaitClocks(ctx context.Context, what string, is func(*sagov1.ClockServiceStatusResponse) bool) {
	s.t.Helper()
	for i := range s.Size() {
		cl := s.client(ctx, i, "auditor")
		await(s.t, ctx, s.Name(i)+": "+what, func(ctx context.Context) (bool, string, error) {
			call, cancel := context.WithTimeout(ctx, callWithin)
			defer cancel()
			answer, err := cl.ClockStatus(call)
			if err != nil {
				return false, err.Error(), nil
			}
			return is(answer), answer.String(), nil
		})
	}
}

func synchronized(a *sagov1.ClockServiceStatusResponse) bool {
	return a.GetStatus() == "synchronized" && a.GetClock() != nil
}

// fourSources are of four operators, as production asks.
func fourSources() []testcluster.Source {
	var all []testcluster.Source
	for _, name := range []string{"a", "b", "c", "d"} {
		all = append(all, testcluster.Source{Name: "time-" + name, Operator: "operator-" + name})
	}
	return all
}

// slack is what the policy of these tests allows.
const slack = time.Minute
