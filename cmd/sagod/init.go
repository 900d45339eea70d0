package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// initGroup is the ceremony, step by step: every node asks, one document answers
// all, two people compare its digest and sign.
type initGroup struct {
	Node        initNodeCmd        `cmd:"" help:"Create a node's keys, and the request that brings them into the document."`
	Document    initDocumentCmd    `cmd:"" help:"Write the document from the nodes' requests and a plan."`
	Show        initShowCmd        `cmd:"" help:"Show a document and its digest, for two people to compare."`
	Sign        initSignCmd        `cmd:"" help:"Add one person's signature."`
	Check       initCheckCmd       `cmd:"" help:"Check a document and its signatures."`
	CA          initCACmd          `cmd:"" name:"ca" help:"Create a certificate authority, for tests and closed networks."`
	Certificate initCertificateCmd `cmd:"" help:"Issue a certificate by such an authority."`
}

// nodeRequest is what a node brings into the document.
type nodeRequest struct {
	Name        string `json:"name"`
	Number      uint32 `json:"number"`
	PublicKey   string `json:"public_key"`  // PKIX DER, base64
	Incarnation string `json:"incarnation"` // hex
}

type initNodeCmd struct {
	Config string `required:"" placeholder:"FILE" help:"The node's configuration; only its name and folders need to be there."`
	Number uint32 `required:"" placeholder:"N" help:"The node's number in the cluster, from 1, never reused."`
	Out    string `placeholder:"FILE" help:"Where the request goes; default request.json in the key folder."`
}

// Run creates the keys and prints the request's path.
func (c *initNodeCmd) Run(s *shell) error {
	cfg, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if err := cfg.checkPlaces().err(); err != nil {
		return err
	}
	if c.Number == 0 {
		return inputf("--number: nodes count from 1")
	}
	keys, err := replication.CreateKeys(cfg.KeyDir)
	if err != nil {
		return err
	}
	public, err := keys.PublicKey()
	if err != nil {
		return err
	}
	incarnation := randomID()
	text, err := json.MarshalIndent(nodeRequest{cfg.Name, c.Number, base64.StdEncoding.EncodeToString(public), hex.EncodeToString(incarnation[:])}, "", "  ")
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = filepath.Join(cfg.KeyDir, requestFile)
	}
	if err := writeNew(out, append(text, '\n')); err != nil {
		return err
	}
	return s.say("%s", out)
}

type initDocumentCmd struct {
	Request     []string `required:"" placeholder:"FILE" help:"The request of a node; once for each."`
	Plan        string   `required:"" placeholder:"FILE" help:"What the ceremony decides (docs/operations.md)."`
	Out         string   `required:"" placeholder:"DOC" help:"Where the document goes."`
	Development bool     `help:"The plan must be one of development."`
}

// Run writes the unsigned document and prints its digest.
func (c *initDocumentCmd) Run(s *shell) error {
	ceremony, err := readPlan(c.Plan, c.Request)
	if err != nil {
		return err
	}
	if c.Development && ceremony.Production {
		return faults{"plan: production: --development asks for a plan of development"}
	}
	signed := unsigned(ceremony)
	if err := writeNew(c.Out, actText(signed)); err != nil {
		return err
	}
	return s.say("%s\nsha256 %x", c.Out, digestOf(signed))
}

type initShowCmd struct {
	Doc string `arg:"" help:"The document."`
}

// Run shows all that the document says.
func (c *initShowCmd) Run(s *shell) error {
	signed, act, ceremony, err := readCeremony(c.Doc)
	if err != nil {
		return &inputError{err.Error()}
	}
	return s.say("%s", strings.TrimRight(describe(signed, act, ceremony), "\n"))
}

type initSignCmd struct {
	Doc    string `arg:"" help:"The document."`
	Person uint64 `required:"" placeholder:"ID" help:"Who signs, by the document's number."`
	Key    string `required:"" placeholder:"FILE" help:"That person's own private key (PEM, ECDSA P-256)."`
}

// Run adds the signature to the file.
func (c *initSignCmd) Run(s *shell) error {
	signed, _, ceremony, err := readCeremony(c.Doc)
	if err != nil {
		return &inputError{err.Error()}
	}
	key, err := personKey(ceremony, c.Person, c.Key)
	if err != nil {
		return err
	}
	if err := addSignature(&signed, c.Person, key); err != nil {
		return err
	}
	if err := replaceAct(c.Doc, signed); err != nil {
		return err
	}
	return s.say("person %d signed sha256 %x", c.Person, digestOf(signed))
}

// personKey reads a person's key and holds it against the ceremony.
func personKey(ceremony format.Ceremony, person uint64, path string) (*ecdsa.PrivateKey, error) {
	key, err := readKey(path)
	if err != nil {
		return nil, &inputError{err.Error()}
	}
	i := slices.IndexFunc(ceremony.Persons, func(p format.Person) bool { return p.ID == person })
	if i < 0 {
		return nil, inputf("the ceremony lists no person %d", person)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	if string(public) != string(ceremony.Persons[i].PublicKey) {
		return nil, inputf("%s is not the key of person %d", path, person)
	}
	return key, nil
}

// addSignature signs the document in its place among the signatures.
func addSignature(signed *format.SignedAct, person uint64, key *ecdsa.PrivateKey) error {
	at, twice := slices.BinarySearchFunc(signed.Signatures, person, func(g format.ActSignature, id uint64) int { return cmp.Compare(g.Person, id) })
	if twice {
		return inputf("person %d has signed before", person)
	}
	digest := sha256.Sum256(signed.Document)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return err
	}
	signed.Signatures = slices.Insert(signed.Signatures, at, format.ActSignature{Person: person, Signature: signature})
	return nil
}

type initCheckCmd struct {
	Doc    string `arg:"" help:"The document."`
	Digest string `placeholder:"HEX" help:"The digest that it must have."`
}

// Run checks what every node checks before it starts with the document.
func (c *initCheckCmd) Run(s *shell) error {
	signed, err := readAct(c.Doc)
	if err != nil {
		return &inputError{err.Error()}
	}
	ceremony, err := store.CheckCeremony(signed)
	if err != nil {
		return err
	}
	digest := digestOf(signed)
	if c.Digest != "" && !strings.EqualFold(c.Digest, hex.EncodeToString(digest[:])) {
		return fmt.Errorf("the document's digest is %x", digest)
	}
	return s.say("ok: %d nodes, %d signatures, %s, sha256 %x", len(ceremony.Nodes), len(signed.Signatures), kindOf(ceremony), digest)
}

func kindOf(c format.Ceremony) string {
	if c.Production {
		return "production"
	}
	return "development"
}

type initCACmd struct {
	Dir  string `required:"" placeholder:"DIR" help:"Where ca.pem and ca.key go."`
	Name string `default:"Sago CA for tests and closed networks" help:"Its common name (${default})."`
}

// Run creates the authority.
func (c *initCACmd) Run(s *shell) error {
	if _, err := createAuthority(c.Dir, c.Name); err != nil {
		return err
	}
	return s.say("%s", filepath.Join(c.Dir, authorityCert))
}

type initCertificateCmd struct {
	CA           string   `required:"" name:"ca" placeholder:"DIR" help:"Folder of the authority."`
	Name         string   `required:"" placeholder:"CN" help:"Common name."`
	Role         string   `required:"" enum:"client,server" help:"client: a person or an application; server: a node's client port."`
	Out          string   `required:"" placeholder:"FILE" help:"Where the certificate goes; its key goes beside it, ending in .key."`
	Organization string   `placeholder:"O" help:"Organisation."`
	Department   string   `placeholder:"OU" help:"Department."`
	Email        string   `placeholder:"ADDRESS" help:"Contact of a person."`
	Host         []string `placeholder:"HOST" help:"Name or address of a server; once for each."`
}

// Run issues the certificate.
func (c *initCertificateCmd) Run(s *shell) error {
	ca, err := loadAuthority(c.CA)
	if err != nil {
		return &inputError{err.Error()}
	}
	name := pkix.Name{CommonName: c.Name, Country: []string{"KR"}}
	if c.Organization != "" {
		name.Organization = []string{c.Organization}
	}
	if c.Department != "" {
		name.OrganizationalUnit = []string{c.Department}
	}
	key := strings.TrimSuffix(c.Out, filepath.Ext(c.Out)) + ".key"
	if key == c.Out {
		return &inputError{"--out: .key is the key's ending, not the certificate's"}
	}
	if _, err := ca.issue(subject{name: name, email: c.Email, server: c.Role == "server", hosts: c.Host}, c.Out, key); err != nil {
		return err
	}
	return s.say("%s", c.Out)
}
