package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

const (
	hour   = int64(time.Hour / time.Microsecond)
	minute = int64(time.Minute / time.Microsecond)
	voters = 3
)

// base is when the tests' time begins: 2026-03-01 12:00 in Korea.
var base = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC).UnixMicro()

// The persons that the ceremony lists.
const (
	app      = 1 // institution 1, may put, read and use
	auditor  = 2 // institution 1, may list the history
	stranger = 3 // application of institution 2
	admin    = 4
	officer  = 5 // institution 1, may read
	nobody   = 99
)

const (
	mds      = "MDS0000001" // any rule
	mdsFixed = "MDS0000002" // the definition's own rule, P1D
)

// logged is an entry with the payload that travels beside it.
type logged struct {
	Entry
	chunks []format.Chunk
}

// world is a cluster's log and the keys of everybody in it, without a cluster.
type world struct {
	tester
	cluster  format.ID
	keys     [voters]*ecdsa.PrivateKey
	incs     [voters]format.ID
	boots    [voters]format.ID
	ceremony format.SignedAct
	digest   format.Digest
	root     keyring.RootKey
	dir      string
	nodes    []*node
	log      []logged
	next     uint64 // index of the next entry
	serial   uint64 // for ids
	now      int64  // of the tests' time, microseconds since base
	block    KeyBlock
	blocks   []KeyBlock
	used     uint32 // slots of block handed out
	apart    bool   // custodians are apart, whatever the flag says
}

// node is one data directory and the store on it.
type node struct {
	*Store
	w       *world
	number  uint32
	dir     string
	damages []*format.DamageError
	stop    func()            // ends the custodian that is apart
	server  *custodian.Server // which it is, or nil
}

// newWorld makes a world of count stores that have had the ceremony, a key block
// and the first keys.
func newWorld(t testing.TB, in tester, count int) *world {
	t.Helper()
	return newWorldWith(t, in, count, nil)
}

func newWorldWith(t testing.TB, in tester, count int, change func(*format.Ceremony)) *world {
	t.Helper()
	w := &world{tester: in, dir: t.TempDir(), next: 1, cluster: format.ID{0xC1}, root: keyring.RootKey{7}}
	t.Cleanup(func() {
		w.close()
		if err := custodian.ClearTree(w.dir); err != nil {
			t.Error(err)
		}
	})
	w.makeCeremony(change)
	for i := range count {
		n := &node{w: w, number: uint32(i%voters + 1), dir: filepath.Join(w.dir, fmt.Sprintf("node%d", i+1))}
		w.must(Create(n.dir, w.manifest(n.number)))
		n.open(1)
		w.nodes = append(w.nodes, n)
	}
	w.accept(w.commit(Op{Kind: KindCeremony, ID: w.id(), Body: w.ceremony.Encode()}))
	w.addBlock(64)
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: kitEpoch, Use: w.slot(), Other: w.slot(), Subject: w.slot()})))
	return w
}

func (w *world) manifest(number uint32) Manifest {
	return Manifest{Cluster: w.cluster, Node: number, Incarnation: w.incs[number-1], Ceremony: w.digest}
}

func (w *world) makeCeremony(change func(*format.Ceremony)) {
	c := format.Ceremony{Time: base, Institutions: []format.Institution{{Number: 1, Code: "one"}, {Number: 2, Code: "two"}},
		Definitions: []format.Definition{{Institution: 1, BundleID: mds, Version: 1}, {Institution: 1, BundleID: mdsFixed, Version: 1, Rule: "P1D"},
			{Institution: 2, BundleID: mds, Version: 1}},
		Policy: format.Policy{Version: 1, Slack: hour, Agreement: 10_000_000, MaxYears: 100, SweepWithin: 5_000_000, Approvals: 2,
			CheckpointEvery: 60_000_000, HistoryYears: 3}}
	for i := range voters {
		w.keys[i] = newKey(w)
		w.incs[i], w.boots[i] = format.ID{0x10, byte(i + 1)}, format.ID{0xB0, byte(i + 1)}
		c.Nodes = append(c.Nodes, format.CeremonyNode{Number: uint32(i + 1), Name: fmt.Sprintf("n%d", i+1), Incarnation: w.incs[i], PublicKey: public(w, w.keys[i])})
	}
	signer := newKey(w)
	for i, role := range []access.Role{access.RoleApplication, access.RoleAuditor, access.RoleApplication, access.RoleAdmin, access.RoleOfficer} {
		p := format.Person{ID: uint64(i + 1), Role: uint8(role), Institution: 1, PublicKey: public(w, newKey(w)), Identity: format.Digest{byte(i + 1)}}
		switch p.ID {
		case app:
			p.PublicKey = public(w, signer)
		case stranger:
			p.Institution = 2
		}
		c.Persons = append(c.Persons, p)
	}
	if change != nil {
		change(&c)
	}
	doc := format.Act{Cluster: w.cluster, Kind: format.ActKindCeremony, Params: c.Encode(), Nonce: format.ID{1}}.Encode()
	w.digest = sha256.Sum256(doc)
	w.ceremony = format.SignedAct{Document: doc, Signatures: []format.ActSignature{{Person: app, Signature: sign(w, signer, doc)}}}
}

func newKey(t tester) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	return key
}

func public(t tester, key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatalf("public key: %v", err)
	}
	return der
}

func sign(t tester, key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatalf("signature: %v", err)
	}
	return sig
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v", err)
	}
}

func (w *world) close() {
	for _, n := range w.nodes {
		if n.Store != nil {
			_ = n.Abandon() // the test is over; what it wanted to know of closing it has asked
			n.Store = nil
		}
		if n.stop != nil {
			n.stop()
			n.stop = nil
		}
	}
}

// open opens the node's store and applies what the log holds beyond it.
func (n *node) open(firstLogged uint64) {
	n.w.Helper()
	n.w.must(n.tryOpen(firstLogged))
	n.replay()
}

func (n *node) tryOpen(firstLogged uint64) error {
	s, err := Open(context.Background(), Options{Dir: n.dir, Root: n.w.root, FirstLogged: firstLogged, Custodian: n.keeper(),
		OnDamage: func(d *format.DamageError) { n.damages = append(n.damages, d) }})
	if err == nil {
		n.Store = s
	}
	return err
}

func (n *node) replay() {
	n.w.Helper()
	for _, b := range n.w.blocks {
		if !n.HasBlock(b.ID) {
			n.w.must(n.InstallBlock(b))
		}
	}
	for _, e := range n.w.log {
		if e.Index > n.Summary().Applied {
			n.apply(e)
		}
	}
}

func (n *node) apply(e logged) []Result {
	n.w.Helper()
	n.w.must(n.AppendChunks(e.chunks))
	r, err := n.Apply(e.Entry)
	if err != nil {
		n.w.Fatalf("node %s: entry %d: %v", n.dir, e.Index, err)
	}
	return r
}

// restart closes the store cleanly and opens it again.
func (n *node) restart() {
	n.w.Helper()
	n.w.must(n.Close())
	n.open(1)
}

// crash goes on from the files as they are on disk now, as after a kill.
func (n *node) crash() {
	n.w.Helper()
	image := n.dir + ".crash"
	n.w.must(os.CopyFS(image, os.DirFS(n.dir)))
	n.w.must(n.Abandon())
	n.Store = nil
	n.w.must(custodian.ClearTree(n.dir))
	n.w.must(os.RemoveAll(n.dir))
	n.w.must(os.Rename(image, n.dir))
	n.open(1)
}

// rebuild throws the index away and builds it again from the history.
func (n *node) rebuild(clean bool) {
	n.w.Helper()
	if clean {
		n.w.must(n.Close())
	} else {
		n.w.must(n.Abandon())
	}
	n.w.must(os.Remove(filepath.Join(n.dir, indexFile)))
	n.open(1)
}

// bare adds a store that has not had the ceremony.
func (w *world) bare(t *testing.T, name string) *node {
	t.Helper()
	n := &node{w: w, number: 1, dir: filepath.Join(w.dir, name)}
	t.Cleanup(func() {
		w.close()
		if err := custodian.ClearTree(w.dir); err != nil {
			t.Error(err)
		}
	})
	w.must(Create(n.dir, w.manifest(1)))
	w.must(n.tryOpen(1))
	w.nodes = append(w.nodes, n)
	return n
}

// kitEpoch is the quarter of the kit's ceremony.
var kitEpoch = EpochAt(base)
