package replication

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// raceVerb is what a client does to a bundle, or the cluster by itself.
type raceVerb uint8

const (
	raceExtend raceVerb = iota
	racePlace
	raceRelease // proposes a hold's release
	raceSignRelease
	raceStop
	raceSpecial // proposes a special deletion
	raceSignSpecial
	raceRead
	raceShow
	raceExpired  // an EXPIRE record
	raceExecuted // a SPECIAL_DELETE_EXECUTE record
)

// raceHolders is how many clients place holds on one bundle: two of them always
// under the same name.
const raceHolders = 6

// raceInput is one operation. client counts a bundle's hold clients: it names the
// hold (two clients each) and its release.
type raceInput struct {
	bundle int
	verb   raceVerb
	client int
	person uint64 // who signs
	span   int64  // of an extension, microseconds
}

// raceOutput is its answer.
type raceOutput struct {
	reason   format.Reason // ReasonOK where accepted
	clock    int64
	entry    uint64
	row      bool // whether the answer shows the bundle
	deadline int64
	holds    uint8
	ended    bool
}

// raceAct is an act as far as it has come: signed has a bit for each person.
type raceAct struct {
	proposed, done bool
	signed         uint8
}

// raceState is one bundle.
type raceState struct {
	clock           int64
	entry           uint64
	start, deadline int64
	owner           [raceHolders / 2]int8 // client plus one whose hold of that name is in place
	release         [raceHolders]raceAct
	special         raceAct
	stopped         bool
	ended           format.Reason // ReasonOK while it is kept
}

func (s *raceState) holds() (bits uint8) {
	for i, o := range s.owner {
		if o != 0 {
			bits |= 1 << i
		}
	}
	return bits
}

// raceModel is one bundle as the laws have it. An answer tells the log entry and
// the clock at which it was decided: both only go up, so that the order in which
// the log has the operations must also be one that every client can have seen.
func raceModel(first []raceState) porcupine.Model {
	type state struct {
		of int // bundle plus one, 0 before the first operation
		raceState
	}
	return porcupine.Model{
		Init: func() any { return state{} },
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, len(first))
			for _, o := range all {
				b := o.Input.(raceInput).bundle
				parts[b] = append(parts[b], o)
			}
			return parts
		},
		Step: func(from, input, output any) (bool, any) {
			s, in, out := from.(state), input.(raceInput), output.(raceOutput)
			if s.of == 0 {
				s = state{in.bundle + 1, first[in.bundle]}
			}
			if out.entry < s.entry || out.clock < s.clock {
				return false, from
			}
			s.entry, s.clock = out.entry, out.clock
			if s.decide(in) != out.reason {
				return false, from
			}
			if out.row && (out.deadline != s.deadline || out.holds != s.holds() || out.ended != (s.ended != format.ReasonOK)) {
				return false, from
			}
			return true, s
		},
	}
}

// decide is what the laws answer, and changes the state where they say yes.
func (s *raceState) decide(in raceInput) format.Reason {
	switch in.verb {
	case raceShow:
		return format.ReasonOK
	case raceRead:
		return s.read()
	case raceExtend:
		return s.extend(in.span)
	case racePlace:
		return s.place(in.client)
	case raceRelease:
		if s.owner[in.client/2] != int8(in.client+1) {
			return format.ReasonNotFound
		}
		s.release[in.client].proposed = true
	case raceSignRelease:
		return s.signRelease(in)
	case raceStop:
		switch {
		case s.ended != format.ReasonOK:
			return s.ended
		case s.stopped:
			return format.ReasonState
		}
		s.stopped = true
	case raceSpecial:
		if s.special.proposed {
			return format.ReasonState
		}
		no := s.removable()
		s.special.proposed = no == format.ReasonOK
		return no
	case raceSignSpecial:
		return s.signSpecial(in)
	case raceExpired:
		if s.ended != format.ReasonOK || s.holds() != 0 || s.clock < s.deadline {
			return format.ReasonState // no such record may be
		}
		s.ended = format.ReasonExpired
	case raceExecuted:
		if no := s.removable(); no != format.ReasonOK || s.special.signed != 3 {
			return format.ReasonState
		}
		s.ended, s.special.done = format.ReasonSpecialDeleted, true
	}
	return format.ReasonOK
}

func (s *raceState) read() format.Reason {
	switch {
	case s.ended != format.ReasonOK:
		return s.ended
	case s.stopped:
		return format.ReasonStopped
	case s.clock < s.deadline:
		return format.ReasonOK
	case s.holds() != 0:
		return format.ReasonHeld
	}
	return format.ReasonExpired
}

func (s *raceState) extend(span int64) format.Reason {
	switch {
	case s.ended != format.ReasonOK:
		return s.ended
	case s.clock >= s.deadline:
		return format.ReasonExpired
	case s.start+span <= s.deadline:
		return format.ReasonBadRule
	}
	s.deadline = s.start + span
	return format.ReasonOK
}

func (s *raceState) place(client int) format.Reason {
	switch {
	case s.ended != format.ReasonOK:
		return s.ended
	case s.clock >= s.deadline:
		return format.ReasonExpired
	case s.owner[client/2] != 0:
		return format.ReasonConflict
	}
	s.owner[client/2] = int8(client + 1)
	return format.ReasonOK
}

// personBit tells the two who sign apart.
func personBit(person uint64) uint8 {
	if person == testManager {
		return 1
	}
	return 2
}

// sign is an act's answer to a signature, before what the act is about is looked at.
func (a *raceAct) sign(person uint64) format.Reason {
	switch {
	case !a.proposed:
		return format.ReasonNotFound
	case a.done || a.signed == 3:
		return format.ReasonState
	case a.signed&personBit(person) != 0:
		return format.ReasonSigner
	}
	return format.ReasonOK
}

func (s *raceState) signRelease(in raceInput) format.Reason {
	a := &s.release[in.client]
	if no := a.sign(in.person); no != format.ReasonOK {
		return no
	}
	if a.signed |= personBit(in.person); a.signed == 3 {
		a.done, s.owner[in.client/2] = true, 0
	}
	return format.ReasonOK
}

func (s *raceState) signSpecial(in raceInput) format.Reason {
	if no := s.special.sign(in.person); no != format.ReasonOK {
		return no
	}
	if no := s.removable(); no != format.ReasonOK {
		return no
	}
	s.special.signed |= personBit(in.person)
	return format.ReasonOK
}

// removable is why no special deletion may go on now.
func (s *raceState) removable() format.Reason {
	switch {
	case s.ended != format.ReasonOK:
		return s.ended
	case s.holds() != 0:
		return format.ReasonHeld
	case s.clock >= s.deadline:
		return format.ReasonExpired
	case !s.stopped:
		return format.ReasonState
	}
	return format.ReasonOK
}

// raceAnswer reads an answer; names are the bundle's holds by their ids.
func raceAnswer(r store.Result, names []uint64) raceOutput {
	out := raceOutput{reason: r.Reason, clock: r.Clock, entry: r.Entry}
	if r.Outcome == store.Accepted && r.Bundle != nil {
		out.row, out.deadline, out.ended = true, r.Bundle.Retention.Deadline, r.Bundle.Expire != 0
		for _, h := range r.Bundle.Retention.Holds {
			for i, id := range names {
				if h.ID == id {
					out.holds |= 1 << i
				}
			}
		}
	}
	return out
}

// checkTime is how long the search for an order may take: half of what the tests
// have left, so that the others have some too.
func checkTime(now, deadline time.Time, bounded bool) time.Duration {
	if !bounded {
		return 5 * patience
	}
	return max(deadline.Sub(now)/2, patience/4)
}

// errCheckTime: the search was not ended, which says nothing about the answers.
var errCheckTime = errors.New("the checker's time is up: whether one order explains every answer is not known; run the test alone, or with a longer -timeout")

// explained searches for one order that explains every answer.
func explained(m porcupine.Model, all []porcupine.Operation, limit time.Duration) error {
	switch got := porcupine.CheckOperationsTimeout(m, all, limit); got {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%d operations in %v: %w", len(all), limit, errCheckTime)
	default:
		return fmt.Errorf("%d operations: %v: no one order explains every answer", len(all), got)
	}
}

// TestTheCheckersTimeIsNotTheAnswersFault: a search that was not ended fails as what it
// is, and the time that it has follows from what the tests have.
func TestTheCheckersTimeIsNotTheAnswersFault(t *testing.T) {
	now := time.Unix(1000, 0)
	for left, want := range map[time.Duration]time.Duration{10 * time.Minute: 5 * time.Minute, time.Second: patience / 4, -time.Second: patience / 4} {
		if got := checkTime(now, now.Add(left), true); got != want {
			t.Errorf("with %v left: %v", left, got)
		}
	}
	if got := checkTime(now, time.Time{}, false); got != 5*patience {
		t.Errorf("without a deadline: %v", got)
	}
	// Many writes at once and a read of what none wrote: every order has to be tried.
	m := porcupine.Model{Init: func() any { return "" }, Step: func(state, in, _ any) (bool, any) {
		if in == "" {
			return false, state
		}
		return true, state.(string) + in.(string)
	}}
	var all []porcupine.Operation
	for i := range 20 {
		all = append(all, porcupine.Operation{ClientId: i, Input: string(rune('a' + i)), Call: 0, Return: 100})
	}
	if err := explained(m, all, patience); err != nil {
		t.Error(err)
	}
	all = append(all, porcupine.Operation{ClientId: 99, Input: "", Call: 0, Return: 100})
	if err := explained(m, all, 20*time.Millisecond); !errors.Is(err, errCheckTime) {
		t.Errorf("a search that cannot be ended: %v", err)
	}
	if err := explained(m, all[20:], patience); err == nil || errors.Is(err, errCheckTime) {
		t.Errorf("what no order explains: %v", err)
	}
}
