package service

import (
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// verifyBackup reads a backup with the house's key.
func (h *house) verifyBackup(dir string) backup.Report {
	h.t.Helper()
	cluster := h.st.Manifest().Cluster
	keys := []format.NoteKey{{Name: "n1", Type: format.NoteECDSA, Key: h.st.Members()[0].PublicKey}}
	r, err := client.VerifyBackup(limited(h.t), dir, keys, format.Origin(cluster), nil)
	must(h.t, err)
	return r
}

// TestABackupIsOnRecordBeforeItLeaves: and again with what it holds. It is the
// administrator's of who acts for the appliance: what it holds belongs to every institution.
func TestABackupIsOnRecordBeforeItLeaves(t *testing.T) {
	h := twoInstitutions(t)
	dir := filepath.Join(t.TempDir(), "b")
	for _, who := range []string{"manager", "auditor0", "officer", "app2"} {
		stream, err := sagov1.NewClusterServiceClient(h.as(who)).Backup(limited(t), &sagov1.BackupRequest{})
		must(t, err)
		m, err := stream.Recv()
		expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
		if m != nil {
			t.Errorf("%s: answered %v", who, m)
		}
		_, err = sagov1.NewClusterServiceClient(h.as(who)).BackupDone(limited(t), &sagov1.BackupDoneRequest{Digest: make([]byte, 32)})
		if err == nil {
			t.Errorf("%s: a backup that never was is on record", who)
		}
	}
	if n := len(h.records(0, format.ActBackup)) + len(h.records(1, format.ActBackup)); n != 0 {
		t.Errorf("%d BACKUP records of refused runs", n)
	}
	for run := range 2 {
		r, err := h.client("admin0").Backup(limited(t), client.BackupOptions{Dir: dir})
		must(t, err)
		records := h.records(0, format.ActBackup)
		if len(records) != 2*run+2 {
			t.Fatalf("%d BACKUP records", len(records))
		}
		begun, err := format.DecodeBackupEffect(records[2*run].Effect)
		must(t, err)
		ended, err := format.DecodeBackupEffect(records[2*run+1].Effect)
		must(t, err)
		want := format.BackupEffect{First: r.First, End: r.End, Size: r.Size, Digest: r.Digest, Begun: records[2*run].Sequence}
		if begun.Whole() || begun.First != r.First || ended != want || records[2*run+1].Sequence != r.Sequence {
			t.Errorf("run %d: began %+v, ended %+v, want %+v", run, begun, ended, want)
		}
		row, overdue, err := h.st.LastBackup()
		if err != nil || overdue || row.End != r.End {
			t.Errorf("the newest backup: %+v, %v, %v", row, overdue, err)
		}
	}
	if v := h.verifyBackup(dir); v.Bundles != 6 || v.Ended != 0 {
		t.Errorf("%+v", v)
	}
	h.advance(26 * time.Hour)
	if _, overdue, err := h.st.LastBackup(); err != nil || !overdue {
		t.Errorf("after 26 hours: overdue %v, %v", overdue, err)
	}
	status, err := sagov1.NewClusterServiceClient(h.as("admin0")).Status(limited(t), &sagov1.ClusterServiceStatusRequest{})
	must(t, err)
	if !status.GetBackupOverdue() || status.GetLastBackup().GetEnd() == 0 {
		t.Errorf("status: %v", status)
	}
}

// TestP34_WhatEndsUnderABackupIsNotInIt: a bundle that is erased while its chunks
// leave is left out, and the records behind the payload say so.
func TestP34_WhatEndsUnderABackupIsNotInIt(t *testing.T) {
	h := newHouse(t)
	h.put("app", "STAYS", "P5Y", []byte("stays"))
	h.put("app", "GOES", "PT1M", []byte("goes"))
	h.put("app", "STAYS2", "P5Y", []byte("stays as well"))
	h.begin()
	n := 0
	var fetch func()
	fetch = func() {
		if n++; n == 1 {
			h.fetching.Store(&fetch)
			return
		}
		h.advance(2 * time.Minute)
		h.sweep()
		h.erase()
	}
	h.fetching.Store(&fetch)
	dir := filepath.Join(t.TempDir(), "b")
	r, err := h.client("admin0").Backup(limited(t), client.BackupOptions{Dir: dir})
	must(t, err)
	if v := h.verifyBackup(dir); v.Bundles != 2 || r.Bundles != 2 || len(v.Missing) != 0 {
		t.Errorf("%+v, %+v", r, v)
	}
}
