package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// expiring is the bundle that is to vanish.
const expiring = "2026112100000010"

// expire stores a bundle for ten seconds and looks for it afterwards, everywhere.
func (d *demo) expire(ctx context.Context) error {
	d.title("10초짜리(PT10S) 묶음은 모든 노드에서 사라진다", "a bundle of ten seconds (PT10S) vanishes on all nodes")
	before := make([][]testcluster.Chunk, d.c.Size())
	var err error
	for i := range before {
		if before[i], err = d.c.Chunks(i); err != nil {
			return err
		}
	}
	b := bundle{transaction: expiring, subject: people()[1], retain: "PT10S"}
	if err := d.fill(&b, insurance(b.subject)); err != nil {
		return err
	}
	if _, err := answer[receipt](ctx, d, "app", b.putArgs(b.retain, b.files...)...); err != nil {
		return err
	}
	stored := time.Now()
	traces, err := d.traces(ctx, before)
	if err != nil {
		return err
	}
	shown, err := d.awaitErased(ctx)
	if err != nil {
		return err
	}
	d.figure("%s: 저장 뒤 %.1f초에 지워짐 · erased %.1f s after it was stored, %d/%d", b.retain, time.Since(stored).Seconds(), time.Since(stored).Seconds(), len(shown.Replicas), d.c.Size())
	if err := d.refused(ctx, 5, "EXPIRED", "officer", d.getArgs(expiring, "-")...); err != nil {
		return err
	}
	d.say("읽기: EXPIRED (exit 5); bundle show: erased, 세 노드 모두", "reading it: EXPIRED (exit 5); bundle show: erased, on all three")
	if err := d.vanished(ctx, traces, b); err != nil {
		return err
	}
	actions, err := d.actions(ctx, expiring)
	if err != nil {
		return err
	}
	if !slices.Contains(actions, "EXPIRE") || !slices.Contains(actions, "ERASE") {
		return fmt.Errorf("the history of %s: %v", expiring, actions)
	}
	d.figure("%s: %s", expiring, strings.Join(actions, " "))
	d.proves("R3")
	return nil
}

// traces are the ciphertext and the sealed key of what was stored since, for each
// node: its keys are sealed by a root key of its own. That they are found now is
// what makes not finding them later say something.
func (d *demo) traces(ctx context.Context, before [][]testcluster.Chunk) ([]*needles, error) {
	all := make([]*needles, d.c.Size())
	for i := range all {
		err := testcluster.Await(ctx, "the new bundle's chunk on "+d.c.Name(i), func(context.Context) (bool, string, error) {
			now, err := d.c.Chunks(i)
			if err != nil || len(now) == len(before[i]) {
				return false, "no new chunk", err
			}
			n := newNeedles()
			for _, c := range now[len(before[i]):] {
				n.text("ciphertext of "+expiring, c.Ciphertext)
				n.text("sealed key of "+expiring, c.SealedKey)
			}
			all[i] = n
			return true, "", nil
		})
		if err != nil {
			return nil, err
		}
		for _, room := range []string{"segments", "keys"} {
			var hit *found
			if _, err := all[i].scan(ctx, filepath.Join(d.c.DataDir(i), room)); !errors.As(err, &hit) {
				return nil, fmt.Errorf("%s of %s: a trace of the live bundle was expected: %w", room, d.c.Name(i), err)
			}
		}
	}
	return all, nil
}

// awaitErased waits until the state is erased and every node has attested it.
func (d *demo) awaitErased(ctx context.Context) (shownBundle, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	var shown shownBundle
	err := testcluster.Await(ctx, "the erasure of "+expiring, func(ctx context.Context) (done bool, state string, err error) {
		shown, err = answer[shownBundle](ctx, d, "auditor", "bundle", "show", "--transaction", expiring)
		if err != nil {
			return false, "", err
		}
		done = shown.State == "erased" && len(shown.Replicas) == d.c.Size()
		for _, r := range shown.Replicas {
			done = done && r.State == "erased"
		}
		return done, fmt.Sprintf("%+v", shown), nil
	})
	return shown, err
}

// vanished looks through every file of every node.
func (d *demo) vanished(ctx context.Context, traces []*needles, b bundle) error {
	var all scanned
	for i, n := range traces {
		for _, c := range b.contents {
			n.text("plaintext of "+expiring, c)
			sum := sha256.Sum256(c)
			n.text("fingerprint of "+expiring, sum[:])
		}
		s, err := n.scan(ctx, d.c.NodeDir(i))
		if err != nil {
			return err
		}
		all.add(s)
	}
	d.say(fmt.Sprintf("평문도 암호문도 봉인된 키도 어느 파일에도 없다 (파일 %d개, %.0f MiB)", all.files, mib(all)),
		fmt.Sprintf("neither plaintext, ciphertext nor sealed key is in any file (%d files, %.0f MiB)", all.files, mib(all)))
	return nil
}

func mib(s scanned) float64 { return float64(s.bytes) / (1 << 20) }
