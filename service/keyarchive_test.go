package service

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// holder is a person's new recovery key, in their own word.
func (h *house) holder(name string) *sagov1.KeyArchiveHolder {
	h.t.Helper()
	k, _ := newKey(h.t)
	out, err := h.client(name).SignRecoveryKey(limited(h.t), compressed(k))
	must(h.t, err)
	return out
}

func compressed(k *ecdsa.PrivateKey) []byte { return elliptic.MarshalCompressed(k.Curve, k.X, k.Y) }

// signedByTwo has the manager and the approver sign an act.
func (h *house) signedByTwo(a *sagov1.Act) {
	h.t.Helper()
	for _, name := range []string{"manager", "approver"} {
		signed, err := h.client(name).SignAct(limited(h.t), a.GetId(), nil)
		must(h.t, err)
		a = signed
	}
	if a.GetState() != "executed" {
		h.t.Fatalf("%v", a)
	}
}

// openPeriod has a period opened that two of three persons hold, and answers it.
func (h *house) openPeriod() *sagov1.KeyArchivePeriod {
	h.t.Helper()
	req := &sagov1.KeyArchiveServiceOpenRequest{Needed: 2, Days: 30, Reason: "복원 대비"}
	for _, name := range []string{"manager", "officer", "approver"} { // in any order
		req.Holders = append(req.Holders, h.holder(name))
	}
	a, err := h.client("admin").OpenKeyArchive(limited(h.t), req)
	must(h.t, err)
	h.signedByTwo(a)
	r, err := h.client("officer").KeyArchives(limited(h.t))
	must(h.t, err)
	return r.GetPeriods()[len(r.GetPeriods())-1]
}

// keysLeave records a run that takes keys out.
func (h *house) keysLeave(period string) {
	h.t.Helper()
	raw, err := hex.DecodeString(period)
	must(h.t, err)
	op := store.Op{Kind: store.KindBackup, ID: randomID(), Actor: h.people.byName["admin0"].ID,
		Body: format.EncodeEffect(format.BackupEffect{Period: format.ID(raw)})}
	if r, err := h.Submit(limited(h.t), op); err != nil || r.Outcome != store.Accepted {
		h.t.Fatalf("%+v: %v", r, err)
	}
}

// TestP36_I5_AKeyArchiveIsOutstanding: a certificate names the period in which the
// bundle's key may have left, and is not final before its recovery keys are recorded
// destroyed.
func TestP36_I5_AKeyArchiveIsOutstanding(t *testing.T) {
	h := newHouse(t)
	h.put("app", "GOES", "PT1M", []byte("goes"))
	h.begin()
	p := h.openPeriod()
	if p.GetState() != "open" || p.GetNeeded() != 2 || len(p.GetHolders()) != 3 || p.GetEnding() || p.GetUntil().AsTime().Sub(p.GetSince().AsTime()) != 30*24*time.Hour {
		t.Fatalf("%v", p)
	}
	h.keysLeave(p.GetPeriod())
	h.put("app", "LATER", "PT1M", []byte("made behind the archive"))
	h.begin()
	h.advance(2 * time.Minute)
	h.sweep()
	h.erase()
	auditor := h.client("auditor")
	certificate := func(transaction string) *sagov1.Certificate {
		t.Helper()
		c, err := auditor.Certificate(limited(t), &sagov1.SpecialDeleteServiceCertificateRequest{Transaction: transaction})
		must(t, err)
		return c
	}
	if c := certificate("LATER"); !c.GetFinal() || len(c.GetArchives()) != 0 {
		t.Fatalf("its key never left: %v", c)
	}
	c := certificate("GOES")
	kind := func(r *sagov1.Remainder) bool { return r.GetKind() == "key-archive" }
	if c.GetFinal() || c.GetErased() == nil || len(c.GetArchives()) != 1 || c.GetArchives()[0].GetPeriod() != p.GetPeriod() || !slices.ContainsFunc(c.GetRemains(), kind) {
		t.Fatalf("%v", c)
	}
	lied := proto.CloneOf(c)
	lied.Final = true
	h.refutes(lied, "final with an archive left")

	_, err := h.client("manager").KeyArchiveDestroyed(limited(t), &sagov1.KeyArchiveServiceDestroyedRequest{Period: hex.EncodeToString(make([]byte, 16))})
	expect(t, unwrap(err), codes.NotFound, "NOT_FOUND")
	a, err := h.client("manager").KeyArchiveDestroyed(limited(t), &sagov1.KeyArchiveServiceDestroyedRequest{Period: p.GetPeriod(), Reason: "파기식"})
	must(t, err)
	h.signedByTwo(a)
	c = certificate("GOES")
	if !c.GetFinal() || c.GetArchives()[0].GetDestroyed() == 0 || slices.ContainsFunc(c.GetRemains(), kind) {
		t.Fatalf("%v", c)
	}
	for name, change := range map[string]func(*sagov1.Certificate){
		"another period": func(c *sagov1.Certificate) { c.Archives[0].Period = hex.EncodeToString(make([]byte, 16)) },
		"another record": func(c *sagov1.Certificate) { c.Archives[0].Record = c.Erased },
		"another number": func(c *sagov1.Certificate) { c.Archives[0].Destroyed++ },
		"no record":      func(c *sagov1.Certificate) { c.Archives[0].Record = nil },
		"no destruction": func(c *sagov1.Certificate) { c.Archives[0].Record, c.Archives[0].Destroyed = nil, 0 },
	} {
		altered := proto.CloneOf(c)
		change(altered)
		h.refutes(altered, name)
	}
	r, err := h.client("auditor").KeyArchives(limited(t))
	must(t, err)
	if got := r.GetPeriods(); len(got) != 1 || got[0].GetState() != "destroyed" || got[0].GetBegin() == 0 || got[0].GetBegin() != got[0].GetEnd() {
		t.Fatalf("%v", got)
	}
}

// TestP36_I5_WhatARestoreLostIsOutstanding: a row without holders reads as what it is.
func TestP36_I5_WhatARestoreLostIsOutstanding(t *testing.T) {
	w := &certifying{out: &sagov1.Certificate{Final: true}, archives: []format.ArchiveRow{{Period: format.ID{7}, Opened: 9, Begin: 9, End: 9}}}
	must(t, w.keyArchives())
	w.archiveRemains()
	r := w.out.GetRemains()
	if w.out.GetFinal() || len(r) != 1 || r[0].GetKind() != "key-archive" || !strings.Contains(r[0].GetEn(), "a restore lost") || !strings.Contains(r[0].GetKo(), "복원으로 잃은") {
		t.Fatalf("%v", w.out)
	}
}

// refutes fails unless a certificate does not verify.
func (h *house) refutes(c *sagov1.Certificate, what string) {
	h.t.Helper()
	nodes := []client.NodeKey{{Name: "n1", PublicKey: h.st.Members()[0].PublicKey}}
	if _, err := client.VerifyCertificate(c, h.st.Manifest().Cluster, nodes); !errors.Is(err, client.ErrIntegrity) {
		h.t.Errorf("%s: %v", what, err)
	}
}

// TestR24APeriodEndsVisibly: status says until when keys may leave, and from 14 days
// before on that a new period is due.
func TestR24APeriodEndsVisibly(t *testing.T) {
	h := newHouse(t)
	h.begin()
	state := func() *sagov1.KeyArchiveState {
		t.Helper()
		s, err := sagov1.NewClusterServiceClient(h.as("admin")).Status(limited(t), &sagov1.ClusterServiceStatusRequest{})
		must(t, err)
		return s.GetKeyArchive()
	}
	if s := state(); s != nil {
		t.Fatalf("none is open: %v", s)
	}
	p := h.openPeriod()
	if s := state(); s.GetPeriod() != p.GetPeriod() || s.GetEnding() || s.GetUntil().AsTime() != p.GetUntil().AsTime() {
		t.Fatalf("%v", s)
	}
	h.advance(17 * 24 * time.Hour)
	if s := state(); !s.GetEnding() {
		t.Fatalf("13 days before its end: %v", s)
	}
	foreign := h.holder("officer")
	foreign.Person = h.people.byName["head"].ID
	_, err := h.client("admin").OpenKeyArchive(limited(t), &sagov1.KeyArchiveServiceOpenRequest{Needed: 2, Days: 30,
		Holders: []*sagov1.KeyArchiveHolder{foreign, h.holder("manager")}})
	expect(t, unwrap(err), codes.FailedPrecondition, "SIGNATURE")
	_, err = h.client("auditor").OpenKeyArchive(limited(t), &sagov1.KeyArchiveServiceOpenRequest{})
	expect(t, unwrap(err), codes.PermissionDenied, "NOT_PERMITTED")
}
