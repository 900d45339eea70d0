package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// nodeConfig is a node's configuration file (docs/configuration.md): where
// things are, and credentials. Nothing in it makes anything safe or unsafe.
type nodeConfig struct {
	Name           string            `toml:"name"`
	DataDir        string            `toml:"data_dir"`
	KeyDir         string            `toml:"key_dir"`
	Ceremony       string            `toml:"ceremony"`
	CeremonyDigest string            `toml:"ceremony_digest"`
	ListenClient   string            `toml:"listen_client"`
	ListenNode     string            `toml:"listen_node"`
	LogLevel       string            `toml:"log_level,omitempty"`
	Custodian      string            `toml:"custodian,omitempty"`
	Peers          map[string]string `toml:"peers,omitempty"`
	Admitted       []string          `toml:"admitted,omitempty"`
	TLS            tlsConfig         `toml:"tls"`
	Time           timeConfig        `toml:"time"`
	Witnesses      []witnessFile     `toml:"witness,omitempty"`
	Sink           sinkConfig        `toml:"sink,omitempty"`
	LedgerDir      string            `toml:"ledger_dir,omitempty"`
	OSRecord       string            `toml:"os_record,omitempty"`
}

type tlsConfig struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
}

type timeConfig struct {
	Development bool         `toml:"development,omitempty"`
	ClockFile   string       `toml:"clock_file,omitempty"`
	Sources     []sourceFile `toml:"source,omitempty"`
}

// sourceFile says where a time source that the policy lists is reached.
type sourceFile struct {
	Name    string `toml:"name"`
	Address string `toml:"address"`
	Key     string `toml:"key,omitempty"`
	CA      string `toml:"ca,omitempty"`
}

// readConfig decodes a configuration. Paths in it are relative to its folder; a
// key that nobody knows is a fault, because a misspelt key is not a default.
func readConfig(path string) (nodeConfig, error) {
	var c nodeConfig
	meta, err := toml.DecodeFile(path, &c)
	if err != nil {
		return c, faults{"config: " + path + ": " + err.Error()}
	}
	var wrong faults
	for _, k := range meta.Undecoded() {
		wrong.add("config: %s: unknown key", k)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return c, err
	}
	c.placeLedger()
	for _, p := range []*string{&c.LedgerDir, &c.OSRecord, &c.DataDir, &c.KeyDir, &c.Custodian, &c.Ceremony, &c.TLS.Certificate, &c.TLS.Key, &c.Time.ClockFile} {
		*p = beside(dir, *p)
	}
	c.Sink.beside(dir)
	for i := range c.Time.Sources {
		c.Time.Sources[i].CA = beside(dir, c.Time.Sources[i].CA)
	}
	for i := range c.Witnesses {
		c.Witnesses[i].CA = beside(dir, c.Witnesses[i].CA)
	}
	if c.Time.ClockFile == "" && c.KeyDir != "" {
		c.Time.ClockFile = filepath.Join(c.KeyDir, "devclock.json")
	}
	return c, wrong.err()
}

// checkPlaces looks at what a node has before its ceremony: name and folders.
func (c *nodeConfig) checkPlaces() (wrong faults) {
	for _, m := range []struct{ key, value string }{{"name", c.Name}, {"data_dir", c.DataDir}, {"key_dir", c.KeyDir}} {
		if m.value == "" {
			wrong.add("config: %s: is missing", m.key)
		}
	}
	if c.DataDir != "" && c.KeyDir != "" && inside(c.KeyDir, c.DataDir) {
		wrong.add("config: key_dir: lies inside data_dir: keys live apart from what they seal")
	}
	return wrong
}

// inside reports whether path is dir or below it, symbolic links resolved as far
// as the two exist.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(resolved(dir), resolved(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func resolved(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}

// check looks at the whole configuration, and at the ceremony that it names.
func (c *nodeConfig) check() (format.SignedAct, format.Ceremony, error) {
	wrong := c.checkPlaces()
	if _, err := os.Stat(c.KeyDir); c.KeyDir != "" && err != nil {
		wrong.add("config: key_dir: %v: `sagod init node` makes it", err)
	}
	c.checkAddresses(&wrong)
	if _, err := c.level(); err != nil {
		wrong.add("config: log_level: %v", err)
	}
	for _, m := range []struct{ key, path string }{{"tls.certificate", c.TLS.Certificate}, {"tls.key", c.TLS.Key}} {
		if m.path == "" {
			wrong.add("config: %s: is missing", m.key)
		} else if _, err := os.Stat(m.path); err != nil {
			wrong.add("config: %s: %v", m.key, err)
		}
	}
	c.checkSink(&wrong)
	c.checkLedger(&wrong)
	signed, ceremony, ok := c.checkCeremony(&wrong)
	if ok {
		c.checkAgainst(ceremony, &wrong)
	}
	return signed, ceremony, wrong.err()
}

func (c *nodeConfig) checkAddresses(wrong *faults) {
	for _, m := range []struct{ key, value string }{{"listen_client", c.ListenClient}, {"listen_node", c.ListenNode}} {
		if err := checkAddress(m.value); err != nil {
			wrong.add("config: %s: %v", m.key, err)
		}
	}
	if c.ListenClient != "" && c.ListenClient == c.ListenNode {
		wrong.add("config: listen_node: is listen_client's address")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		if err := checkAddress(c.Peers[name]); err != nil {
			wrong.add("config: peers.%s: %v", name, err)
		}
	}
	for i, s := range c.Time.Sources {
		if s.Name == "" {
			wrong.add("config: time.source: number %d has no name", i+1)
		} else if err := checkAddress(s.Address); err != nil {
			wrong.add("config: time.source.%s: %v", s.Name, err)
		}
	}
}

func checkAddress(address string) error {
	if address == "" {
		return errors.New("is missing")
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	return nil
}

func (c *nodeConfig) checkCeremony(wrong *faults) (signed format.SignedAct, ceremony format.Ceremony, ok bool) {
	want, err := hex.DecodeString(c.CeremonyDigest)
	switch {
	case c.CeremonyDigest == "":
		wrong.add("config: ceremony_digest: is missing")
	case err != nil || len(want) != len(format.Digest{}):
		wrong.add("config: ceremony_digest: is not a SHA-256 in hex")
	}
	if c.Ceremony == "" {
		wrong.add("config: ceremony: is missing")
		return signed, ceremony, false
	}
	if signed, err = readAct(c.Ceremony); err == nil {
		ceremony, err = store.CheckCeremony(signed)
	}
	if err != nil {
		wrong.add("config: ceremony: %v", err)
		return signed, ceremony, false
	}
	if have := digestOf(signed); len(want) == len(have) && string(want) != string(have[:]) {
		wrong.add("config: ceremony_digest: the document's is %x", have)
	}
	return signed, ceremony, true
}

// checkAgainst holds the file against what the ceremony says.
func (c *nodeConfig) checkAgainst(ceremony format.Ceremony, wrong *faults) {
	names := map[string]bool{}
	for _, n := range ceremony.Nodes {
		names[n.Name] = true
		if n.Name == c.Name {
			continue
		}
		if _, ok := c.Peers[n.Name]; !ok {
			wrong.add("config: peers.%s: is missing: the ceremony lists this node", n.Name)
		}
	}
	for _, name := range c.Admitted {
		if names[name] {
			wrong.add("config: admitted: the ceremony lists %q itself", name)
		}
		names[name] = true
	}
	if c.Name != "" && !names[c.Name] {
		wrong.add("config: name: the ceremony lists no node %q", c.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		if !names[name] || name == c.Name {
			wrong.add("config: peers.%s: is no other node of the ceremony, nor one in admitted", name)
		}
	}
	c.checkWitnesses(ceremony.Policy, wrong)
	switch {
	case c.Time.Development && ceremony.Production:
		wrong.add("config: time.development: the ceremony is one of production")
	case c.Time.Development && len(c.Time.Sources) > 0:
		wrong.add("config: time.source: the development clock has no sources")
	case !c.Time.Development && len(ceremony.Policy.Sources) == 0:
		wrong.add("config: time.source: the ceremony lists no time source")
	}
}

// requestFile is the request that a node made itself, beside its keys.
const requestFile = "request.json"

// ownRequest is this node as the act names it that admitted it, from the request
// beside its keys; nil for a node of the ceremony.
func (c *nodeConfig) ownRequest() (*format.CeremonyNode, error) {
	if !slices.Contains(c.Admitted, c.Name) {
		return nil, nil
	}
	n, err := readRequest(filepath.Join(c.KeyDir, requestFile))
	if err == nil && n.Name != c.Name {
		err = fmt.Errorf("it is of node %q", n.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("the request of a node that is admitted after the ceremony: %w", err)
	}
	return &n, nil
}

func (c *nodeConfig) level() (level slog.Level, err error) {
	if c.LogLevel == "" {
		return slog.LevelInfo, nil
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		return level, fmt.Errorf("%q is none of debug, info, warn, error", c.LogLevel)
	}
	return level, level.UnmarshalText([]byte(c.LogLevel))
}
