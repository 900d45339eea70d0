package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sago-worm/sago/internal/testcluster"
)

// checked is what both verifiers of an export answer.
type checked struct {
	Result string `json:"result"`
	Reason string `json:"reason"`
	Where  string `json:"where"`
}

// evidence carries the history away and has it verified by two programs that
// share no code, with nothing but public keys.
func (d *demo) evidence(ctx context.Context) error {
	d.title("이력을 증거로 내보내 기기 밖에서 검증한다", "the history is carried away as evidence and verified without the appliance")
	keys, err := d.keysFile(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.c.Dir(), "evidence"), 0o700); err != nil {
		return err
	}
	type exported struct {
		Records        uint64   `json:"records"`
		CheckpointSize uint64   `json:"checkpoint_size"`
		Signers        []string `json:"signers"`
	}
	for _, x := range []struct{ role, name, scope string }{{"inspector", "tree", ""}, {"auditor", "demo", "--institution=demo"}} {
		dir := filepath.Join(d.c.Dir(), "evidence", x.name)
		args := []string{"history", "export", "-o", dir}
		if x.scope != "" {
			args = append(args, x.scope)
		}
		e, err := answer[exported](ctx, d, x.role, args...)
		if err != nil {
			return err
		}
		d.figure("%s: %d records, 체크포인트 checkpoint %d, 서명 signed by %v", x.name, e.Records, e.CheckpointSize, e.Signers)
		if err := d.bothSay(ctx, dir, keys, 0, checked{Result: "ok", Reason: "OK"}); err != nil {
			return err
		}
	}
	if err := d.flipEvidence(); err != nil {
		return err
	}
	return d.bothSay(ctx, filepath.Join(d.c.Dir(), "evidence", "tree"), keys, 7, checked{Result: "tampered"})
}

// keysFile is what an inspector was given beforehand: the nodes' public keys.
func (d *demo) keysFile(ctx context.Context) (string, error) {
	out, err := d.sago(ctx, "inspector", "history", "keys")
	if err != nil {
		return "", err
	}
	return d.file("sago.keys", []byte(out.Stdout))
}

// flipEvidence changes one bit in the middle of the first records of the export.
func (d *demo) flipEvidence() error {
	found, err := filepath.Glob(filepath.Join(d.c.Dir(), "evidence", "tree", "tile", "entries", "000*"))
	if err != nil || len(found) == 0 {
		return errors.Join(err, errors.New("the export has no first entry bundle"))
	}
	path := found[0]
	if st, err := os.Stat(path); err == nil && st.IsDir() { // a partial bundle: 000.p/W
		parts, err := filepath.Glob(filepath.Join(path, "*"))
		if err != nil || len(parts) != 1 {
			return errors.Join(err, fmt.Errorf("%s holds %d files", path, len(parts)))
		}
		path = parts[0]
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	d.say("내보낸 것에서 한 비트를 뒤집는다", "one bit of what was carried away is flipped")
	return os.WriteFile(path, b, 0o600)
}

// bothSay runs the two verifiers and holds their answers against each other and
// against what is wanted; an empty reason is any.
func (d *demo) bothSay(ctx context.Context, dir, keys string, exit int, want checked) error {
	args := []string{"history", "verify", "--offline", dir, "--keys", keys, "--output", "json"}
	out, err := d.c.Sago(ctx, "inspector", args...)
	if err := d.wanted(out, err, exit, "inspector", args); err != nil {
		return err
	}
	ours, err := verdictOf(out, want)
	if err != nil {
		return err
	}
	script := filepath.Join("docs", "verify", "sago_verify.py") // the demo runs in the project's folder
	python, err := exec.LookPath("python3")
	if _, missing := os.Stat(script); err != nil || missing != nil {
		d.figure("sago history verify --offline: %s %s; python3, sago_verify.py: 없음 not here", ours.Result, ours.Reason)
		return nil
	}
	out, err = run(ctx, python, script, "--json", "--keys", keys, dir)
	if err == nil && out.Exit != exit {
		err = fmt.Errorf("sago_verify.py: exit %d instead of %d: %s", out.Exit, exit, out.Stderr)
	}
	if err != nil {
		return err
	}
	theirs, err := verdictOf(out, want)
	if err == nil && theirs != ours {
		err = fmt.Errorf("the verifiers differ: %+v and %+v", ours, theirs)
	}
	d.figure("sago: %s %s, sago_verify.py: %s %s %s", ours.Result, ours.Reason, theirs.Result, theirs.Reason, theirs.Where)
	return err
}

func verdictOf(out testcluster.Output, want checked) (checked, error) {
	var got checked
	if err := json.Unmarshal([]byte(out.Stdout), &got); err != nil {
		return got, fmt.Errorf("%w: %s%s", err, out.Stdout, out.Stderr)
	}
	if got.Result != want.Result || want.Reason != "" && got.Reason != want.Reason {
		return got, fmt.Errorf("the verifier says %+v where %s belongs", got, want.Result)
	}
	return got, nil
}

// run runs a program to its end; an exit code is no error.
func run(ctx context.Context, name string, args ...string) (testcluster.Output, error) {
	var out testcluster.Output
	cmd := exec.CommandContext(ctx, name, args...)
	stdout, err := cmd.Output()
	out.Stdout = string(stdout)
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		out.Exit, out.Stderr = exited.ExitCode(), string(exited.Stderr)
		err = nil
	}
	return out, err
}
