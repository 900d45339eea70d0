package replication

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// testBase is when the tests' time begins: nothing here depends on the date.
var testBase = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC).UnixMicro()

// testTime is a time source on the boot clock, with an offset that tests move.
type testTime struct {
	mu     sync.Mutex
	offset int64
	silent bool
	start  int64
	boot   int64 // nanoseconds that pass for clock and boot clock alike
}

func bootNanos() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

func (t *testTime) Now() (Interval, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent {
		return Interval{}, errors.New("no time")
	}
	b := bootNanos() + t.boot
	now := testBase + (b-t.start)/1000 + t.offset
	return Interval{Earliest: now, Latest: now + 1000, BootID: format.ID{1}, BootReading: b, Votes: true}, nil
}

func (t *testTime) set(f func(*testTime)) { t.mu.Lock(); defer t.mu.Unlock(); f(t) }

// testCluster is some nodes in this process, on real files and sockets.
type testCluster struct {
	t        testing.TB
	dir      string
	ceremony format.SignedAct
	nodes    []*Node
	times    []*testTime
	addrs    map[string]string
	timing   Timing
	logged   logText
	persons  map[uint64]*ecdsa.PrivateKey
	admitted *format.CeremonyNode // the last node, where the ceremony does not list it
}

// logText keeps what the nodes log from warnings on.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(s))
}

const (
	testApp      = 1
	testAuditor  = 2
	testAdmin    = 3
	testManager  = 4
	testApprover = 5
	testOfficer  = 6
)

func newTestCluster(t testing.TB, size int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, dir: t.TempDir(), nodes: make([]*Node, size), addrs: map[string]string{}}
	t.Cleanup(func() {
		c.closeAll()
		if err := custodian.ClearTree(c.dir); err != nil {
			t.Error(err)
		}
	})
	c.timing = Timing{Heartbeat: 200 * time.Millisecond, Election: 200 * time.Millisecond, Lease: 100 * time.Millisecond,
		Duties: 20 * time.Millisecond, TickBusy: 100 * time.Millisecond, TickIdle: time.Second, BlockSlots: 64, SnapshotInterval: time.Second}
	cer := format.Ceremony{Time: testBase - 1_000_000, Institutions: []format.Institution{{Number: 1, Code: "demo"}},
		Definitions: []format.Definition{{Institution: 1, BundleID: "MDS0000001", Version: 1}},
		Policy: format.Policy{Version: 1, Slack: int64(time.Hour / time.Microsecond), Agreement: 10_000_000, MaxYears: 100, SweepWithin: 5_000_000,
			Approvals: 2, CheckpointEvery: 600_000_000, HistoryYears: 3, ClosedNetwork: true}}
	start := bootNanos()
	for i := range size {
		name := fmt.Sprintf("node%d", i+1)
		keys, err := CreateKeys(c.keyDir(i))
		if err != nil {
			t.Fatal(err)
		}
		pub, err := keys.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		cer.Nodes = append(cer.Nodes, format.CeremonyNode{Number: uint32(i + 1), Name: name, Incarnation: randomID(), PublicKey: pub})
		c.addrs[name] = freeAddress(t)
		c.times = append(c.times, &testTime{start: start})
	}
	c.sign(cer)
	return c
}

// freeAddress is an address that a node may leave and finds free again: no
// connection that leaves this machine's processes is ever given a port of it.
func freeAddress(t testing.TB) string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d:0", 1+mathrand.IntN(254), mathrand.IntN(256), 1+mathrand.IntN(254))
	l, err := net.Listen("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nobody ever connected
	return l.Addr().String()
}

// patience is how long tests wait for what must come: long enough for a machine that
// does a hundred other things. None of them fails because something took its time.
const patience = 2 * time.Minute

func (c *testCluster) sign(cer format.Ceremony) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		c.t.Fatal(err)
	}
	c.persons = map[uint64]*ecdsa.PrivateKey{}
	for _, p := range []struct {
		id   uint64
		role access.Role
	}{{testApp, access.RoleApplication}, {testAuditor, access.RoleAuditor}, {testAdmin, access.RoleAdmin}, {testManager, access.RoleManager}, {testApprover, access.RoleApprover}, {testOfficer, access.RoleOfficer}} {
		key, pub := key, pub
		if p.id != testApp {
			if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
				c.t.Fatal(err)
			}
			if pub, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
				c.t.Fatal(err)
			}
		}
		c.persons[p.id] = key
		cer.Persons = append(cer.Persons, format.Person{ID: p.id, Role: uint8(p.role), Institution: 1, PublicKey: pub, Identity: format.Digest{byte(p.id)}})
	}
	act := format.Act{Cluster: randomID(), Kind: format.ActKindCeremony, Params: cer.Encode(), Nonce: randomID()}
	doc := act.Encode()
	sum := sha256.Sum256(doc)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		c.t.Fatal(err)
	}
	c.ceremony = format.SignedAct{Document: doc, Signatures: []format.ActSignature{{Person: testApp, Signature: sig}}}
}

func (c *testCluster) dataDir(i int) string {
	return filepath.Join(c.dir, fmt.Sprintf("node%d", i+1), "data")
}
func (c *testCluster) keyDir(i int) string {
	return filepath.Join(c.dir, fmt.Sprintf("node%d", i+1), "keys")
}

func (c *testCluster) startNode(i int) *Node {
	c.t.Helper()
	n, err := c.tryStart(i)
	if err != nil {
		c.t.Fatalf("node %d: %v", i+1, err)
	}
	return n
}

func (c *testCluster) tryStart(i int) (*Node, error) {
	name := fmt.Sprintf("node%d", i+1)
	l, err := net.Listen("tcp", c.addrs[name])
	if err != nil {
		return nil, err
	}
	var out io.Writer = &c.logged
	level := slog.LevelWarn
	if os.Getenv("SAGO_TEST_LOG") != "" {
		out, level = io.MultiWriter(os.Stderr, out), slog.LevelDebug
	}
	var admitted *format.CeremonyNode
	if c.admitted != nil && c.admitted.Name == name {
		admitted = c.admitted
	}
	n, err := Open(context.Background(), Config{Name: name, Admitted: admitted, DataDir: c.dataDir(i), KeyDir: c.keyDir(i), Listener: l, Peers: c.addrs,
		Ceremony: c.ceremony, Time: c.times[i], Timing: c.timing, Version: "test",
		Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})).With("node", name)})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	c.nodes[i] = n
	return n, nil
}

func (c *testCluster) startAll() {
	c.t.Helper()
	for i := range c.nodes {
		c.startNode(i)
	}
	c.awaitReady()
}

func (c *testCluster) stop(i int) {
	c.t.Helper()
	if n := c.nodes[i]; n != nil {
		c.nodes[i] = nil
		if err := n.Close(); err != nil && n.Failure() == nil {
			c.t.Errorf("closing node %d: %v", i+1, err)
		}
	}
}

func (c *testCluster) closeAll() {
	for i := range c.nodes {
		c.stop(i)
	}
}

func (c *testCluster) await(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			for i, n := range c.nodes {
				if n != nil {
					c.t.Logf("node %d: %+v", i+1, n.self())
				}
			}
			c.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *testCluster) awaitReady() {
	c.t.Helper()
	c.await("all nodes ready", func() bool {
		for _, n := range c.nodes {
			if n != nil && !n.Ready() {
				return false
			}
		}
		return true
	})
}
