package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// pki is a throw-away cluster's authority and node keys.
type pki struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// nodes sign checkpoints: node1, node2, node3.
	nodes []*ecdsa.PrivateKey
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newPKI() (*pki, error) {
	p := &pki{}
	for range 3 {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, key)
	}
	var err error
	if p.key, err = newKey(); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.key.Public(), p.key)
	if err != nil {
		return nil, err
	}
	p.cert, err = x509.ParseCertificate(der)
	return p, err
}

func (p *pki) issue(name string, usage x509.ExtKeyUsage) (tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		NotBefore: p.cert.NotBefore, NotAfter: p.cert.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, key.Public(), p.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// writeContext writes NAME.toml and what it names into dir.
func (p *pki) writeContext(dir, name, endpoints string) error {
	own, err := p.issue(name, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("endpoints = [%s]\nca = %q\ncertificate = %q\nkey = %q\ncluster_id = \"%032x\"\ninstitution = \"demo\"\n",
		endpoints, name+"-ca.pem", name+".pem", name+".key", testCluster)
	for i, n := range p.nodes {
		der, err := x509.MarshalPKIXPublicKey(n.Public())
		if err != nil {
			return err
		}
		text += fmt.Sprintf("\n[[node]]\nname = \"node%d\"\npublic_key = %q\n", i+1, base64.StdEncoding.EncodeToString(der))
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for file, content := range map[string][]byte{
		name + ".toml":   []byte(text),
		name + "-ca.pem": block("CERTIFICATE", p.cert.Raw),
		name + ".pem":    block("CERTIFICATE", own.Certificate[0]),
		name + ".key":    block("PRIVATE KEY", key),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// note signs a checkpoint's text by the first n nodes.
func (p *pki) note(text string, n int) (string, error) {
	note := text + "\n"
	digest := sha256.Sum256([]byte(text))
	for i, key := range p.nodes[:n] {
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			return "", err
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return "", err
		}
		name := fmt.Sprintf("node%d", i+1)
		id := sha256.Sum256(append([]byte(name+"\n\x02"), der...))
		note += "— " + name + " " + base64.StdEncoding.EncodeToString(append(id[:4:4], sig...)) + "\n"
	}
	return note, nil
}
