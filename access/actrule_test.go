package access_test

import (
	"crypto/elliptic"
	"errors"
	"testing"

	"github.com/sago-worm/sago/access"
)

func signer(t *testing.T, id uint64, role access.Role) access.Signer {
	t.Helper()
	p := newPerson(t, id, elliptic.P256())
	return access.Signer{Principal: access.Principal{ID: id, Role: role, Institution: 1}, PublicKey: p.PublicKey, Identity: p.Identity}
}

var actKinds = []access.ActKind{access.ActSpecialDelete, access.ActCloseDown, access.ActHoldRelease, access.ActResync, access.ActPolicy, access.ActMember,
	access.ActRestore, access.ActKeyArchive, access.ActMedium, access.ActLiftStop, access.ActRestoreConfirm}

func TestMaySign(t *testing.T) {
	rule, _ := access.RuleOfAct(access.ActSpecialDelete, 2, false)
	manager, first, second := signer(t, 1, access.RoleManager), signer(t, 2, access.RoleApprover), signer(t, 3, access.RoleApprover)
	sameKey, sameName := signer(t, 4, access.RoleApprover), signer(t, 5, access.RoleApprover)
	sameKey.PublicKey, sameName.Identity = first.PublicKey, first.Identity
	signed := []access.Signer{first}
	other, twin := signer(t, 9, access.RoleOfficer), signer(t, 9, access.RoleOfficer)
	twin.PublicKey = second.PublicKey
	var denied *access.Denied
	for name, c := range map[string]struct {
		who      access.Signer
		proposer access.Signer
		want     func(error) bool
	}{
		"another":               {manager, other, func(err error) bool { return err == nil }},
		"the second":            {second, other, func(err error) bool { return err == nil }},
		"who asked":             {second, second, func(err error) bool { return errors.As(err, &denied) }},
		"who asked, as another": {second, twin, func(err error) bool { return errors.As(err, &denied) }},
		"an officer":            {signer(t, 6, access.RoleOfficer), other, func(err error) bool { return errors.As(err, &denied) }},
		"an administrator":      {signer(t, 7, access.RoleAdmin), other, func(err error) bool { return errors.As(err, &denied) }},
		"the first again":       {first, other, func(err error) bool { return errors.Is(err, access.ErrSignerTwice) }},
		"the first's key":       {sameKey, other, func(err error) bool { return errors.Is(err, access.ErrSignerTwice) }},
		"the first's identity":  {sameName, other, func(err error) bool { return errors.Is(err, access.ErrSignerTwice) }},
	} {
		if err := rule.MaySign(c.who, c.proposer, signed); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestComplete(t *testing.T) {
	manager, first, second := signer(t, 1, access.RoleManager), signer(t, 2, access.RoleApprover), signer(t, 3, access.RoleApprover)
	for _, k := range actKinds {
		rule, known := access.RuleOfAct(k, 2, false)
		if !known || rule.Needed < 2 {
			t.Fatalf("kind %d: %+v", k, rule)
		}
		for name, c := range map[string]struct {
			signed []access.Signer
			want   bool
		}{
			"nobody": {nil, false}, "the manager alone": {[]access.Signer{manager}, false}, "two approvers": {[]access.Signer{first, second}, false},
			"manager and approver": {[]access.Signer{manager, first}, true},
		} {
			if rule.Complete(c.signed) != c.want {
				t.Errorf("kind %d, %s: %v", k, name, !c.want)
			}
		}
	}
	three, _ := access.RuleOfAct(access.ActSpecialDelete, 3, false)
	if three.Complete([]access.Signer{manager, first}) || !three.Complete([]access.Signer{manager, first, second}) {
		t.Error("three approvals are not three")
	}
	if one, _ := access.RuleOfAct(access.ActSpecialDelete, 0, false); one.Needed != 2 {
		t.Error("a policy can ask for fewer than two")
	}
	if alone, _ := access.RuleOfAct(access.ActPolicy, 2, true); !alone.Complete([]access.Signer{manager}) || alone.Complete([]access.Signer{first}) {
		t.Error("strengthening is the access manager's alone")
	}
	for _, k := range []access.ActKind{0, 1, 8, 9, 11, 16, 999} {
		if _, known := access.RuleOfAct(k, 2, false); known {
			t.Errorf("kind %d has a rule", k)
		}
	}
}
