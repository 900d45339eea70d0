package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestTheLeastLimitOfTheGroupsCounts(t *testing.T) {
	for name, c := range map[string]struct {
		groups string
		files  map[string]string
		want   int64
	}{
		"none":      {"0::/\n", nil, math.MaxInt64},
		"no groups": {"", nil, math.MaxInt64},
		"unit": {"0::/system.slice/sagod.service\n", map[string]string{
			"system.slice/sagod.service/memory.max": "1000000\n", "system.slice/memory.max": "max\n"}, 1_000_000},
		"slice": {"0::/system.slice/sagod.service\n", map[string]string{
			"system.slice/sagod.service/memory.max": "max\n", "system.slice/memory.max": "2000\n"}, 2000},
		"version 1": {"5:devices:/a\n4:cpu,memory:/b/c\n0::/\n", map[string]string{
			"memory/b/memory.limit_in_bytes": "3000\n", "memory/a/memory.limit_in_bytes": "1\n",
			"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 3000},
		"strange": {"x\n0::../../etc\n", map[string]string{"etc/memory.max": "-\n"}, math.MaxInt64},
	} {
		root := t.TempDir()
		put := func(name, content string) {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put("proc/self/cgroup", c.groups)
		for file, content := range c.files {
			put(filepath.Join("sys/fs/cgroup", file), content)
		}
		if got := groupLimit(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
