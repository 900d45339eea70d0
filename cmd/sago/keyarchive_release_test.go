package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// TestSharesAreReleasedToPinnedNodesAlone: a request counts that a node signed whose
// key was brought along, for the cluster of that key, as it was signed.
func TestSharesAreReleasedToPinnedNodesAlone(t *testing.T) {
	own, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(own.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keys := audit.Keys{Origin: format.Origin(testCluster), Nodes: []format.NoteKey{{Name: "node2", Type: format.NoteECDSA, Key: public}}}
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asks := func(by *ecdsa.PrivateKey, cluster format.ID, change func(*format.ReleaseRequest)) (string, error) {
		q := format.ReleaseRequest{Cluster: cluster, Node: 2, Key: keyarchive.PublicKey{2, 1}}
		sum := sha256.Sum256(q.Message())
		if q.Signature, err = ecdsa.SignASN1(rand.Reader, by, sum[:]); err != nil {
			t.Fatal(err)
		}
		change(&q)
		c := keyArchiveReleaseCmd{Keys: write("keys", []byte(keys.String())), Request: write("request", keyarchive.RequestText(q))}
		_, node, err := c.asks(&session{})
		return node, err
	}
	same := func(*format.ReleaseRequest) {}
	if node, err := asks(own, testCluster, same); err != nil || node != "node2" {
		t.Errorf("%s, %v", node, err)
	}
	for name, err := range map[string]error{
		"a stranger":   second(asks(stranger, testCluster, same)),
		"another key":  second(asks(own, testCluster, func(q *format.ReleaseRequest) { q.Key[5]++ })),
		"another node": second(asks(own, testCluster, func(q *format.ReleaseRequest) { q.Node++ })),
	} {
		if !errors.Is(err, client.ErrIntegrity) || exitCode(err) != exitIntegrity {
			t.Errorf("%s: %v", name, err)
		}
	}
	var input *inputError
	if _, err := asks(own, format.ID{9}, same); !errors.As(err, &input) {
		t.Errorf("another cluster: %v", err)
	}
	c := keyArchiveReleaseCmd{Request: "x"}
	if _, _, err := c.asks(&session{}); !errors.As(err, &input) {
		t.Errorf("nobody is pinned: %v", err)
	}
}

func second(_ string, err error) error { return err }
