package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
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

// stopAll stops every node cleanly and answers how long their logs are.
func (s *site) stopAll(ctx context.Context) (logged []int) {
	s.t.Helper()
	for i := range s.Size() {
		must(s.t, s.Stop(ctx, i))
		log, err := s.Log(i)
		must(s.t, err)
		logged = append(logged, len(log))
	}
	return logged
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

// TestP46_P48_EveryNodeRewritten changes one signed record in the same way on all
// nodes: the checkpoint in the history convicts it, whatever is rebuilt.
func TestP46_P48_EveryNodeRewritten(t *testing.T) {
	for _, gone := range [][]string{{"history.tree", "index.db"}, {"history.tree"}} {
		t.Run(strings.Join(gone, " and ")+" gone", func(t *testing.T) {
			ctx := bounded(t, time.Minute)
			s := startSite(t, ctx, testcluster.Options{Policy: testcluster.Policy{CheckpointEvery: time.Second}})
			r, err := put(ctx, s.client(ctx, 0, "app"), "SIGNED", "P5Y", contentOf("SIGNED"))
			must(t, err)
			s.covered(ctx)
			logged := s.stopAll(ctx)
			s.rewriteAll(r.GetHistorySequence(), gone...)
			must(t, s.StartAll())
			s.refusedEverywhere(ctx, logged, "root that a majority signed")
		})
	}
}

// TestP46_P48_EveryNodeRewrittenBehindTheCheckpoint does it to a record that no
// checkpoint covers yet.
func TestP46_P48_EveryNodeRewrittenBehindTheCheckpoint(t *testing.T) {
	for _, gone := range [][]string{{"history.tree", "index.db"}, {"history.tree"}} {
		t.Run(strings.Join(gone, " and ")+" gone", func(t *testing.T) {
			ctx := bounded(t, time.Minute)
			s := startSite(t, ctx, testcluster.Options{Policy: testcluster.Policy{CheckpointEvery: time.Hour}})
			app := s.client(ctx, 0, "app")
			r, err := put(ctx, app, "UNSIGNED", "P5Y", contentOf("UNSIGNED"))
			must(t, err)
			for k := range 5 {
				_, err := put(ctx, app, fmt.Sprint("LATER-", k), "P5Y", contentOf("LATER"))
				must(t, err)
			}
			logged := s.stopAll(ctx)
			s.rewriteAll(r.GetHistorySequence(), gone...)
			must(t, s.StartAll())
			s.refusedEverywhere(ctx, logged, "differs")
		})
	}
}
