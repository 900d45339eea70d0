package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

// Cluster is a cluster of processes. Nodes are named by their place, from 0. Its
// methods may be called by several goroutines, but one node is started and
// stopped by one at a time.
type Cluster struct {
	opts    Options
	sources []*testntp.Server
	nodes   []*node
	// ctx bounds the processes and time servers; cancel ends them.
	ctx    context.Context
	cancel context.CancelFunc
	// begun is true time when the cluster was made.
	begun time.Time
	// id and keys are for the contexts of clients.
	id     string
	keys   []contextNode
	digest string
}

// node is one node of the cluster: where its things are, and its process.
type node struct {
	name             string
	dir              string
	clients, members string // addresses

	mu      sync.Mutex
	process *process // nil before the first start
	keeper  *process // its custodian; nil where that runs inside
}

// New makes a cluster by the ceremony's commands; no node runs yet. The wall
// clock is read once, for the true time of the time servers. ctx bounds the whole
// life of the cluster. Whatever fails, nothing is left behind.
func New(ctx context.Context, opts Options) (c *Cluster, err error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("testcluster: %w", err)
	}
	c = &Cluster{opts: opts, begun: time.Now()}
	c.ctx, c.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("testcluster: %w", err), c.Close())
			c = nil
		}
	}()
	if err := c.startSources(); err != nil {
		return c, err
	}
	ports, err := freePorts(2 * opts.Nodes)
	if err != nil {
		return c, err
	}
	for i := range opts.Nodes {
		name := "node" + strconv.Itoa(i+1)
		dir := filepath.Join(opts.Dir, name)
		if len(opts.NodeDirs) > 0 {
			dir = opts.NodeDirs[i]
		}
		c.nodes = append(c.nodes, &node{name: name, dir: dir,
			clients: loopback(ports[2*i]), members: loopback(ports[2*i+1])})
	}
	if err := c.ceremony(c.ctx); err != nil {
		return c, err
	}
	return c, c.handOver()
}

// handOver gives the nodes' files to the user that they run as.
func (c *Cluster) handOver() error {
	if c.opts.User == 0 {
		return nil
	}
	return errors.Join(filepath.WalkDir(c.opts.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(c.opts.User), int(c.opts.User))
	}), c.handOverVaults())
}

func (c *Cluster) startSources() error {
	epoch := testntp.EpochOf(c.begun)
	for i, s := range c.opts.Sources {
		server, err := testntp.Start(c.ctx, "127.0.0.1:0", testntp.Behaviour{
			Epoch: epoch, Offset: s.Offset, Key: &testntp.Key{ID: keyID(i), Kind: sourceAuth, Secret: s.secret},
		})
		if err != nil {
			return err
		}
		c.sources = append(c.sources, server)
	}
	return nil
}

// sourceAuth is how every source proves its answers.
const sourceAuth = "aes128-cmac"

// keyID is the number of the key of the source in place i.
func keyID(i int) uint32 { return uint32(i + 1) }

// TimeSource is the time server in place i of Options.Sources, to be made lie.
func (c *Cluster) TimeSource(i int) *testntp.Server { return c.sources[i] }

// Now is true time, by CLOCK_BOOTTIME since the cluster was made.
func (c *Cluster) Now() time.Time { return c.sources[0].Now() }

// Size is the number of nodes.
func (c *Cluster) Size() int { return len(c.nodes) }

// Name is the name of node i.
func (c *Cluster) Name(i int) string { return c.nodes[i].name }

// Place is the place of the node of this name, or -1.
func (c *Cluster) Place(name string) int {
	for i, n := range c.nodes {
		if n.name == name {
			return i
		}
	}
	return -1
}

// Address is the client address of node i, NodeAddress that of its node port.
func (c *Cluster) Address(i int) string { return c.nodes[i].clients }

// NodeAddress is where the other nodes reach node i, HOST:PORT.
func (c *Cluster) NodeAddress(i int) string { return c.nodes[i].members }

// Dir is the cluster's directory.
func (c *Cluster) Dir() string { return c.opts.Dir }

// NodeDir is the folder of node i: configuration, keys, data and log.
func (c *Cluster) NodeDir(i int) string { return c.nodes[i].dir }

// DataDir is the data directory of node i.
func (c *Cluster) DataDir(i int) string { return filepath.Join(c.nodes[i].dir, c.dataDir()) }

// Config is the configuration file of node i.
func (c *Cluster) Config(i int) string { return filepath.Join(c.nodes[i].dir, "node.toml") }

// Close ends every process, stops the time servers, takes the inode flags off and
// removes the directory, unless Options.Keep. It may be called again.
func (c *Cluster) Close() error {
	var errs []error
	for i := range c.nodes {
		errs = append(errs, c.Kill(i), c.KillCustodian(i))
	}
	c.cancel()
	for _, s := range c.sources {
		s.Close()
	}
	errs = append(errs, ClearFlags(c.opts.Dir))
	for _, dir := range c.opts.NodeDirs {
		errs = append(errs, ClearFlags(dir))
	}
	if !c.opts.Keep {
		errs = append(errs, os.RemoveAll(c.opts.Dir))
	}
	return errors.Join(errs...)
}
