package replication

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Files in a node's key directory, outside its data directory: a wiped data
// directory keeps the node's identity.
const (
	nodeKeyFile  = "node.key"
	rootKeyFile  = "root.key"
	attestedFile = "attested"
)

// Keys are a node's own: the key that signs and identifies it, and the key that
// its key slots are sealed under.
type Keys struct {
	Node *ecdsa.PrivateKey
	Root store.RootKey
	// former is the root key before Root while slots may be sealed under it.
	former   store.RootKey
	rotation rotationState
}

// wipeRoots forgets the root keys: the key ring has them.
func (k *Keys) wipeRoots() {
	clear(k.Root[:])
	clear(k.former[:])
}

// PublicKey is the node key's public half, PKIX DER.
func (k *Keys) PublicKey() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.Node.PublicKey) }

// CreateKeys makes a node's keys in dir, which must not hold any.
func CreateKeys(dir string) (Keys, error) {
	var k Keys
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return k, fmt.Errorf("node keys: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, nodeKeyFile)); err == nil {
		return k, fmt.Errorf("node keys: %s holds keys already", dir)
	}
	var err error
	if k.Node, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return k, fmt.Errorf("node keys: %w", err)
	}
	k.Root = drawRoot()
	der, err := x509.MarshalPKCS8PrivateKey(k.Node)
	if err != nil {
		return k, fmt.Errorf("node keys: %w", err)
	}
	if err := writeRoot(filepath.Join(dir, rootKeyFile), k.Root); err != nil {
		return k, err
	}
	return k, durable.WriteFile(filepath.Join(dir, nodeKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// LoadKeys reads a node's keys.
func LoadKeys(dir string) (Keys, error) {
	var k Keys
	raw, err := os.ReadFile(filepath.Join(dir, nodeKeyFile))
	if err != nil {
		return k, fmt.Errorf("node keys: %w", err)
	}
	defer clear(raw)
	block, _ := pem.Decode(raw)
	if block == nil {
		return k, fmt.Errorf("node keys: %s is no PEM file", nodeKeyFile)
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return k, fmt.Errorf("node keys: %w", err)
	}
	var ok bool
	if k.Node, ok = key.(*ecdsa.PrivateKey); !ok {
		return k, errors.New("node keys: not an ECDSA key")
	}
	if k.Root, k.former, k.rotation, err = readRoots(dir); err != nil {
		return k, fmt.Errorf("node keys: %w", err)
	}
	return k, nil
}

// sign signs a message with the node key.
func (k *Keys) sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, k.Node, sum[:])
}

// certificate is self-signed and says nothing but the key: peers pin the key
// from the member table and ignore dates, so that neither a power-off nor a
// renewal locks nodes out of each other.
func (k *Keys) certificate(name string) (tls.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &k.Node.PublicKey, k.Node)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("node certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.Node}, nil
}

// serverID is a node's raft id: its name and the incarnation of its data
// directory. It is its raft address too, so that a message reaches only the
// incarnation it is meant for.
func serverID(name string, incarnation format.ID) string {
	return name + "/" + hex.EncodeToString(incarnation[:])
}

func parseServerID(id string) (name string, incarnation format.ID, err error) {
	name, text, ok := strings.Cut(id, "/")
	raw, err := hex.DecodeString(text)
	if !ok || err != nil || len(raw) != len(incarnation) {
		return "", incarnation, fmt.Errorf("%q is no raft id", id)
	}
	copy(incarnation[:], raw)
	return name, incarnation, nil
}

// memberByKey finds the member whose public key a peer's certificate has.
func memberByKey(members []format.MemberRow, cert *x509.Certificate) (format.MemberRow, bool) {
	for _, m := range members {
		if bytes.Equal(m.PublicKey, cert.RawSubjectPublicKeyInfo) {
			return m, true
		}
	}
	return format.MemberRow{}, false
}
