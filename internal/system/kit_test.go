package system_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bounded is the test's context, which ends after this long.
func bounded(t *testing.T, within time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	return ctx
}

// rounds halves a number of rounds when the tests shall be short.
func rounds(n int) int {
	if testing.Short() {
		return n / 2
	}
	return n
}

// site is a cluster of a test, which ends with it.
type site struct {
	*testcluster.Cluster
	t *testing.T
	// sources is the number of its time servers.
	sources int
}

// newSite holds a ceremony; no node runs yet. A failed test shows the last words
// of every node.
func newSite(t *testing.T, opts testcluster.Options) *site {
	t.Helper()
	if opts.Sources == nil {
		opts.Sources = testcluster.DefaultSources()
	}
	if opts.Bin == "" {
		opts.Bin = bin
	}
	opts.Dir = filepath.Join(t.TempDir(), "cluster")
	// The life of the cluster is the test's with its cleanup.
	c, err := testcluster.New(context.WithoutCancel(t.Context()), opts)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for i := range c.Size() {
				t.Logf("last words of %s:\n%s", c.Name(i), c.LogTail(i, 12))
			}
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &site{c, t, len(opts.Sources)}
}

// startSite is newSite with all nodes up and ready.
func startSite(t *testing.T, ctx context.Context, opts testcluster.Options) *site {
	t.Helper()
	s := newSite(t, opts)
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	return s
}

// sago runs the command line at node i and answers its JSON; it must exit so.
func (s *site) sago(ctx context.Context, exit, i int, role string, args ...string) map[string]any {
	s.t.Helper()
	out, err := s.SagoAt(ctx, i, role, append([]string{"--output", "json"}, args...)...)
	must(s.t, err)
	if out.Exit != exit {
		s.t.Fatalf("%s of %s at %s: exit %d, want %d: %s%s", strings.Join(args, " "), role, s.Name(i), out.Exit, exit, out.Stdout, out.Stderr)
	}
	return object(s.t, out.Stdout)
}

// object decodes an answer; nothing at all is an empty one.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	answer := map[string]any{}
	if strings.TrimSpace(text) == "" {
		return answer
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return answer
}

// rowsOf are the objects of a list in an answer.
func rowsOf(t *testing.T, answer map[string]any, list string) (rows []map[string]any) {
	t.Helper()
	all, ok := answer[list].([]any)
	if !ok {
		t.Fatalf("no list %q in %v", list, answer)
	}
	for _, r := range all {
		rows = append(rows, r.(map[string]any))
	}
	return rows
}

// client opens a client of node i alone, which ends with the test.
func (s *site) client(ctx context.Context, i int, role string) *client.Client {
	s.t.Helper()
	cl, err := s.ClientAt(ctx, i, role)
	must(s.t, err)
	s.t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// bundle is the header of a small bundle.
func bundle(transaction, retain string) *sagov1.BundleHeader {
	return &sagov1.BundleHeader{Transaction: transaction, Part: 1, BundleId: testcluster.BundleID,
		SubjectCi: "CI-" + transaction, Retain: retain, Basis: "전자정부법 제43조의2"}
}

// put stores data through cl under a number.
func put(ctx context.Context, cl *client.Client, transaction, retain string, data []byte) (*sagov1.Receipt, error) {
	return cl.Put(ctx, bundle(transaction, retain), client.BytesContent("d.bin", "application/octet-stream", data))
}

// read reads a bundle of one document through cl, as a person.
func read(ctx context.Context, cl *client.Client, transaction string) (*sagov1.GetHeader, []byte, error) {
	h, documents, err := cl.GetBytes(ctx, &sagov1.GetRequest{Transaction: transaction, Part: 1, Who: &sagov1.Who{Purpose: "시험"}})
	if err != nil {
		return nil, nil, err
	}
	if len(documents) != 1 {
		return nil, nil, fmt.Errorf("%s: %d documents", transaction, len(documents))
	}
	return h, documents[0], nil
}

// await polls until is answers true; the context bounds it.
func await(t *testing.T, ctx context.Context, what string, is func(context.Context) (bool, string, error)) {
	t.Helper()
	must(t, testcluster.Await(ctx, what, is))
}

// intact has every node check all its files, and compares their roots.
func (s *site) intact(ctx context.Context) {
	s.t.Helper()
	answer := s.sago(ctx, 0, 0, "admin", "cluster", "verify")
	if answer["intact"] != true || answer["roots_equal"] != true {
		s.t.Fatalf("cluster verify: %v", answer)
	}
	nodes := rowsOf(s.t, answer, "nodes")
	if len(nodes) != s.Size() {
		s.t.Fatalf("%d nodes were verified, not %d: %v", len(nodes), s.Size(), answer)
	}
	for _, n := range nodes {
		if n["reachable"] != true || n["root_at_compared"] != nodes[0]["root_at_compared"] {
			s.t.Fatalf("cluster verify: %v beside %v", n, nodes[0])
		}
	}
}

// healthy waits until every node of the cluster is reachable and a voter.
func (s *site) healthy(ctx context.Context) {
	s.t.Helper()
	await(s.t, ctx, "all nodes healthy", func(ctx context.Context) (bool, string, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		status, err := s.Status(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		good := 0
		for _, n := range status.GetNodes() {
			if n.GetReachable() && healthyState(n.GetState()) {
				good++
			}
		}
		return status.GetReady() && good == s.Size(), status.String(), nil
	})
}

func healthyState(state string) bool { return state == "leader" || state == "follower" }

// stopAll stops every node cleanly.
func (s *site) stopAll(ctx context.Context) {
	s.t.Helper()
	for i := range s.Size() {
		must(s.t, s.Stop(ctx, i))
	}
}
