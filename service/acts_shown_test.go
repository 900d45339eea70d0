package service

import (
	"cmp"
	"testing"

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
