package replication

import (
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// without leaves out the bundles whose payload stays.
func without(bundles []store.PendingErasure, refused *store.RefusedError) (left []store.PendingErasure) {
	apart := false
	for _, b := range bundles {
		if refused.Names(b.Slot) {
			apart = true
			continue
		}
		b.Apart, apart = b.Apart || apart, false
		left = append(left, b)
	}
	return left
}

// ranges are the attestations of bundles, which come in the order of the records
// that ended them: of each run that one attestation can name, limit at most at once.
func ranges(bundles []store.PendingErasure, limit int) (effects []format.AttestEffect) {
	for i, n := 0, 0; i < len(bundles); i++ {
		if n++; bundles[i].Apart || n > limit || i == 0 {
			effects, n = append(effects, format.AttestEffect{From: bundles[i].Decision}), 1
		}
		effects[len(effects)-1].To = bundles[i].Decision + 1
	}
	return effects
}
