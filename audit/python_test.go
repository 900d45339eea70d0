package audit_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// program is the second verifier, kept running for many verifications.
type program struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startPython starts the second verifier. Where there is no Python the test is
// skipped, but never in continuous integration.
func startPython(t *testing.T) *program {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is not installed: the second verifier cannot be held against the first")
		}
		t.Skip("python3 is not installed")
	}
	p := &program{cmd: exec.Command("python3", "-I", "-B", "testdata/driver.py", "../docs/verify")}
	p.cmd.Stderr = os.Stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	check(t, err)
	out, err := p.cmd.StdoutPipe()
	check(t, err)
	p.out = bufio.NewReader(out)
	check(t, p.cmd.Start())
	t.Cleanup(func() {
		p.in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the second verifier ended with %v", err)
		}
	})
	return p
}

// run gives it one command line and returns its exit code and output.
func (p *program) run(t *testing.T, args []string) (int, []byte) {
	t.Helper()
	line, err := json.Marshal(args)
	check(t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.in.Write(append(line, '\n'))
	check(t, err)
	answer, err := p.out.ReadBytes('\n')
	check(t, err)
	var a struct {
		Exit   int    `json:"exit"`
		Output string `json:"output"`
	}
	check(t, json.Unmarshal(answer, &a))
	return a.Exit, []byte(a.Output)
}
