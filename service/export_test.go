package service

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sago-worm/sago/audit"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// export reads a whole stream.
func (h *house) export(as string, req *sagov1.ExportRequest) ([]*sagov1.ExportResponse, error) {
	h.t.Helper()
	stream, err := sagov1.NewHistoryServiceClient(h.as(as)).Export(limited(h.t), req)
	must(h.t, err)
	var out []*sagov1.ExportResponse
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
}

// twoInstitutions is a house in which both have left every kind of record.
func twoInstitutions(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	for _, one := range []struct{ app, auditor, mark string }{{"app", "auditor", "OURS"}, {"app2", "auditor2", "THEIRS"}} {
		for i := range 3 {
			h.put(one.app, one.mark+number(uint64(i)), "P5Y", []byte(one.mark))
		}
		_, _, err := h.client(one.auditor).Records(limited(t), &sagov1.HistoryServiceListRequest{Transaction: one.mark + "0"})
		must(t, err)
		h.advance(time.Minute)
	}
	return h
}

// TestExportOfAnInstitutionShowsNoOther: no record, count or line of it.
func TestExportOfAnInstitutionShowsNoOther(t *testing.T) {
	h := twoInstitutions(t)
	for _, who := range []struct {
		auditor, mark, other string
		institution          uint32
	}{{"auditor", "OURS", "THEIRS", 1}, {"auditor2", "THEIRS", "OURS", 2}, {"auditor0", "KEY", "OURS", 0}} {
		got, err := h.export(who.auditor, &sagov1.ExportRequest{})
		must(t, err)
		header, seen := got[0].GetHeader(), 0
		if header.GetInstitution() != who.institution || header.GetFirst() != 0 {
			t.Errorf("%s: %v", who.auditor, header)
		}
		for i, m := range got {
			raw, err := proto.Marshal(m)
			must(t, err)
			if strings.Contains(string(raw), who.other) || who.institution == 0 && strings.Contains(string(raw), "THEIRS") {
				t.Errorf("%s: message %d shows another institution: %v", who.auditor, i, m)
			}
			if m.GetTile() != nil || m.GetRecord().GetBundled() {
				t.Errorf("%s: message %d is a piece of the whole tree", who.auditor, i)
			}
			if m.GetRecord() == nil {
				continue
			}
			rec, err := format.DecodeRecord(m.GetRecord().GetEncoded())
			must(t, err)
			if rec.Institution != who.institution || rec.InstitutionSequence != uint64(seen) || m.GetRecord().GetReadable() == nil {
				t.Errorf("%s: record %d of institution %d", who.auditor, rec.InstitutionSequence, rec.Institution)
			}
			seen++
		}
		if uint64(seen) != header.GetEnd() || seen < 4 {
			t.Errorf("%s: %d records of %d", who.auditor, seen, header.GetEnd())
		}
	}
}

// TestTheTreeIsTheAppliancesOwn: an institution's auditor is refused, and
// recorded; the appliance's sees of the institutions what their envelopes say.
func TestTheTreeIsTheAppliancesOwn(t *testing.T) {
	h := twoInstitutions(t)
	for _, who := range []string{"auditor", "auditor2"} {
		got, err := h.export(who, &sagov1.ExportRequest{Tree: true})
		expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
		if len(got) > 0 {
			t.Errorf("%s: answered %v", who, got[0])
		}
	}
	_, err := h.export("auditor", &sagov1.ExportRequest{Institution: "other"})
	expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
	_, err = h.export("admin", &sagov1.ExportRequest{})
	expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
	for _, rec := range append(h.records(1, format.ActDeny), h.records(2, format.ActDeny)...) {
		if e, err := format.DecodeDenyEffect(rec.Effect); err != nil || e.Verb != format.ActExport || rec.Result != format.ReasonNotPermitted {
			t.Errorf("denied %+v, %v", e, err)
		}
	}
	if n, m := len(h.records(1, format.ActDeny)), len(h.records(2, format.ActDeny)); n != 3 || m != 1 {
		t.Errorf("%d and %d denials on record", n, m)
	}

	got, err := h.export("auditor0", &sagov1.ExportRequest{Tree: true})
	must(t, err)
	lines := 0
	for _, m := range got {
		r := m.GetRecord().GetReadable()
		if r == nil {
			continue
		}
		lines++
		open := r.GetActor() != "" || r.GetPurpose() != "" || len(r.GetDetail()) > 0
		if own := r.GetInstitution() == "sago"; open != own && !(own && r.GetDetail() == nil) {
			t.Errorf("%s of %q: actor %q, detail %v", r.GetAction(), r.GetInstitution(), r.GetActor(), r.GetDetail())
		}
	}
	if uint64(lines) != got[0].GetHeader().GetEnd() {
		t.Errorf("%d lines of %d records", lines, got[0].GetHeader().GetEnd())
	}
}

// TestExportGoesOnOnlyWhereItsCallerWas: a sequence that is not an export of the
// caller's institution and scope is answered like one that does not exist.
func TestExportGoesOnOnlyWhereItsCallerWas(t *testing.T) {
	h := twoInstitutions(t)
	ours, err := h.export("auditor", &sagov1.ExportRequest{})
	must(t, err)
	theirs, err := h.export("auditor2", &sagov1.ExportRequest{})
	must(t, err)
	tree, err := h.export("auditor0", &sagov1.ExportRequest{Tree: true})
	must(t, err)
	at := func(m []*sagov1.ExportResponse) (sequence, size uint64) {
		n, err := format.ParseNote(m[0].GetHeader().GetCheckpoint())
		must(t, err)
		cp, err := format.ParseCheckpoint(n.Text)
		must(t, err)
		return m[0].GetHeader().GetSequence(), cp.Size
	}
	x, size := at(ours)
	y, late := at(theirs)
	z, latest := at(tree)
	for name, r := range map[string]*sagov1.ExportRequest{
		"another institution's":     {Resume: y + 1, CheckpointSize: late},
		"the appliance's":           {Resume: z + 1, CheckpointSize: latest},
		"a record of another kind":  {Resume: x, CheckpointSize: size},
		"beyond the end":            {Resume: 1 << 40, CheckpointSize: size},
		"the last one there can be": {Resume: 1<<64 - 1, CheckpointSize: size},
		"another size":              {Resume: x + 1, CheckpointSize: size + 1},
		"no size":                   {Resume: x + 1},
		"a size without the export": {Resume: x + 1, CheckpointSize: x},
	} {
		got, err := h.export("auditor", r)
		if len(got) > 0 {
			t.Errorf("%s: answered %v", name, got[0])
		}
		expect(t, err, codes.NotFound, "NOT_FOUND")
	}
	_, err = h.export("auditor", &sagov1.ExportRequest{Tree: true, Resume: z + 1, CheckpointSize: latest})
	expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")

	exports, lists := len(h.records(1, format.ActExport)), len(h.records(1, format.ActList))
	rest, err := h.export("auditor", &sagov1.ExportRequest{Resume: x + 1, CheckpointSize: size, Next: 2})
	must(t, err)
	if !proto.Equal(rest[0], ours[0]) || !slices.EqualFunc(rest[1:], ours[3:], func(a, b *sagov1.ExportResponse) bool { return proto.Equal(a, b) }) {
		t.Errorf("went on with %d messages of %d", len(rest), len(ours))
	}
	if e, l := len(h.records(1, format.ActExport)), len(h.records(1, format.ActList)); e != exports || l != lists+1 {
		t.Errorf("left %d EXPORT and %d LIST records", e-exports, l-lists)
	}
}

// TestExportIsAcceptedOffline exports every form and has the verifier read it.
func TestExportIsAcceptedOffline(t *testing.T) {
	h := twoInstitutions(t)
	middle := time.UnixMicro(h.st.Summary().Clock.Now - time.Second.Microseconds())
	h.put("app", "OURS9", "P5Y", []byte("x"))
	for name, o := range map[string]client.ExportOptions{
		"auditor0 tree": {Tree: true}, "auditor0 tree since": {Tree: true, Since: middle}, "auditor0 tree until": {Tree: true, Until: middle},
		"auditor0": {}, "auditor": {Institution: "demo"}, "auditor since": {Since: middle}, "auditor until": {Until: middle},
		"auditor nothing": {Since: time.UnixMicro(1), Until: time.UnixMicro(2)},
	} {
		who, _, _ := strings.Cut(name, " ")
		o.Dir = filepath.Join(t.TempDir(), "x")
		r, err := h.client(who).Export(limited(t), o)
		must(t, err)
		keys := audit.ContextKeys(client.Context{ClusterID: h.st.Manifest().Cluster, Nodes: []client.NodeKey{{Name: "n1", PublicKey: h.st.Members()[0].PublicKey}}})
		report, err := audit.VerifyExport(limited(t), o.Dir, keys, audit.Options{})
		if err != nil || report.Reason != audit.ReasonOK || report.ExportSequence != r.ExportSequence {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}

// TestP45_ExportEndsAtDamage: what is damaged does not leave.
func TestP45_ExportEndsAtDamage(t *testing.T) {
	h := twoInstitutions(t)
	must(t, h.st.SyncHistory())
	must(t, custodian.ClearTree(h.dir))
	var at []byte
	var sequence uint64
	for _, rec := range h.records(1, format.ActList) {
		at, sequence = rec.Detail, rec.Sequence
	}
	path := filepath.Join(h.dir, "history", "00000001.his")
	raw, err := os.ReadFile(path)
	must(t, err)
	place := strings.Index(string(raw), string(at))
	if place < 0 {
		t.Fatal("the record is not in the file")
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{raw[place] ^ 1}, int64(place))
	must(t, errors.Join(err, f.Close()))
	for _, who := range []struct {
		name string
		tree bool
	}{{"auditor", false}, {"auditor0", true}} {
		got, err := h.export(who.name, &sagov1.ExportRequest{Tree: who.tree})
		expect(t, err, codes.DataLoss, "DAMAGE")
		last, err := format.DecodeRecord(got[len(got)-1].GetRecord().GetEncoded())
		if err != nil || last.Sequence >= sequence {
			t.Errorf("%s: sent up to %d, %v", who.name, last.Sequence, err)
		}
	}
}

// TestExportWhoseRecordsGoMeanwhile: what the EXPORT record says is kept must be
// there.
func TestExportWhoseRecordsGoMeanwhile(t *testing.T) {
	e := &export{effect: format.ExportEffect{Minimum: 5}}
	for _, c := range []struct {
		from, to uint64
		ok       bool
	}{{0, 0, true}, {0, 5, true}, {4, 5, true}, {0, 6, false}, {5, 6, false}, {6, 6, true}, {7, 9, false}} {
		err := e.passOver(c.from, c.to)
		if c.ok != (err == nil) || !c.ok && problemOf(err).reason != "STATE" {
			t.Errorf("from %d to %d: %v", c.from, c.to, err)
		}
	}
}

func TestExportsOfOnePrincipalAreBounded(t *testing.T) {
	var e exports
	for range maxExports {
		must(t, e.enter(1))
	}
	if err := e.enter(1); problemOf(err).reason != "RATE_LIMITED" {
		t.Errorf("one too many: %v", err)
	}
	must(t, e.enter(2)) // another's are their own
	e.leave(1)
	must(t, e.enter(1))
	e.leave(2)
	if len(e.running) != 1 {
		t.Errorf("remembers %v", e.running)
	}
}
