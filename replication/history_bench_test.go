package replication

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
)

// BenchmarkHistoryShare answers which part of the processor time of a put goes
// into the history: puts of 4 KiB by 64 clients on three nodes in one process,
// without TLS and gRPC of clients, beside encoding, hashing, appending and syncing
// the records that they left once for each node. The share of a real put is
// less. Run it with a -benchtime of 5000x or more.
func BenchmarkHistoryShare(b *testing.B) {
	c := newBenchCluster(b)
	content := bytes.Repeat([]byte{1}, 4096)
	if _, err := c.put(0, "warm", "P5Y", content); err != nil {
		b.Fatal(err)
	}
	from := c.nodes[0].store.Summary().Size
	b.ResetTimer()
	before := processorTime(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if _, err := c.put(i%3, fmt.Sprintf("B%09d", n), "P5Y", content); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	whole := processorTime(b) - before
	b.StopTimer()

	var records []format.Record
	size := c.nodes[0].store.Summary().Size
	err := c.nodes[0].store.History(context.Background(), from, size, func(_ uint64, encoded []byte) error {
		r, err := format.DecodeRecord(bytes.Clone(encoded))
		r.Sequence = uint64(len(records))
		records = append(records, r)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	c.closeAll()
	spent := historyTime(b, records) * time.Duration(len(c.nodes))
	b.ReportMetric(float64(whole.Microseconds())/float64(b.N), "cpu-µs/put")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "history-cpu-µs/put")
	b.ReportMetric(100*float64(spent)/float64(whole), "history-%")
}

// historyTime is the processor time that one node spends on these records.
func historyTime(b *testing.B, records []format.Record) time.Duration {
	dir := b.TempDir()
	log, err := history.Open(history.Options{Dir: dir, Files: benchFiles(dir)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	before := processorTime(b)
	for i := range records {
		if _, _, err := log.Append(records[i].Encode()); err != nil {
			b.Fatal(err)
		}
		if i%64 == 63 { // a busy entry
			if err := log.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	return processorTime(b) - before
}

// processorTime is what this process has used, user and system.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchFiles are a log's files without flags.
type benchFiles string

func (d benchFiles) open(name string, flag int) (*os.File, error) {
	return os.OpenFile(filepath.Join(string(d), name), flag, 0o600)
}

// Create implements history.Files.
func (d benchFiles) Create(name string) (*os.File, error) {
	return d.open(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
}

// Append implements history.Files.
func (d benchFiles) Append(name string) (*os.File, error) {
	return d.open(name, os.O_WRONLY|os.O_APPEND)
}

// Seal implements history.Files.
func (d benchFiles) Seal(string) error { return nil }
