package system_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// load is clients that put and read at all nodes at once, and what the appliance
// has acknowledged to them.
type load struct {
	t    *testing.T
	stop context.CancelFunc
	done sync.WaitGroup
	// flowing counts the acknowledged puts of each node's clients.
	flowing []atomic.Int64

	mu       sync.Mutex
	stored   map[string]uint64 // number -> sequence of its STORE record
	numbers  []string          // of stored, in order
	read     map[uint64]string // sequence of a READ record -> number
	attempts int               // reads that were begun
	wrong    []string          // what must never be
}

const (
	loadClients = 2                      // for each node
	loadPace    = 120 * time.Millisecond // between two rounds of one client
	callWithin  = 4 * time.Second
)

// contentOf is the content of a number: a few hundred to some thousand bytes that
// follow from it.
func contentOf(number string) []byte {
	seed := sha256.Sum256([]byte(number))
	return bytes.Repeat(seed[:], 8+int(seed[0]))
}

// startLoad begins; stop ends it. Each client has one node to ask.
func startLoad(ctx context.Context, s *site) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{t: s.t, stop: cancel, flowing: make([]atomic.Int64, s.Size()), stored: map[string]uint64{}, read: map[uint64]string{}}
	for i := range s.Size() {
		for k := range loadClients {
			app, officer := s.client(ctx, i, "app"), s.client(ctx, i, "officer")
			l.done.Go(func() { l.run(ctx, i, k, app, officer) })
		}
	}
	return l
}

func (l *load) run(ctx context.Context, i, k int, app, officer *client.Client) {
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for n := 0; ; n++ {
		number := fmt.Sprintf("K-%d-%d-%d", i, k, n)
		// The number stays the same until it is acknowledged: whatever became of an
		// earlier attempt, the number is stored once.
		for !l.put(ctx, i, app, number) {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
			}
		}
		if n%2 == 0 {
			l.readOne(ctx, officer)
		}
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
	}
}

func (l *load) put(ctx context.Context, i int, app *client.Client, number string) bool {
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	receipt, err := put(call, app, number, "P5Y", contentOf(number))
	if err != nil {
		l.mayFail(ctx, "put "+number, err)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored[number] = receipt.GetHistorySequence()
	l.numbers = append(l.numbers, number)
	l.flowing[i].Add(1)
	return true
}

func (l *load) readOne(ctx context.Context, officer *client.Client) {
	l.mu.Lock()
	number := l.numbers[rand.IntN(len(l.numbers))]
	l.attempts++
	l.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	h, data, err := read(call, officer, number)
	if err != nil {
		l.mayFail(ctx, "get "+number, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Equal(data, contentOf(number)) {
		l.wrong = append(l.wrong, number+": other bytes were read")
	}
	if was, ok := l.read[h.GetHistorySequence()]; ok {
		l.wrong = append(l.wrong, fmt.Sprintf("record %d answers reads of %s and %s", h.GetHistorySequence(), was, number))
	}
	l.read[h.GetHistorySequence()] = number
}

// mayFail notes a failure that is more than a node being away.
func (l *load) mayFail(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || unavailable(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf("%s: %v", what, err))
}

// end stops the clients and fails the test over what must never be.
func (l *load) end() {
	l.t.Helper()
	l.stop()
	l.done.Wait()
	for _, w := range l.wrong {
		l.t.Error(w)
	}
}

// flows waits until clients of each of these nodes have had a put acknowledged.
func (l *load) flows(ctx context.Context, nodes ...int) {
	l.t.Helper()
	before := map[int]int64{}
	for _, i := range nodes {
		before[i] = l.flowing[i].Load()
	}
	await(l.t, ctx, fmt.Sprintf("puts flow at nodes %v", nodes), func(context.Context) (bool, string, error) {
		for _, i := range nodes {
			if l.flowing[i].Load() == before[i] {
				return false, fmt.Sprintf("none at node %d", i), nil
			}
		}
		return true, "", nil
	})
}

// readable reads every acknowledged number at every node, one by one.
func (l *load) readable(ctx context.Context, s *site) {
	l.t.Helper()
	var readers sync.WaitGroup
	for i := range s.Size() {
		work := make(chan string)
		for range 4 {
			officer := s.client(ctx, i, "officer")
			readers.Go(func() {
				for number := range work {
					s.readAgain(ctx, officer, i, number)
				}
			})
		}
		readers.Go(func() {
			defer close(work)
			for _, number := range l.numbers {
				work <- number
			}
		})
	}
	readers.Wait()
}

// readAgain reads a number at node i until it can be read: a busy machine may
// change its leader.
func (s *site) readAgain(ctx context.Context, officer *client.Client, i int, number string) {
	err := testcluster.Await(ctx, number+" at "+s.Name(i), func(ctx context.Context) (bool, string, error) {
		_, data, err := read(ctx, officer, number)
		switch {
		case err != nil && unavailable(err):
			return false, err.Error(), nil
		case err == nil && !bytes.Equal(data, contentOf(number)):
			err = errors.New("other bytes were read")
		}
		return true, "", err
	})
	if err != nil {
		s.t.Error(err)
	}
}

// recorded holds the history against what was acknowledged.
func (l *load) recorded(ctx context.Context, s *site) {
	l.t.Helper()
	stores, reads := map[string]uint64{}, map[uint64]string{}
	var last uint64
	for _, r := range s.wholeHistory(ctx) {
		if r.GetInstitution() == testcluster.Institution { // counts its own records from 0
			if r.GetInstitutionSequence() != last {
				l.t.Fatalf("record %d of the institution stands where %d belongs", r.GetInstitutionSequence(), last)
			}
			last++
		}
		switch r.GetAction() {
		case "STORE":
			if other, ok := stores[r.GetTransaction()]; ok {
				l.t.Errorf("%s was stored twice: records %d and %d", r.GetTransaction(), other, r.GetSequence())
			}
			stores[r.GetTransaction()] = r.GetSequence()
		case "READ":
			reads[r.GetSequence()] = r.GetTransaction()
		}
	}
	for number, sequence := range l.stored {
		if stores[number] != sequence {
			l.t.Errorf("%s: receipt names record %d, the history %d", number, sequence, stores[number])
		}
	}
	for sequence, number := range l.read {
		if reads[sequence] != number {
			l.t.Errorf("the read of %s names record %d, which is a READ of %q", number, sequence, reads[sequence])
		}
	}
	if len(reads) > l.attempts {
		l.t.Errorf("%d READ records of %d reads", len(reads), l.attempts)
	}
	l.t.Logf("acknowledged: %d puts, %d reads; %d STORE and %d READ records among %d", len(l.stored), len(l.read), len(stores), len(reads), last)
}

// wholeHistory is every record up to now, of the institution by its auditor and
// of the appliance by the inspector: from 0, each number once, none missing.
func (s *site) wholeHistory(ctx context.Context) (all []*sagov1.HistoryRecord) {
	s.t.Helper()
	own := s.recordsOf(ctx, "auditor", true)
	known := map[uint64]*sagov1.HistoryRecord{}
	for _, list := range [][]*sagov1.HistoryRecord{own, s.recordsOf(ctx, "inspector", true)} {
		last := -1
		for _, r := range list {
			if int(r.GetSequence()) <= last {
				s.t.Fatalf("record %d comes after %d", r.GetSequence(), last)
			}
			last = int(r.GetSequence())
			if other := known[r.GetSequence()]; other != nil && !bytes.Equal(other.GetLeafHash(), r.GetLeafHash()) {
				s.t.Fatalf("record %d is %v to one and %v to another", r.GetSequence(), other, r)
			}
			known[r.GetSequence()] = r
		}
	}
	for sequence := range own[len(own)-1].GetSequence() + 1 {
		if known[sequence] == nil {
			s.t.Fatalf("record %d is missing", sequence)
		}
		all = append(all, known[sequence])
	}
	return all
}
