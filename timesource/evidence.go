package timesource

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The evidence of one selection, all integers big-endian:
//
//	magic      4  "STS1"
//	flags      1  1 closed network, 2 the node held an interval
//	boot id   16
//	at        16  boot clock, raw clock of the selection (ns, signed 64 bit each)
//	floor      8  least possible time (µs since the Unix epoch, signed)
//	drift      4  ppm
//	limit      8  root distance (ns)
//	majority   1  sources that must agree
//	sources    1  how many are configured
//	held      16  only with flag 2: earliest, latest at the selection (µs)
//	per source, in the order of the policy:
//	  name, operator, authentication   each 1 byte of length and the text
//	  flags    1  1 has a sample, 2 it is usable, 4 selected
//	  sample  80  only with flag 1: the 48 bytes of the server's header (leap, stratum,
//	              precision, root delay and dispersion, receive and transmit time);
//	              boot and raw clock before the query; boot and raw clock after it
//	  span    16  only with flag 2: earliest, latest by this source at the selection
//	result    16  earliest, latest (µs)
//
// There is one encoding of one selection: CheckEvidence decides again from the
// inputs, encodes, and compares the bytes.

// ErrEvidence says that bytes are not the evidence of a selection that comes out
// as they state.
var ErrEvidence = errors.New("timesource: evidence")

const (
	evidenceMagic = "STS1"

	flagClosed, flagHeld                = 1, 2
	flagSample, flagUsable, flagSelects = 1, 2, 4

	maxStamp  = int64(1) << 62
	maxMicros = int64(253_402_300_800_000_000) // the end of year 9999
)

func (s *selection) encode() []byte {
	b := append(make([]byte, 0, 1024), evidenceMagic...)
	b = append(b, bit(s.closed, flagClosed)|bit(s.held != nil, flagHeld))
	b = append(b, s.bootID[:]...)
	b = putInts(b, s.at.boot, s.at.raw, s.floor)
	b = binary.BigEndian.AppendUint32(b, uint32(s.ppm))
	b = putInts(b, int64(s.limit))
	b = append(b, byte(s.majority), byte(len(s.entries)))
	if s.held != nil {
		b = putInts(b, s.held.lo, s.held.hi)
	}
	for _, e := range s.entries {
		for _, text := range []string{e.source.Name, e.source.Operator, string(e.source.Auth)} {
			b = append(append(b, byte(len(text))), text...)
		}
		b = append(b, bit(e.sample != nil, flagSample)|bit(e.usable, flagUsable)|bit(e.selected, flagSelects))
		if m := e.sample; m != nil {
			b = append(b, m.header[:]...)
			b = putInts(b, m.sent.boot, m.sent.raw, m.got.boot, m.got.raw)
		}
		if e.usable {
			b = putInts(b, e.span.lo, e.span.hi)
		}
	}
	return putInts(b, s.result.lo, s.result.hi)
}

func bit(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

func putInts(b []byte, values ...int64) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// CheckEvidence runs the selection again that the bytes describe, and returns its
// interval at the selection's own instant. Any error wraps ErrEvidence.
func CheckEvidence(evidence []byte) (earliest, latest time.Time, err error) {
	s, err := checkEvidence(evidence)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	return s.result.earliest(), s.result.latest(), nil
}

// EvidenceAt is CheckEvidence with the interval moved on to a later reading of the
// same boot, as Now does between selections. It refuses another boot id and an
// earlier reading.
func EvidenceAt(evidence []byte, at Boot) (earliest, latest time.Time, err error) {
	s, err := checkEvidence(evidence)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	now := stamp{boot: at.Reading, raw: at.Raw}
	if at.ID != s.bootID || now.before(s.at) {
		return time.Time{}, time.Time{}, fmt.Errorf("%w: reading is of another boot or before the selection", ErrEvidence)
	}
	moved := s.result.after(s.at, now, s.ppm)
	return moved.earliest(), moved.latest(), nil
}

func checkEvidence(evidence []byte) (*selection, error) {
	s, err := decodeSelection(evidence)
	if err != nil {
		return nil, err
	}
	if err := s.decide(); err != nil {
		return nil, fmt.Errorf("%w: selection fails: %w", ErrEvidence, err)
	}
	if !bytes.Equal(s.encode(), evidence) {
		return nil, fmt.Errorf("%w: the inputs give another result", ErrEvidence)
	}
	return s, nil
}

// decoder reads fixed fields and remembers the first fault.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return make([]byte, n)
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

// int reads a signed 64-bit integer and demands that it lies in [least, most].
func (d *decoder) int(least, most int64) int64 {
	v := int64(binary.BigEndian.Uint64(d.take(8)))
	if v < least || v > most {
		d.bad = true
		return least
	}
	return v
}

func (d *decoder) text() string { return string(d.take(int(d.take(1)[0]))) }

func (d *decoder) stamp() stamp {
	return stamp{boot: d.int(0, maxStamp), raw: d.int(0, maxStamp)}
}

func (d *decoder) span() span {
	return span{lo: d.int(-maxMicros, maxMicros), hi: d.int(-maxMicros, maxMicros)}
}

// decodeSelection reads the inputs of a selection. The stated outcome is skipped:
// it is compared as bytes.
func decodeSelection(evidence []byte) (*selection, error) {
	d := &decoder{rest: evidence}
	s := &selection{}
	d.bad = string(d.take(4)) != evidenceMagic
	flags := d.take(1)[0]
	s.closed = flags&flagClosed != 0
	s.bootID = [16]byte(d.take(16))
	s.at = d.stamp()
	s.floor = d.int(-maxMicros, maxMicros)
	s.ppm = int64(binary.BigEndian.Uint32(d.take(4)))
	s.limit = time.Duration(d.int(0, int64(16*time.Second)))
	s.majority = int(d.take(1)[0])
	count := int(d.take(1)[0])
	if flags&flagHeld != 0 {
		held := d.span()
		s.held = &held
	}
	if s.ppm > 1000 || count > maxSources || s.majority > maxSources || s.majority <= count/2 {
		d.bad = true
	}
	for i := 0; i < count && !d.bad; i++ {
		s.entries = append(s.entries, d.entry())
	}
	d.take(16)
	if d.bad || len(d.rest) != 0 {
		return nil, fmt.Errorf("%w: not in its format", ErrEvidence)
	}
	return s, nil
}

func (d *decoder) entry() (e entry) {
	e.source.Name, e.source.Operator = d.text(), d.text()
	e.source.Auth = AuthKind(d.text())
	flags := d.take(1)[0]
	if flags&flagSample != 0 {
		e.sample = &sample{header: header(d.take(headerSize)), sent: d.stamp(), got: d.stamp()}
	}
	if flags&flagUsable != 0 {
		d.take(16)
	}
	return e
}
