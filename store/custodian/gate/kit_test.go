package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// world is a history and everybody's keys.
type world struct {
	*testing.T
	dir     string
	cluster format.ID
	inc     format.ID
	nodes   map[uint32]*ecdsa.PrivateKey
	people  map[uint64]*ecdsa.PrivateKey
	digest  format.Digest
	records [][]byte
	now     int64
	placed  uint64 // by the last wider hold's record
	gate    *Gate
}

// The persons of the world, all of institution 1.
const (
	manager  = 1
	approver = 2
	officer  = 3
	second   = 4 // another approver
)

func newWorld(t *testing.T) *world { return newWorldOf(t, format.Policy{Version: 1}) }

// newWorldOf begins with a policy.
func newWorldOf(t *testing.T, policy format.Policy) *world {
	w := &world{T: t, dir: t.TempDir(), cluster: format.ID{0xC1}, inc: format.ID{0x10, 1}, nodes: map[uint32]*ecdsa.PrivateKey{},
		people: map[uint64]*ecdsa.PrivateKey{}, now: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC).UnixMicro()}
	c := format.Ceremony{Time: w.now, Policy: policy}
	for i := uint32(1); i <= 3; i++ {
		w.nodes[i] = w.key()
		c.Nodes = append(c.Nodes, format.CeremonyNode{Number: i, Name: string(rune('a' + i)), Incarnation: format.ID{0x10, byte(i)}, PublicKey: w.public(w.nodes[i])})
	}
	for id, role := range map[uint64]access.Role{manager: access.RoleManager, approver: access.RoleApprover, officer: access.RoleOfficer, second: access.RoleApprover} {
		w.people[id] = w.key()
		c.Persons = append(c.Persons, format.Person{ID: id, Role: uint8(role), Institution: 1, PublicKey: w.public(w.people[id]), Identity: format.Digest{byte(id)}})
	}
	doc := format.Act{Cluster: w.cluster, Kind: format.ActKindCeremony, Params: c.Encode(), Nonce: format.ID{1}}.Encode()
	w.digest = sha256.Sum256(doc)
	w.gate = New(w.dir, w.digest)
	w.add(format.Record{Action: format.ActAct}, format.ActEffect{Signed: format.SignedAct{Document: doc}.Encode()})
	w.tick(0)
	w.must(os.MkdirAll(filepath.Join(w.dir, room), 0o700))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) key() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	return k
}

func (w *world) public(k *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	w.must(err)
	return der
}

func (w *world) sign(k *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
	w.must(err)
	return sig
}

// add appends a record and answers its sequence.
func (w *world) add(r format.Record, e format.Effect) uint64 {
	r.Sequence, r.Clock, r.Effect = uint64(len(w.records)), w.now, format.EncodeEffect(e)
	w.records = append(w.records, r.Encode())
	return r.Sequence
}

// about is a record of the one bundle.
func about(a format.Action) format.Record {
	return format.Record{Action: a, Institution: 1, Transaction: "T", Part: 1}
}

func (w *world) tick(by time.Duration) {
	w.now += by.Microseconds()
	w.add(format.Record{Action: format.ActClock}, format.ClockEffect{Now: w.now, Start: w.now, Floor: w.now})
}

var theSlot = format.Slot{Block: format.ID{0xB1}, Index: 5}

func (w *world) store(rule string) uint64 {
	return w.add(about(format.ActStore), format.StoreEffect{Definition: "MDS0000001", Rule: rule, BasisKind: 1, Slot: theSlot, Chunks: 1, Documents: 1, Subject: format.Digest{7}})
}

// expire appends the EXPIRE record of a bundle.
func (w *world) expire(store uint64) uint64 {
	return w.add(about(format.ActExpire), format.BundleRef{Store: store})
}

// checkpoint is what these nodes sign of all records, with any key.
func (w *world) checkpoint(nodes ...uint32) format.CheckpointEffect {
	t := tree{}
	for _, r := range w.records {
		t.add(tlog.Hash(format.LeafHash(r)))
	}
	e := format.CheckpointEffect{Checkpoint: format.Checkpoint{Cluster: w.cluster, Size: t.size, Root: t.root(), Clock: w.now}}
	for _, n := range nodes {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: n, Signature: w.sign(w.nodes[n], []byte(e.Checkpoint.Text()))})
	}
	return e
}

// file writes records as a history file, or as what stays of one.
func (w *world) file(number uint64, ext string, h format.FileHeader, records ...[]byte) {
	h.Cluster, h.Incarnation, h.Number = w.cluster, w.inc, number
	b := h.Encode()
	for _, r := range records {
		framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(r))), r...)
		b = append(b, framed[:4]...)
		b = append(binary.BigEndian.AppendUint32(b, format.Checksum(framed)), r...)
	}
	w.must(os.WriteFile(fileName(w.dir, number, ext), b, 0o600))
}

// ask has the order for the slot judged under a decision and a checkpoint.
func (w *world) ask(decision uint64, c format.CheckpointEffect) error {
	return w.askFor(theSlot, decision, c)
}

func (w *world) askFor(slot format.Slot, decision uint64, c format.CheckpointEffect) error {
	w.file(1, "his", format.FileHeader{Kind: format.KindHistory}, w.records...)
	return w.gate.Admit(context.Background(), []custodian.Order{{
		Warrant: custodian.Warrant{Decision: w.records[decision], Checkpoint: format.EncodeEffect(c)},
		Work:    custodian.Work{Slots: []format.Slot{slot}},
	}}, nil)
}

// wants insists on an answer.
func (w *world) wants(what string, admitted bool, err error) {
	w.Helper()
	if admitted && err != nil || !admitted && !errors.Is(err, ErrRefused) {
		w.Errorf("%s: %v", what, err)
	}
}

// act is a signed act in the history, proposed by the officer.
func (w *world) act(kind format.ActKind, object format.ActObject, params []byte, signers ...uint64) format.ActEffect {
	doc := format.Act{Cluster: w.cluster, Kind: kind, Object: object.Encode(), Params: params, Nonce: format.ID{byte(len(w.records))}, Expires: w.now * 2}.Encode()
	proposal := format.Record{Action: format.ActPropose, Actor: officer}
	w.add(proposal, format.ProposeEffect{Document: doc})
	s := format.SignedAct{Document: doc}
	for _, p := range signers {
		s.Signatures = append(s.Signatures, format.ActSignature{Person: p, Signature: w.sign(w.people[p], doc)})
	}
	return format.ActEffect{Signed: s.Encode()}
}

// reached is a hold on the bundle's subject, and the record by which it reached it.
func (w *world) reached(store uint64) {
	w.placed = w.add(format.Record{Action: format.ActHoldPlace, Institution: 1}, format.HoldEffect{Scope: format.HoldSubject, Subject: format.Digest{7}, ID: 9, Basis: 1})
	w.add(about(format.ActHoldPlace), format.HoldEffect{Scope: format.HoldBundle, Store: store, ID: 9, Basis: 1, From: w.placed + 1})
}

// release is the act that releases the hold of a record.
func (w *world) release(placed uint64, object format.ActObject) {
	p := format.HoldReleaseParams{Hold: 9, Placed: placed}
	e := w.act(format.ActKindHoldRelease, object, p.Encode(), manager, approver)
	w.add(format.Record{Action: format.ActHoldRelease, Institution: object.Institution, Transaction: object.Transaction, Part: object.Part}, e)
}

// letGo is the end of the wider hold for the bundle, by the record before it.
func (w *world) letGo(store uint64) {
	w.add(about(format.ActHoldRelease), format.HoldEndEffect{Store: store, Hold: 9, Placed: w.placed, Release: uint64(len(w.records)) - 1})
}

var theBundle = format.ActObject{Institution: 1, Transaction: "T", Part: 1}

const day = 24 * time.Hour

// years is so many years, and no less.
func years(n int) time.Duration { return time.Duration(n*366) * day }
