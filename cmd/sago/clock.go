package main

import (
	"fmt"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type clockGroup struct {
	Status clockStatusCmd `cmd:"" help:"${help_clock_status}"`
	Resync clockResyncCmd `cmd:"" help:"${help_clock_resync}"`
}

type clockStatusCmd struct{}

type clockJSON struct {
	Clock         *string      `json:"clock"`
	Status        string       `json:"status"`
	Development   bool         `json:"development"`
	ClosedNetwork bool         `json:"closed_network"`
	Earliest      *string      `json:"earliest"`
	Latest        *string      `json:"latest"`
	LagSeconds    float64      `json:"lag_seconds"`
	Budget        *budgetJSON  `json:"budget"`
	Sources       []sourceJSON `json:"sources"`
	Detail        string       `json:"detail"`
}

type budgetJSON struct {
	FloorLine    *string `json:"floor_line"`
	SlackSeconds float64 `json:"slack_seconds"`
	UsedSeconds  float64 `json:"used_seconds"`
}

type sourceJSON struct {
	Name          string  `json:"name"`
	Operator      string  `json:"operator"`
	Auth          string  `json:"auth"`
	State         string  `json:"state"`
	Selected      bool    `json:"selected"`
	OffsetSeconds float64 `json:"offset_seconds"`
	ErrorSeconds  float64 `json:"error_seconds"`
	Detail        string  `json:"detail"`
}

func toClock(r *sagov1.ClockServiceStatusResponse) clockJSON {
	out := clockJSON{
		Clock: utc(r.GetClock()), Status: r.GetStatus(), Development: r.GetDevelopment(), ClosedNetwork: r.GetClosedNetwork(),
		Earliest: utc(r.GetEarliest()), Latest: utc(r.GetLatest()), LagSeconds: r.GetLagSeconds(),
		Sources: []sourceJSON{}, Detail: r.GetDetail(),
	}
	if b := r.GetBudget(); b != nil {
		out.Budget = &budgetJSON{utc(b.GetFloorLine()), b.GetSlackSeconds(), b.GetUsedSeconds()}
	}
	for _, s := range r.GetSources() {
		out.Sources = append(out.Sources, sourceJSON{
			s.GetName(), s.GetOperator(), s.GetAuth(), s.GetState(), s.GetSelected(), s.GetOffsetSeconds(), s.GetErrorSeconds(), s.GetDetail(),
		})
	}
	return out
}

// Run shows the clock.
func (c *clockStatusCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.ClockStatus(s.ctx)
		if err != nil {
			return err
		}
		return s.answer(toClock(r), func(p *page) { clockText(p, r) })
	})
}

func clockText(p *page, r *sagov1.ClockServiceStatusResponse) {
	clock := local(r.GetClock())
	if clock == "" {
		clock = p.lang.pick("아직 없음", "none yet")
	}
	p.pair("신뢰 시각", "clock", clock)
	p.pair("상태", "status", r.GetStatus())
	if r.GetDevelopment() {
		p.pair("주의", "caution", p.lang.pick("개발용 시계 — 운영에 쓸 수 없음", "development clock, not for production"))
	}
	if r.GetClosedNetwork() {
		p.pair("주의", "caution", p.lang.pick("폐쇄망: 시각 출처가 셋보다 적음", "closed network: fewer than three time sources"))
	}
	p.pair("이르면", "earliest", local(r.GetEarliest()))
	p.pair("늦으면", "latest", local(r.GetLatest()))
	p.pair("지연(초)", "lag (seconds)", r.GetLagSeconds())
	if b := r.GetBudget(); b != nil {
		p.pair("여유(초)", "slack (seconds)", fmt.Sprintf("%g / %g", b.GetUsedSeconds(), b.GetSlackSeconds()))
	}
	p.pair("설명", "detail", r.GetDetail())
	if len(r.GetSources()) == 0 {
		return
	}
	p.head("출처", "SOURCE", "운영자", "OPERATOR", "인증", "AUTH", "상태", "STATE", "선택", "SELECTED", "편차", "OFFSET", "오차", "ERROR")
	for _, s := range r.GetSources() {
		p.row(s.GetName(), s.GetOperator(), s.GetAuth(), s.GetState(), p.yes(s.GetSelected()), s.GetOffsetSeconds(), s.GetErrorSeconds())
	}
}
