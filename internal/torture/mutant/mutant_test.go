package mutant

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the root of the repository, seen from this package.
var root = filepath.Join("..", "..", "..")

func readSource(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMutantsFit proves that each mutant can be made of the source as it is.
func TestMutantsFit(t *testing.T) {
	names := map[string]bool{}
	for _, m := range All() {
		if names[m.Name] {
			t.Errorf("%s: there are two of that name", m.Name)
		}
		names[m.Name] = true
		if err := m.check(readSource(t, m.File)); err != nil {
			t.Errorf("%s: %s: %v", m.Name, m.File, err)
		}
	}
	t.Logf("%d mutants", len(names))
}

var wellFormedName = regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)

func (m *Mutant) check(source string) error {
	switch n := strings.Count(source, m.Old); {
	case !wellFormedName.MatchString(m.Name):
		return fmt.Errorf("the name is not of lower-case words with hyphens")
	case n != 1:
		return fmt.Errorf("the old text occurs %d times, not once", n)
	case m.Old == m.New:
		return fmt.Errorf("nothing is changed")
	case m.Breaks == "" || len(m.Suites) == 0:
		return fmt.Errorf("the promise or the suites are missing")
	}
	_, err := parser.ParseFile(token.NewFileSet(), m.File, m.mutate(source), parser.SkipObjectResolution)
	return err
}

func (m *Mutant) mutate(source string) string { return strings.Replace(source, m.Old, m.New, 1) }

// TestSuitesExist finds suites whose package or test is gone. For the torture
// harness, whose tests may stand in any of its packages, a match anywhere will
// do; this package has none.
func TestSuitesExist(t *testing.T) {
	for _, s := range suites(All()) {
		pattern, err := regexp.Compile(s.Run)
		if err != nil {
			t.Errorf("%v: %v", s, err)
			continue
		}
		if !slices.ContainsFunc(testsIn(t, s.Package), pattern.MatchString) {
			t.Errorf("%v: there is no such test", s)
		}
	}
}

// suites returns the distinct suites of a list of mutants.
func suites(list []Mutant) []Suite {
	var all []Suite
	for _, m := range list {
		for _, s := range m.Suites {
			if !slices.ContainsFunc(all, s.equal) {
				all = append(all, s)
			}
		}
	}
	return all
}

func (s Suite) equal(o Suite) bool {
	return s.Package == o.Package && s.Run == o.Run && slices.Equal(s.Args, o.Args)
}

func (s Suite) String() string {
	return strings.Join(append(slices.Clip(s.Args), s.Package, s.Run), " ")
}

// testsIn returns the names of the tests under a package pattern.
func testsIn(t *testing.T, pattern string) []string {
	dir, below := strings.CutSuffix(pattern, "/...")
	dir = filepath.Join(root, filepath.FromSlash(dir))
	var names []string
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != dir && (!below || entry.Name() == "mutant"):
			return filepath.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return names
}

// durableCalls are the methods that make something durable, and the rooms
// whose calls of them each need a mutant.
var (
	durableCalls = []string{"Sync", "SyncData", "SyncDir", "Rename"}
	durableRooms = []string{"internal/engine", "internal/wal", "internal/sstable", "internal/manifest"}
)

// exempt are calls that no test can miss. The text makes the call unique.
var exempt = []struct{ file, text, reason string }{
	{
		"internal/wal/segment.go", "if err = f.Truncate(sizeBytes); err == nil {\n\t\t\terr = f.Sync()",
		"a segment to be recycled may be cut; if a crash takes the cut back, the segment is longer " +
			"than it need be, and holds what no reader takes for its own",
	},
}

// TestEveryDurableCallHasMutant makes sure that no call that makes something
// durable is added without a proof that a test misses it.
func TestEveryDurableCallHasMutant(t *testing.T) {
	found := 0
	for _, room := range durableRooms {
		names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(room), "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no files in %s: %v", room, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file := room + "/" + filepath.Base(name)
			source := readSource(t, file)
			for _, call := range callsIn(t, file, source) {
				found++
				if !covered(file, source, call) {
					t.Errorf("%s:%d: %s has no mutant", file, 1+strings.Count(source[:call.from], "\n"),
						source[call.from:call.to])
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d calls found: the search is broken", found)
	}
	for _, e := range exempt {
		if e.reason == "" || strings.Count(readSource(t, e.file), e.text) != 1 {
			t.Errorf("exemption %q in %s has no reason, or fits nothing", e.text, e.file)
		}
	}
}

// extent is a piece of a source file.
type extent struct{ from, to int }

// callsIn returns where the durable calls stand.
func callsIn(t *testing.T, file, source string) []extent {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var calls []extent
	ast.Inspect(syntax, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains(durableCalls, method.Sel.Name) {
			calls = append(calls, extent{set.Position(call.Pos()).Offset, set.Position(call.End()).Offset})
		}
		return true
	})
	return calls
}

// covered reports whether a mutant changes the call, or an exemption names it.
func covered(file, source string, call extent) bool {
	inside := func(text string) bool {
		at := strings.Index(source, text)
		return at >= 0 && at <= call.from && call.to <= at+len(text)
	}
	for _, m := range All() {
		// A mutant that only moves other steps around the call leaves it as it is.
		if m.File == file && inside(m.Old) && !strings.Contains(m.New, source[call.from:call.to]) {
			return true
		}
	}
	for _, e := range exempt {
		if e.file == file && inside(e.text) {
			return true
		}
	}
	return false
}

// TestChecksNoticeBadMutants breaks each rule about mutants once.
func TestChecksNoticeBadMutants(t *testing.T) {
	const source = "package p\n\nfunc f() { g(); g(); h() }\n"
	good := Mutant{Name: "a-b", File: "p.go", Old: "h()", New: "g()", Breaks: "x", Suites: []Suite{api}}
	if err := good.check(source); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(m *Mutant){
		"a bad name":       func(m *Mutant) { m.Name = "A b" },
		"ambiguous":        func(m *Mutant) { m.Old = "g()" },
		"gone":             func(m *Mutant) { m.Old = "i()" },
		"the same":         func(m *Mutant) { m.New = m.Old },
		"without promise":  func(m *Mutant) { m.Breaks = "" },
		"without a suite":  func(m *Mutant) { m.Suites = nil },
		"not a Go program": func(m *Mutant) { m.New = "{" },
	} {
		bad := good
		change(&bad)
		if bad.check(source) == nil {
			t.Errorf("a mutant that is %s passes", what)
		}
	}
}
