package timesource

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Development is the clock of `sagod dev`: one reading of the wall clock at its
// creation and the boot clock from then on. It is never for production. It does
// not change after OpenDevelopment.
type Development struct {
	bootID [16]byte
	anchor stamp
	base   time.Time
	clock  func() (stamp, error)
}

// developmentFile is the clock's file: what time it was at which boot reading.
type developmentFile struct {
	BootID  string    `json:"boot_id"`
	Reading int64     `json:"boot_reading_ns"`
	Time    time.Time `json:"time"`
}

// OpenDevelopment opens the clock whose state is in the file at path. Where there
// is none it reads wall once and creates it. In the same boot the clock goes on
// exactly by the boot clock; in a new boot from the later of the file's time and
// lastTick, so that a reboot is lag, never a jump. A file that cannot be read as
// written is an error, as is a clock that ReadBoot refuses.
func OpenDevelopment(path string, wall func() time.Time, lastTick func() time.Time) (*Development, error) {
	boot, err := ReadBoot()
	if err != nil {
		return nil, err
	}
	return openDevelopment(path, boot, wall, lastTick)
}

func openDevelopment(path string, boot Boot, wall, lastTick func() time.Time) (*Development, error) {
	d := &Development{
		bootID: boot.ID, anchor: stamp{boot: boot.Reading, raw: boot.Raw}, clock: readStamp,
	}
	state, err := readDevelopment(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.base = wall().UTC().Truncate(time.Microsecond)
	case err != nil:
		return nil, err
	case state.BootID == hex.EncodeToString(boot.ID[:]) && boot.Reading >= state.Reading:
		d.base = state.Time.Add(time.Duration(boot.Reading - state.Reading))
		return d, nil
	default:
		d.base = state.Time
		if tick := lastTick(); tick.After(d.base) {
			d.base = tick.UTC().Truncate(time.Microsecond)
		}
	}
	err = writeDevelopment(path, developmentFile{
		BootID: hex.EncodeToString(boot.ID[:]), Reading: boot.Reading, Time: d.base,
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func readDevelopment(path string) (f developmentFile, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return f, fmt.Errorf("timesource: development clock: %w", err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("timesource: development clock %s: %w", path, err)
	}
	if len(f.BootID) != 32 || f.Reading < 0 || f.Time.IsZero() {
		return f, fmt.Errorf("timesource: development clock %s is incomplete", path)
	}
	return f, nil
}

// writeDevelopment replaces the file so that a power cut leaves the old or the new.
func writeDevelopment(path string, f developmentFile) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("timesource: development clock: %w", err)
		}
	}()
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := writeSynced(temporary, append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Now returns the development time as an interval without width. Its status is
// always Synchronized; it fails only when the kernel's clocks cannot be read.
func (d *Development) Now() (Reading, error) {
	at, err := d.clock()
	if err != nil {
		return Reading{Status: Fault, Development: true}, err
	}
	now := d.base.Add(time.Duration(max(at.boot-d.anchor.boot, 0))).Truncate(time.Microsecond)
	return Reading{
		Earliest: now, Latest: now, Status: Synchronized, Development: true,
		Boot: Boot{ID: d.bootID, Reading: at.boot, Raw: at.raw},
	}, nil
}

// Report says that this is the development clock.
func (d *Development) Report() Report {
	reading, err := d.Now()
	report := Report{Reading: reading, Reason: "development clock, not for production"}
	if err != nil {
		report.Reason = err.Error()
	}
	return report
}
