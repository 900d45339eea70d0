package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// apart sees that no node has a file of another one open.
func (d *demo) apart() error {
	files := 0
	for i := range d.c.Size() {
		pid, ok := d.c.Pid(i)
		if !ok {
			return fmt.Errorf("%s does not run", d.c.Name(i))
		}
		open, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
		if err != nil || len(open) == 0 {
			return fmt.Errorf("the open files of %s cannot be seen: %w", d.c.Name(i), err)
		}
		for _, fd := range open {
			path, err := os.Readlink(fd)
			if err != nil {
				continue // closed meanwhile
			}
			for k := range d.c.Size() {
				if k != i && strings.HasPrefix(path, d.c.NodeDir(k)+string(filepath.Separator)) {
					return fmt.Errorf("%s has %s open", d.c.Name(i), path)
				}
			}
			files++
		}
	}
	d.say(fmt.Sprintf("노드마다 제 프로세스, 제 파일, 제 키: 남의 파일을 연 노드가 없다 (열린 파일 %d개)", files),
		fmt.Sprintf("each node has its own process, files and keys: none has another's open (%d open files)", files))
	d.proves("R14")
	d.lacks("R14", "one machine here; hosts of their own are the site's part · 여기서는 한 기계, 따로 된 서버는 설치의 몫")
	return nil
}
