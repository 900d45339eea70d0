package audit

import (
	"strconv"
	"strings"
)

// deepest is how many folders lie between the export and a file of it at most.
const deepest = 10

// walk makes sure that nothing else lies in the export: what no check read must
// not pass for checked.
func (r *run) walk(name string, files expected, depth int) error {
	if depth > deepest {
		return failed(FileExtra, name, "a folder of no part of the export")
	}
	where := name
	if where == "" {
		where = "."
	}
	found, err := r.dir.names(where)
	if err != nil {
		return err
	}
	for _, f := range found {
		path := strings.TrimPrefix(name+"/"+f.Name(), "/")
		switch {
		case f.IsDir():
			err = r.walk(path, files, depth+1)
		case !files.has(path):
			err = failed(FileExtra, path, "it is no part of the export")
		}
		if err != nil {
			return err
		}
	}
	return r.ctx.Err()
}

// expected knows the name of every file that an export must have.
type expected struct {
	tree    bool
	size    uint64
	bundles span
	singles uint64 // records in records/
}

func (e expected) has(path string) bool {
	kind, rest, _ := strings.Cut(path, "/")
	switch {
	case path == manifestName || path == checkpointName || path == readableName:
		return true
	case kind == recordsPrefix || kind == proofsPrefix:
		n, width, ok := parseTile(rest)
		return ok && width == widthOf(n, e.singles)
	case kind == "tile" && e.tree:
		return e.hasTile(rest)
	}
	return false
}

func (e expected) hasTile(path string) bool {
	level, rest, _ := strings.Cut(path, "/")
	n, width, ok := parseTile(rest)
	if level == "entries" {
		return ok && e.bundles.holds(n) && width == widthOf(n, e.size)
	}
	l, err := strconv.ParseUint(level, 10, 3)
	return ok && err == nil && strconv.FormatUint(l, 10) == level && width == widthOf(n, e.size>>(8*l))
}
