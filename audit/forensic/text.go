package forensic

import (
	"bytes"
	"fmt"
	"io"
)

// verdicts are the sentences that a report ends with.
var verdicts = map[Verdict]string{
	Recovered:  "RECOVERED (복구됨): what is needed to read or to confirm the content still exists.",
	Nothing:    "NOTHING RECOVERED (복구되지 않음): everything given was searched in every way above.",
	Incomplete: "INCOMPLETE (불완전): nothing was recovered, and the search was not whole; see the problems.",
}

// recoveries say how much of a bundle came back.
var recoveries = map[Recovery]string{
	Whole:   "recovered whole; the fingerprint (SHA-256 지문) has the recorded commitment",
	Part:    "recovered in part",
	KeyOnly: "a key opened, no content did: a guess of the content can be confirmed",
	None:    "not recovered",
}

// WriteText writes the report for people.
func (r *Report) WriteText(to io.Writer) error {
	var w bytes.Buffer
	fmt.Fprintf(&w, "Transaction number (거래일련번호) %s, part %d", r.Transaction, r.Part)
	if r.Institution != 0 {
		fmt.Fprintf(&w, ", institution %d", r.Institution)
	}
	fmt.Fprintf(&w, "\nSearched: %d files, %d bytes\n\nWays:\n", r.Files, r.Bytes)
	for _, way := range r.Ways {
		fmt.Fprintf(&w, "  %-28s %d of %d\n", way.Name, way.Found, way.Of)
	}
	for i := range r.Bundles {
		r.Bundles[i].write(&w)
	}
	for _, a := range r.KeyArchives {
		state := fmt.Sprintf("sealed; opens with %d of %d recovery keys, %d of them were given", a.Needed, a.Holders, a.Given)
		if a.Opened {
			state = fmt.Sprintf("OPENED by %d recovery keys", a.Given)
		}
		fmt.Fprintf(&w, "\nKey archive (키 보관본) of period %s, backup record %d, %d keys, %s: %s\n", a.Period, a.Sequence, a.Keys, state, a.Place)
	}
	for _, list := range []struct {
		title string
		lines []string
	}{{"Problems (문제)", r.Problems}, {"Not searched (검사하지 않음)", r.Bounded}} {
		if len(list.lines) > 0 {
			fmt.Fprintf(&w, "\n%s:\n", list.title)
		}
		for _, line := range list.lines {
			fmt.Fprintf(&w, "  %s\n", line)
		}
	}
	fmt.Fprintf(&w, "\n%s\n", verdicts[r.Verdict])
	_, err := to.Write(w.Bytes())
	return err
}

func (b *Bundle) write(w io.Writer) {
	what := "Bundle (묶음정보)"
	if !b.Recorded {
		what = "Attempt that only the log names (저장되지 않은 시도)"
	}
	fmt.Fprintf(w, "\n%s of institution %d: %d bytes in %d chunks, key slot %s\n", what, b.Institution, b.Size, b.Chunks, b.Slot)
	fmt.Fprintf(w, "  digest %s, commitment %s\n", b.Digest, b.Commitment)
	for _, p := range b.Named {
		fmt.Fprintf(w, "  named at %s\n", p)
	}
	if more := b.NamedTimes - len(b.Named); more > 0 {
		fmt.Fprintf(w, "  and %d times more\n", more)
	}
	for _, k := range b.Keys {
		opened := "does not open"
		if k.Root != "" {
			opened = "OPENS under " + k.Root
		}
		fmt.Fprintf(w, "  key slot %s, %s: %s\n", k.State, opened, k.Place)
	}
	p := b.Payload
	fmt.Fprintf(w, "  chunk copies: %d with ciphertext, %d zeroed (소거), %d headers alone, %d stubs\n", p.Whole, p.Zeros, p.Headers, p.Stubs)
	for _, place := range p.Left {
		fmt.Fprintf(w, "  ciphertext at %s\n", place)
	}
	fmt.Fprintf(w, "  %s\n", recoveries[b.Recovery])
	if b.Fingerprint != "" {
		fmt.Fprintf(w, "  fingerprint %s\n", b.Fingerprint)
	}
	for i, d := range b.Documents {
		fmt.Fprintf(w, "  document %d: %d bytes, SHA-256 %s\n", i+1, d.Size, d.SHA256)
	}
	if b.Written != "" {
		fmt.Fprintf(w, "  written to %s\n", b.Written)
	}
}
