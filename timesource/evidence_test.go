package timesource

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"
)

func ns(n int64) time.Duration { return time.Duration(n) }

func evidenceOf(t *testing.T, policy Policy, offsets ...time.Duration) (*world, []byte) {
	t.Helper()
	w := newWorld(t, policy)
	w.poll(offsets...)
	w.pass(time.Minute)
	w.poll(offsets...)
	if w.core.evidence == nil {
		t.Fatal("no evidence")
	}
	return w, w.core.evidence
}

func TestEvidenceRunsAgain(t *testing.T) {
	w, evidence := evidenceOf(t, fourSources(), 0, 0, 0, month)
	earliest, latest, err := CheckEvidence(evidence)
	if err != nil {
		t.Fatal(err)
	}
	if s := w.want(Synchronized); s.earliest() != earliest || s.latest() != latest {
		t.Errorf("evidence gives %v..%v, the node %v", earliest, latest, s)
	}
	if w.core.id != sha256.Sum256(evidence) {
		t.Error("the id is not the digest")
	}
	w.pass(time.Hour)
	at := Boot{ID: w.core.bootID, Reading: w.now.boot, Raw: w.now.raw}
	earliest, latest, err = EvidenceAt(evidence, at)
	s, _, _, _ := w.core.now(w.now)
	if err != nil || s.earliest() != earliest || s.latest() != latest {
		t.Errorf("an hour later: %v..%v %v, the node %v", earliest, latest, err, s)
	}
	for _, wrong := range []Boot{{ID: [16]byte{9}, Reading: at.Reading, Raw: at.Raw}, {ID: at.ID}} {
		if _, _, err := EvidenceAt(evidence, wrong); !errors.Is(err, ErrEvidence) {
			t.Errorf("reading %+v: %v", wrong, err)
		}
	}
}

func TestEvidenceOfFourSourcesIsSmall(t *testing.T) {
	p := fourSources()
	for i := range p.Sources {
		p.Sources[i].Name = strings.Repeat("n", maxNameSize-1) + string(rune('0'+i))
		p.Sources[i].Operator = strings.Repeat("o", maxNameSize-1) + string(rune('0'+i))
		p.Sources[i].Auth, p.Sources[i].KeyID = AuthAES128, 1
	}
	if _, evidence := evidenceOf(t, p, 0, 0, 0, 0); len(evidence) > 1024 {
		t.Errorf("%d bytes", len(evidence))
	}
}

// No byte of the evidence may change without notice, except where the change
// describes another selection that comes out as it states.
func TestEvidenceTamperedResultIsFound(t *testing.T) {
	_, evidence := evidenceOf(t, fourSources(), 0, 0, 0, 0)
	for i := range 16 {
		bad := append([]byte(nil), evidence...)
		bad[len(bad)-1-i] ^= 1
		if _, _, err := CheckEvidence(bad); !errors.Is(err, ErrEvidence) {
			t.Errorf("result byte %d: %v", i, err)
		}
	}
	for i := range evidence {
		if _, _, err := CheckEvidence(evidence[:i]); !errors.Is(err, ErrEvidence) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
	if _, _, err := CheckEvidence(append(append([]byte(nil), evidence...), 0)); !errors.Is(err, ErrEvidence) {
		t.Errorf("a byte more: %v", err)
	}
}

func FuzzCheckEvidence(f *testing.F) {
	w := newWorld(f, fourSources())
	w.poll(0, 0, 0, 0)
	f.Add(w.core.evidence)
	w.poll(0, 0, 0, month)
	f.Add(w.core.evidence)
	f.Add([]byte(evidenceMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		earliest, latest, err := CheckEvidence(b)
		if err != nil {
			if !errors.Is(err, ErrEvidence) {
				t.Fatalf("error %v is not ErrEvidence", err)
			}
			return
		}
		if latest.Before(earliest) {
			t.Fatalf("accepted %v..%v", earliest, latest)
		}
		s, err := decodeSelection(b)
		if err != nil || s.decide() != nil || string(s.encode()) != string(b) {
			t.Fatal("accepted evidence is not canonical")
		}
	})
}

// Whatever a server sends, judging it ends, and gives an interval or a refusal.
func FuzzAnswer(f *testing.F) {
	honest := answerAt(newYear)
	f.Add(honest[:], int64(0), int64(1000))
	f.Add(append(honest[:], 0x01, 0x04, 0, 36, 0x04, 0x04, 0, 4), newYear.UnixMicro(), int64(time.Second))
	f.Fuzz(func(t *testing.T, b []byte, floor, trip int64) {
		if len(b) < headerSize {
			return
		}
		_ = checkNTSAnswer(b)
		m := sample{header: header(b[:headerSize]), got: stamp{boot: trip, raw: trip}}
		floor %= maxMicros
		s, err := m.at(m.got, floor, 200, limit)
		if err == nil && (s.hi < s.lo || s.hi < floor || s.width() > 3*limit) {
			t.Fatalf("took %v above the floor %d", s, floor)
		}
	})
}
