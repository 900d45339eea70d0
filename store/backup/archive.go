package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

func archiveName(sequence uint64) string { return fmt.Sprintf("%s/%020d", archiveDir, sequence) }

// listArchives lists the key archives by their names, ascending.
func (d *Dir) listArchives() (out []uint64, err error) {
	entries, err := os.ReadDir(d.at(archiveDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		sequence, err := strconv.ParseUint(e.Name(), 10, 64)
		if err != nil || archiveDir+"/"+e.Name() != archiveName(sequence) {
			return nil, d.damage(archiveDir, -1, "files", fmt.Errorf("%q is no name of a backup", e.Name()))
		}
		out = append(out, sequence)
	}
	if d.run != nil && uint64(len(out)) < d.run.Archives {
		return nil, d.damage(archiveDir, -1, "files", fmt.Errorf("%d key archives are here, %d belong here", len(out), d.run.Archives))
	}
	return out, nil
}

// Archives are the key archives that are here, by the sequences of their BACKUP
// records, ascending.
func (d *Dir) Archives() []uint64 { return d.archives }

// NewestArchive is the newest key archive's period and sequence; zero when there
// is none.
func (d *Dir) NewestArchive() (period format.ID, sequence uint64, err error) {
	if len(d.archives) == 0 {
		return period, 0, nil
	}
	sequence = d.archives[len(d.archives)-1]
	a, err := d.Archive(sequence)
	if err != nil {
		return period, 0, err
	}
	return a.Period, sequence, nil
}

// Archive reads a whole key archive and checks what can be checked without a key;
// what is not as it was written is a *format.DamageError.
func (d *Dir) Archive(sequence uint64) (a *keyarchive.Archive, err error) {
	f, err := os.Open(d.at(archiveName(sequence)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return d.checkArchive(sequence, f)
}

func (d *Dir) checkArchive(sequence uint64, r io.Reader) (*keyarchive.Archive, error) {
	a, err := keyarchive.Check(r)
	if err == nil && (a.Cluster != d.cluster || a.Sequence != sequence) {
		err = fmt.Errorf("archive %d of cluster %x", a.Sequence, a.Cluster[:])
	}
	if err != nil {
		return nil, d.damage(archiveName(sequence), -1, "key archive", err)
	}
	return a, nil
}

// OpenArchive tells each of the data keys in an archive that was read before,
// opened with the archive's key. each wipes what it is given.
func (d *Dir) OpenArchive(a *keyarchive.Archive, key [32]byte, each func(slot format.Slot, key [32]byte) error) (err error) {
	defer clear(key[:])
	f, err := os.Open(d.at(archiveName(a.Sequence)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return a.Open(f, key, each)
}

// verifyArchives reads every key archive that the manifest counts.
func (d *Dir) verifyArchives(ctx context.Context) error {
	for _, sequence := range d.archives {
		if _, err := d.Archive(sequence); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// ArchiveWriter takes in the bytes of a key archive.
type ArchiveWriter struct{ *part }

// NewArchive begins a key archive.
func (d *Dir) NewArchive() (*ArchiveWriter, error) {
	p, err := d.beginBare()
	if err != nil {
		return nil, err
	}
	return &ArchiveWriter{p}, nil
}

// Add takes in further bytes.
func (w *ArchiveWriter) Add(b []byte) error { return w.add(b) }

// Publish gives the archive its name once it is on disk, whole and that of this
// BACKUP record. The error wraps ErrMismatch for anything else.
func (w *ArchiveWriter) Publish(sequence uint64) error {
	d := w.d
	err := w.w.Flush()
	if err == nil {
		_, err = w.f.Seek(0, io.SeekStart)
	}
	if err == nil {
		if _, err = d.checkArchive(sequence, w.f); err != nil {
			err = fmt.Errorf("%w: %w", ErrMismatch, err)
		}
	}
	if n := len(d.archives); err == nil && n > 0 && d.archives[n-1] >= sequence {
		err = fmt.Errorf("%w: archive %d comes behind %d", ErrMismatch, sequence, d.archives[n-1])
	}
	if err != nil {
		return errors.Join(err, w.f.Close())
	}
	if err := w.name(archiveName(sequence)); err != nil {
		return err
	}
	d.archives = append(d.archives, sequence)
	return nil
}
