package client_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"

	"github.com/sago-worm/sago/service/client"
)

// folder writes a cluster's material for one caller and returns a good context
// file's text.
func folder(t *testing.T, dir string) string {
	t.Helper()
	ca := newAuthority(t, always)
	own := ca.client()
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", ca.cert.Raw)
	writePEM(t, filepath.Join(dir, "app.pem"), "CERTIFICATE", own.Certificate[0])
	writePEM(t, filepath.Join(dir, "app.key"), "PRIVATE KEY", pkcs8(t, own))
	return `endpoints = ["127.0.0.1:7400", "[::1]:7400"]
ca = "ca.pem"
certificate = "app.pem"
key = "app.key"
cluster_id = "000102030405060708090a0b0c0d0e0f"
institution = "demo"

[[node]]
name = "node1"
public_key = "` + base64.StdEncoding.EncodeToString(pkixOf(t, newKey(t))) + `"
`
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func pkcs8(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pkixOf(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestLoadContext(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.toml")
	if err := os.WriteFile(path, []byte(folder(t, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := client.LoadContext(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Endpoints) != 2 || len(c.Authorities) != 1 || len(c.Nodes) != 1 || c.Nodes[0].Name != "node1" || c.Institution != "demo" || c.ClusterID[15] != 15 {
		t.Errorf("%+v", c)
	}
	cl, err := client.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Close(); err != nil {
		t.Error(err)
	}
}

func TestLoadContextRefuses(t *testing.T) {
	dir := t.TempDir()
	good := folder(t, dir)
	for _, c := range []struct{ name, from, to, says string }{
		{"an unknown key", "institution =", "institutoin =", "institutoin"},
		{"an unknown key of a node", "public_key =", "pubic_key =", "pubic_key"},
		{"no endpoints", `"127.0.0.1:7400", "[::1]:7400"`, "", "endpoints"},
		{"an endpoint without a port", "127.0.0.1:7400", "127.0.0.1", "127.0.0.1"},
		{"no authority", `ca = "ca.pem"`, "", "ca"},
		{"an authority that is not there", "ca.pem", "nobody.pem", "nobody.pem"},
		{"an authority without a certificate", "ca.pem", "app.toml", "holds no certificate"},
		{"a key that is not the certificate's", "app.key", "ca.pem", ""},
		{"no cluster", `cluster_id = "000102030405060708090a0b0c0d0e0f"`, "", "cluster_id"},
		{"half a cluster", "08090a0b0c0d0e0f", "", "cluster_id"},
		{"a node key that is none", `public_key = "`, `public_key = "AAAA`, "public_key"},
		{"a former key that is none", "[[node]]\n", "[[node]]\nformer_keys = [\"AAAA\"]\n", "former_keys"},
		{"a node without a name", `name = "node1"`, "", "without a name"},
		{"no TOML", "endpoints = [", "endpoints [", ""},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s: nothing was changed", c.name)
		}
		path := filepath.Join(dir, "app.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := client.LoadContext(path)
		if !errors.Is(err, client.ErrContext) || client.ReasonOf(err) != "CONTEXT" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := client.LoadContext(filepath.Join(dir, "missing.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
