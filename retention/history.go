package retention

import "fmt"

// History records (이력) are kept by their own rule, which nobody chooses: at
// least MinHistoryYears after the end of the record's effect (훈령 제526호 22조),
// longer when the policy says so.

// MinHistoryYears is the least retention of a history record, calendar years.
const MinHistoryYears = 3

// Effect says what ends the effect of a history record. The zero Effect is
// unknown, and such a record is kept (I8).
type Effect uint8

// The effects.
const (
	EffectUnknown Effect = 0 // not known to this version: kept
	EffectLasting Effect = 1 // warrants and pinned keys rest on it: kept for good
	EffectMoment  Effect = 2 // ended with the clock entry that followed it
	EffectBundle  Effect = 3 // ends when the bundle that it is about is erased
)

// Ended is what is known of the end of a history record's effect.
type Ended struct {
	Effect Effect
	// After is a reading of the quorum clock at or after the record.
	After Instant
	// Erased is the clock at the bundle's ERASE record; unset while there is none,
	// and as long as a voter has not attested the erasure.
	Erased Instant
	// Held says that a hold stands on what the record speaks of.
	Held bool
}

// end is when the effect ended; unset when it has not, or nobody knows.
func (e Ended) end() Instant {
	switch {
	case e.Held || !e.After.set():
		return 0
	case e.Effect == EffectMoment:
		return e.After
	case e.Effect == EffectBundle && e.Erased.set():
		return max(e.After, e.Erased)
	}
	return 0
}

// HistoryEnd is when the retention of a history record ends whose effect ended
// at ended: so many calendar years later, counted as every period is (first day
// excluded, to midnight in Korea), and never fewer than MinHistoryYears. Errors:
// ErrUnset without an end, ErrRange beyond year 9999.
func HistoryEnd(ended Instant, years uint32) (Instant, error) {
	if years > maxYears {
		return 0, fmt.Errorf("%w: %d years", ErrRange, years)
	}
	return span{years: int64(max(years, MinHistoryYears))}.from(ended)
}

// HistoryOver reports whether a history record's time has come when the quorum
// clock reads now. In doubt it has not.
func HistoryOver(e Ended, years uint32, now Instant) bool {
	end, err := HistoryEnd(e.end(), years)
	return err == nil && now.set() && now >= end
}
