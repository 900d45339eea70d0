package service

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// TestExportOfManyRecords measures exports of so many records as
// SAGO_EXPORT_RECORDS says: how long each scope takes and how much memory server
// and client take together. Without that variable it makes a few thousand.
func TestExportOfManyRecords(t *testing.T) {
	records, err := strconv.Atoi(os.Getenv("SAGO_EXPORT_RECORDS"))
	if err != nil {
		records = 3000
	}
	h := newHouse(t)
	auditor := h.people.byName["auditor"].ID
	for made := 0; made < records; {
		applied := h.st.Summary().Applied
		var ops []store.Op
		for range min(500, records-made) {
			op := store.Op{Kind: store.KindList, ID: randomID(), BuiltAt: applied, Front: 1, Actor: auditor, Institution: 1, DetailClass: format.DetailOther,
				Body: format.EncodeEffect(format.ListEffect{Kind: format.ListHistory})}
			op.DetailEpoch, op.Detail, err = h.st.SealDetail(1, op.DetailClass, op.ID, format.Detail{Subject: "CN=auditor", Issuer: "CN=ca", Origin: "192.0.2.1", Query: "all=true"})
			must(t, err)
			ops = append(ops, op)
		}
		_, err := h.st.Apply(store.Entry{Index: applied + 1, Ops: ops})
		must(t, err)
		made += len(ops)
	}
	must(t, h.st.Flush())
	for _, o := range []client.ExportOptions{{}, {Tree: true}} {
		who := "auditor"
		if o.Tree {
			who = "auditor0"
		}
		o.Dir = filepath.Join(t.TempDir(), "x")
		var peak atomic.Uint64
		runtime.GC()
		o.Progress = func(client.ExportProgress) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
		}
		begun := time.Now()
		r, err := h.client(who).Export(t.Context(), o)
		if err != nil || r.Records < uint64(records) {
			t.Fatalf("%s: %+v, %v", who, r, err)
		}
		t.Logf("%s: %d records in %v, heap of server and client together at most %d MiB", r.Scope, r.Records, time.Since(begun).Round(time.Millisecond), peak.Load()>>20)
	}
}
