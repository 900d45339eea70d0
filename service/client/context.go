package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// Context is everything a client must know beforehand: where the nodes are,
// what proves that they are the cluster's, and who is calling.
type Context struct {
	// Endpoints are the nodes' addresses, HOST:PORT, tried in this order.
	Endpoints []string
	// Authorities are the cluster's certificate authorities, the only ones whose
	// server certificates are accepted.
	Authorities []*x509.Certificate
	// Certificate is the caller's own, with its key.
	Certificate tls.Certificate
	// ClusterID is the cluster's random name.
	ClusterID [16]byte
	// Nodes are the pinned keys that checkpoints are verified with.
	Nodes []NodeKey
	// Institution is the code of the caller's institution; empty for the
	// appliance's own staff. It is informative: the servers know the caller's.
	Institution string
	// Memory keeps the newest verified checkpoint. Every other one is held against
	// it; nil remembers nothing. LoadContext sets none.
	Memory Memory
}

// NodeKey is the pinned public key of a node.
type NodeKey struct {
	Name string
	// PublicKey is ECDSA P-256, PKIX DER.
	PublicKey []byte
	// Former are the node's keys that a restore replaced: what it attested under them
	// still counts, in a certificate whose checkpoint is signed by the present ones.
	Former [][]byte
}

// file is a context file as it is written.
type file struct {
	Endpoints   []string   `toml:"endpoints"`
	CA          string     `toml:"ca"`
	Certificate string     `toml:"certificate"`
	Key         string     `toml:"key"`
	ClusterID   string     `toml:"cluster_id"`
	Institution string     `toml:"institution"`
	Nodes       []fileNode `toml:"node"`
}

type fileNode struct {
	Name      string   `toml:"name"`
	PublicKey string   `toml:"public_key"`
	Former    []string `toml:"former_keys"`
}

// LoadContext reads a context file (TOML, docs/cli.md). Files that it names are
// taken relative to its own folder. An unknown key is an error, because a
// misspelt pin is no pin. Errors wrap [ErrContext].
func LoadContext(path string) (Context, error) {
	c, err := loadContext(path)
	if err != nil {
		return Context{}, fmt.Errorf("%w %s: %w", ErrContext, path, err)
	}
	return c, nil
}

func loadContext(path string) (Context, error) {
	var f file
	meta, err := toml.DecodeFile(path, &f)
	if err != nil {
		return Context{}, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Context{}, fmt.Errorf("unknown key %q", unknown[0].String())
	}
	c := Context{Endpoints: f.Endpoints, Institution: f.Institution}
	if err := checkEndpoints(f.Endpoints); err != nil {
		return Context{}, err
	}
	if c.ClusterID, err = parseClusterID(f.ClusterID); err != nil {
		return Context{}, err
	}
	if c.Nodes, err = parseNodes(f.Nodes); err != nil {
		return Context{}, err
	}
	for _, named := range []struct{ key, value string }{{"ca", f.CA}, {"certificate", f.Certificate}, {"key", f.Key}} {
		if named.value == "" {
			return Context{}, fmt.Errorf("key %q is missing", named.key)
		}
	}
	beside := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	}
	if c.Authorities, err = readAuthorities(beside(f.CA)); err != nil {
		return Context{}, err
	}
	c.Certificate, err = tls.LoadX509KeyPair(beside(f.Certificate), beside(f.Key))
	return c, err
}

func checkEndpoints(endpoints []string) error {
	if len(endpoints) == 0 {
		return fmt.Errorf("key %q is missing", "endpoints")
	}
	for _, e := range endpoints {
		if _, _, err := net.SplitHostPort(e); err != nil {
			return fmt.Errorf("endpoint %q: %w", e, err)
		}
	}
	return nil
}

func parseClusterID(s string) (id [16]byte, err error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("cluster_id %q is not %d bytes of hex", s, len(id))
	}
	copy(id[:], raw)
	return id, nil
}

func parseNodes(nodes []fileNode) ([]NodeKey, error) {
	var keys []NodeKey
	seen := map[string]bool{}
	for _, n := range nodes {
		der, err := base64.StdEncoding.DecodeString(n.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("node %q: public_key: %w", n.Name, err)
		}
		if _, err := parseNodeKey(der); err != nil {
			return nil, fmt.Errorf("node %q: public_key: %w", n.Name, err)
		}
		if n.Name == "" || seen[n.Name] {
			return nil, fmt.Errorf("node %q without a name, or twice", n.Name)
		}
		seen[n.Name] = true
		key := NodeKey{Name: n.Name, PublicKey: der}
		for _, text := range n.Former {
			der, err := base64.StdEncoding.DecodeString(text)
			if err == nil {
				_, err = parseNodeKey(der)
			}
			if err != nil {
				return nil, fmt.Errorf("node %q: former_keys: %w", n.Name, err)
			}
			key.Former = append(key.Former, der)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseNodeKey(der []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%T is not ECDSA P-256", parsed)
	}
	return key, nil
}

func readAuthorities(path string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, cert)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return found, nil
}
