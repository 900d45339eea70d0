package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/sago-worm/sago/store/format"
)

// maxHistoryYears is the longest limited term of public records (공공기록물법 시행령
// 제26조: 30년). One person raises history_years and nobody ever lowers it, so
// without a bound one person could keep what it says of people for good.
const maxHistoryYears = 30

// CheckPolicy names every value of a policy that lies outside its limits, one
// joined error each: what no ceremony may begin with and no act may set.
func CheckPolicy(p format.Policy) error {
	var wrong []error
	for _, b := range []struct {
		key         string
		is          int64
		least, most time.Duration
	}{
		{"slack", p.Slack, 0, 24 * time.Hour},
		{"agreement", p.Agreement, time.Second, time.Minute},
		{"sweep_within", p.SweepWithin, time.Second, time.Hour},
		{"cooling_off", p.CoolingOff, time.Second, micros(maxActLife - ActTime)}, // longer, and every act lapses while it cools off
		{"checkpoint_every", p.CheckpointEvery, time.Second, time.Hour},
	} {
		if is := micros(b.is); is < b.least || is > b.most {
			wrong = append(wrong, fmt.Errorf("policy.%s: %v is not between %v and %v", b.key, is, b.least, b.most))
		}
	}
	if p.Approvals < 2 {
		wrong = append(wrong, fmt.Errorf("policy.approvals: %d: two different people always", p.Approvals))
	}
	if p.HistoryYears < 3 || p.HistoryYears > maxHistoryYears || p.MaxYears < 1 || p.MaxYears > 1000 {
		wrong = append(wrong, fmt.Errorf("policy: history_years is between 3 and %d, max_years between 1 and 1000", maxHistoryYears))
	}
	return errors.Join(wrong...)
}

// comparePolicy says of a change of policy whether some value becomes weaker, and
// what may not change at all. Each value has an order (I10): a smaller slack,
// agreement, sweep and checkpoint interval, a greater number of approvals, of
// years, of sources and cosignatures needed, and a longer cooling-off are the stronger ones.
func comparePolicy(old, new format.Policy) (weaker bool, never error) {
	switch {
	case new.HistoryYears < old.HistoryYears:
		return true, errors.New("history that was promised a retention keeps it: history_years never goes down")
	case new.ClosedNetwork && !old.ClosedNetwork:
		return true, errors.New("a closed network is the ceremony's choice alone")
	case new.MinSources < old.MinSources:
		return true, errors.New("min_sources never goes down")
	}
	weaker = new.Slack > old.Slack || new.Agreement > old.Agreement || new.SweepWithin > old.SweepWithin ||
		new.CheckpointEvery > old.CheckpointEvery || new.Approvals < old.Approvals || new.CoolingOff < old.CoolingOff ||
		new.MaxYears < old.MaxYears || new.WitnessesNeeded < old.WitnessesNeeded ||
		// Another source, or another order, is another word to trust.
		!reflect.DeepEqual(new.Sources, old.Sources) || !keepsWitnesses(old, new)
	return weaker, nil
}

// keepsWitnesses reports whether every witness of the old policy is one of the new,
// and as many of them as were needed still are when the added ones cosign whatever
// they are shown.
func keepsWitnesses(old, new format.Policy) bool {
	have := map[string]bool{}
	for _, w := range new.Witnesses {
		have[w.VKey()] = true
	}
	for _, w := range old.Witnesses {
		if !have[w.VKey()] {
			return false
		}
	}
	added := len(new.Witnesses) - len(old.Witnesses)
	return old.WitnessesNeeded == 0 || int(new.WitnessesNeeded) >= int(old.WitnessesNeeded)+added
}

// checkSourcesOf refuses a list of time sources in which one operator alone could
// decide, or that is shorter than the policy's least (P06).
func checkSourcesOf(p format.Policy) error {
	if p.ClosedNetwork {
		return nil
	}
	majority := max(len(p.Sources), int(p.MinSources))/2 + 1
	names, operators := map[string]bool{}, map[string]int{}
	for _, s := range p.Sources {
		operators[s.Operator]++
		if s.Name == "" || names[s.Name] || operators[s.Operator] >= majority {
			return fmt.Errorf("source %q: without name, twice, or its operator alone forms a majority", s.Name)
		}
		names[s.Name] = true
	}
	if len(p.Sources) < int(p.MinSources) {
		return fmt.Errorf("%d sources, at least %d are needed", len(p.Sources), p.MinSources)
	}
	return nil
}

// PolicyDigest is the SHA-256 of a policy's canonical bytes.
func PolicyDigest(p format.Policy) format.Digest { return sha256.Sum256(format.EncodePolicy(p)) }
