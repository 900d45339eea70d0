package main

// guard is a piece of code without which something could be deleted, weakened or
// shown that must not be, and the tests that miss it.
type guard struct {
	name    string
	file    string
	is      string // stands once in the file
	becomes string
	pkg     string
	tests   string // a pattern of test names, anchored at both ends
}

// guards is the one list. A line goes only with the guard itself.
func guards() []guard {
	return []guard{
		{"retention: an active record gets no permit", "retention/permit.go",
			"	case StateActive:\n		return Permit{}, fmt.Errorf(", "	case StateActive:\n		return Permit{id: id, granted: true}, fmt.Errorf(",
			"./retention", "Test.*"},
		{"retention: a held record gets no permit at its deadline", "retention/retention.go",
			"	case len(r.Holds) > 0:\n		return StateHeld\n", "", "./retention", "Test.*"},
		{"retention: a hold beats an early exit", "retention/act.go",
			"	case len(r.Holds) > 0:\n		return Permit{}, fmt.Errorf(\"%w: record %d has %d\", ErrHeld, id, len(r.Holds))\n", "",
			"./retention", "TestLeave"},
		{"retention: an extension only lengthens", "retention/extend.go",
			"	case end <= present:\n", "	case false && end <= present:\n", "./retention", "Test.*"},
		{"retention: damaged metadata locks", "retention/retention.go",
			"	case r.Check() != nil:\n		return StateLocked\n", "", "./retention", "Test.*"},
		{"retention: cooling-off is waited for", "retention/act.go",
			"	case a.Cooling > 0 && (a.CoolingEnd == 0 || now < a.CoolingEnd):\n		return ActCooling\n", "", "./store", "TestSpecialDeletionOfOneBundle"},
		{"retention: an act lapses", "retention/act.go",
			"	case now >= a.Expires:\n		return ActLapsed\n", "", "./store", "TestActsOfForeignHandsAreRefused"},
		{"access: who asks for a special deletion does not approve it", "access/actrule.go",
			"	if r.NotProposer && p.ID == proposer {", "	if false {", "./access", "TestMaySign"},
		{"access: one person counts once", "access/actrule.go",
			"		if s.ID == p.ID || s.Identity == p.Identity || bytes.Equal(s.PublicKey, p.PublicKey) {", "		if s.ID == p.ID || false && bytes.Equal(s.PublicKey, p.PublicKey) {",
			"./access", "TestMaySign"},
		{"access: one signer is an access manager", "access/actrule.go",
			"	return manager && len(signed) >= r.Needed", "	return len(signed) >= r.Needed", "./access", "TestComplete"},
		{"access: administrators never read bundles", "access/decide.go",
			"	case p.Role == RoleAdmin && v.ReadsContent():", "	case false:", "./access", "TestR23AdministratorsNeverReadBundles"},
		{"acts: a signature must verify", "store/acts.go",
			"	if err := access.VerifyAct(a.row.Document, e.Signature, p.PublicKey); err != nil {\n		return refuse(format.ReasonSignature, err.Error())\n	}\n", "",
			"./store", "TestActsOfForeignHandsAreRefused"},
		{"acts: everybody brings their own signature", "store/acts.go",
			"	if e.Person != t.op.Actor {\n", "	if false {\n", "./store", "TestActsOfForeignHandsAreRefused"},
		{"acts: a document is of this cluster", "store/acts.go",
			"a.doc.Cluster != t.own.cluster || ", "", "./store", "TestActsOfForeignHandsAreRefused"},
		{"acts: a nonce is used once", "store/acts.go",
			"known != nil || a.doc.Nonce == format.ID{}", "known != nil && false || a.doc.Nonce == format.ID{}", "./store", "TestActsOfForeignHandsAreRefused"},
		{"acts: an unsigned act is not executed", "store/acts.go",
			"	if s := j.State(t.now()); s != retention.ActReady {\n", "	if s := j.State(t.now()); false && s != 0 {\n", "./store", "TestActsOfForeignHandsAreRefused"},
		{"acts: other institutions' acts are not seen", "store/acts.go",
			"	return a.row.Institution == institution || a.rule.Appliance && institution == 0", "	return true", "./store", "TestOperatorIsWhoCanSign"},
		{"special deletion: needs a registered order", "store/act_special.go",
			"	if stop == nil || stop.Order != p.Order {\n		return refuse(format.ReasonState, \"a special deletion", "	if false && stop != nil {\n		return refuse(format.ReasonState, \"a special deletion",
			"./store", "TestSpecialDeletionOfOneBundle"},
		{"circulation stop: reads are refused", "store/act_special.go",
			"	if err == nil && stop != nil {\n", "	if false && stop != nil {\n", "./store", "TestSpecialDeletionOfOneBundle"},
		{"policy: history years never go down", "store/policy.go",
			"	case new.HistoryYears < old.HistoryYears:\n", "	case false:\n", "./store", "TestI10WhatNeverChanges"},
		{"policy: limits hold for acts too", "store/act_policy.go",
			"CheckPolicy(p.Policy), ", "", "./store", "TestI10WhatNeverChanges"},
		{"policy: weaker needs as many as a special deletion", "access/actrule.go",
			"r.Propose, r.Needed = VerbPolicyPropose, max(actPersons, approvals)", "r.Propose = VerbPolicyPropose", "./store", "TestI10StrongerByOneWeakerByTwo"},
		{"policy: a change is against the policy in force", "store/act_policy.go",
			"	if p.Replaces != PolicyDigest(m.policy) {", "	if false {", "./store", "TestI10WhatNeverChanges"},
		{"clock: a resync needs a majority's own votes", "store/act_cluster.go",
			"!verifyNode(row, v.Message(m.own.cluster), v.Signature)", "false", "./store", "TestActsAboutNodesMediaAndClock"},
		{"nodes: who was removed does not come back with its key", "store/act_cluster.go",
			"row.Current, row.Joining, row.PublicKey = format.ID{}, format.ID{}, nil", "row.Current, row.Joining = format.ID{}, format.ID{}",
			"./store", "TestActsAboutNodesMediaAndClock"},
		{"spent slots: none that a record named", "store/spent.go",
			"		if err := t.checkSlot(format.Slot{Block: e.Block, Index: i}); err != nil {\n			return err\n		}\n", "		_ = i\n", "./store", "TestI1_ABundlesSlotIsNeverSpent"},
		{"spent slots: a warrant reaches its own alone", "store/spent.go",
			"		if s.Block != e.Block || !slices.Contains(e.Spent, s.Index) || !spent || by != sequence {", "		if false && (spent || by != sequence || slices.Contains(e.Spent, s.Index)) {",
			"./store", "TestI1_ABundlesSlotIsNeverSpent"},
		{"sweep: the decision function is asked for each bundle", "store/rows.go",
			"		if retentionOf(row.Retention).Status(m.now()) == retention.StateExpired {\n", "		if retentionOf(row.Retention).Status(m.now()) != retention.State(99) {\n", "./store", "Test.*P22.*|Test.*P40.*|Test.*Held.*"},
	}
}
