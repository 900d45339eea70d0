package backup

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// part is a file that is being written and has no name yet.
type part struct {
	d      *Dir
	f      *os.File
	w      *bufio.Writer
	header format.FileHeader
	size   int64 // bytes so far
}

func (d *Dir) begin(h format.FileHeader) (*part, error) {
	p, err := d.beginBare()
	if err != nil {
		return nil, err
	}
	p.header = h
	p.header.Cluster = d.cluster
	return p, p.add(make([]byte, format.FileHeaderSize))
}

// beginBare begins a file whose header comes with its bytes.
func (d *Dir) beginBare() (*part, error) {
	if err := durable.Remove(d.at(partFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := durable.CreateExclusive(d.at(partFile), os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &part{d: d, f: f, w: bufio.NewWriterSize(f, 256<<10)}, nil
}

func (p *part) add(b []byte) error {
	n, err := p.w.Write(b)
	p.size += int64(n)
	return err
}

// publish gives the file its name, once it is on disk.
func (p *part) publish(name string, end uint64) error {
	p.header.Number = end
	err := p.w.Flush()
	if err == nil {
		_, err = p.f.WriteAt(p.header.Encode(), 0)
	}
	if err != nil {
		return errors.Join(err, p.f.Close())
	}
	return p.name(name)
}

// name gives a file that is written its name, once it is on disk.
func (p *part) name(name string) error {
	err := p.f.Sync()
	if err = errors.Join(err, p.f.Close()); err != nil {
		return err
	}
	folder := filepath.Dir(p.d.at(name))
	if err := os.Mkdir(folder, 0o700); err == nil {
		err = durable.SyncDir(p.d.path)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(p.d.at(partFile), p.d.at(name)); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(folder), durable.SyncDir(p.d.path))
}

// Drop gives up what was not published.
func (p *part) Drop() error { return p.f.Close() }
