package retention

import (
	"fmt"
	"time"
)

// Counting of periods by the Korean Civil Code (민법 제155조-제160조), in KST:
//
//   - the first day is not counted (초일 불산입, 제157조); the day after it is
//     the day counting begins on (기산일). The Code's exception for a period
//     that begins exactly at midnight is not used: an instant is known only
//     within an interval, and excluding the first day always keeps longer;
//   - a period of days, months or years ends with the end of its last day
//     (제159조), which is the following midnight;
//   - months and years go by the calendar (역법적 계산, 제160조): the last day is
//     the one before the day that corresponds to the 기산일, and where the last
//     month has no such day, the last day of that month.
//
// The extension of a period that ends on a Saturday or holiday (제161조) is not
// used: it serves those who must act in time, and nobody has to act here.
//
// A mixed period (P1Y6M10D) counts years and months first, then days.

// date is a calendar day in Korea; the zero date is none.
type date struct {
	year  int16
	month int8
	day   int8
}

// parseDate reads YYYY-MM-DD, a day that exists, in 1970..9999.
func parseDate(s string) (date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return date{}, fmt.Errorf("%w: %q is no day of the calendar", ErrRule, s)
	}
	if t.Year() < 1970 {
		return date{}, fmt.Errorf("%w: %q lies before 1970", ErrRange, s)
	}
	return date{int16(t.Year()), int8(t.Month()), int8(t.Day())}, nil
}

func (d date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day) }

// end is the midnight in Korea that ends the day.
func (d date) end() Instant {
	return midnight(time.Date(int(d.year), time.Month(d.month), int(d.day)+1, 0, 0, 0, 0, time.UTC))
}

// midnight is the instant at which the civil day t, written as UTC, begins in
// Korea.
func midnight(t time.Time) Instant { return Instant(t.UnixMicro() - kstOffset) }

// firstCounted is the 기산일 of a period that starts at start: the Korean day
// after it, written as midnight UTC.
func firstCounted(start Instant) time.Time {
	days := (int64(start) + kstOffset) / microsPerDay
	return time.Unix((days+1)*86_400, 0).UTC()
}

// addMonths moves a civil day by whole months to the day that corresponds to
// it, or where there is none, past the last day of that month.
func addMonths(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	next := first.AddDate(0, 1, 0)
	if d := first.AddDate(0, 0, t.Day()-1); d.Before(next) {
		return d
	}
	return next
}
