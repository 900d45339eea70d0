package service

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// TestAnExecutedActIsShownAsSignedByEnough: a change of policy that made it
// stronger needed one signature, also where it would be a weakening today.
func TestAnExecutedActIsShownAsSignedByEnough(t *testing.T) {
	h := newHouse(t)
	h.begin()
	manager := h.client("manager")
	whole := map[string]string{"cooling_off": "72h", "checkpoint_every": "1m", "approvals": "2", "sources": "a A none 0 -\nb B none 0 -\nc C none 0 -"}
	a, err := manager.ProposePolicy(limited(t), &sagov1.PolicyServiceProposeRequest{Set: whole, Reason: "처음"})
	must(t, err)
	_, err = manager.SignOwn(limited(t), a)
	must(t, err)
	_, err = h.client("approver").SignAct(limited(t), a.GetId(), nil)
	must(t, err)
	var first string
	for _, longer := range []string{"96h", "120h"} {
		a, err = manager.ProposePolicy(limited(t), &sagov1.PolicyServiceProposeRequest{Set: map[string]string{"cooling_off": longer}, Reason: "더 길게"})
		must(t, err)
		_, err = manager.SignOwn(limited(t), a)
		must(t, err)
		first = cmp.Or(first, a.GetId())
	}
	if a, err = manager.ShowAct(limited(t), first); err != nil || a.GetState() != "executed" || a.GetNeeded() != 1 || len(a.GetSignatures()) != 1 {
		t.Errorf("%v: %v", a, err)
	}
}

// TestActsOfAKindThatThereIsNot: a misspelt kind is not answered with nothing.
func TestActsOfAKindThatThereIsNot(t *testing.T) {
	h := newHouse(t)
	h.begin()
	_, err := h.client("manager").ListActs(limited(t), &sagov1.ActServiceListRequest{Kind: "special-deletion"})
	expect(t, unwrap(err), codes.InvalidArgument, "INVALID")
	_, err = h.client("manager").ListActs(limited(t), &sagov1.ActServiceListRequest{Kind: "special-delete"})
	must(t, err)
}

// TestASpecialDeletionIsSignedInOneWay: no client signs it as any act.
func TestASpecialDeletionIsSignedInOneWay(t *testing.T) {
	h := newHouse(t)
	h.put("app", "S1", "P5Y", []byte("content"))
	h.begin()
	r, err := h.client("officer").RequestSpecialDelete(limited(t), requestOf("S1"))
	must(t, err)
	if _, err = h.client("manager").SignAct(limited(t), r.GetAct().GetId(), nil); err != client.ErrOpening {
		t.Errorf("%v", err)
	}
	must(t, h.client("manager").ApproveSpecialDelete(limited(t), r.GetAct().GetId(), nil))
}

// TestWhatAnActIsAboutMayBeGone: an open act says that the state lets nothing come of
// it any more, and why; one that can go on says so; an ended one says neither. The
// institution's code stands beside the number in the document.
func TestWhatAnActIsAboutMayBeGone(t *testing.T) {
	h := newHouse(t)
	h.put("app", "GOES", "PT1M", []byte("goes"))
	h.put("app", "STAYS", "P5Y", []byte("stays"))
	h.begin()
	ids := map[string]string{}
	for _, name := range []string{"GOES", "STAYS"} {
		r, err := h.client("officer").RequestSpecialDelete(limited(t), requestOf(name))
		must(t, err)
		ids[name] = r.GetAct().GetId()
	}
	const code = "demo"
	shown := func(name string, executable bool, why string) {
		t.Helper()
		a, err := h.client("manager").ShowAct(limited(t), ids[name])
		must(t, err)
		if a.Executable == nil || a.GetExecutable() != executable || !strings.HasPrefix(a.GetNotExecutable(), why) || (why == "") != (a.GetNotExecutable() == "") || a.GetInstitution() != code {
			t.Errorf("%s: %v", name, a)
		}
	}
	shown("GOES", true, "")
	h.advance(2 * time.Minute)
	h.sweep()
	h.erase()
	shown("GOES", false, "EXPIRED: ")
	shown("STAYS", true, "")
	all, err := h.client("manager").ListActs(limited(t), &sagov1.ActServiceListRequest{Open: true})
	must(t, err)
	for _, a := range all.GetActs() {
		if a.GetExecutable() != (a.GetId() == ids["STAYS"]) {
			t.Errorf("listed as %v", a)
		}
	}
	a, err := h.client("manager").VetoAct(limited(t), ids["GOES"], "파기됨")
	must(t, err)
	if a.Executable != nil || a.GetNotExecutable() != "" {
		t.Errorf("ended: %v", a)
	}
}
