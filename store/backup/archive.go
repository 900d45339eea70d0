package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
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

// Archives are the key archives that belong here, by the sequences of their BACKUP
// records, ascending: those that the manifest names, and where it names none all that
// are here. What a run that was cut left, or somebody else put here, is passed over.
func (d *Dir) Archives() []uint64 {
	if d.run == nil || len(d.run.Keys) == 0 {
		return d.archives
	}
	out := make([]uint64, len(d.run.Keys))
	for i, a := range d.run.Keys {
		out[i] = a.Sequence
	}
	return out
}

// Archive reads a whole key archive and checks what can be checked without a key:
// that it is as it was written, and as the manifest says where that names it. What
// is not is a *format.DamageError.
func (d *Dir) Archive(sequence uint64) (*keyarchive.Archive, error) {
	a, named, err := d.readArchive(sequence)
	if err != nil || d.run == nil {
		return a, err
	}
	for _, k := range d.run.Keys {
		if k.Sequence == sequence && k != named {
			return nil, d.damage(archiveName(sequence), -1, "key archive", errNotNamed)
		}
	}
	return a, nil
}

func (d *Dir) readArchive(sequence uint64) (a *keyarchive.Archive, named KeyArchive, err error) {
	f, err := os.Open(d.at(archiveName(sequence)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, named, d.damage(archiveName(sequence), -1, "key archive", errors.New("it is missing"))
	}
	if err != nil {
		return nil, named, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return d.checkArchive(sequence, f)
}

func (d *Dir) checkArchive(sequence uint64, r io.Reader) (*keyarchive.Archive, KeyArchive, error) {
	sum := sha256.New()
	a, err := keyarchive.Check(io.TeeReader(r, sum))
	if err == nil && (a.Cluster != d.cluster || a.Sequence != sequence) {
		err = fmt.Errorf("archive %d of cluster %x", a.Sequence, a.Cluster[:])
	}
	if err != nil {
		return nil, KeyArchive{}, d.damage(archiveName(sequence), -1, "key archive", err)
	}
	return a, KeyArchive{a.Sequence, a.From, a.Period, format.Digest(sum.Sum(nil))}, nil
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

// verifyArchives reads every key archive that belongs here.
func (d *Dir) verifyArchives(ctx context.Context) error {
	for _, sequence := range d.Archives() {
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

// Publish gives the archive its name once it is on disk, whole, that of this BACKUP
// record, and taken by check. lacking are STORE records, ascending, whose keys no
// node had. The error wraps ErrMismatch for anything else, or is check's.
func (w *ArchiveWriter) Publish(sequence uint64, lacking []uint64, check func(head format.ArchiveHead, keys uint64) error) error {
	d := w.d
	a, named, err := w.whole(sequence)
	if n := d.newestNamed(); err == nil && n >= sequence {
		err = fmt.Errorf("%w: archive %d comes behind %d", ErrMismatch, sequence, n)
	}
	if err == nil {
		err = check(a.ArchiveHead, a.End.Entries)
	}
	if err != nil {
		return errors.Join(err, w.f.Close())
	}
	if err := w.name(archiveName(sequence)); err != nil {
		return err
	}
	if at, found := slices.BinarySearch(d.archives, sequence); !found {
		d.archives = slices.Insert(d.archives, at, sequence)
	}
	d.brought, d.lacking = &named, lacking
	return nil
}

// whole reads what was written again.
func (w *ArchiveWriter) whole(sequence uint64) (*keyarchive.Archive, KeyArchive, error) {
	if err := w.w.Flush(); err != nil {
		return nil, KeyArchive{}, err
	}
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return nil, KeyArchive{}, err
	}
	a, named, err := w.d.checkArchive(sequence, w.f)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return a, named, err
}
