package witness

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// killVar names the directory for the child that dies, with the keys file's
// stand-in: the request itself.
const killVar = "SAGO_TEST_WITNESS_DIES_IN"

// TestMain is also the child: it takes one request and is killed between the
// durable write and the answer.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killVar); dir != "" {
		dieIn(dir)
	}
	os.Exit(m.Run())
}

func dieIn(dir string) {
	raw, err := os.ReadFile(os.Getenv(killVar + "_REQUEST"))
	if err != nil {
		os.Exit(3)
	}
	a, err := format.ParseAddCheckpoint(string(raw))
	if err != nil {
		os.Exit(4)
	}
	cp, err := format.ParseCheckpoint(a.Note.Text)
	if err != nil {
		os.Exit(4)
	}
	var keys []format.NoteKey
	for _, word := range os.Args[1:] {
		k, err := format.ParseVKey(word)
		if err != nil {
			os.Exit(5)
		}
		keys = append(keys, k)
	}
	key, err := ReadKey(dir)
	if err != nil {
		os.Exit(6)
	}
	w, err := Open(Options{Dir: dir, Key: key, Logs: []Log{{format.Origin(cp.Cluster), keys}}, Now: fixed,
		kept: func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }})
	if err != nil {
		os.Exit(7)
	}
	_, _ = w.Add(a)
	os.Exit(8) // the answer was not to come this far
}

// TestP54_KilledBeforeTheAnswer: what a killed witness had decided binds it,
// though nobody was told.
func TestP54_KilledBeforeTheAnswer(t *testing.T) {
	l := newLog(t, 5)
	s := newSite(t, l)
	s.takes(ask(t, l, 0))
	must(t, s.Close())
	other := l.Fork()
	must(t, l.Grow(2, "shown to the witness that dies"))
	must(t, other.Grow(2, "something else"))
	a := ask(t, l, 5)
	request := t.TempDir() + "/request"
	must(t, os.WriteFile(request, []byte(a.String()), 0o600))
	var words []string
	for _, k := range l.NodeKeys() {
		words = append(words, k.VKey())
	}
	child := exec.CommandContext(t.Context(), os.Args[0], words...)
	child.Env = append(os.Environ(), killVar+"="+s.dir, killVar+"_REQUEST="+request)
	var exit *exec.ExitError
	if err := child.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed where it should be: %v", err)
	}
	s.open(nil)
	if r := s.report(); r.Checkpoint.Size != 7 || len(r.Newest.Lines) != 3 {
		t.Fatalf("after the kill: %+v", r)
	}
	s.conflicts(ask(t, other, 5), 7)
	if r := s.report(); len(r.Proofs) != 1 {
		t.Fatalf("%+v", r)
	}
	s.takes(format.AddCheckpoint{Old: 7, Note: a.Note}) // the log asks again and gets what it missed
}
