package forensic

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// checkOut refuses to write to what is searched.
func checkOut(in Input) error {
	if in.Out == "" {
		return nil
	}
	out, err := filepath.Abs(in.Out)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrInput, err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(out))
	if err != nil {
		return fmt.Errorf("%w: %v", ErrInput, err)
	}
	for _, p := range in.Paths {
		searched, err := filepath.Abs(p)
		if err == nil {
			searched, err = filepath.EvalSymlinks(searched)
		}
		if rel, relErr := filepath.Rel(searched, parent); err == nil && relErr == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("%w: %s lies in %s, which is searched and never written to", ErrInput, in.Out, p)
		}
	}
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s is there already", ErrInput, in.Out)
	}
	return nil
}

// output takes a bundle's plain bytes, document after document, hashes them, and
// writes them if that was asked for.
type output struct {
	dir       string // empty: nothing is written
	described *format.Description
	document  int
	left      uint64
	sum       hash.Hash
	file      io.WriteCloser
	digests   []format.Digest
}

func (s *search) newOutput(t target, d *format.Description) (*output, error) {
	o := &output{described: d}
	if s.in.Out == "" {
		return o, nil
	}
	o.dir = filepath.Join(s.in.Out, fmt.Sprintf("%d-%s", t.Institution, strings.ReplaceAll(t.Slot.String(), "/", "-")))
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("forensic: %w", err)
	}
	if d == nil {
		return o, nil
	}
	text, err := json.MarshalIndent(d.Documents, "", " ")
	if err != nil {
		return nil, fmt.Errorf("forensic: %w", err)
	}
	return o, o.put("documents.json", text)
}

func (o *output) create(name string) (io.WriteCloser, error) {
	if o.dir == "" {
		return nopCloser{io.Discard}, nil
	}
	f, err := os.OpenFile(filepath.Join(o.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("forensic: %w", err)
	}
	return f, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (o *output) put(name string, b []byte) error {
	f, err := o.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// parts writes single chunks, where not all of them opened.
func (o *output) parts(opens map[uint32]chunkCopy, plain func(uint32, chunkCopy) []byte) (string, error) {
	for n, c := range opens {
		if err := o.put(fmt.Sprintf("chunk-%03d", n), plain(n, c)); err != nil {
			return "", err
		}
	}
	return o.dir, nil
}

// write takes the next plain bytes; what stands behind the last document is the
// description.
func (o *output) write(b []byte) error {
	for len(b) > 0 || o.file != nil && o.left == 0 {
		if err := o.next(); err != nil || o.file == nil {
			return err
		}
		n := min(uint64(len(b)), o.left)
		o.sum.Write(b[:n])
		if _, err := o.file.Write(b[:n]); err != nil {
			return fmt.Errorf("forensic: %w", err)
		}
		o.left -= n
		b = b[n:]
	}
	return nil
}

// next ends the document that is complete and begins the one after it; documents
// may be empty.
func (o *output) next() error {
	for o.left == 0 {
		if o.file != nil {
			o.digests = append(o.digests, format.Digest(o.sum.Sum(nil)))
			if err := o.file.Close(); err != nil {
				return fmt.Errorf("forensic: %w", err)
			}
			o.file = nil
		}
		if o.document == len(o.described.Documents) {
			return nil
		}
		o.left, o.sum = o.described.Documents[o.document].Size, sha256.New()
		o.document++
		f, err := o.create(fmt.Sprintf("document-%03d", o.document))
		if err != nil {
			return err
		}
		o.file = f
	}
	return nil
}

// finish answers what the documents are, by their own bytes.
func (o *output) finish() (documents []Document, fingerprint format.Digest, err error) {
	if err := o.next(); err != nil {
		return nil, fingerprint, err
	}
	for i, d := range o.digests {
		documents = append(documents, Document{o.described.Documents[i].Size, hex.EncodeToString(d[:])})
	}
	if len(o.digests) < len(o.described.Documents) {
		return nil, fingerprint, o.file.Close()
	}
	return documents, format.Fingerprint(o.digests), nil
}
