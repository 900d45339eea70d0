package system_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/audit/forensic"
	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/keyring"
)

// TestP35_I5_PutsThatMetLeaveNothing: six puts of one number with equal content at once,
// and one that its client cuts in the middle. When the stored bundle expires, what the
// others sealed is gone too, while their key blocks are in use and every node runs.
func TestP35_I5_PutsThatMetLeaveNothing(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 60*time.Second)
	s := startSite(t, ctx, testcluster.Options{})
	content := make([]byte, 6<<20)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(t.Name()))).Read(content) // never fails
	s.cutPut(ctx, content)
	s.meet(ctx, content)
	r := s.find(ctx, "GOES", nil)
	if len(r.Bundles) < 2 || r.Verdict != forensic.Recovered {
		t.Fatalf("no two puts met, or nothing is found before the end: nothing is shown: %+v", r.Bundles)
	}
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(0): true, s.Name(1): true, s.Name(2): true})
	r = s.find(ctx, "GOES", nil)
	if r.Verdict != forensic.Nothing || len(r.Bundles) < 2 {
		var text bytes.Buffer
		must(t, r.WriteText(&text))
		t.Errorf("after the erasure:\n%s", &text)
	}
	slots := map[string]bool{}
	for i := range s.Size() {
		for _, c := range s.chunks(i) {
			slots[c.Header.Slot.String()] = true
			if len(bytes.Trim(c.Ciphertext, "\x00")) != 0 || !bytes.Equal(c.SealedKey, keyring.ErasedSlot()) {
				t.Errorf("%s holds chunk %d of slot %s", s.Name(i), c.Header.Chunk, c.Header.Slot)
			}
		}
	}
	if len(slots) != len(r.Bundles)+1 {
		t.Errorf("chunks of %d slots, of %d puts that met and one that was cut", len(slots), len(r.Bundles))
	}
	s.intact(ctx)
}

// meet puts GOES six times at once, at every node twice.
func (s *site) meet(ctx context.Context, content []byte) {
	s.t.Helper()
	begin, done := make(chan struct{}), make(chan error)
	for i := range 2 * s.Size() {
		cl := s.client(ctx, i%s.Size(), "app")
		go func() {
			<-begin
			_, err := put(ctx, cl, "GOES", "PT8S", content)
			done <- err
		}()
	}
	close(begin)
	var errs []error
	for range 2 * s.Size() {
		errs = append(errs, <-done)
	}
	must(s.t, errors.Join(errs...))
}

// torn is a document whose disk fails behind its half, once before has returned.
type torn struct {
	whole  *bytes.Reader
	before func()
}

func (d torn) ReadAt(b []byte, at int64) (int, error) {
	if at >= d.whole.Size()/2 {
		d.before()
		return 0, io.ErrUnexpectedEOF
	}
	return d.whole.ReadAt(b, at)
}

// cutPut begins a put of CUT that its client gives up when some of it is on every
// node's disk.
func (s *site) cutPut(ctx context.Context, content []byte) {
	s.t.Helper()
	met := func() {
		await(s.t, ctx, "chunks of what is to be cut", func(context.Context) (bool, string, error) {
			for i := range s.Size() {
				if len(s.chunks(i)) == 0 {
					return false, s.Name(i), nil
				}
			}
			return true, "", nil
		})
	}
	_, err := s.client(ctx, 1, "app").Put(ctx, bundle("CUT", "P5Y"),
		client.Content{Name: "d.bin", MediaType: "application/octet-stream", Size: int64(len(content)), Data: torn{bytes.NewReader(content), sync.OnceFunc(met)}})
	if err == nil {
		s.t.Fatal("half a document was stored")
	}
	await(s.t, ctx, "the put is refused", func(ctx context.Context) (bool, string, error) {
		b, err := s.client(ctx, 1, "auditor").Show(ctx, &sagov1.ShowRequest{Transaction: "CUT", Part: 1})
		return err != nil, b.String(), nil
	})
}
