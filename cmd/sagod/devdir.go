package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/BurntSushi/toml"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// Names in a development directory.
const (
	markerFile  = "DEVELOPMENT" // written first: what the directory is
	dirLock     = "LOCK"
	clockFile   = "devclock.json"
	actFile     = "ceremony.act" // written last: the directory is complete
	authDir     = "ca"
	contextsDir = "contexts"
)

// devDir is a development directory, locked.
type devDir struct {
	root  string // absolute
	nodes int
	lock  *os.File
}

// devMarker is the content of the marker file.
type devMarker struct {
	What  string `json:"what"`
	Nodes int    `json:"nodes"`
}

const devWhat = "sago development cluster, not for production"

func (d *devDir) path(names ...string) string {
	return filepath.Join(append([]string{d.root}, names...)...)
}

func nodeName(i int) string { return "node" + strconv.Itoa(i+1) }

// openDevDir locks a development directory, and makes it where there is none.
// nodes 0 is as many as it has; policy is a new one's.
func openDevDir(dir string, nodes int, policy format.Policy) (*devDir, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if nodes != 0 {
		if err := checkNodes(nodes); err != nil {
			return nil, &inputError{err.Error()}
		}
	}
	if err := checkForeign(root); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	d := &devDir{root: root}
	if d.lock, err = lockFile(d.path(dirLock)); err != nil {
		return nil, err
	}
	if err := d.openOrCreate(nodes, policy); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// checkForeign refuses a directory that holds something other than a development
// cluster, before anything is written there.
func checkForeign(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == markerFile {
			return nil
		}
	}
	for _, e := range entries {
		if e.Name() != dirLock {
			return inputf("%s is not empty and is no development directory", root)
		}
	}
	return nil
}

func (d *devDir) openOrCreate(nodes int, policy format.Policy) error {
	m, err := readMarker(d.root)
	if errors.Is(err, os.ErrNotExist) {
		d.nodes = max(nodes, 1)
		return d.create(policy)
	}
	if err != nil {
		return err
	}
	if nodes != 0 && nodes != m.Nodes {
		return inputf("%s has %d nodes, not %d: a cluster keeps its number; take another directory, or remove this one", d.root, m.Nodes, nodes)
	}
	d.nodes = m.Nodes
	if _, err := os.Stat(d.path(actFile)); err != nil {
		return fmt.Errorf("%s was never completed; remove it: sagod dev --remove --dir %s", d.root, d.root)
	}
	return nil
}

func readMarker(root string) (devMarker, error) {
	var m devMarker
	raw, err := os.ReadFile(filepath.Join(root, markerFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil || m.What != devWhat || checkNodes(m.Nodes) != nil {
		return m, fmt.Errorf("%s is not a development cluster's marker", filepath.Join(root, markerFile))
	}
	return m, nil
}

// nodeConfig is node i's configuration. The first node's client port is listen's
// port, each next one's 3 further; the node port is the one after it. Port 0
// leaves all of them to the system.
func (d *devDir) nodeConfig(i int, listen string, digest format.Digest) (nodeConfig, error) {
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return nodeConfig{}, inputf("--listen %s: %v", listen, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port+uint64(3*d.nodes) > 65535 {
		return nodeConfig{}, inputf("--listen %s: no port with room for %d nodes after it", listen, d.nodes)
	}
	at := func(distance int) string {
		if port == 0 {
			return "0"
		}
		return strconv.FormatUint(port+uint64(3*i+distance), 10)
	}
	dir := d.path(nodeName(i))
	return nodeConfig{
		Name: nodeName(i), DataDir: filepath.Join(dir, "data"), KeyDir: filepath.Join(dir, "keys"),
		Ceremony: d.path(actFile), CeremonyDigest: hex.EncodeToString(digest[:]),
		ListenClient: net.JoinHostPort(host, at(0)), ListenNode: net.JoinHostPort("127.0.0.1", at(1)),
		TLS:  tlsConfig{filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")},
		Time: timeConfig{Development: true, ClockFile: d.path(clockFile)},
	}, nil
}

// writePlaces writes down where the nodes are now: to each other, in their
// configurations, and in the contexts of those who call them.
func (d *devDir) writePlaces(units []*unit) error {
	for _, u := range units {
		u.cfg.Peers = map[string]string{}
		for _, other := range units {
			if other != u {
				u.cfg.Peers[other.cfg.Name] = other.cfg.ListenNode
			}
		}
		var text bytes.Buffer
		if err := toml.NewEncoder(&text).Encode(u.cfg); err != nil {
			return err
		}
		if err := durable.WriteFile(d.path(u.cfg.Name, "node.toml"), text.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return d.writeContexts(units)
}

// contextFile is a client's context (docs/cli.md).
type contextFile struct {
	Endpoints   []string      `toml:"endpoints"`
	CA          string        `toml:"ca"`
	Certificate string        `toml:"certificate"`
	Key         string        `toml:"key"`
	ClusterID   string        `toml:"cluster_id"`
	Institution string        `toml:"institution"`
	Nodes       []contextNode `toml:"node"`
}

type contextNode struct {
	Name      string `toml:"name"`
	PublicKey string `toml:"public_key"`
}

func (d *devDir) writeContexts(units []*unit) error {
	act, err := format.DecodeAct(units[0].signed.Document)
	if err != nil {
		return err
	}
	c := contextFile{CA: filepath.Join("..", authDir, authorityCert), ClusterID: hex.EncodeToString(act.Cluster[:]), Institution: devInstitution}
	for _, u := range units {
		c.Endpoints = append(c.Endpoints, endpoint(u.cfg.ListenClient))
	}
	for _, n := range units[0].ceremony.Nodes {
		c.Nodes = append(c.Nodes, contextNode{n.Name, base64.StdEncoding.EncodeToString(n.PublicKey)})
	}
	for _, p := range devPersons() {
		c.Certificate, c.Key = p.name+".pem", p.name+".key"
		var text bytes.Buffer
		if err := toml.NewEncoder(&text).Encode(c); err != nil {
			return err
		}
		if err := durable.WriteFile(d.path(contextsDir, p.name+".toml"), text.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// endpoint is where a listening address is reached from this machine.
func endpoint(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
