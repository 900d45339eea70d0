package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

type options struct {
	bin              string
	keep, leaveClock bool
}

// demo is one run: the cluster, and what was done with it so far.
type demo struct {
	*story
	options
	dir string
	c   *testcluster.Cluster // nil until it is made
	// stored are the bundles of the story, in order.
	stored  []bundle
	removal removal
	// denied counts what the appliance refused to those it knows.
	denied int
	// secrets is everything that no file of any node may hold.
	secrets *needles
}

// step is one chapter of the story.
type step struct {
	name string
	run  func(context.Context) error
}

func (d *demo) steps() []step {
	return []step{
		{"start", d.start},
		{"store", d.store},
		{"read", d.read},
		{"other content", d.otherContent},
		{"commands that delete", d.deleteByCommand},
		{"calls that delete", d.deleteByCall},
		{"operator's tools", d.deleteByTool},
		{"legal hold", d.hold},
		{"special deletion asked for", d.askRemoval},
		{"policy", d.strengthen},
		{"denials", d.denials},
		{"special deletion executed", d.removed},
		{"files", d.deleteFiles},
		{"wall clock", d.moveWallClock},
		{"expiry", d.expire},
		{"leader killed", d.killLeader},
		{"flipped bit", d.flipBit},
		{"verification", d.verify},
		{"evidence", d.evidence},
		{"scan", d.scanAll},
	}
}

// tell runs the story in a directory of its own. Whatever happens, all that it
// started is stopped before it returns.
func tell(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "sago-demo-")
	if err != nil {
		return err
	}
	d := &demo{story: &story{out: out, begun: time.Now(), partly: map[string]string{}}, options: o,
		dir: filepath.Join(dir, "cluster"), secrets: newNeedles()}
	fmt.Fprintf(out, "사고(史庫) 데모: 노드 셋, 시간원 셋, 진짜 TLS. 사람과 문서는 모두 지어낸 것입니다.\n"+
		"Sago demo: three nodes, three time sources, real TLS. All people and documents are invented.\n%s\n", dir)
	defer func() { err = errors.Join(err, d.end(dir)) }()
	for _, s := range d.steps() {
		if err := s.run(ctx); err != nil {
			if ctx.Err() != nil {
				err = errors.Join(context.Cause(ctx), err)
			}
			return fmt.Errorf("step %d, %s: %w", d.step, s.name, err)
		}
	}
	d.table()
	fmt.Fprintf(out, "\n모두 %.1f초 · %.1f s in all\n", time.Since(d.begun).Seconds(), time.Since(d.begun).Seconds())
	return nil
}

// end stops the cluster and removes, or leaves, the directory.
func (d *demo) end(dir string) error {
	var err error
	if d.c != nil {
		err = d.c.Close()
	}
	if d.keep {
		fmt.Fprintf(d.out, "남겨 둠 · kept: %s\n", dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// start makes the cluster and waits until it serves.
func (d *demo) start(ctx context.Context) error {
	d.title("세 노드를 저마다의 프로세스로 띄운다 (이용기관 demo, 운영용 클러스터)", "three nodes start, each a process of its own (institution demo, a cluster of production)")
	begun := time.Now()
	c, err := testcluster.New(ctx, testcluster.Options{Bin: d.bin, Dir: d.dir, Production: true, Keep: d.keep})
	if err != nil {
		return err
	}
	d.c = c
	made := time.Now()
	if err := d.c.StartAll(); err != nil {
		return err
	}
	if err := d.c.Ready(ctx); err != nil {
		return err
	}
	d.figure("의식 ceremony %.1f s, 준비 ready %.1f s", made.Sub(begun).Seconds(), time.Since(made).Seconds())
	return d.describeCluster(ctx)
}

// sago runs `sago`, which must do what it is told.
func (d *demo) sago(ctx context.Context, role string, args ...string) (testcluster.Output, error) {
	out, err := d.c.Sago(ctx, role, args...)
	return out, d.wanted(out, err, 0, role, args)
}

// wanted holds an exit code against the one that the story tells.
func (d *demo) wanted(out testcluster.Output, err error, exit int, role string, args []string) error {
	if err == nil && out.Exit != exit {
		err = fmt.Errorf("`sago %s` as %s: exit %d instead of %d: %s", strings.Join(args, " "), role, out.Exit, exit, strings.TrimSpace(out.Stderr))
	}
	return err
}

// answer runs `sago` with JSON output and decodes what it answers into a T.
func answer[T any](ctx context.Context, d *demo, role string, args ...string) (T, error) {
	var result T
	out, err := d.sago(ctx, role, append(args, "--output", "json")...)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal([]byte(out.Stdout), &result)
}

// answerAt is answer with node i alone to ask.
func answerAt[T any](ctx context.Context, d *demo, i int, role string, args ...string) (T, error) {
	var result T
	args = append(args, "--output", "json")
	out, err := d.c.SagoAt(ctx, i, role, args...)
	if err := d.wanted(out, err, 0, role, args); err != nil {
		return result, err
	}
	return result, json.Unmarshal([]byte(out.Stdout), &result)
}

// refused is a refusal by the appliance itself. Each is counted: it must be in the
// history.
func (d *demo) refused(ctx context.Context, exit int, reason, role string, args ...string) error {
	d.denied++
	return d.fails(ctx, exit, reason, role, args...)
}

// fails runs `sago`, which must fail with this exit code and reason.
func (d *demo) fails(ctx context.Context, exit int, reason, role string, args ...string) error {
	out, err := d.c.Sago(ctx, role, args...)
	if err := d.wanted(out, err, exit, role, args); err != nil {
		return err
	}
	said, ok := strings.CutPrefix(out.Stderr, "error: ")
	if !ok || !strings.HasPrefix(said, reason+":") {
		return fmt.Errorf("`sago %s` as %s: reason %s was expected: %s", strings.Join(args, " "), role, reason, out.Stderr)
	}
	return nil
}

// file writes a document for the command line to store.
func (d *demo) file(name string, data []byte) (string, error) {
	path := filepath.Join(d.c.Dir(), "documents", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, data, 0o600)
}
