package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// policyField is one value of the policy as people read and set it. What makes it
// stronger is decided in store (comparePolicy); here it is only said.
type policyField struct {
	key, stronger string
	get           func(*format.Policy) string
	set           func(*format.Policy, string) error // nil: no act changes it
}

func (f policyField) value(v store.PolicyChange, value string) *sagov1.PolicyValue {
	source := "ceremony"
	if v.Version > 0 {
		source = "act " + actText(v.Act)
	}
	return &sagov1.PolicyValue{Key: f.key, Value: value, Stronger: f.stronger, Source: source, Version: v.Version, Since: instant(v.Clock)}
}

func policyFields() []policyField {
	return []policyField{
		durationField("slack", "smaller", func(p *format.Policy) *int64 { return &p.Slack }),
		durationField("agreement", "smaller", func(p *format.Policy) *int64 { return &p.Agreement }),
		numberField("max_years", "greater", func(p *format.Policy) *uint32 { return &p.MaxYears }),
		durationField("sweep_within", "smaller", func(p *format.Policy) *int64 { return &p.SweepWithin }),
		numberField("approvals", "greater", func(p *format.Policy) *uint8 { return &p.Approvals }),
		durationField("cooling_off", "greater", func(p *format.Policy) *int64 { return &p.CoolingOff }),
		durationField("checkpoint_every", "smaller", func(p *format.Policy) *int64 { return &p.CheckpointEvery }),
		numberField("history_years", "only greater", func(p *format.Policy) *uint32 { return &p.HistoryYears }),
		{key: "closed_network", stronger: "only false", get: func(p *format.Policy) string { return strconv.FormatBool(p.ClosedNetwork) },
			set: func(p *format.Policy, v string) (err error) { p.ClosedNetwork, err = strconv.ParseBool(v); return err }},
		numberField("min_sources", "only greater", func(p *format.Policy) *uint8 { return &p.MinSources }),
		{key: "sources", stronger: "any change is weaker", get: sourcesText, set: setSources},
		{key: "witnesses", stronger: "more of them, each one needed as well", get: witnessesText, set: setWitnesses},
		numberField("witnesses_needed", "greater", func(p *format.Policy) *uint8 { return &p.WitnessesNeeded }),
	}
}

func durationField(key, stronger string, of func(*format.Policy) *int64) policyField {
	return policyField{key, stronger,
		func(p *format.Policy) string { return (time.Duration(*of(p)) * time.Microsecond).String() },
		func(p *format.Policy, v string) error {
			d, err := time.ParseDuration(v)
			*of(p) = d.Microseconds()
			return err
		}}
}

func numberField[T uint8 | uint32](key, stronger string, of func(*format.Policy) *T) policyField {
	return policyField{key, stronger,
		func(p *format.Policy) string { return strconv.FormatUint(uint64(*of(p)), 10) },
		func(p *format.Policy, v string) error {
			var most T
			most--
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil || n > uint64(most) {
				err = fmt.Errorf("%q is no whole number from 0 to %d", v, most)
			}
			*of(p) = T(n)
			return err
		}}
}

// sourceFields are a time source on one line: name operator auth key-id nts-name.
const sourceFields = 5

func sourcesText(p *format.Policy) string {
	var lines []string
	for _, s := range p.Sources {
		lines = append(lines, strings.Join([]string{s.Name, s.Operator, s.Auth, strconv.FormatUint(uint64(s.KeyID), 10), either(s.NTSName, "-")}, " "))
	}
	return strings.Join(lines, "\n")
}

func setSources(p *format.Policy, text string) error {
	p.Sources = nil
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != sourceFields {
			return fmt.Errorf("%q is not: name operator auth key-id nts-name (- for none)", strings.TrimSpace(line))
		}
		id, err := strconv.ParseUint(f[3], 10, 16)
		if err != nil {
			return fmt.Errorf("key id: %w", err)
		}
		p.Sources = append(p.Sources, format.TimeSource{Name: f[0], Operator: f[1], Auth: f[2], KeyID: uint32(id), NTSName: strings.TrimPrefix(f[4], "-")})
	}
	return nil
}

func witnessesText(p *format.Policy) string {
	var lines []string
	for _, w := range p.Witnesses {
		lines = append(lines, w.VKey())
	}
	return strings.Join(lines, "\n")
}

func setWitnesses(p *format.Policy, text string) error {
	p.Version, p.Witnesses = 1, nil
	for line := range strings.Lines(text) {
		k, err := format.ParseVKey(strings.TrimSpace(line))
		if err != nil {
			return err
		}
		p.Version, p.Witnesses = 2, append(p.Witnesses, k)
	}
	return nil
}

// changedPolicy is the policy with some values set.
func changedPolicy(now format.Policy, set map[string]string) (format.Policy, error) {
	if len(set) == 0 {
		return now, invalid(format.ReasonInvalid, "nothing is set")
	}
	fields := policyFields()
	for key, value := range set {
		i := slices.IndexFunc(fields, func(f policyField) bool { return f.key == key })
		if i < 0 {
			return now, invalid(format.ReasonInvalid, "the policy has no value %q", key)
		}
		if err := fields[i].set(&now, value); err != nil {
			return now, invalid(format.ReasonInvalid, "%s: %v", key, err)
		}
	}
	return now, nil
}
