package system_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// acknowledge stores n numbers at node i and answers them.
func (s *site) acknowledge(ctx context.Context, i int, name string, n int) (numbers []string) {
	s.t.Helper()
	cl := s.client(ctx, i, "app")
	for k := range n {
		number := fmt.Sprintf("%s-%d", name, k)
		if _, err := put(ctx, cl, number, "P5Y", contentOf(number)); err != nil {
			s.t.Fatal(err)
		}
		numbers = append(numbers, number)
	}
	return numbers
}

// everywhere reads the numbers at every node, one by one.
func (s *site) everywhere(ctx context.Context, numbers []string) {
	s.t.Helper()
	for i := range s.Size() {
		cl := s.client(ctx, i, "officer")
		for _, number := range numbers {
			s.readAgain(ctx, cl, i, number)
		}
	}
}

// memberAt is what node i says of node of.
func (s *site) memberAt(ctx context.Context, i, of int) (*sagov1.Node, error) {
	status, err := s.statusAt(ctx, i)
	for _, n := range status.GetNodes() {
		if n.GetId() == s.Name(of) {
			return n, err
		}
	}
	return nil, err
}

func (s *site) statusAt(ctx context.Context, i int) (*sagov1.ClusterServiceStatusResponse, error) {
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return s.client(ctx, i, "admin").ClusterStatus(call)
}

// incarnation is that of node i, as it says itself.
func (s *site) incarnation(ctx context.Context, i int) string {
	s.t.Helper()
	n, err := s.memberAt(ctx, i, i)
	must(s.t, err)
	return n.GetIncarnation()
}

// noElection watches for longer than elections take that no node leads, and that
// a put is refused.
func (s *site) noElection(ctx context.Context, nodes ...int) {
	s.t.Helper()
	app := s.client(ctx, nodes[0], "app")
	watched, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	asked := 0
	err := testcluster.Await(watched, "a leader", func(context.Context) (bool, string, error) {
		for _, i := range nodes {
			status, err := s.statusAt(ctx, i)
			if err != nil {
				continue // a node without a majority may not serve yet
			}
			asked++
			if status.GetLeader() != "" || status.GetReady() {
				return true, status.String(), nil
			}
		}
		return false, "", nil
	})
	if err == nil {
		status, _ := s.statusAt(ctx, nodes[0])
		s.t.Errorf("a leader was elected: %v", status)
	}
	if asked == 0 {
		s.t.Error("no node answered for itself")
	}
	call, end := context.WithTimeout(ctx, 3*time.Second)
	defer end()
	if _, err := put(call, app, "LOST", "P5Y", contentOf("LOST")); err == nil || !unavailable(err) {
		s.t.Errorf("a put without a majority: %v", err)
	}
}

// goOn puts for some seconds, each time as a program that has just started and
// knows all nodes; each put is acknowledged.
func (s *site) goOn(ctx context.Context) (numbers []string) {
	s.t.Helper()
	for until := boottime(s.t) + 3*time.Second; boottime(s.t) < until; {
		number := fmt.Sprint("G-", len(numbers))
		cl, err := s.Client(ctx, "app")
		must(s.t, err)
		_, err = put(ctx, cl, number, "P5Y", contentOf(number))
		must(s.t, errors.Join(err, cl.Close()))
		numbers = append(numbers, number)
	}
	return numbers
}

// TestWipedNodeRejoinsAlone: nobody helps a node whose data is gone; it comes
// back as a new incarnation and holds everything. Clients that name it first go on
// all the while, by the others.
func TestWipedNodeRejoinsAlone(t *testing.T) {
	ctx := bounded(t, time.Minute)
	s := startSite(t, ctx, testcluster.Options{})
	numbers := s.acknowledge(ctx, 0, "W", 40)
	const victim = 0
	was := s.incarnation(ctx, victim)
	must(t, s.Kill(victim))
	must(t, s.Wipe(victim))
	numbers = append(numbers, s.acknowledge(ctx, 1, "V", 20)...)
	must(t, s.Start(victim))
	numbers = append(numbers, s.goOn(ctx)...)
	must(t, s.ReadyAt(ctx, victim))
	s.healthy(ctx)
	if is := s.incarnation(ctx, victim); is == was {
		t.Errorf("%s came back as the incarnation that it was: %s", s.Name(victim), is)
	}
	s.everywhere(ctx, numbers)
	s.intact(ctx)
}

// TestP63_WipedMajorityElectsNobody: what only A and B hold survives that B
// forgets it while A is away.
func TestP63_WipedMajorityElectsNobody(t *testing.T) {
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{})
	const a, b, c = 0, 1, 2
	must(t, s.Stop(ctx, c))
	numbers := s.acknowledge(ctx, a, "AB", 10)
	must(t, s.Kill(b))
	must(t, s.Wipe(b))
	must(t, s.Stop(ctx, a))
	must(t, s.Start(c))
	must(t, s.Start(b))
	s.noElection(ctx, c, b)
	must(t, s.Start(a))
	must(t, s.Ready(ctx))
	s.healthy(ctx)
	s.everywhere(ctx, numbers)
	s.intact(ctx)
}

// TestP63_OlderCopyDoesNotVote: yesterday's directory of B does not make a
// majority with C, which was away as well.
func TestP63_OlderCopyDoesNotVote(t *testing.T) {
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{})
	const a, b, c = 0, 1, 2
	was := s.incarnation(ctx, b)
	must(t, s.Stop(ctx, b))
	copied := filepath.Join(t.TempDir(), "yesterday")
	must(t, s.CopyData(b, copied))
	must(t, s.Start(b))
	must(t, s.ReadyAt(ctx, b))
	s.healthy(ctx)
	must(t, s.Stop(ctx, c))
	numbers := s.acknowledge(ctx, a, "AB", 10)
	must(t, s.Stop(ctx, b))
	must(t, s.Stop(ctx, a))
	must(t, s.ReplaceData(b, copied))
	must(t, s.Start(b))
	must(t, s.Start(c))
	s.noElection(ctx, c, b)
	for _, i := range []int{c, b} {
		if n, err := s.memberAt(ctx, i, b); err != nil || n.GetState() != "joining" {
			t.Errorf("%s says of %s with an older copy: %v, %v", s.Name(i), s.Name(b), n, err)
		}
	}
	must(t, s.Start(a))
	must(t, s.Ready(ctx))
	s.healthy(ctx)
	if is := s.incarnation(ctx, b); is == was {
		t.Errorf("%s votes as the incarnation that it was: %s", s.Name(b), is)
	}
	s.everywhere(ctx, numbers)
	s.intact(ctx)
}
