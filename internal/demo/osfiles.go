package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/sago-worm/sago/internal/testcluster"
)

// attack is one way to take stored bytes away by the operating system.
type attack struct {
	name string
	do   func(path string) error
}

func attacks() []attack {
	return []attack{
		{"rm", os.Remove},
		{"truncate", func(p string) error { return os.Truncate(p, 0) }},
		{"overwrite", func(p string) error { return writeAt(p, os.O_WRONLY, 0) }},
		{"O_TRUNC", func(p string) error { return writeAt(p, os.O_WRONLY|os.O_TRUNC, 0) }},
		{"dd conv=notrunc", func(p string) error { return writeAt(p, os.O_RDWR, 160) }},
		{"mv", func(p string) error { return os.Rename(p, p+".gone") }},
		{"ln", func(p string) error { return os.Link(p, p+".link") }},
		{"chmod", func(p string) error { return os.Chmod(p, 0o666) }},
	}
}

func writeAt(path string, flags int, offset int64) error {
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("rewritten"), offset)
	return errors.Join(err, f.Close())
}

// deleteFiles attacks the files of a running node as whoever runs the demo.
func (d *demo) deleteFiles(ctx context.Context) error {
	d.title("운영체제로, root로, 파일을 지우려 한다", "deleting the files by the operating system, as root")
	if os.Geteuid() != 0 {
		d.skip("root가 아니면 inode 표시를 걸 수 없다", "inode flags need root", "R1", "R2", "R10")
		return nil
	}
	tries := 0
	for i := range d.c.Size() {
		files, err := d.wormFiles(i)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			d.skip("이 파일 시스템은 inode 표시를 받지 않는다", "this file system takes no inode flags", "R1", "R2", "R10")
			return nil
		}
		for _, f := range files {
			for _, a := range attacks() {
				if err := a.do(f); !errors.Is(err, syscall.EPERM) {
					return fmt.Errorf("%s of %s as root: %v instead of EPERM", a.name, f, err)
				}
				tries++
			}
		}
		if i == 0 {
			for _, f := range files {
				d.figure("%s", filepath.Join(filepath.Base(filepath.Dir(f)), filepath.Base(f)))
			}
		}
	}
	d.say(fmt.Sprintf("노드마다 위 파일에 rm, truncate, dd, mv, ln, chmod: %d번 모두 EPERM", tries),
		fmt.Sprintf("rm, truncate, dd, mv, ln, chmod on these files of each node: %d tries, all EPERM", tries))
	d.say("root는 표시를 끄고 제 노드의 사본을 망가뜨릴 수는 있다; 다른 노드의 사본과 이력은 그러지 못한다",
		"root can take the flags off and ruin this node's copy; not the others' copies, nor hide it")
	d.proves("R10")
	return d.sameDeadline(ctx)
}

// wormFiles are the files of node i that carry an inode flag, of every kind that
// should: payload, history and keys.
func (d *demo) wormFiles(i int) ([]string, error) {
	var files []string
	for _, pattern := range []string{"segments/*.seg", "history/*.his", "keys/*.kb"} {
		all, err := filepath.Glob(filepath.Join(d.c.DataDir(i), pattern))
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s holds no %s", d.c.DataDir(i), pattern)
		}
		slices.Sort(all)
		for _, f := range all {
			p, err := testcluster.ProtectionOf(f)
			if err != nil {
				return nil, err
			}
			if p.AppendOnly || p.Immutable {
				files = append(files, f)
			} else if len(files) > 0 {
				return nil, fmt.Errorf("%s carries no inode flag, others do", f)
			}
		}
	}
	return files, nil
}
