package timesource

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// The clock that the host shows is not read anywhere in the package, so nothing
// that is done to it can matter.
func TestP01_TheWallClockIsNeverRead(t *testing.T) {
	banned := map[string]bool{
		"time.Now": true, "time.Since": true, "time.Until": true,
		"unix.CLOCK_REALTIME": true, "unix.Gettimeofday": true, "unix.Time": true,
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		seen++
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && banned[x.Name+"."+s.Sel.Name] {
					t.Errorf("%s reads the wall clock: %s.%s", set.Position(n.Pos()), x.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
	if seen < 10 {
		t.Errorf("only %d files were looked at", seen)
	}
}
