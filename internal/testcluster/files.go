package testcluster

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"time"
)

// What follows are the files that the programs read, as their documentation
// describes them.

type planTOML struct {
	Production  bool              `toml:"production"`
	Single      bool              `toml:"single"`
	Time        time.Time         `toml:"time"`
	Authorities []string          `toml:"authorities"`
	Person      []planPerson      `toml:"person"`
	Institution []planInstitution `toml:"institution"`
	Definition  []planDefinition  `toml:"definition"`
	Policy      map[string]any    `toml:"policy"`
	Source      []planSource      `toml:"source"`
}

type planPerson struct {
	ID          int    `toml:"id"`
	Role        string `toml:"role"`
	Institution int    `toml:"institution"`
	Certificate string `toml:"certificate"`
}

type planInstitution struct {
	Number int    `toml:"number"`
	Code   string `toml:"code"`
}

type planDefinition struct {
	Institution int    `toml:"institution"`
	BundleID    string `toml:"bundle_id"`
	Version     int    `toml:"version"`
	Grade       int    `toml:"grade"`
}

type planSource struct {
	Name     string `toml:"name"`
	Operator string `toml:"operator"`
	Auth     string `toml:"auth"`
	KeyID    uint32 `toml:"key_id"`
}

// plan is what the ceremony decides.
func (c *Cluster) plan() planTOML {
	p := planTOML{
		Production: c.opts.Production, Single: len(c.nodes) == 1, Time: c.begun.UTC().Truncate(time.Second),
		Authorities: []string{c.path(authDir, "ca.pem")},
		Institution: []planInstitution{{1, Institution}},
		Definition:  []planDefinition{{1, BundleID, 1, 1}},
		Policy:      c.opts.Policy.table(len(c.opts.Sources)),
	}
	for i, who := range persons() {
		p.Person = append(p.Person, planPerson{i + 1, who.role, who.institution, c.path(contextsDir, who.name+".pem")})
	}
	for i, s := range c.opts.Sources {
		p.Source = append(p.Source, planSource{s.Name, s.Operator, sourceAuth, keyID(i)})
	}
	return p
}

func (p Policy) table(sources int) map[string]any {
	t := map[string]any{}
	for key, d := range map[string]time.Duration{
		"slack": p.Slack, "agreement": p.Agreement, "sweep_within": p.SweepWithin, "cooling_off": p.CoolingOff, "checkpoint_every": p.CheckpointEvery,
	} {
		if d != 0 {
			t[key] = d.String()
		}
	}
	if p.MaxYears != 0 {
		t["max_years"] = p.MaxYears
	}
	if sources < 3 {
		t["closed_network"] = true
	}
	return t
}

type nodeTOML struct {
	Name           string            `toml:"name"`
	DataDir        string            `toml:"data_dir"`
	Custodian      string            `toml:"custodian,omitempty"`
	KeyDir         string            `toml:"key_dir"`
	LedgerDir      string            `toml:"ledger_dir"`
	OSRecord       string            `toml:"os_record"`
	Ceremony       string            `toml:"ceremony"`
	CeremonyDigest string            `toml:"ceremony_digest"`
	ListenClient   string            `toml:"listen_client"`
	ListenNode     string            `toml:"listen_node"`
	LogLevel       string            `toml:"log_level,omitempty"`
	Peers          map[string]string `toml:"peers"`
	TLS            tlsTOML           `toml:"tls"`
	Time           timeTOML          `toml:"time"`
}

type tlsTOML struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
}

type timeTOML struct {
	Source []sourceTOML `toml:"source"`
}

type sourceTOML struct {
	Name    string `toml:"name"`
	Address string `toml:"address"`
	Key     string `toml:"key"`
}

// writeConfig writes node i's configuration; before the ceremony its digest is
// not known yet, and not needed.
func (c *Cluster) writeConfig(i int) error {
	n := c.nodes[i]
	file := nodeTOML{
		Name: n.name, DataDir: c.dataDir(), Custodian: c.socket(), KeyDir: "keys", LedgerDir: "ledger", OSRecord: filepath.Join("log", "special-delete.log"), Ceremony: c.path(actFile), CeremonyDigest: c.digest,
		ListenClient: n.clients, ListenNode: n.members, LogLevel: c.opts.LogLevel, Peers: map[string]string{},
		TLS: tlsTOML{"tls.pem", "tls.key"},
	}
	for _, other := range c.nodes {
		if other != n {
			file.Peers[other.name] = other.members
		}
	}
	for k, s := range c.opts.Sources {
		file.Time.Source = append(file.Time.Source, sourceTOML{s.Name, c.sources[k].Addr(), "HEX:" + hex.EncodeToString(s.secret)})
	}
	return writeTOML(c.Config(i), file)
}

type contextTOML struct {
	Endpoints   []string      `toml:"endpoints"`
	CA          string        `toml:"ca"`
	Certificate string        `toml:"certificate"`
	Key         string        `toml:"key"`
	ClusterID   string        `toml:"cluster_id"`
	Institution string        `toml:"institution"`
	Nodes       []contextNode `toml:"node"`
}

type contextNode struct {
	Name      string   `toml:"name"`
	PublicKey string   `toml:"public_key"`
	Former    []string `toml:"former_keys,omitempty"`
}

// Context is the path of a role's context file for all nodes: app, officer, head,
// manager, approver1 to approver3, admin, auditor, contractor, or
// inspector, the auditor of the appliance itself.
func (c *Cluster) Context(role string) string { return c.path(contextsDir, role+".toml") }

// ContextAt is that of a role for node i alone.
func (c *Cluster) ContextAt(i int, role string) string {
	return c.path(contextsDir, fmt.Sprintf("%s-%s.toml", role, c.nodes[i].name))
}

// writeContexts writes one context for each role, and one for each role and node.
func (c *Cluster) writeContexts() error {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.clients)
	}
	for _, p := range persons() {
		file := contextTOML{Endpoints: all, CA: "../" + authDir + "/ca.pem", Certificate: p.name + ".pem", Key: p.name + ".key",
			ClusterID: c.id, Institution: Institution, Nodes: c.keys}
		if err := writeTOML(c.Context(p.name), file); err != nil {
			return err
		}
		for i, n := range c.nodes {
			file.Endpoints = []string{n.clients}
			if err := writeTOML(c.ContextAt(i, p.name), file); err != nil {
				return err
			}
		}
	}
	return nil
}
