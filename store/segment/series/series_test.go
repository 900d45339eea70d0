package series

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

var errStep = errors.New("this step fails")

// stepFiles fails one kind of call, before or after having done it.
type stepFiles struct {
	dir    string
	fail   string // "create", "append" or "seal"
	after  bool
	sealed []string
}

func (f *stepFiles) step(kind string, do func() error) error {
	if f.fail != kind {
		return do()
	}
	if f.after {
		return errors.Join(do(), errStep)
	}
	return errStep
}

func (f *stepFiles) open(kind, name string, flag int) (file *os.File, err error) {
	err = f.step(kind, func() error {
		var err error
		file, err = os.OpenFile(filepath.Join(f.dir, name), flag|os.O_WRONLY|os.O_APPEND, 0o600)
		return err
	})
	if err != nil && file != nil {
		err = errors.Join(err, file.Close())
	}
	return file, err
}

func (f *stepFiles) Create(name string) (*os.File, error) {
	return f.open("create", name, os.O_CREATE|os.O_EXCL)
}

func (f *stepFiles) Append(name string) (*os.File, error) { return f.open("append", name, 0) }

func (f *stepFiles) Seal(name string) error {
	return f.step("seal", func() error { f.sealed = append(f.sealed, name); return nil })
}

func spec(files *stepFiles, clean bool) Spec {
	return Spec{Dir: files.dir, Folder: "history", Ext: "his", Kind: format.KindHistory, Files: files, MaxFile: 200, Clean: clean}
}

// begin opens a series and resumes it at its size.
func begin(t *testing.T, sp Spec) (*Series, error) {
	t.Helper()
	s, err := Open(sp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Abandon() })
	newest, _ := s.Newest()
	return s, s.Resume(newest.Good, newest.First+7)
}

// Each step of a roll fails twice: not done, and done with an error. Nothing is
// acknowledged afterwards, and the next start has every byte that was.
func TestP51_EachStepOfARollFails(t *testing.T) {
	for _, fail := range []string{"seal", "create"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s after=%v", fail, after), func(t *testing.T) {
				files := &stepFiles{dir: t.TempDir()}
				s, err := begin(t, spec(files, false))
				if err != nil {
					t.Fatal(err)
				}
				kept := []byte("thirty bytes of a first record")
				if _, _, err := s.Append(kept, 0); err != nil {
					t.Fatal(err)
				}
				files.fail, files.after = fail, after
				if _, _, err := s.Append(kept, 1); !errors.Is(err, ErrLatched) || !errors.Is(err, errStep) {
					t.Fatalf("append: %v", err)
				}
				files.fail = ""
				if _, _, err := s.Append(kept, 1); !errors.Is(err, ErrLatched) || s.Sealed(1) {
					t.Fatalf("after the failure: %v", err)
				}
				if err := s.Close(1); !errors.Is(err, ErrLatched) {
					t.Fatalf("close: %v", err)
				}
				if s, err = begin(t, spec(files, false)); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(kept))
				if err := s.ReadAt(1, got, format.FileHeaderSize); err != nil || string(got) != string(kept) {
					t.Fatalf("read %q, %v", got, err)
				}
				if newest, _ := s.Newest(); newest.Number != 2 || !s.Sealed(1) {
					t.Fatalf("newest %+v", newest)
				}
			})
		}
	}
}

func TestSuccessorStatesItsPredecessor(t *testing.T) {
	files := &stepFiles{dir: t.TempDir()}
	s, err := begin(t, spec(files, false))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Append(make([]byte, 50), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Roll(9); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(files.dir, "history/00000002.his"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := format.DecodeFileHeader(format.KindHistory, b)
	if err != nil || h.First != 9 || h.PrevGood != format.FileHeaderSize+50 || h.PrevTorn != sha256.Sum256(nil) {
		t.Fatalf("statement %+v, %v", h, err)
	}
	// What is beyond the stated length is not read, whoever put it there.
	path := filepath.Join(files.dir, "history/00000001.his")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), s.Close(9)); err != nil {
		t.Fatal(err)
	}
	if s, err = begin(t, spec(files, true)); err != nil {
		t.Fatal(err)
	}
	var d *format.DamageError
	if err := s.ReadAt(1, make([]byte, 4), int64(h.PrevGood)); !errors.As(err, &d) {
		t.Fatalf("read beyond the good length: %v", err)
	}
	if err := errors.Join(s.Close(9), os.Truncate(path, int64(h.PrevGood)-1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(spec(files, true)); !errors.As(err, &d) {
		t.Fatalf("a file shorter than stated: %v", err)
	}
}

func TestCleanTailIsNeverCutOff(t *testing.T) {
	files := &stepFiles{dir: t.TempDir()}
	s, err := begin(t, spec(files, false))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Append(make([]byte, 50), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(1); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(spec(files, true)); err != nil {
		t.Fatal(err)
	}
	var d *format.DamageError
	if err := s.Resume(format.FileHeaderSize+20, 1); !errors.As(err, &d) || len(files.sealed) != 0 {
		t.Fatalf("resumed: %v, sealed %v", err, files.sealed)
	}
	if err := s.Abandon(); err != nil {
		t.Fatal(err)
	}
}
