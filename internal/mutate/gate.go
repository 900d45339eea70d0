package main

// gateGuards are those of the custodian's own judge.
func gateGuards() []guard {
	const file, pkg = "store/custodian/gate/rules.go", "./store/custodian/gate"
	return []guard{
		{"closing: the use-record key stays while a loss waits to be confirmed", "store/epochs_use.go",
			"	if stopped {\n", "	if false && stopped {\n", "./store", "TestP68_ADeclaredLossKeepsTheUseRecordKey"},
		{"gate: special deletion stays ended", file,
			"	if ended, ok := h.noSpecial[institution]; ok && ended < decision {", "	if ended, ok := h.noSpecial[institution]; false && ok && ended < decision {", pkg, "TestP25_EndedSpecialDeletionStaysEnded"},
		{"gate: the first end of special deletion counts", file,
			"_, ended := h.noSpecial[e.Number]; !ended {", "_, ended := h.noSpecial[e.Number]; !ended || true {", pkg, "TestP25_EndedSpecialDeletionStaysEnded"},
		{"gate: as many approve as the policy asks for", file,
			"access.RuleOfAct(access.ActKind(kind), h.approvals(at), false)", "access.RuleOfAct(access.ActKind(kind), 0*int(at), false)", pkg, "TestP25_AsManyApproveAsThePolicyAsks"},
		{"gate: the ceremony's policy counts", "store/custodian/gate/take.go",
			"need{approvals: int(c.Policy.Approvals)}", "need{}", pkg, "TestP25_TheCeremonysPolicyAsksForThree"},
		{"gate: fewer approvals are signed by as many as before", file,
			"		if _, err := h.signed(rec, format.ActKindPolicy); err != nil {", "		if false {", pkg, "TestP25_AsManyApproveAsThePolicyAsks"},
		{"gate: no bundle ends before a loss is confirmed", "store/custodian/gate/gate.go",
			"	if rec.Action != format.ActKey {\n", "	if false {\n", pkg, "TestP68_NothingEndsBeforeALossIsConfirmed"},
		{"gate: no use-record key ends before a loss is confirmed", "store/custodian/gate/gate.go",
			"errors.Join(h.confirmed(rec.Sequence), h.closing(e.Institution, rec.Sequence))", "h.closing(e.Institution, rec.Sequence)", pkg, "TestP68_NothingEndsBeforeALossIsConfirmed"},
		{"gate: a confirmation is signed", file,
			"	if _, err := h.signed(rec, format.ActKindRestoreConfirm); err != nil {", "	if false {", pkg, "TestP68_NothingEndsBeforeALossIsConfirmed"},
		{"gate: a hold keeps a bundle", "store/custodian/gate/holds.go",
			"		if keeps {\n", "		if false && keeps {\n", pkg, "TestI1_.*|TestP25_.*"},
		{"gate: the rule is followed", "store/custodian/gate/gate.go",
			"	if err != nil || !permit.Covers(id) {\n", "	if false && permit.Covers(id) {\n", pkg, "TestI1_TheRuleIsFollowedHere"},
		{"gate: enough persons sign", "store/custodian/gate/acts.go",
			"	if !rule.Complete(h.signers(s, rule, object.Institution, asked)) {\n", "	if false && !rule.Complete(h.signers(s, rule, object.Institution, asked)) {\n", pkg, "TestP25_SpecialDeletionNeedsItsPersons"},
		{"gate: a majority of pinned keys signs", "store/custodian/gate/members.go",
			"	if len(seen) < m.majority() {\n", "	if false {\n", pkg, "TestI1_.*"},
		{"gate: a checkpoint is of this history", "store/custodian/gate/members.go",
			"	if root != c.Root {\n", "	if false && root != c.Root {\n", pkg, "TestI1_TheEvidence.*"},
		{"gate: a decision stands in the own files", "store/custodian/gate/gate.go",
			"	if !bytes.Equal(own, w.Decision) {\n", "	if false && !bytes.Equal(own, w.Decision) {\n", pkg, "TestI1_TheEvidence.*"},
	}
}
