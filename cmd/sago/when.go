package main

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// from is an instant in a flag: RFC 3339, or a day, which begins at midnight in
// Korea.
type from struct{ *timestamppb.Timestamp }

// UnmarshalText implements encoding.TextUnmarshaler for the parser.
func (f *from) UnmarshalText(b []byte) error {
	t, _, err := instant(string(b))
	f.Timestamp = t
	return err
}

// through is an instant in a flag: RFC 3339, or a day that is included, to its
// end in Korea.
type through struct{ *timestamppb.Timestamp }

// UnmarshalText implements encoding.TextUnmarshaler for the parser.
func (u *through) UnmarshalText(b []byte) error {
	t, day, err := instant(string(b))
	if day {
		t = timestamppb.New(t.AsTime().AddDate(0, 0, 1))
	}
	u.Timestamp = t
	return err
}

func instant(s string) (t *timestamppb.Timestamp, day bool, err error) {
	if at, err := time.ParseInLocation(time.DateOnly, s, kst); err == nil {
		return timestamppb.New(at), true, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, false, fmt.Errorf("%q is neither a day (2026-03-01) nor an instant (2026-03-01T09:00:00+09:00)", s)
	}
	return timestamppb.New(at), false, nil
}
