package main

import (
	"fmt"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// witnessedJSON is the newest checkpoint and who beside the nodes has seen it.
type witnessedJSON struct {
	Size            uint64             `json:"size"`
	Clock           *string            `json:"clock"`
	Witnessed       bool               `json:"witnessed"`
	WitnessedSize   uint64             `json:"witnessed_size"`
	WitnessesNeeded uint32             `json:"witnesses_needed"`
	Witnesses       []witnessStateJSON `json:"witnesses"`
}

type witnessStateJSON struct {
	Name       string  `json:"name"`
	Size       uint64  `json:"size"`
	CosignedAt *string `json:"cosigned_at"`
	Detail     string  `json:"detail"`
}

func toWitnessed(c *sagov1.CheckpointState) witnessedJSON {
	out := witnessedJSON{c.GetSize(), utc(c.GetClock()), c.GetWitnessed(), c.GetWitnessedSize(), c.GetWitnessesNeeded(), []witnessStateJSON{}}
	for _, w := range c.GetWitnesses() {
		out.Witnesses = append(out.Witnesses, witnessStateJSON{w.GetName(), w.GetSize(), utc(w.GetCosignedAt()), w.GetDetail()})
	}
	return out
}

// witnessedText never leaves out that nobody outside has seen the history (P53).
func witnessedText(p *page, c *sagov1.CheckpointState) {
	p.pair("체크포인트 건수", "checkpoint records", c.GetSize())
	switch {
	case c.GetWitnessesNeeded() == 0:
		p.pair("증인", "witnessed", p.lang.pick("아니오: 정책에 증인이 없음", "no: the policy needs no witness"))
	case c.GetWitnessed():
		p.pair("증인", "witnessed", fmt.Sprintf(p.lang.pick("%d건까지, 증인 %d곳 이상", "up to %d records, by %d or more"), c.GetWitnessedSize(), c.GetWitnessesNeeded()))
	default:
		p.pair("증인", "witnessed", fmt.Sprintf(p.lang.pick("아니오: 증인 %d곳이 필요함", "NO: %d witnesses are needed"), c.GetWitnessesNeeded()))
	}
	for _, w := range c.GetWitnesses() {
		seen := p.lang.pick("아직 없음", "nothing yet")
		if w.GetSize() > 0 {
			seen = fmt.Sprintf(p.lang.pick("%d건까지, %s", "%d records, at %s"), w.GetSize(), local(w.GetCosignedAt()))
		}
		if w.GetDetail() != "" {
			seen += "; " + w.GetDetail()
		}
		p.pair("  "+w.GetName(), "  "+w.GetName(), seen)
	}
}
