package testcluster_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"

	"github.com/sago-worm/sago/internal/testcluster"
)

// build makes the programs as `make build` does.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "./cmd/sagod", "./cmd/sago")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

func put(ctx context.Context, cl *client.Client, transaction string, data []byte) error {
	_, err := cl.Put(ctx, &sagov1.BundleHeader{Transaction: transaction, Part: 1, BundleId: testcluster.BundleID,
		SubjectCi: "CI-" + transaction, Retain: "P5Y", Basis: "시험"}, client.BytesContent("d.bin", "application/octet-stream", data))
	return err
}

func get(t *testing.T, ctx context.Context, c *testcluster.Cluster, i int, transaction string, want []byte) {
	t.Helper()
	cl, err := c.ClientAt(ctx, i, "officer")
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, documents, err := cl.GetBytes(ctx, &sagov1.GetRequest{Transaction: transaction, Part: 1, Who: &sagov1.Who{Purpose: "시험"}})
	if err != nil {
		t.Fatalf("%s of %s: %v", transaction, c.Name(i), err)
	}
	if len(documents) != 1 || !bytes.Equal(documents[0], want) {
		t.Fatalf("%s of %s: other bytes came back", transaction, c.Name(i))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestP63_NodesOfTheirOwn walks a cluster of real processes through what tests
// rely on: a kill of the leader loses nothing, a wiped node comes back alone and
// whole, and at the end nothing is left behind.
func TestP63_NodesOfTheirOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "cluster")
	c, err := testcluster.New(ctx, testcluster.Options{Bin: build(t), Dir: dir, Production: true})
	must(t, err)
	defer func() { must(t, c.Close()) }()
	must(t, c.StartAll())
	must(t, c.Ready(ctx))
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was left behind: %v", dir, err)
		}
	})
	out, err := c.Sago(ctx, "admin", "clock", "status", "--output", "json")
	must(t, err)
	if out.Exit != 0 || !strings.Contains(out.Stdout, `"status": "synchronized"`) || !strings.Contains(out.Stdout, `"development": false`) {
		t.Fatalf("clock status: %+v", out)
	}

	cl, err := c.Client(ctx, "app")
	must(t, err)
	defer cl.Close()
	first, second := make([]byte, 5000), make([]byte, 5000)
	rand.Read(first)
	rand.Read(second)
	must(t, put(ctx, cl, "T1", first))
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, c.Kill(leader))
	must(t, testcluster.Await(ctx, "a put after the leader is gone", func(ctx context.Context) (bool, string, error) {
		err := put(ctx, cl, "T2", second)
		return err == nil, client.ReasonOf(err), nil
	}))
	must(t, c.Wipe(leader))
	must(t, c.Start(leader))
	must(t, c.Ready(ctx))
	get(t, ctx, c, leader, "T1", first)
	get(t, ctx, c, leader, "T2", second)
	chunks, err := c.Chunks(leader)
	must(t, err)
	if len(chunks) < 2 || bytes.Contains(chunks[0].Ciphertext, first[:64]) {
		t.Fatalf("%d chunks, two bundles were stored; or one in the clear", len(chunks))
	}
	must(t, c.Stop(ctx, leader))
	must(t, c.CopyData(leader, filepath.Join(dir, "copy")))
	if err := c.Stop(ctx, leader); !errors.Is(err, testcluster.ErrStopped) {
		t.Errorf("stopping twice: %v", err)
	}
}
