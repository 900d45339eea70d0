package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"

	"github.com/sago-worm/sago/internal/testcluster"
)

const (
	writers     = 8 // who store at once
	loadSize    = 4 << 10
	loadBefore  = 2 * time.Second // how long before the leader is killed
	loadAfter   = 2 * time.Second // how long after the first put that began after it
	loadPattern = "LOAD-"
)

// load is puts by many at once, and what was acknowledged.
type load struct {
	mu       sync.Mutex
	acked    map[string]bool
	failures int
	// killed is when the leader was; resumed when the first put that began after
	// that was acknowledged.
	killed, resumed time.Time
	back            chan struct{} // closed at resumed
}

// content is a load bundle's, known from its number alone.
func content(transaction string) []byte {
	sum := sha256.Sum256([]byte(transaction))
	return bytes.Repeat(sum[:], loadSize/len(sum))
}

func (l *load) ack(transaction string, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[transaction] = true
	if !l.killed.IsZero() && began.After(l.killed) && l.resumed.IsZero() {
		l.resumed = time.Now()
		close(l.back)
	}
}

// write stores one bundle after the other until ctx ends. What is not
// acknowledged is sent again, as an application would.
func (l *load) write(ctx context.Context, cl *client.Client, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		transaction := fmt.Sprintf("%s%d-%06d", loadPattern, writer, n)
		for ctx.Err() == nil {
			began := time.Now()
			_, err := cl.Put(ctx, &sagov1.BundleHeader{Transaction: transaction, Part: 1, BundleId: testcluster.BundleID,
				SubjectCi: people()[writer%len(people())].ci, Retain: "P5Y", Basis: basis},
				client.BytesContent("load.bin", "application/octet-stream", content(transaction)))
			if err == nil {
				l.ack(transaction, began)
				break
			}
			l.mu.Lock()
			l.failures++
			l.mu.Unlock()
			pause(ctx, 20*time.Millisecond)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// killLeader kills the leader while many store, and counts.
func (d *demo) killLeader(ctx context.Context) error {
	d.title("한창 저장하는 중에 리더를 kill -9 한다", "the leader is killed with kill -9 while many store")
	leader, err := d.c.Leader(ctx)
	if err != nil {
		return err
	}
	l := &load{acked: map[string]bool{}, back: make(chan struct{})}
	before, err := d.runLoad(ctx, l, leader)
	if err != nil {
		return err
	}
	d.figure("저장하는 이 writers %d, 4 KiB: 초당 %.0f건 · %.0f puts/s", writers, before, before)
	d.figure("%s 죽음 killed; 다음 승인까지 %.2f초 · %.2f s to the next acknowledged put", d.c.Name(leader), l.resumed.Sub(l.killed).Seconds(), l.resumed.Sub(l.killed).Seconds())
	begun := time.Now()
	if err := d.readLoad(ctx, l, leader); err != nil {
		return err
	}
	d.say(fmt.Sprintf("승인된 %d건을 남은 두 노드에서 모두 읽음: 잃은 것 0 (%.1f초)", len(l.acked), time.Since(begun).Seconds()),
		fmt.Sprintf("all %d acknowledged bundles read from the two others: 0 lost (%.1f s)", len(l.acked), time.Since(begun).Seconds()))
	if err := d.onceEach(ctx, l); err != nil {
		return err
	}
	begun = time.Now()
	if err := d.c.Start(leader); err != nil {
		return err
	}
	if err := d.c.Ready(ctx); err != nil {
		return err
	}
	d.figure("%s 다시 뜸 restarted: %.1f s", d.c.Name(leader), time.Since(begun).Seconds())
	if err := d.rootsEqual(ctx); err != nil {
		return err
	}
	d.proves("R11", "R13")
	return nil
}

// runLoad runs the writers, kills the leader under them, and answers how many puts
// a second there were before that.
func (d *demo) runLoad(ctx context.Context, l *load, leader int) (perSecond float64, err error) {
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for w := range writers {
		cl, err := d.rotated("app", w)
		if err != nil {
			return 0, err
		}
		all.Go(func() {
			defer cl.Close() // what its connections leave behind is of no consequence
			l.write(running, cl, w)
		})
	}
	pause(ctx, loadBefore)
	l.mu.Lock()
	perSecond = float64(len(l.acked)) / loadBefore.Seconds()
	l.mu.Unlock()
	if err := d.c.Kill(leader); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.killed = time.Now()
	l.mu.Unlock()
	select {
	case <-l.back:
	case <-ctx.Done():
		return 0, fmt.Errorf("no put was acknowledged after %s was killed: %w", d.c.Name(leader), context.Cause(ctx))
	}
	pause(ctx, loadAfter)
	return perSecond, ctx.Err()
}

// rotated opens a client of a role that begins with another node for each turn.
func (d *demo) rotated(role string, turn int) (*client.Client, error) {
	known, err := client.LoadContext(d.c.Context(role))
	if err != nil {
		return nil, err
	}
	k := turn % len(known.Endpoints)
	known.Endpoints = append(known.Endpoints[k:len(known.Endpoints):len(known.Endpoints)], known.Endpoints[:k]...)
	return client.Open(context.Background(), known)
}

// readLoad reads every acknowledged bundle from the nodes that were not killed, by
// turns.
func (d *demo) readLoad(ctx context.Context, l *load, killed int) error {
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	todo := make(chan string)
	var all sync.WaitGroup
	for r := range writers {
		all.Go(func() {
			if err := d.readFrom(ctx, (killed+1+r%(d.c.Size()-1))%d.c.Size(), todo); err != nil {
				failed(err)
			}
		})
	}
	for transaction := range l.acked {
		select {
		case todo <- transaction:
		case <-ctx.Done():
		}
	}
	close(todo)
	all.Wait()
	return context.Cause(ctx)
}

// readFrom reads what comes from node i, to the end or the first failure.
func (d *demo) readFrom(ctx context.Context, i int, todo <-chan string) (err error) {
	cl, err := d.c.ClientAt(ctx, i, "officer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	for transaction := range todo {
		if err := readBack(ctx, cl, transaction); err != nil {
			return fmt.Errorf("%s from %s: %w", transaction, d.c.Name(i), err)
		}
	}
	return nil
}

func readBack(ctx context.Context, cl *client.Client, transaction string) error {
	_, documents, err := cl.GetBytes(ctx, &sagov1.GetRequest{Transaction: transaction, Part: 1, Who: &sagov1.Who{Purpose: purpose}})
	if err == nil && (len(documents) != 1 || !bytes.Equal(documents[0], content(transaction))) {
		err = errors.New("other bytes came back")
	}
	return err
}

// onceEach holds the history against what was acknowledged: each bundle once.
func (d *demo) onceEach(ctx context.Context, l *load) (err error) {
	cl, err := d.c.Client(ctx, "auditor")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	records, _, err := cl.Records(ctx, &sagov1.HistoryServiceListRequest{Action: "STORE"})
	if err != nil {
		return err
	}
	times := map[string]int{}
	for _, r := range records {
		if strings.HasPrefix(r.GetTransaction(), loadPattern) {
			times[r.GetTransaction()]++
		}
	}
	for transaction, n := range times {
		if n != 1 {
			return fmt.Errorf("%s has %d STORE records", transaction, n)
		}
	}
	for transaction := range l.acked {
		if times[transaction] != 1 {
			return fmt.Errorf("%s was acknowledged and has no STORE record", transaction)
		}
	}
	d.say(fmt.Sprintf("이력의 STORE는 번호마다 꼭 하나 (다시 보낸 것 %d번)", l.failures), fmt.Sprintf("the history has exactly one STORE for each number (%d were sent again)", l.failures))
	return nil
}
