package rules

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// allowance names where a guarded call may stand, and why. A pattern is a file (path.Match) or a folder with /... .
type allowance struct{ pattern, why string }

func allowed(list []allowance, file string) bool {
	return slices.ContainsFunc(list, func(a allowance) bool {
		if dir, ok := strings.CutSuffix(a.pattern, "/..."); ok {
			return under(file, dir)
		}
		ok, err := path.Match(a.pattern, file)
		return ok && err == nil
	})
}

// pure says whether the file belongs to a room whose answers must follow from its input alone.
func pure(s Source) bool {
	return slices.ContainsFunc([]string{"retention", "access", "store"}, func(r string) bool { return under(s.Dir(), r) })
}

var (
	wallClock = []string{"Now", "Since", "Until"}
	timers    = []string{"After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
)

// mayReadWallClock is where time.Now and its kin may stand outside tests.
var mayReadWallClock = []allowance{
	{"cmd/...", "logs and time-outs of the programs themselves"},
	{"internal/...", "test and demo programs"},
	{"replication/...", "network deadlines and the intervals of duties; no such reading enters a log entry"},
	{"service/...", "rate limits and intervals; no such reading enters an operation"},
	{"timesource/dev*.go", "the development clock reads the wall clock once, when its directory is created"},
}

// NoWallClock finds readings of the host's clock where retention, order or answers could come to depend on it (I2), and
// timers in the rooms that are pure.
func NoWallClock(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if s.Test() {
			continue
		}
		s.uses(func(n ast.Node, pkg, name string) {
			if pkg != "time" {
				return
			}
			switch {
			case pure(s) && (slices.Contains(timers, name) || slices.Contains(wallClock, name)):
				found = append(found, s.at(n, "time.%s in a pure room", name))
			case slices.Contains(wallClock, name) && !allowed(mayReadWallClock, s.Path):
				found = append(found, s.at(n, "time.%s reads the host's clock: take the quorum clock or an instant as argument", name))
			}
		})
	}
	return found
}

// mayDrawSecrets is where pure rooms may use crypto/rand.
var mayDrawSecrets = []allowance{
	{"store/keyring/...", "data keys are drawn ahead of need, never inside Apply"},
	{"store/keyarchive/...", "an archive's key and shares are drawn as it is written, never inside Apply"},
}

// NoRandomness finds randomness in rooms whose state must be equal on every node (I6).
func NoRandomness(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if s.Test() || !pure(s) {
			continue
		}
		for _, spec := range s.ast.Imports {
			switch p := strings.Trim(spec.Path.Value, `"`); {
			case under(p, "math/rand"), p == "crypto/rand" && !allowed(mayDrawSecrets, s.Path):
				found = append(found, s.at(spec, "%s in a pure room", p))
			}
		}
	}
	return found
}

// removing lists the calls that take bytes or names away.
var removing = map[string][]string{
	"os":                    {"Remove", "RemoveAll", "Truncate", "Rename", "OpenRoot"},
	"syscall":               {"Unlink", "Unlinkat", "Rmdir", "Rename", "Renameat", "Truncate", "Ftruncate", "Fallocate"},
	"golang.org/x/sys/unix": {"Unlink", "Unlinkat", "Rmdir", "Rename", "Renameat", "Renameat2", "Truncate", "Ftruncate", "Fallocate"},
}

// mayRemove is the one list of callers of unlink, truncate, punch and rename outside tests (P21).
var mayRemove = []allowance{
	{"internal/durable/...", "rename is how a small file is replaced in one step"},
	{"store/custodian/destroy.go", "punches what was zeroed under a warrant"},
	{"store/custodian/remove.go", "unlinks sealed files that are empty, what never came into place, and the index"},
	{"store/custodian/custodian.go", "a whole file takes its name once it is on disk"},
	{"store/custodian/flags.go", "the file on which it tries the flags"},
	{"store/custodian/interface.go", "a data directory that may not be used again is put aside, whole"},
	{"store/custodian/aside.go", "what was put aside, once its incarnation is gone"},
	{"store/custodian/reserve.go", "the reserve's own file of blocks gives them up and takes them back"},
	{"store/custodian/rewrap.go", "a key block and its successor exchange names once the new one was read back"},
	{"cmd/sagod/custodian.go", "the socket of a custodian that was killed"},
	{"timesource/development.go", "replaces the development clock's one small file; timesource knows no room of ours"},
	{"replication/data.go", "a data directory that may not be used again is put aside, whole, under another name"},
	{"replication/restore.go", "a restored data directory takes its name only once it is whole"},
	{"cmd/sago/target.go", "a read document takes its name only after its fingerprint verified; what did not verify goes"},
	{"service/client/export*.go", "a file of an export takes its name only once it verified; lines beyond what is whole are cut off"},
	{"store/backup/...", "a file of a backup takes its name only once it verified"},
	{"cmd/sagod/*remove*.go", "`sagod dev --remove` takes away a development directory"},
	{"internal/mutate/...", "takes away the folder of its overlays"},
	{"internal/demo/...", "takes away its own throw-away cluster"},
	{"internal/testntp/...", "takes away the folder of a time server that it started"},
	{"internal/testcluster/...", "damages and removes what its tests created"},
}

// FewRemovers finds calls that could take away stored bytes outside the named places (I1).
func FewRemovers(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if s.Test() || allowed(mayRemove, s.Path) {
			continue
		}
		s.uses(func(n ast.Node, pkg, name string) {
			if slices.Contains(removing[pkg], name) {
				found = append(found, s.at(n, "%s.%s outside the places that may remove (internal/rules/calls.go)", path.Base(pkg), name))
			}
		})
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && truncatesFile(s, call) {
				found = append(found, s.at(call, "Truncate outside the places that may remove (internal/rules/calls.go)"))
			}
			return true
		})
	}
	return found
}

// truncatesFile recognises file.Truncate(size). Durations and times have a method of that name as well; their argument
// names a unit of package time.
func truncatesFile(s Source, call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Truncate" || len(call.Args) != 1 {
		return false
	}
	if x, ok := sel.X.(*ast.Ident); ok && s.names(x.Name) {
		return false // a function of a package: judged by its import path
	}
	ofTime := false
	ast.Inspect(call.Args[0], func(n ast.Node) bool {
		if x, ok := n.(*ast.Ident); ok && x.Name == "time" {
			ofTime = true
		}
		return true
	})
	return !ofTime
}

// writingRaw lists calls that overwrite a file without any promise about a power cut.
var writingRaw = []string{"WriteFile", "Create", "O_TRUNC"}

// NoRawWrites finds state files written past internal/durable.
func NoRawWrites(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if s.Test() || !(under(s.Dir(), "store") || under(s.Dir(), "replication")) {
			continue
		}
		s.uses(func(n ast.Node, pkg, name string) {
			if pkg == "os" && slices.Contains(writingRaw, name) {
				found = append(found, s.at(n, "os.%s on state: use internal/durable", name))
			}
		})
	}
	return found
}
