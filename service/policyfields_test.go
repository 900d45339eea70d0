package service

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestThePolicySaysWhenABackupIsOverdue in whatever order it is set beside witnesses.
func TestThePolicySaysWhenABackupIsOverdue(t *testing.T) {
	p, err := changedPolicy(format.Policy{Version: 1}, map[string]string{"backup_hours": "0", "witnesses": ""})
	if err != nil || p.BackupWithin() != 0 || p.Check(nil) != nil {
		t.Errorf("%+v: %v", p, err)
	}
	if p, err = changedPolicy(p, map[string]string{"backup_hours": "49"}); err != nil || p.BackupWithin() != 49 {
		t.Errorf("%+v: %v", p, err)
	}
	if _, err = changedPolicy(p, map[string]string{"backup_hours": "a day"}); err == nil {
		t.Error("a day is no number of hours")
	}
}
