package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

type restoreCmd struct {
	Config      string   `required:"" placeholder:"FILE" help:"The node's configuration."`
	From        string   `placeholder:"DIR" help:"The backup."`
	Newer       []string `placeholder:"DIR" help:"What is newer and survived: another backup, an export of the tree, a node's data directory; once for each."`
	Checkpoint  []string `placeholder:"FILE" help:"A checkpoint that was kept elsewhere; once for each."`
	Keys        string   `placeholder:"DIR" help:"A data directory whose key blocks survived."`
	KeysRoot    string   `placeholder:"FILE" help:"The root key that they are sealed under; default this node's own."`
	Request     string   `placeholder:"FILE" help:"Write this node's request for shares of key archives, and change nothing."`
	Share       []string `placeholder:"FILE" help:"What an officer released to that request; once for each officer."`
	Check       bool     `help:"Say what would be restored, and change nothing."`
	Draft       string   `placeholder:"FILE" help:"Write the act that declares the loss, or names new node keys, for signing, and change nothing."`
	NodeKey     []string `placeholder:"N=FILE" help:"With --draft: node N has lost its key and goes on with the one in this request of init node; once for each."`
	Ledger      string   `placeholder:"FILE" help:"With --draft: the ledger of what was deleted in the lost part."`
	DeclareLoss bool     `help:"Go on behind a loss that the act declares."`
	Act         string   `placeholder:"FILE" help:"The signed act."`
}

// draftFor is how long an act of restore may be used, on the quorum clock.
const draftFor = 30 * 24 * time.Hour

// Run restores a stopped node's data directory, which is empty.
func (c *restoreCmd) Run(s *shell) error {
	if c.DeclareLoss && c.Act == "" && c.Draft == "" || len(c.NodeKey) > 0 && c.Draft == "" {
		return inputf("--declare-loss goes with --act FILE or --draft FILE, --node-key with --draft FILE")
	}
	if (c.From == "") == (c.Request == "") {
		return inputf("--from DIR restores, --request FILE asks for shares: one of them")
	}
	cfg, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	wrong := cfg.checkPlaces()
	signed, _, ok := cfg.checkCeremony(&wrong)
	if err := wrong.err(); err != nil || !ok {
		return err
	}
	lock, err := lockFile(filepath.Join(cfg.KeyDir, "LOCK"))
	if err != nil {
		return err
	}
	defer lock.Close() // a lock, held to the end
	if c.Request != "" {
		return c.request(s, cfg, signed)
	}
	admitted, err := cfg.ownRequest()
	if err != nil {
		return &inputError{err.Error()}
	}
	rc := replication.RestoreConfig{Admitted: admitted, Name: cfg.Name, DataDir: cfg.DataDir, KeyDir: cfg.KeyDir, Ceremony: signed,
		From: append([]string{c.From}, c.Newer...), Check: c.Check || c.Draft != ""}
	if err := c.read(&rc); err != nil {
		return err
	}
	report, err := replication.Restore(s.ctx, rc)
	if c.Draft != "" && (err == nil || backup.IsLost(err)) {
		return c.draft(s, signed, report)
	}
	if err != nil {
		return restoreError(err)
	}
	return c.say(s, report)
}

// read reads the files that the flags name.
func (c *restoreCmd) read(rc *replication.RestoreConfig) (err error) {
	rc.Checkpoints = map[string]string{}
	for _, path := range c.Checkpoint {
		raw, err := os.ReadFile(path)
		if err != nil {
			return &inputError{err.Error()}
		}
		rc.Checkpoints[path] = string(raw)
	}
	if c.Keys != "" {
		rc.Blocks = c.Keys
		if filepath.Base(filepath.Clean(c.Keys)) == "keys" {
			rc.Blocks = filepath.Dir(filepath.Clean(c.Keys))
		}
		if _, err := os.Stat(filepath.Join(rc.Blocks, "keys")); err != nil {
			return inputf("--keys: %v", err)
		}
	}
	if c.KeysRoot != "" {
		root, err := readRoot(c.KeysRoot)
		if err != nil {
			return inputf("--keys-root: %v", err)
		}
		rc.Root = &root
	}
	for _, path := range c.Share {
		text, err := os.ReadFile(path)
		if err != nil {
			return &inputError{err.Error()}
		}
		released, err := keyarchive.ParseRelease(text)
		if err != nil {
			return inputf("%s: %v", path, err)
		}
		rc.Releases = append(rc.Releases, released)
	}
	if c.Act != "" {
		act, err := readAct(c.Act)
		if err != nil {
			return &inputError{err.Error()}
		}
		if err := c.agrees(act); err != nil {
			return err
		}
		rc.Act = &act
	}
	rc.Keys, err = readNodeKeys(c.NodeKey)
	return err
}

func readRoot(path string) (root store.RootKey, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return root, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(root) {
		return root, fmt.Errorf("%s is not 32 bytes of hex", path)
	}
	copy(root[:], raw)
	return root, nil
}

// refusedError is a "no" by a rule; nothing was changed.
type refusedError struct{ error }

// integrityError is what contradicts itself or is damaged; nothing was changed.
type integrityError struct{ error }

func restoreError(err error) error {
	var d *format.DamageError
	switch {
	case backup.IsLost(err), errors.Is(err, replication.ErrNotEmpty), errors.Is(err, replication.ErrNodeKey), errors.Is(err, replication.ErrShares):
		return &refusedError{err}
	case errors.Is(err, backup.ErrDirectory):
		return &inputError{err.Error()}
	case errors.Is(err, backup.ErrContradict), errors.Is(err, store.ErrArchivesDiffer), errors.As(err, &d):
		return &integrityError{err}
	}
	return err
}

func (c *restoreCmd) say(s *shell, r replication.RestoreReport) error {
	lines := []string{fmt.Sprintf("history: %d records, root %x, quorum clock %s", r.Params.Size, r.Params.Root[:], time.UnixMicro(r.Clock).UTC().Format(time.RFC3339))}
	if r.Behind > 0 {
		lines = append(lines, fmt.Sprintf("this node had %d records behind them, which no checkpoint covers: they are lost", r.Behind))
	}
	if !c.Check {
		lines = append(lines, fmt.Sprintf("restored: %d bundles, %d key blocks; the log goes on with record %d as incarnation %x", r.Bundles, r.Blocks, r.Sequence, r.Incarnation[:]))
	}
	if r.Archives > 0 && c.Check {
		lines = append(lines, fmt.Sprintf("the shares open %d key archives", r.Archives))
	} else if r.Archives > 0 {
		lines = append(lines, fmt.Sprintf("%d key archives gave back %d keys; %d bundles or history keys of the same blocks are in none of them: they cannot be read", r.Archives, r.Keys, r.Absent))
	}
	if r.Missing > 0 {
		lines = append(lines, fmt.Sprintf("%d bundles that the history knows are in no backup: they cannot be read", r.Missing))
	}
	if len(r.Params.Keys) > 0 {
		lines = append(lines, "new node keys: "+keysText(r.Params)+"; in every context (public_key, former_keys), keys file (node, former) and witness's list they replace the lost ones")
	}
	return s.say("%s", strings.Join(lines, "\n"))
}

// request writes what officers release their shares to.
func (c *restoreCmd) request(s *shell, cfg nodeConfig, ceremony format.SignedAct) error {
	q, err := replication.RequestShares(cfg.Name, cfg.KeyDir, ceremony)
	if err != nil {
		return err
	}
	if err := writeNew(c.Request, keyarchive.RequestText(q)); err != nil {
		return err
	}
	return s.say("%s\nrequest of node %d (%s), key %x\nofficers release their shares to it: sago key-archive release --request FILE",
		c.Request, q.Node, cfg.Name, q.Key[:])
}

// draft writes the unsigned act over what survived.
func (c *restoreCmd) draft(s *shell, ceremony format.SignedAct, r replication.RestoreReport) error {
	if c.Ledger != "" {
		raw, err := os.ReadFile(c.Ledger)
		if err != nil {
			return &inputError{err.Error()}
		}
		r.Params.Ledger = sha256.Sum256(raw)
	}
	if len(r.Params.Keys) > 0 && r.Params.Lost == 0 && !c.DeclareLoss {
		r.Params.Lost = r.Params.Size
	}
	first, err := format.DecodeAct(ceremony.Document)
	if err != nil {
		return err
	}
	begun, err := format.DecodeCeremony(first.Params)
	if err != nil {
		return err
	}
	act := format.Act{Cluster: first.Cluster, Kind: format.ActKindRestore, Params: r.Params.Encode(), Nonce: randomID(),
		Expires: max(r.Clock, begun.Time) + draftFor.Microseconds()}
	unsigned := format.SignedAct{Document: act.Encode()}
	if err := writeNew(c.Draft, actText(unsigned)); err != nil {
		return err
	}
	return s.say("%s\nthe log goes on behind %d records with root %x\nlost: %s\nledger of deletions there: %s\nnew node keys: %s\nsha256 %x",
		c.Draft, r.Params.Size, r.Params.Root[:], lostText(r.Params), ledgerText(r.Params), keysText(r.Params), digestOf(unsigned))
}

func lostText(p format.RestoreParams) string {
	switch p.Lost {
	case 0:
		return "unknown"
	case p.Size:
		return "nothing that is known; a node with a new key remembers nothing: compare with checkpoints that were kept elsewhere"
	}
	return fmt.Sprintf("records %d to %d, and whatever came behind them", p.Size, p.Lost-1)
}

func ledgerText(p format.RestoreParams) string {
	if p.Ledger == (format.Digest{}) {
		return "none exists"
	}
	return fmt.Sprintf("sha256 %x", p.Ledger[:])
}

// signCmd signs an act that is not in the log yet, as a restore's is.
type signCmd struct {
	Doc      string `arg:"" help:"The act's document."`
	Ceremony string `required:"" placeholder:"DOC" help:"The ceremony's document, which lists the persons."`
	Person   uint64 `required:"" placeholder:"ID" help:"Who signs, by the ceremony's number."`
	Key      string `required:"" placeholder:"FILE" help:"That person's own private key (PEM, ECDSA P-256)."`
}

// Run shows what is signed, and adds the signature to the file.
func (c *signCmd) Run(s *shell) error {
	signed, err := readAct(c.Doc)
	if err != nil {
		return &inputError{err.Error()}
	}
	act, err := format.DecodeAct(signed.Document)
	if err != nil || act.Kind != format.ActKindRestore {
		return inputf("%s is no act of restore", c.Doc)
	}
	p, err := format.DecodeRestoreParams(act.Params)
	if err != nil {
		return &inputError{err.Error()}
	}
	_, founded, ceremony, err := readCeremony(c.Ceremony)
	if err != nil {
		return &inputError{err.Error()}
	}
	if founded.Cluster != act.Cluster {
		return inputf("the act is of another cluster than the ceremony")
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
	return s.say("person %d signed sha256 %x: the log goes on behind %d records with root %x; lost: %s; ledger: %s; new node keys: %s",
		c.Person, digestOf(signed), p.Size, p.Root[:], lostText(p), ledgerText(p), keysText(p))
}
