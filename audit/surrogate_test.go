package audit_test

import (
	"os/exec"
	"testing"
)

// TestALoneSurrogateIsNoQuestionMark: a line for people that shows half a UTF-16
// pair is not the line of a record whose transaction number has a ? there.
func TestALoneSurrogateIsNoQuestionMark(t *testing.T) {
	startPython(t) // skips where there is no Python
	out, err := exec.Command("python3", "-B", "-c", `
import io, sys, types
sys.path.insert(0, "../docs/verify")
import sago_verify as v
record = types.SimpleNamespace(sequence=1, clock=0, own=0, part=1, leaf=b"", action=1, result=0, transaction=b"T?", where="record 1")
for shown, fails in (("T?", False), ("T\\ud800", True)):
    line = '{"sequence":1,"time":null,"action":"STORE","institution_sequence":0,"transaction":"%s","part":1,"result":"OK","leaf_hash":"","institution":"","actor":"","purpose":"","detail":{}}\n' % shown
    readable = v.Readable(io.BytesIO(line.encode()))
    readable.hold(record)
    assert (readable.failure is not None) == fails, (shown, readable.failure)
`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
