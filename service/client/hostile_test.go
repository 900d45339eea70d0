package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// lie is one change to one element of what the server answers.
type lie[T any] struct {
	name   string
	change func(T) T
}

// hashLies change every element of a list of hashes in every way: one bit, cut,
// dropped, doubled, swapped with the next, one more behind.
func hashLies(n int) (lies []lie[[][]byte]) {
	add := func(name string, change func([][]byte) [][]byte) {
		lies = append(lies, lie[[][]byte]{name, func(h [][]byte) [][]byte {
			var copied [][]byte
			for _, e := range h {
				copied = append(copied, bytes.Clone(e))
			}
			return change(copied)
		}})
	}
	for i := range n {
		add(fmt.Sprintf("hash %d altered", i), func(h [][]byte) [][]byte { h[i][i%32] ^= 1; return h })
		add(fmt.Sprintf("hash %d cut", i), func(h [][]byte) [][]byte { h[i] = h[i][:31]; return h })
		add(fmt.Sprintf("hash %d longer", i), func(h [][]byte) [][]byte { h[i] = append(h[i], 0); return h })
		add(fmt.Sprintf("hash %d dropped", i), func(h [][]byte) [][]byte { return slices.Delete(h, i, i+1) })
		add(fmt.Sprintf("hash %d doubled", i), func(h [][]byte) [][]byte { return slices.Insert(h, i, h[i]) })
		if i+1 < n {
			add(fmt.Sprintf("hashes %d and next swapped", i), func(h [][]byte) [][]byte { h[i], h[i+1] = h[i+1], h[i]; return h })
		}
	}
	add("one more hash", func(h [][]byte) [][]byte { return append(h, make([]byte, 32)) })
	if n > 0 { // no consistency hash at all is asked for again, and answered so again
		add("no hash", func([][]byte) [][]byte { return nil })
	}
	return lies
}

// noteLies change every line of a signed note: its text, each signature, its form.
func noteLies(l *fakeLog, size uint64) (lies []lie[string]) {
	add := func(name string, change func(string) string) { lies = append(lies, lie[string]{name, change}) }
	note := l.note(size)
	lines := strings.SplitAfter(strings.TrimSuffix(note, "\n"), "\n")
	for i := range lines {
		with := func(f func([]string) []string) func(string) string {
			return func(note string) string {
				return strings.Join(f(strings.SplitAfter(strings.TrimSuffix(note, "\n"), "\n")), "") + "\n"
			}
		}
		add(fmt.Sprintf("line %d dropped", i), with(func(s []string) []string { return slices.Delete(s, i, i+1) }))
		add(fmt.Sprintf("line %d altered", i), with(func(s []string) []string {
			at := len(s[i]) / 2
			if at < len(s[i]) {
				s[i] = s[i][:at] + string(s[i][at]^1) + s[i][at+1:]
			}
			return s
		}))
		if text := i < 7; text { // signatures are a set: their order, and one said twice, change nothing
			add(fmt.Sprintf("line %d doubled", i), with(func(s []string) []string { return slices.Insert(s, i, s[i]) }))
			if i < 5 {
				add(fmt.Sprintf("line %d and next swapped", i), with(func(s []string) []string { s[i], s[i+1] = s[i+1], s[i]; return s }))
			}
		}
	}
	text := l.checkpoint(size).Text()
	stranger, foreign := newSigner(l.t, "node2"), l.checkpoint(size)
	foreign.Cluster[0] ^= 1
	add("one node twice", func(string) string { return l.signedBy(size, l.nodes[0], l.nodes[0]) })
	add("a stranger under a node's name", func(string) string { return l.signedBy(size, l.nodes[0], stranger) })
	add("another text's signature", func(string) string {
		return text + "\n" + l.nodes[0].line(l.t, text) + l.nodes[1].line(l.t, foreign.Text())
	})
	add("another cluster", func(string) string {
		return foreign.Text() + "\n" + l.nodes[0].line(l.t, foreign.Text()) + l.nodes[1].line(l.t, foreign.Text())
	})
	add("another node's key id", func(string) string {
		a, b := l.nodes[0].line(l.t, text), l.nodes[1].line(l.t, text)
		return text + "\n" + a + strings.Replace(b, "node2", "node1", 1)
	})
	add("nothing", func(string) string { return "" })
	add("a tree of no records", func(string) string {
		empty := l.checkpoint(size)
		empty.Size = 0
		return empty.Text() + "\n" + l.nodes[0].line(l.t, empty.Text()) + l.nodes[1].line(l.t, empty.Text())
	})
	return lies
}

// TestP43_EveryElementOfAProofIsVerified: whatever a hostile server changes in
// what it answers, the client refuses it.
func TestP43_EveryElementOfAProofIsVerified(t *testing.T) {
	l := newLog(t, 21)
	first := l.note(21)
	l.grow(16, "more") // 37 records
	const sequence = 5
	leaf := format.LeafHash(l.records[sequence])
	receipt := client.Receipt{Sequence: sequence, LeafHash: leaf}
	plain := l.client(nil)
	bare := map[string]func() error{
		"receipt": func() error { _, err := plain.Receipt(t.Context(), receipt); return err },
		"prove":   func() error { _, err := plain.Prove(t.Context(), sequence, 21); return err },
	}
	for call, do := range bare {
		l.tamper = nil
		if err := do(); err != nil {
			t.Fatalf("%s, honest: %v", call, err)
		}
		refuses := func(name string, change func(*sagov1.RecordProof)) {
			t.Helper()
			l.tamper = func(m proto.Message) {
				switch m := m.(type) {
				case *sagov1.ReceiptResponse:
					change(m.Proof)
				case *sagov1.ProveResponse:
					change(m.Proof)
				}
			}
			if err := do(); !errors.Is(err, client.ErrIntegrity) {
				t.Errorf("%s, %s: %v", call, name, err)
			}
		}
		for _, lie := range hashLies(len(l.proof(sequence, 21).Path)) {
			refuses("path: "+lie.name, func(p *sagov1.RecordProof) { p.Path = lie.change(p.Path) })
		}
		for _, lie := range noteLies(l, 21) {
			refuses("note: "+lie.name, func(p *sagov1.RecordProof) { p.Checkpoint = lie.change(p.Checkpoint) })
		}
		refuses("another sequence", func(p *sagov1.RecordProof) { p.Sequence++ })
		refuses("another leaf", func(p *sagov1.RecordProof) { p.LeafHash[0] ^= 1 })
		refuses("another record's proof", func(p *sagov1.RecordProof) { proto.Merge(p, l.proof(sequence+1, 21)) })
		refuses("the path in another tree", func(p *sagov1.RecordProof) { p.Path = l.proof(sequence, 37).Path })
		refuses("the note of another tree", func(p *sagov1.RecordProof) { p.Checkpoint = l.note(37) })
	}
	for name, encoded := range map[string][]byte{"another record": l.records[6], "no record": nil, "altered": append([]byte{2}, l.records[5][1:]...)} {
		l.tamper = func(m proto.Message) {
			if m, ok := m.(*sagov1.ProveResponse); ok {
				m.Encoded = encoded
			}
		}
		if err := bare["prove"](); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("prove, %s: %v", name, err)
		}
	}

	checkpoint := func() error {
		m := newMemory(t)
		if done, err := m.Swap("", first); err != nil || !done {
			t.Fatal(done, err)
		}
		_, err := l.client(m).Checkpoint(t.Context(), client.CheckpointQuery{})
		return err
	}
	l.tamper = nil
	if err := checkpoint(); err != nil {
		t.Fatalf("checkpoint, honest: %v", err)
	}
	for _, lie := range hashLies(len(l.consistency(21, 37))) {
		l.tamper = func(m proto.Message) {
			switch m := m.(type) {
			case *sagov1.CheckpointResponse:
				m.Consistency = lie.change(m.Consistency)
			case *sagov1.ConsistencyResponse:
				m.Proof = lie.change(m.Proof)
			}
		}
		if err := checkpoint(); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("consistency: %s: %v", lie.name, err)
		}
	}
	for _, lie := range noteLies(l, 37) {
		l.tamper = func(m proto.Message) {
			if m, ok := m.(*sagov1.CheckpointResponse); ok {
				m.Note = lie.change(m.Note)
			}
		}
		if err := checkpoint(); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("checkpoint: %s: %v", lie.name, err)
		}
	}
}

// TestP44_TheClusterIsPinned: a server that is whole in itself, under other keys
// or another cluster's name, is nobody.
func TestP44_TheClusterIsPinned(t *testing.T) {
	ours, theirs := newLog(t, 5), newLog(t, 5)
	theirs.nodes[0].Name, theirs.nodes[1].Name = "node1", "node2"
	impostor := ours.client(nil)
	ours.tamper = func(m proto.Message) { m.(*sagov1.CheckpointResponse).Note = theirs.note(5) }
	if _, err := impostor.Checkpoint(t.Context(), client.CheckpointQuery{}); !errors.Is(err, client.ErrIntegrity) {
		t.Error(err)
	}
	for name, q := range map[string]client.CheckpointQuery{"size": {Size: new(uint64(4))}, "covering": {Covering: new(uint64(4))}} {
		ours.tamper = func(m proto.Message) { m.(*sagov1.CheckpointResponse).Note = ours.note(3) }
		if _, err := impostor.Checkpoint(t.Context(), q); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("another checkpoint than was asked for, by %s: %v", name, err)
		}
	}
}

// TestP47_AProofOnItsOwn: what VerifyProof is given comes from a file of anybody's.
func TestP47_AProofOnItsOwn(t *testing.T) {
	l := newLog(t, 21)
	c := l.client(nil)
	p, err := c.Prove(t.Context(), 5, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*format.Proof){
		"another record":                 func(p *format.Proof) { p.Record = l.records[6] },
		"bytes behind the record":        func(p *format.Proof) { p.Record = append(slices.Clone(p.Record), 0) },
		"a record of the same sequence":  func(p *format.Proof) { p.Record = (&format.Record{Sequence: 5}).Encode() },
		"another sequence":               func(p *format.Proof) { p.Sequence++ },
		"a sequence beyond 63 bits":      func(p *format.Proof) { p.Sequence |= 1 << 63 },
		"a leaf that the record has not": func(p *format.Proof) { p.LeafHash[0]++ },
		"no note":                        func(p *format.Proof) { p.Note = "" },
	} {
		changed := p.Proof
		change(&changed)
		if _, err := client.VerifyProof(changed, testCluster, keys(l.nodes...)); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A log may hold bytes that say another sequence: the tree alone does not tell.
	odd := newLog(t, 3)
	odd.add((&format.Record{Sequence: 9}).Encode())
	proof := odd.proof(3, 4)
	forged := format.Proof{Sequence: 3, LeafHash: format.Digest(proof.LeafHash), Record: odd.records[3], Note: proof.Checkpoint}
	for _, h := range proof.Path {
		forged.Path = append(forged.Path, format.Digest(h))
	}
	if _, err := client.VerifyProof(forged, testCluster, keys(odd.nodes...)); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("a record under another's number: %v", err)
	}
	if _, err := client.VerifyProof(p.Proof, [16]byte{9}, keys(l.nodes...)); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("another cluster: %v", err)
	}
	if _, err := client.VerifyProof(p.Proof, testCluster, nil); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("without a pinned key: %v", err)
	}
	l.grow(5, "more")
	l.tamper = func(m proto.Message) {
		if m, ok := m.(*sagov1.ProveResponse); ok {
			m.Proof = l.proof(5, 26)
		}
	}
	if _, err := c.Prove(t.Context(), 5, 21); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("a proof under another checkpoint than was asked for: %v", err)
	}
	l.tamper = func(m proto.Message) {
		empty := l.checkpoint(26)
		empty.Size = 0
		m.(*sagov1.CheckpointResponse).Note = empty.Text() + "\n" + l.nodes[0].line(t, empty.Text()) + l.nodes[1].line(t, empty.Text())
	}
	if _, err := c.Checkpoint(t.Context(), client.CheckpointQuery{}); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("a checkpoint over nothing: %v", err)
	}
}
