package rules

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the import path of the project.
const Module = "github.com/sago-worm/sago"

// Source is one parsed Go file.
type Source struct {
	Path      string // relative to the root, with slashes
	Text      string
	Generated bool
	ast       *ast.File
	fset      *token.FileSet
}

// Tree is what the rules look at.
type Tree struct {
	Sources []Source
	Texts   map[string]string // every other text file by path: documents, protos, scripts, Makefile, go.mod
	Stories []string          // paths of testdata/*.txtar
}

// Finding is one violation of a rule.
type Finding struct {
	Path string
	Line int // 0: the whole file
	Text string
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text) }

// Parse reads one Go file. It fails on text that is no Go.
func Parse(name, text string) (Source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return Source{}, fmt.Errorf("parse: %w", err)
	}
	return Source{Path: name, Text: text, Generated: ast.IsGenerated(file), ast: file, fset: fset}, nil
}

// Load reads the tree under root. Folders that hold no source of ours (dot folders, build output) are left out.
func Load(root string) (Tree, error) {
	tree := Tree{Texts: map[string]string{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (rel == "bin" || rel == "dist" || strings.HasPrefix(d.Name(), ".") && rel != ".ci") {
				return fs.SkipDir
			}
			return nil
		}
		return tree.read(name, rel)
	})
	return tree, err
}

// read adds one file to the tree.
func (t *Tree) read(name, rel string) error {
	ext := path.Ext(rel)
	inTestdata := slices.Contains(strings.Split(rel, "/"), "testdata")
	switch {
	case ext == ".txtar":
		t.Stories = append(t.Stories, rel)
		return nil
	case inTestdata:
		return nil
	case ext != ".go" && !isText(rel):
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if ext != ".go" {
		t.Texts[rel] = string(text)
		return nil
	}
	src, err := Parse(rel, string(text))
	if err != nil {
		return err
	}
	t.Sources = append(t.Sources, src)
	return nil
}

func isText(rel string) bool {
	return slices.Contains([]string{".md", ".proto", ".sh", ".yaml", ".mod"}, path.Ext(rel)) ||
		slices.Contains([]string{"Makefile", ".ci/run"}, rel)
}

// Dir is the folder of the file, which is also its package's path below the module.
func (s Source) Dir() string { return path.Dir(s.Path) }

// Test says whether the file is compiled only for tests.
func (s Source) Test() bool { return strings.HasSuffix(s.Path, "_test.go") }

func (s Source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

func (s Source) at(n ast.Node, format string, args ...any) Finding {
	return Finding{s.Path, s.line(n), fmt.Sprintf(format, args...)}
}

// imports lists the file's import paths with the name each has in the file.
func (s Source) imports() map[string]string {
	names := map[string]string{}
	for _, spec := range s.ast.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[p] = name
	}
	return names
}

// names says whether the identifier is the file's name for an imported package.
func (s Source) names(ident string) bool {
	for _, name := range s.imports() {
		if name == ident {
			return true
		}
	}
	return false
}

// uses calls f for every mention of a name of another package: pkg is its import path.
func (s Source) uses(f func(n ast.Node, pkg, name string)) {
	byName := map[string]string{}
	for p, name := range s.imports() {
		byName[name] = p
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && byName[x.Name] != "" {
				f(sel, byName[x.Name], sel.Sel.Name)
			}
		}
		return true
	})
}

// under says whether p is dir or lies below it.
func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// packages lists the folders that hold Go files outside tests, in order.
func (t Tree) packages() []string {
	var dirs []string
	for _, s := range t.Sources {
		if !s.Test() && !slices.Contains(dirs, s.Dir()) {
			dirs = append(dirs, s.Dir())
		}
	}
	slices.Sort(dirs)
	return dirs
}
