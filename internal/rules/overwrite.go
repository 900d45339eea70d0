package rules

import (
	"go/ast"
	"path"
	"slices"
)

// overwriting lists what changes bytes that a file already has, or gets hold of the means to.
var overwriting = map[string][]string{
	"os":                        {"O_RDWR"},
	"syscall":                   {"O_RDWR", "Pwrite", "Mmap"},
	"golang.org/x/sys/unix":     {"O_RDWR", "Pwrite", "Pwritev", "Pwritev2", "Mmap", "CopyFileRange", "IoctlFileClone", "IoctlFileCloneRange"},
	Module + "/store/keyring":   {"ErasedSlot"},
	Module + "/store/custodian": {"DestroyAside", "ClearTree"},
}

// mayOverwrite is the one list of callers of what overwrites, outside tests (P21): a key slot, payload, or a file that is
// derived or small.
var mayOverwrite = []allowance{
	{"store/custodian/destroy.go", "the one function that destroys: key slots and ranges of sealed files"},
	{"store/custodian/custodian.go", "mends a damaged key slot or header"},
	{"store/custodian/flags.go", "the one descriptor that can overwrite, inside those"},
	{"store/custodian/remove.go", "wipes what never came into place, and the index"},
	{"store/custodian/interface.go", "a directory that was put aside, by its function"},
	{"store/custodian/serveraside.go", "a directory that was put aside, once its incarnation is gone"},
	{"store/backup/*.go", "a backup's own files, at the client: parts that grow, and what has ended since is zeroed"},
	{"store/restore.go", "a data directory that a restore could not finish, by the custodian's function"},
	{"store/custodian/reserve.go", "the reserve's own file, which holds nothing"},
	{"store/keyring/secret.go", "memory that holds a key; no file is mapped"},
	{"replication/rootkey.go", "zeroes a root key that was replaced"},
	{"store/keyring/keyring.go", "a block that comes in with slots that were erased elsewhere"},
	{"store/history/tree.go", "the tree's hashes, derived from the records"},
	{"store/history/places.go", "where records are, derived from the files"},
	{"store/index/*.go", "bbolt's files, which can be built again"},
	{"service/sink/file.go", "reads what it appended, to go on from there"},
	{"service/client/exportlines.go", "an export's file of lines, at the client"},
	{"service/client/filememory.go", "a lock"},
	{"audit/witness/witness.go", "a lock"},
	{"cmd/sagod/unit.go", "a lock"},
	{"cmd/sagod/devremove.go", "`sagod dev --remove` takes away a development directory"},
	{"internal/testcluster/...", "damages what its tests created"},
	{"internal/demo/...", "tries in vain to overwrite its own throw-away cluster"},
}

// FewOverwriters finds what could change stored bytes in place outside the named places (I1).
func FewOverwriters(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if s.Test() || allowed(mayOverwrite, s.Path) {
			continue
		}
		s.uses(func(n ast.Node, pkg, name string) {
			if slices.Contains(overwriting[pkg], name) {
				found = append(found, s.at(n, "%s.%s outside the places that may overwrite (internal/rules/overwrite.go)", path.Base(pkg), name))
			}
		})
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && writesAt(call) {
				found = append(found, s.at(call, "WriteAt outside the places that may overwrite (internal/rules/overwrite.go)"))
			}
			return true
		})
	}
	return found
}

// writesAt recognises file.WriteAt(bytes, offset).
func writesAt(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "WriteAt" && len(call.Args) == 2
}
