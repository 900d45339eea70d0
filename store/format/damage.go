package format

import "fmt"

// DamageError names bytes that are not what was written: which file, where,
// what. It is never answered with other bytes.
type DamageError struct {
	File   string // relative to the data directory
	Offset int64  // of the record or page, in bytes; -1 when the whole file
	What   string // the record or row, for people
	Err    error  // why, may be nil
}

func (e *DamageError) Error() string {
	s := "damage in " + e.File
	if e.Offset >= 0 { // below: no one place
		s += fmt.Sprintf(" at %d", e.Offset)
	}
	s += ": " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }
