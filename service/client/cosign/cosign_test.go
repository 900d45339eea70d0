package cosign_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store/format"
)

// TestP53_AnswersThatAreNoCosignature: the errors tell a witness that knows more
// from one that denies, and both from one that does not answer as a witness.
func TestP53_AnswersThatAreNoCosignature(t *testing.T) {
	note := format.Note{Text: format.Checkpoint{Size: 10}.Text(), Lines: []format.NoteLine{{Name: "n1", KeyID: 1, Signature: []byte{1}}}}
	foreign := format.NoteLine{Name: "w", KeyID: 1, Signature: make([]byte, 72)}
	for name, c := range map[string]struct {
		answers []string // "STATUS BODY", one for each request; the last one again
		old     uint64
		asked   int
		want    error
		ahead   uint64
	}{
		"another key":           {answers: []string{"200 " + foreign.String()}, asked: 1, want: cosign.ErrAnswer},
		"no line":               {answers: []string{"200 yes\n"}, asked: 1, want: cosign.ErrAnswer},
		"same size, other root": {answers: []string{"409 10\n"}, asked: 2, want: cosign.ErrContradiction},
		"at the size asked":     {answers: []string{"409 7\n"}, old: 7, asked: 1, want: cosign.ErrContradiction},
		"no proof is good":      {answers: []string{"409 7\n", "422 no\n"}, asked: 2, want: cosign.ErrContradiction},
		"larger":                {answers: []string{"409 11\n"}, asked: 1, ahead: 11},
		"larger, as remembered": {old: 12, asked: 0, ahead: 12},
		"never the same":        {answers: []string{"409 7\n", "409 8\n"}, asked: 2, want: cosign.ErrAnswer},
		"negative":              {answers: []string{"409 -1\n"}, asked: 1, want: cosign.ErrAnswer},
		"unknown":               {answers: []string{"404 \n"}, asked: 1, want: cosign.ErrRefused},
		"not its nodes":         {answers: []string{"403 \n"}, asked: 1, want: cosign.ErrRefused},
		"broken":                {answers: []string{"500 \n"}, asked: 1, want: cosign.ErrAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				status, body, _ := strings.Cut(c.answers[min(asked, len(c.answers)-1)], " ")
				asked++
				var code int
				_, _ = fmt.Sscan(status, &code)
				rw.WriteHeader(code)
				_, _ = fmt.Fprint(rw, body)
			}))
			defer server.Close()
			key := format.NoteKey{Name: "w", Type: format.NoteCosignature, Key: make([]byte, ed25519.PublicKeySize)}
			w := cosign.Witness{URL: server.URL, Key: key, HTTP: cosign.HTTP(nil, 5*time.Second)}
			_, err := w.Ask(t.Context(), note, 10, c.old, func(context.Context, uint64) ([]format.Digest, error) { return []format.Digest{{1}}, nil })
			var ahead *cosign.Ahead
			if errors.As(err, &ahead) != (c.ahead > 0) || c.ahead > 0 && ahead.Size != c.ahead || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if asked != c.asked {
				t.Errorf("asked %d times, not %d", asked, c.asked)
			}
		})
	}
}
