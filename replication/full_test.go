package replication

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// proposing is a proposer that runs, with a leader that answers so.
func proposing(t *testing.T, leader func(ops int, chunks []byte) error) *proposer {
	p := newProposer(func(_ context.Context, batch, chunks []byte) error {
		e, err := decodeEntry(1, batch)
		if err != nil {
			return err
		}
		return leader(len(e.Ops), chunks)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func storing(id byte) (store.Op, []format.Chunk) {
	return store.Op{Kind: store.KindStore, ID: format.ID{id}}, []format.Chunk{{Sealed: []byte("x")}}
}

// TestP57_WhatTheLeaderRefusesIsFull: payload that a leader has no room for is
// refused as such, while an operation without payload goes again.
func TestP57_WhatTheLeaderRefusesIsFull(t *testing.T) {
	var taken atomic.Int64
	p := proposing(t, func(ops int, chunks []byte) error {
		if len(chunks) > 0 {
			return ErrStorageFull
		}
		taken.Add(int64(ops))
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reads := make(chan error, 1)
	go func() {
		_, err := p.submit(ctx, store.Op{Kind: store.KindRead, ID: format.ID{9}}, nil)
		reads <- err
	}()
	op, chunks := storing(1)
	if _, err := p.submit(ctx, op, chunks); !errors.Is(err, ErrStorageFull) {
		t.Errorf("a put is answered %v", err)
	}
	for taken.Load() == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	p.resolve([]store.Result{{ID: format.ID{9}}})
	if err := <-reads; err != nil {
		t.Errorf("a read is answered %v", err)
	}
}

// TestP57_WhatMayBeInTheLogIsNotFull: a put whose earlier try has no known outcome
// is not answered as refused.
func TestP57_WhatMayBeInTheLogIsNotFull(t *testing.T) {
	var tries atomic.Int64
	p := proposing(t, func(int, []byte) error {
		if tries.Add(1) == 1 {
			return errors.New("leadership lost while committing")
		}
		return ErrStorageFull
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer := make(chan error, 1)
	op, chunks := storing(2)
	go func() {
		_, err := p.submit(ctx, op, chunks)
		answer <- err
	}()
	for tries.Load() < 2 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	p.resolve([]store.Result{{ID: op.ID}}) // its own Apply says that it took place
	if err := <-answer; err != nil {
		t.Errorf("a put that took place is answered %v", err)
	}
}

// TestRoomOfTheOthers: a majority that told that it is full refuses puts, old news
// and unknown nodes do not.
func TestRoomOfTheOthers(t *testing.T) {
	var b roomBook
	if b.full(1) {
		t.Error("a node that told nothing is full")
	}
	b.note(1, 0)
	b.note(2, 1)
	if !b.full(1) || b.full(2) {
		t.Error("what was told is not what is known")
	}
	b.note(1, 5)
	if b.full(1) {
		t.Error("a node with room again is full")
	}
	b.told[1] = toldRoom{0, time.Now().Add(-2 * roomOld)}
	if b.full(1) {
		t.Error("old news count")
	}
}
