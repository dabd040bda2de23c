package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of the library's module; the packages of the other modules
// are below it as well.
const module = "github.com/lightningdb/lightning"

// The other modules whose rules are here: the program and the torture harness.
const (
	programDir = "cmd/lightning"
	harnessDir = "internal/torture"
)

// source is one Go file of the repository, of any platform.
type source struct {
	name   string // from the root of the repository, with slashes
	pkg    string // its directory; "." for the root package
	test   bool
	syntax *ast.File
	files  *token.FileSet
	lines  int
	code   int // lines that are neither blank nor only a comment
}

// repository parses all Go files of the three modules.
func repository(t *testing.T) []*source {
	t.Helper()
	root := filepath.Join("..", "..")
	var sources []*source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			return skipDir(root, relative)
		}
		if !strings.HasSuffix(relative, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		parsed, err := parse(relative, string(text))
		sources = append(sources, parsed)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) == 0 {
		t.Fatal("no Go files found")
	}
	return sources
}

// skipDir leaves out what Go leaves out, and other modules.
func skipDir(root, relative string) error {
	base := path.Base(relative)
	hidden := relative != "." && (base[0] == '.' || base[0] == '_')
	_, err := os.Stat(filepath.Join(root, relative, "go.mod"))
	otherModule := err == nil && !slices.Contains([]string{".", programDir, harnessDir}, relative)
	if hidden || otherModule || base == "testdata" {
		return filepath.SkipDir
	}
	return nil
}

func parse(name, text string) (*source, error) {
	files := token.NewFileSet()
	syntax, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return &source{
		name:   name,
		pkg:    path.Dir(name),
		test:   strings.HasSuffix(name, "_test.go"),
		syntax: syntax,
		files:  files,
		lines:  strings.Count(text, "\n"),
		code:   codeLines(text),
	}, err
}

// inProgram reports whether the file belongs to the program's module.
func (s *source) inProgram() bool { return within(s.pkg, programDir) }

// within reports whether a package is in a directory or below it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

func (s *source) line(at token.Pos) int { return s.files.Position(at).Line }

// imported is one import of a file.
type imported struct {
	path string
	name string // under which the file knows it
	line int
}

func (s *source) imports() []imported {
	var found []imported
	for _, spec := range s.syntax.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it
		}
		name := path.Base(importPath)
		if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(importPath))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		found = append(found, imported{importPath, name, s.line(spec.Pos())})
	}
	return found
}

// packages returns the directories that hold non-test code, sorted.
func packages(sources []*source) []string {
	var found []string
	for _, s := range sources {
		if !s.test {
			found = append(found, s.pkg)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
