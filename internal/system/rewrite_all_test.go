package system_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// rewriteAll changes the record of this sequence in the same way at every stopped
// node, with all checksums, and takes away the files named.
func (s *site) rewriteAll(sequence uint64, gone ...string) {
	s.t.Helper()
	for i := range s.Size() {
		found := false
		for _, path := range s.hisPaths(i) {
			f := readHis(s.t, path)
			for k, r := range f.records {
				rec, err := format.DecodeRecord(r)
				must(s.t, err)
				if rec.Sequence == sequence {
					f.records[k], found = rewritten(s.t, r), true
				}
			}
			replaced(s.t, path, f.bytes())
		}
		if !found {
			s.t.Fatalf("%s does not hold record %d", s.Name(i), sequence)
		}
		for _, name := range gone {
			must(s.t, os.Remove(filepath.Join(s.DataDir(i), name)))
		}
	}
}

// logged is how long the log of every node is.
func (s *site) logged() (lengths []int) {
	s.t.Helper()
	for i := range s.Size() {
		log, err := s.Log(i)
		must(s.t, err)
		lengths = append(lengths, len(log))
	}
	return lengths
}

// refusedEverywhere waits until every node has said that its history is not the one
// that was signed, and wants that none serves and that nothing was thrown away.
func (s *site) refusedEverywhere(ctx context.Context, logged []int, words string) {
	s.t.Helper()
	for i := range s.Size() {
		await(s.t, ctx, s.Name(i)+" refuses", func(ctx context.Context) (bool, string, error) {
			log, err := s.Log(i)
			found := findings(log[logged[i]:])
			if status, err := s.statusAt(ctx, i); err == nil && status.GetReady() {
				return false, "", fmt.Errorf("it serves: %s", found)
			}
			return strings.Contains(found, words), found, err
		})
		log, _ := s.Log(i)
		s.t.Logf("%s: %s", s.Name(i), findings(log[logged[i]:]))
	}
}

// asideEverywhere wants what was put aside to be there still, with the history.
func (s *site) asideEverywhere() {
	s.t.Helper()
	for i := range s.Size() {
		if kept, err := filepath.Glob(s.DataDir(i) + ".gone-*/history/*.his"); err != nil || len(kept) == 0 {
			s.t.Errorf("%s has thrown its history away: %v, %v", s.Name(i), kept, err)
		}
	}
}

// wide is what an attacker takes away of every node, beside changing a record.
var wide = [][]string{{"history.tree", "index.db"}, {"history.tree"}}

// TestP46_P48_EveryNodeRewritten changes one signed record in the same way on all
// nodes: the checkpoint in the history convicts it, whatever is rebuilt.
func TestP46_P48_EveryNodeRewritten(t *testing.T) {
	for _, gone := range wide {
		t.Run(strings.Join(gone, " and ")+" gone", func(t *testing.T) {
			ctx := bounded(t, time.Minute)
			s := startSite(t, ctx, testcluster.Options{Policy: testcluster.Policy{CheckpointEvery: time.Second}})
			r, err := put(ctx, s.client(ctx, 0, "app"), "SIGNED", "P5Y", contentOf("SIGNED"))
			must(t, err)
			s.covered(ctx)
			s.stopAll(ctx)
			logged := s.logged()
			s.rewriteAll(r.GetHistorySequence(), gone...)
			must(t, s.StartAll())
			s.refusedEverywhere(ctx, logged, "root that")
			s.asideEverywhere()
		})
	}
}

func (s *site) sinkFile() string { return filepath.Join(s.Dir(), "sink.jsonl") }

// tail starts a cluster with a sink that takes no further checkpoint, and stores a record with
// others behind it.
func tail(t *testing.T, ctx context.Context) (*site, *sagov1.Receipt) {
	t.Helper()
	s := newSite(t, testcluster.Options{Policy: testcluster.Policy{CheckpointEvery: time.Hour}})
	s.configure(0, fmt.Sprintf("\n[sink]\nfile = %q\n", s.sinkFile()))
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	app := s.client(ctx, 0, "app")
	r, err := put(ctx, app, "UNSIGNED", "P5Y", contentOf("UNSIGNED"))
	must(t, err)
	for k := range 5 {
		_, err := put(ctx, app, fmt.Sprint("LATER-", k), "P5Y", contentOf("LATER"))
		must(t, err)
	}
	return s, r
}

// TestP46_P48_EveryNodeRewrittenBehindTheCheckpoint does it to a record that no
// checkpoint covers yet, after a clean stop and after a kill: what the nodes wrote
// down beside their keys convicts it.
func TestP46_P48_EveryNodeRewrittenBehindTheCheckpoint(t *testing.T) {
	for _, gone := range wide {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprint(strings.Join(gone, " and "), " gone, killed ", kill), func(t *testing.T) {
				ctx := bounded(t, time.Minute)
				s, r := tail(t, ctx)
				if kill {
					s.killAll(ctx)
				} else {
					s.stopAll(ctx)
				}
				logged := s.logged()
				s.rewriteAll(r.GetHistorySequence(), gone...)
				must(t, s.StartAll())
				s.refusedEverywhere(ctx, logged, "root that this node wrote down")
				s.asideEverywhere()
			})
		}
	}
}

// killAll kills every node once it has written down what it durably has.
func (s *site) killAll(ctx context.Context) {
	s.t.Helper()
	size := s.recordsOf(ctx, "inspector", true)
	want := size[len(size)-1].GetSequence()
	for i := range s.Size() {
		await(s.t, ctx, s.Name(i)+" writes down what it has", func(context.Context) (bool, string, error) {
			raw, err := os.ReadFile(filepath.Join(s.NodeDir(i), "keys", "attested"))
			var have struct{ History uint64 }
			line, _, _ := strings.Cut(string(raw), "\n")
			return have.History > want, line, errors.Join(err, json.Unmarshal([]byte(line), &have))
		})
	}
	for i := range s.Size() {
		must(s.t, s.Kill(i))
	}
}

// TestP48_ReceiptsConvictWhoHasEveryKey rewrites an unsigned record on all nodes and
// takes away what they keep beside their keys as well: nothing inside can tell. The
// client's receipt and what a sink has sent do.
func TestP48_ReceiptsConvictWhoHasEveryKey(t *testing.T) {
	ctx := bounded(t, time.Minute)
	s, r := tail(t, ctx)
	receipt := hex.EncodeToString(r.GetLeafHash())
	outside := func() string {
		raw, err := os.ReadFile(s.sinkFile())
		must(t, err)
		return sent(t, string(raw))[r.GetHistorySequence()]
	}
	await(t, ctx, "the sink has it", func(context.Context) (bool, string, error) { return outside() == receipt, outside(), nil })
	s.stopAll(ctx)
	s.rewriteAll(r.GetHistorySequence(), "history.tree", "index.db")
	for i := range s.Size() {
		for _, name := range []string{"attested", "signed"} {
			if err := os.Remove(filepath.Join(s.NodeDir(i), "keys", name)); !errors.Is(err, fs.ErrNotExist) { // it may not have signed
				must(t, err)
			}
		}
	}
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	shown, err := s.client(ctx, 0, "auditor").ShowRecord(ctx, r.GetHistorySequence())
	must(t, err)
	if inside := hex.EncodeToString(shown.GetRecord().GetLeafHash()); inside == receipt || outside() != receipt {
		t.Errorf("record %d is %s inside, %s in the receipt, %s in the sink", r.GetHistorySequence(), inside, receipt, outside())
	}
}
