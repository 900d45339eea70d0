package format_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// testdata/vectors/<page>/v1 holds, in hex, one valid example of each encoding
// (<name>.hex), bytes that must be refused (<name>.refused-<fault>.hex), and
// messages that are signed (<name>.message.hex). Vectors are only ever added:
// with SAGO_ADD_VECTORS=1 the test writes those that are missing, and a committed
// one that no longer holds means that data which exists can no longer be read.

const vectorDir = "testdata/vectors"

func vectorPath(page, file string) string {
	return filepath.Join(vectorDir, page, "v1", file+".hex")
}

func readVector(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}

// vector fails unless the committed vector is b.
func vector(t *testing.T, path string, b []byte) {
	t.Helper()
	if _, err := os.Stat(path); os.IsNotExist(err) && os.Getenv("SAGO_ADD_VECTORS") == "1" {
		var text strings.Builder
		for h := hex.EncodeToString(b); len(h) > 0; {
			n := min(len(h), 96)
			text.WriteString(h[:n] + "\n")
			h = h[n:]
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readVector(t, path); !bytes.Equal(got, b) {
		t.Errorf("%s holds\n%x, this code writes\n%x", path, got, b)
	}
}

// TestVectorsAreWritten compares what this code writes with what is committed.
func TestVectorsAreWritten(t *testing.T) {
	each(t, func(t *testing.T, c codec) { vector(t, vectorPath(c.page, c.name), c.encode(c.example)) })
	for _, m := range mutants() {
		if n := len(m.bytes); n > 0 && n <= 4096 {
			vector(t, vectorPath(m.page, m.codec+".refused-"+m.fault), m.bytes)
		}
	}
	vote, attest := exampleVote(1), exampleAttest()
	join := format.MemberEffect{Node: 3, Incarnation: id(0x33), State: format.MemberJoining}
	vector(t, vectorPath("clock-vote", "vote.message"), vote.Message(exampleCluster))
	vector(t, vectorPath("history-record", "effect-attest.message"), attest.Message(exampleCluster))
	vector(t, vectorPath("history-record", "effect-member.message"), join.Message(exampleCluster))
	vector(t, vectorPath("history-record", "effect-state.message"), exampleState().Message())
	leaf := format.LeafHash(exampleRecordBytes())
	vector(t, vectorPath("history-record", "record.leaf.message"), leaf[:])
	vector(t, vectorPath("act", "recovery-key.message"), format.RecoveryKeyMessage(exampleCluster, 5, exampleHolder(5).PublicKey))
	vector(t, vectorPath("key-archive", "request.message"), exampleRequest().Message())
	act := exampleSignedAct()
	vector(t, vectorPath("act", "signed-act.message"), act.Document)
}

// TestVectorsAreRead reads every committed vector, whoever added it and when.
func TestVectorsAreRead(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(vectorDir, "*", "v1", "*.hex"))
	if err != nil || len(paths) < len(codecs())+len(mutants())/2 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	for _, path := range paths {
		name, kind, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".hex"), ".")
		page := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if strings.HasSuffix(kind, "message") {
			continue // compared by TestVectorsAreWritten
		}
		c := codecNamed(t, page, name)
		if taken := canonical(t, c, readVector(t, path)); taken == strings.HasPrefix(kind, "refused-") {
			t.Errorf("%s: taken is %v", path, taken)
		}
	}
}
