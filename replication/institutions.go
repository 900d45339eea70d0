package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// closeSteps is how many steps of closings one round of duties takes at most.
const closeSteps = 8

// lookEvery is how often closings are looked at that wait: for a release, or for
// nodes to attest.
const lookEvery = time.Second

// sayOverdueEvery is how often the log names an institution that is overdue.
const sayOverdueEvery = time.Hour

// closeInstitutions takes the next steps of closings (폐지), and says which
// suspension or closing is over its time.
func (n *Node) closeInstitutions(ctx context.Context) error {
	if err := n.sayOverdue(); err != nil {
		return err
	}
	if time.Since(n.closingsWait) < lookEvery {
		return nil
	}
	for range closeSteps {
		kind, body, err := n.store.CloseDuty(n.pieces().sweep)
		if err != nil {
			return err
		}
		if kind == 0 {
			n.closingsWait = time.Now()
			return nil
		}
		if _, err := n.duty(ctx, kind, body); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
	}
	return nil
}

// sayOverdue names them in the log: a suspension never ends by itself, and what
// holds up a closing is for people to look after.
func (n *Node) sayOverdue() error {
	numbers, err := n.store.Overdue()
	if err != nil {
		return err
	}
	for _, i := range numbers {
		if time.Since(n.saidOverdue[i]) < sayOverdueEvery {
			continue
		}
		row, err := n.store.Tenant(i)
		if err != nil {
			return err
		}
		if n.saidOverdue == nil {
			n.saidOverdue = map[uint32]time.Time{}
		}
		n.saidOverdue[i] = time.Now()
		switch row.State {
		case format.TenantSuspended:
			n.log.Warn("an institution is suspended beyond its end", "institution", i, "until", time.UnixMicro(row.Until).UTC())
		case format.TenantClosing:
			n.log.Warn("an institution's closing is not done 30 days after its date", "institution", i, "due", time.UnixMicro(row.Date+store.CloseLatest).UTC())
		}
	}
	return nil
}
