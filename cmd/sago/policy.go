package main

import (
	"strconv"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type policyGroup struct {
	Show    policyShowCmd    `cmd:"" help:"${help_policy_show}"`
	Propose policyProposeCmd `cmd:"" help:"${help_policy_propose}"`
	History policyHistoryCmd `cmd:"" help:"${help_policy_history}"`
}

type policyValueJSON struct {
	Key      string  `json:"key"`
	Value    string  `json:"value"`
	Stronger string  `json:"stronger"`
	Source   string  `json:"source"`
	Version  uint32  `json:"version"`
	Since    *string `json:"since"`
}

func toValues(values []*sagov1.PolicyValue) []policyValueJSON {
	out := []policyValueJSON{}
	for _, v := range values {
		out = append(out, policyValueJSON{v.GetKey(), v.GetValue(), v.GetStronger(), v.GetSource(), v.GetVersion(), utc(v.GetSince())})
	}
	return out
}

type policyShowCmd struct{}

// Run shows every value with its source and version.
func (policyShowCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.Policy(s.ctx)
		if err != nil {
			return err
		}
		result := struct {
			Version uint32            `json:"version"`
			Values  []policyValueJSON `json:"values"`
		}{r.GetVersion(), toValues(r.GetValues())}
		return s.answer(result, func(p *page) {
			p.head("항목", "KEY", "값", "VALUE", "강화 방향", "STRONGER", "출처", "SOURCE", "버전", "VERSION")
			for _, v := range r.GetValues() {
				p.row(v.GetKey(), strings.ReplaceAll(v.GetValue(), "\n", ", "), v.GetStronger(), v.GetSource(), strconv.Itoa(int(v.GetVersion())))
			}
		})
	})
}

type policyProposeCmd struct {
	Set    map[string]string `required:"" placeholder:"KEY=VALUE" help:"${help_policy_set}"`
	Basis  string            `help:"${help_act_basis}" placeholder:"TEXT"`
	Reason string            `required:"" help:"${help_act_why}" placeholder:"TEXT"`
}

// Run opens an act of policy and signs it, where the caller may.
func (c *policyProposeCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.ProposePolicy(s.ctx, &sagov1.PolicyServiceProposeRequest{Set: c.Set, Basis: c.Basis, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type policyHistoryCmd struct{}

type policyVersionJSON struct {
	Version         uint32            `json:"version"`
	Since           *string           `json:"since"`
	HistorySequence uint64            `json:"history_sequence"`
	Act             string            `json:"act"`
	Changed         []policyValueJSON `json:"changed"`
}

// Run lists every version and what it changed.
func (policyHistoryCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		versions, err := cl.PolicyHistory(s.ctx)
		if err != nil {
			return err
		}
		rows := []policyVersionJSON{}
		for _, v := range versions {
			rows = append(rows, policyVersionJSON{v.GetVersion(), utc(v.GetSince()), v.GetHistorySequence(), v.GetAct(), toValues(v.GetChanged())})
		}
		return s.answer(map[string]any{"versions": rows}, func(p *page) {
			p.head("버전", "VERSION", "시각", "SINCE", "결재", "ACT", "항목", "KEY", "값", "VALUE")
			for _, v := range versions {
				for _, c := range v.GetChanged() {
					p.row(strconv.Itoa(int(v.GetVersion())), local(v.GetSince()), v.GetAct(), c.GetKey(), strings.ReplaceAll(c.GetValue(), "\n", ", "))
				}
			}
		})
	})
}
