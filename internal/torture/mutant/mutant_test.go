package mutant

import (
	"flag"
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

var show = flag.String("show", "", "log where the mutants whose names match this fit, and what they change")

func mutants(t testing.TB) []Mutant {
	t.Helper()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMutantsFit proves that each mutant can be made of the source as it is.
func TestMutantsFit(t *testing.T) {
	shown, err := regexp.Compile(*show)
	if err != nil {
		t.Fatal(err)
	}
	sources := sourcesOf(t)
	places, operations := map[string]string{}, map[string]int{}
	for _, m := range mutants(t) {
		if other := places[m.Name]; other != "" {
			t.Errorf("lists/%s: %s: there is one of that name at %s", m.Place, m.Name, other)
		}
		places[m.Name] = m.Place
		operations[m.Op]++
		mutated, err := sources.mutate(&m)
		if err != nil {
			t.Errorf("lists/%s: %s: %v", m.Place, m.Name, err)
			continue
		}
		if *show != "" && shown.MatchString(m.Name) {
			c, f := mutated.change, mutated.site.in.file
			t.Logf("%s: %s: in %v\n--- was\n%s\n--- is\n%s", m.Name, mutated.site.place(), mutated.site.in,
				f.text[c.from:c.to], c.text)
		}
	}
	t.Logf("%d mutants; %v", len(places), operations)
}

// TestSuitesExist finds suites whose package or test is gone. For the torture
// harness, whose tests may stand in any of its packages, a match anywhere will
// do; this package has none.
func TestSuitesExist(t *testing.T) {
	for _, s := range suites(mutants(t)) {
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
	dir = filepath.Join(rootDir(t), filepath.FromSlash(dir))
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

// durableCalls are the methods that make something durable. Each call of them
// needs a mutant, except in the rooms that are what is called.
var (
	durableCalls = []string{"Sync", "SyncData", "SyncDir", "Rename"}
	calledRooms  = []string{"vfs", "internal/ranked/watchfs"}
)

// exempt are calls that no test can miss, found as those of mutants are.
var exempt = []struct {
	call   Mutant
	reason string
}{
	{
		Mutant{In: "fillUnlessReserved", At: "$f.SyncData()"},
		"has a file system allocate what it allocates late, which none of the testing ones does",
	},
	{Mutant{In: "reserve/file.cut", At: "$f.Sync()"}, "the same when space is given back"},
}

// TestEveryDurableCallHasMutant makes sure that no call that makes something
// durable is added without a proof that a test misses it.
func TestEveryDurableCallHasMutant(t *testing.T) {
	sources := sourcesOf(t)
	changed := map[*sourceFile][]change{}
	for _, m := range mutants(t) {
		if mutated, err := sources.mutate(&m); err == nil { // else another test fails
			f := mutated.site.in.file
			changed[f] = append(changed[f], mutated.change)
		}
	}
	for _, e := range exempt {
		at, err := sources.find(&e.call)
		if err != nil {
			t.Errorf("exemption: %v", err)
			continue
		}
		changed[at.in.file] = append(changed[at.in.file], change{at.extent(), ""})
	}
	found := 0
	for name, f := range sources.files {
		if slices.ContainsFunc(calledRooms, func(room string) bool { return strings.HasPrefix(name, room+"/") }) {
			continue
		}
		for _, call := range durableCallsIn(f) {
			found++
			if !covered(f, changed[f], call) {
				t.Errorf("%s: %s has no mutant", f.place(call.Pos()), f.textOf(call))
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d calls found: the search is broken", found)
	}
}

func durableCallsIn(f *sourceFile) []ast.Node {
	var calls []ast.Node
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok {
			method, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains(durableCalls, method.Sel.Name) {
				calls = append(calls, call)
			}
		}
		return true
	})
	return calls
}

// covered reports whether one of the changes takes the call away. One that only
// moves other steps around the call leaves it as it is.
func covered(f *sourceFile, changes []change, call ast.Node) bool {
	from, to := f.offset(call.Pos()), f.offset(call.End())
	return slices.ContainsFunc(changes, func(c change) bool {
		return c.from <= from && to <= c.to && !strings.Contains(c.text, f.textOf(call))
	})
}
