package client_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// spoiling changes one answer at place i. It reports false when it has nothing to
// change there.
type spoiling func(l *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool)

// onTile, onRecord and onHeader spoil a message of that kind.
func onTile(change func(*sagov1.ExportTile) bool) spoiling {
	return func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
		return out, out[i].GetTile() != nil && change(out[i].GetTile())
	}
}

func onRecord(change func(*sagov1.ExportRecord) bool) spoiling {
	return func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
		return out, out[i].GetRecord() != nil && change(out[i].GetRecord())
	}
}

func onHeader(change func(*exportLog, *sagov1.ExportHeader)) spoiling {
	return func(l *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
		if out[i].GetHeader() != nil {
			change(l, out[i].GetHeader())
		}
		return out, out[i].GetHeader() != nil
	}
}

func onLine(change func(*sagov1.HistoryRecord)) spoiling {
	return onRecord(func(r *sagov1.ExportRecord) bool {
		if r.Readable != nil {
			change(r.Readable)
		}
		return r.Readable != nil
	})
}

func bend(b []byte) bool {
	if len(b) > 0 {
		b[len(b)/2] ^= 1
	}
	return len(b) > 0
}

// reencoded is a record with something else in it, canonical as the true one.
func reencoded(change func(*format.Record)) spoiling {
	return onRecord(func(r *sagov1.ExportRecord) bool {
		rec, err := format.DecodeRecord(r.GetEncoded())
		if err != nil {
			return false
		}
		change(&rec)
		r.Encoded = rec.Encode()
		return true
	})
}

func spoilings() map[string]spoiling {
	return map[string]spoiling{
		"a tile's hash":    onTile(func(t *sagov1.ExportTile) bool { return bend(t.Hashes) }),
		"a short tile":     onTile(func(t *sagov1.ExportTile) bool { t.Hashes = t.Hashes[:len(t.Hashes)-32]; return true }),
		"a torn tile":      onTile(func(t *sagov1.ExportTile) bool { t.Hashes = t.Hashes[:len(t.Hashes)-1]; return true }),
		"a longer tile":    onTile(func(t *sagov1.ExportTile) bool { t.Hashes = append(t.Hashes, make([]byte, 32)...); return true }),
		"a tile's place":   onTile(func(t *sagov1.ExportTile) bool { t.Index++; return true }),
		"a tile's level":   onTile(func(t *sagov1.ExportTile) bool { t.Level += 9; return true }),
		"a record's bytes": onRecord(func(r *sagov1.ExportRecord) bool { return bend(r.Encoded) }),
		"no bytes":         onRecord(func(r *sagov1.ExportRecord) bool { r.Encoded = nil; return true }),
		"another actor":    reencoded(func(r *format.Record) { r.Actor++ }),
		"another detail":   reencoded(func(r *format.Record) { r.Detail, r.DetailClass, r.DetailEpoch = []byte("x"), format.DetailOther, 1 }),
		"another sequence": reencoded(func(r *format.Record) { r.Sequence++ }),
		"a hash of a path": onRecord(func(r *sagov1.ExportRecord) bool { return len(r.Path) > 0 && bend(r.Path[len(r.Path)/2]) }),
		"a torn hash":      onRecord(func(r *sagov1.ExportRecord) bool { return len(r.Path) > 0 && cut(&r.Path[0]) }),
		"a shorter path":   onRecord(func(r *sagov1.ExportRecord) bool { return len(r.Path) > 0 && cutPath(r) }),
		"a longer path":    onRecord(func(r *sagov1.ExportRecord) bool { r.Path = append(r.Path, make([]byte, 32)); return !r.Bundled }),
		"the other form":   onRecord(func(r *sagov1.ExportRecord) bool { r.Bundled = !r.Bundled; return true }),
		"no line":          onRecord(func(r *sagov1.ExportRecord) bool { was := r.Readable; r.Readable = nil; return was != nil }),
		"a line too many": onRecord(func(r *sagov1.ExportRecord) bool {
			was := r.Readable
			r.Readable = &sagov1.HistoryRecord{}
			return was == nil
		}),
		"a line's sequence": onLine(func(r *sagov1.HistoryRecord) { r.Sequence++ }),
		"a line's number":   onLine(func(r *sagov1.HistoryRecord) { r.InstitutionSequence++ }),
		"a line's action":   onLine(func(r *sagov1.HistoryRecord) { r.Action = "READ" }),
		"a line's time":     onLine(func(r *sagov1.HistoryRecord) { r.Time = timestamppb.New(r.Time.AsTime().Add(1000)) }),
		"a line's result":   onLine(func(r *sagov1.HistoryRecord) { r.Result = "EXPIRED" }),
		"a line's bundle":   onLine(func(r *sagov1.HistoryRecord) { r.Transaction = "T" }),
		"a line's part":     onLine(func(r *sagov1.HistoryRecord) { r.Part++ }),
		"a line's hash":     onLine(func(r *sagov1.HistoryRecord) { bend(r.LeafHash) }),
		"left out": func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
			return slices.Delete(out, i, i+1), true
		},
		"twice": func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
			return slices.Insert(out, i, out[i]), true
		},
		"swapped": func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
			if i+1 < len(out) {
				out[i], out[i+1] = out[i+1], out[i]
			}
			return out, i+1 < len(out)
		},
		"ended before": func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
			return out[:i], true
		},
		"nothing in it": func(_ *exportLog, out []*sagov1.ExportResponse, i int) ([]*sagov1.ExportResponse, bool) {
			out[i] = &sagov1.ExportResponse{}
			return out, true
		},
		"header: first":       onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.First++ }),
		"header: end":         onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.End-- }),
		"header: minimum":     onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.Minimum += 5 }),
		"header: sequence":    onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.Sequence-- }),
		"header: since":       onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.Since = stamp(began - 5) }),
		"header: until":       onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.Until = stamp(began + 500) }),
		"header: institution": onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.Institution++ }),
		"header: no note":     onHeader(func(_ *exportLog, h *sagov1.ExportHeader) { h.Checkpoint = "" }),
		"header: another note": onHeader(func(l *exportLog, h *sagov1.ExportHeader) {
			h.Checkpoint = strings.Replace(h.Checkpoint, "entry", "Entry", 1)
		}),
		"header: a minority": onHeader(func(l *exportLog, h *sagov1.ExportHeader) {
			lines := strings.SplitAfter(h.Checkpoint, "\n")
			h.Checkpoint = strings.Join(lines[:len(lines)-2], "")
		}),
		"header: another cluster": onHeader(func(l *exportLog, h *sagov1.ExportHeader) {
			text := format.Checkpoint{Cluster: format.ID{9}, Size: uint64(len(l.records))}.Text()
			h.Checkpoint = text + "\n" + l.signers[0].line(l.t, text) + l.signers[1].line(l.t, text)
		}),
		"header: another root": onHeader(func(l *exportLog, h *sagov1.ExportHeader) {
			text := format.Checkpoint{Cluster: l.cluster, Size: uint64(len(l.records)), Root: format.Digest{1}}.Text()
			h.Checkpoint = text + "\n" + l.signers[0].line(l.t, text) + l.signers[1].line(l.t, text)
		}),
	}
}

func cut(b *[]byte) bool { *b = (*b)[1:]; return true }

func cutPath(r *sagov1.ExportRecord) bool { r.Path = r.Path[1:]; return true }

// TestP43_P50_ExportOfAHostileNodeIsRefused spoils every answer in every way, at
// several places: the call fails, the export does not become whole, and nothing
// stands under its name that an honest node would not have given.
func TestP43_P50_ExportOfAHostileNodeIsRefused(t *testing.T) {
	for name, l := range map[string]*exportLog{
		"tree":        newExportLog(t, 600, 580, format.ExportEffect{Scope: format.ExportTree, Minimum: 100, Since: began, Until: began + 100, End: 400}, 4),
		"institution": newExportLog(t, 60, 50, format.ExportEffect{Scope: format.ExportInstitution}),
	} {
		honest := filepath.Join(scratch(t), "x")
		if _, err := l.client(nil).Export(t.Context(), l.options(honest)); err != nil {
			t.Fatal(name, err)
		}
		want := contents(t, honest)
		var spoilt []*sagov1.ExportResponse
		cl := l.client(func(*sagov1.ExportRequest, []*sagov1.ExportResponse) ([]*sagov1.ExportResponse, error) {
			return spoilt, nil
		})
		// Every kind of message, and some places at random.
		random := rand.New(rand.NewPCG(1, 2))
		all := l.answer(&sagov1.ExportRequest{Tree: l.tree()})
		spoilings := spoilings()
		for _, what := range slices.Sorted(maps.Keys(spoilings)) {
			spoil, met := spoilings[what], 0
			for _, i := range append(random.Perm(len(all))[:4], 0, 1, 2, 4, len(all)-1) {
				spoilt = nil
				for _, m := range all {
					spoilt = append(spoilt, proto.CloneOf(m))
				}
				var changed bool
				if spoilt, changed = spoil(l, spoilt, i); !changed || what == "left out" && isCarried(l, all[i]) {
					continue
				}
				met++
				refused(t, fmt.Sprintf("%s: %s at %d", name, what, i), cl, l.options(filepath.Join(scratch(t), "x")), want)
			}
			if met == 0 && !(strings.Contains(what, "tile") && !l.tree()) {
				t.Logf("%s: nothing to spoil by %q", name, what)
			}
		}
	}
}

// isCarried reports whether an answer is a record below the minimum: whoever does
// not send it says that it was erased, which is nobody's word against.
func isCarried(l *exportLog, m *sagov1.ExportResponse) bool {
	rec, err := format.DecodeRecord(m.GetRecord().GetEncoded())
	return err == nil && rec.Sequence < l.effect.Minimum
}

// refused has a client take spoilt answers.
func refused(t *testing.T, what string, cl *client.Client, o client.ExportOptions, honest map[string]string) {
	t.Helper()
	if _, err := cl.Export(t.Context(), o); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("%s: %v", what, err)
	}
	for name, data := range contents(t, o.Dir) {
		switch {
		case name == "export.json" && strings.Contains(data, `"complete": true`):
			t.Errorf("%s: became whole", what)
		case name == "export.json", name == "records.jsonl", name == "checkpoint", name == ".part":
		case honest[name] != data && !strings.Contains(name, ".p/"):
			t.Errorf("%s: published %s", what, name)
		}
	}
}

// TestExportFailsOver: the next node goes on where one broke off, in one call.
func TestExportFailsOver(t *testing.T) {
	l := newExportLog(t, 2000, 1990, format.ExportEffect{Scope: format.ExportTree})
	ca := newAuthority(t, always)
	known := client.Context{Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client(), ClusterID: l.cluster, Nodes: keys(l.signers...)}
	var asked []uint64
	for i := range 3 {
		n := l.node(func(req *sagov1.ExportRequest, out []*sagov1.ExportResponse) ([]*sagov1.ExportResponse, error) {
			if asked = append(asked, req.GetNext()); i < 2 {
				return out[:800], errGone
			}
			return out, nil
		})
		known.Endpoints = append(known.Endpoints, n.serve(t, ca.server(), ca.cert))
	}
	dir := filepath.Join(scratch(t), "x")
	r, err := openContext(t, known).Export(t.Context(), l.options(dir))
	if err != nil || r.Resumed || r.Records != 1991 || !slices.Equal(asked, []uint64{0, 768, 1536}) {
		t.Fatalf("%+v, %v, asked from %d", r, err, asked)
	}
	straight := filepath.Join(scratch(t), "x")
	if _, err := l.client(nil).Export(t.Context(), l.options(straight)); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(contents(t, dir), contents(t, straight)) {
		t.Error("differs from an export without a break")
	}
}

// TestAnOldExportRecordIsNoNewExport: it would hide all that came after it, and
// everything in it verifies.
func TestAnOldExportRecordIsNoNewExport(t *testing.T) {
	for _, scope := range []format.ExportScope{format.ExportInstitution, format.ExportTree} {
		l := newExportLog(t, 900, 102, format.ExportEffect{Scope: scope})
		memory := client.NewFileMemory(filepath.Join(scratch(t), "memory"), l.cluster)
		ca, n := newAuthority(t, always), l.node(nil)
		c := openContext(t, client.Context{
			Endpoints: []string{n.serve(t, ca.server(), ca.cert)}, Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client(),
			ClusterID: l.cluster, Nodes: keys(l.signers...), Memory: memory,
		})
		if _, err := c.Export(t.Context(), l.options(filepath.Join(scratch(t), "x"))); err != nil {
			t.Fatal(err) // nothing is remembered that it could be held against
		}
		if _, err := c.Export(t.Context(), l.options(filepath.Join(scratch(t), "x"))); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("scope %d: %v", scope, err)
		}
	}
}
