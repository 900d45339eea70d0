package timesource

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func never(t *testing.T) func() time.Time {
	return func() time.Time { t.Error("read"); return time.Time{} }
}

func at(d time.Time) func() time.Time { return func() time.Time { return d } }

func developmentNow(t *testing.T, d *Development, boot int64) time.Time {
	t.Helper()
	d.clock = func() (stamp, error) { return stamp{boot: boot, raw: boot}, nil }
	r, err := d.Now()
	if err != nil || r.Status != Synchronized || !r.Development || !r.Earliest.Equal(r.Latest) || r.Boot.Reading != boot {
		t.Fatalf("%+v %v", r, err)
	}
	return r.Earliest
}

func TestDevelopmentReadsTheWallOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	boot := Boot{ID: [16]byte{1}, Reading: int64(100 * time.Second)}
	open := func(boot Boot, wall, tick func() time.Time) *Development {
		t.Helper()
		d, err := openDevelopment(path, boot, wall, tick)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open(boot, at(newYear), never(t))
	if now := developmentNow(t, d, int64(160*time.Second)); !now.Equal(newYear.Add(time.Minute)) {
		t.Errorf("a minute later it is %v", now)
	}
	// The process starts again: exactly on.
	boot.Reading = int64(3700 * time.Second)
	d = open(boot, never(t), never(t))
	if now := developmentNow(t, d, boot.Reading); !now.Equal(newYear.Add(time.Hour)) {
		t.Errorf("after a restart it is %v", now)
	}
	// The machine starts again: from the last tick, without the outage.
	tick := newYear.Add(50 * time.Minute)
	d = open(Boot{ID: [16]byte{2}, Reading: 5}, never(t), at(tick))
	if now := developmentNow(t, d, 5); !now.Equal(tick) {
		t.Errorf("after a reboot it is %v", now)
	}
	// Once more, with a last tick that has been lost: not below the file.
	d = open(Boot{ID: [16]byte{3}, Reading: 9}, never(t), at(time.Time{}))
	if now := developmentNow(t, d, 9); !now.Equal(tick) {
		t.Errorf("after another reboot it is %v", now)
	}
	// A boot clock behind the file's under the same id is another machine's state.
	d = open(Boot{ID: [16]byte{3}, Reading: 1}, never(t), at(tick))
	if now := developmentNow(t, d, 1); !now.Equal(tick) {
		t.Errorf("after a rolled back machine it is %v", now)
	}
	if d.Report().Reason != "development clock, not for production" {
		t.Errorf("report %+v", d.Report())
	}
}

func TestDevelopmentRefusesABrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	for _, text := range []string{"", "{}", "not json", `{"boot_id":"ab","boot_reading_ns":1,"time":"2027-01-01T00:00:00Z"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDevelopment(path, never(t), never(t)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestReadBootIsThisMachines(t *testing.T) {
	a, err := ReadBoot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadBoot()
	if err != nil {
		t.Fatal(err)
	}
	if a.ID != b.ID || a.ID == [16]byte{} || b.Reading <= a.Reading || b.Raw <= a.Raw {
		t.Errorf("%+v then %+v", a, b)
	}
}

func TestShiftedTimeNamespaceIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offsets")
	for text, shifted := range map[string]bool{
		"monotonic           0         0\nboottime            0         0\n": false,
		"monotonic           0         0\nboottime       864000         0\n": true,
		"monotonic           0         1\nboottime            0         0\n": true,
		"monotonic 0\n": true,
		"":              false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkTimeNamespace(path); errors.Is(err, ErrTimeNamespace) != shifted {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := checkTimeNamespace(path + ".none"); err != nil {
		t.Errorf("a kernel without time namespaces: %v", err)
	}
}
