package arch

import (
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestPublicAPIMentionsNoInternalType looks at the compiled public packages. An
// internal type that the root package gives a name of its own by an alias
// (type CorruptionError = base.CorruptionError) is public under that name; its
// fields and methods are then looked at as well.
func TestPublicAPIMentionsNoInternalType(t *testing.T) {
	for _, pkg := range []string{module, module + "/table"} {
		for _, finding := range checkAPI(loadCompiled(t, pkg)) {
			t.Errorf("%s: %s", pkg, finding)
		}
	}
}

// TestAPICatchesLeaks runs the check on a package that leaks in every way.
func TestAPICatchesLeaks(t *testing.T) {
	findings := checkAPI(loadCompiled(t, module+"/internal/arch/testdata/leaky"))
	var got []string
	for _, finding := range findings {
		got = append(got, strings.Fields(finding)[0])
	}
	want := []string{
		"Alias.Field:", "Constant:", "Embedded.Type:", "Field.Exported:", "Function:", "Generic:",
		"Interface.Method:", "Slice:", "Type.Method:", "Variable:",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", findings, want)
	}
}

// loadCompiled loads a package the way the compiler sees it.
func loadCompiled(t *testing.T, importPath string) *types.Package {
	t.Helper()
	var complaint strings.Builder
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", importPath)
	list.Stderr = &complaint
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(output)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[name] = file
	}
	lookup := func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, errors.New("not compiled")
		}
		return os.Open(exports[name])
	}
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", lookup).Import(importPath)
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

// leakFinder walks the types that users of a package can see.
type leakFinder struct {
	public   *types.Package
	named    map[*types.TypeName]bool // internal types with a public alias
	seen     map[types.Type]bool
	findings []string
}

// checkAPI finds exported names of pkg that mention an internal type.
func checkAPI(pkg *types.Package) []string {
	finder := &leakFinder{public: pkg, named: map[*types.TypeName]bool{}}
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		if alias, ok := scope.Lookup(name).(*types.TypeName); ok && alias.Exported() && alias.IsAlias() {
			if target, ok := types.Unalias(alias.Type()).(*types.Named); ok {
				finder.named[target.Obj()] = true
			}
		}
	}
	for _, name := range scope.Names() {
		object := scope.Lookup(name)
		if !object.Exported() {
			continue
		}
		finder.seen = map[types.Type]bool{}
		if typeName, ok := object.(*types.TypeName); ok {
			finder.declared(name, typeName)
		} else {
			finder.walk(name, object.Type())
		}
	}
	slices.Sort(finder.findings)
	return slices.Compact(finder.findings)
}

// declared looks at a type declaration and the methods of the type.
func (f *leakFinder) declared(name string, declaration *types.TypeName) {
	declared := types.Unalias(declaration.Type())
	named, ok := declared.(*types.Named)
	if !ok {
		f.walk(name, declared)
		return
	}
	f.seen[named] = true
	for parameter := range named.TypeParams().TypeParams() {
		f.walk(name, parameter.Constraint())
	}
	f.walk(name, named.Underlying())
	for method := range named.Methods() {
		if method.Exported() {
			f.walk(name+"."+method.Name(), method.Type())
		}
	}
}

// walk looks at a type as users can spell it. where is the exported name under
// which they meet it.
func (f *leakFinder) walk(where string, seen types.Type) {
	if f.seen[seen] {
		return
	}
	f.seen[seen] = true
	switch seen := seen.(type) {
	case *types.Alias:
		f.mention(where, seen.Obj())
	case *types.Named:
		f.mention(where, seen.Obj())
		for argument := range seen.TypeArgs().Types() {
			f.walk(where, argument)
		}
	case *types.Pointer:
		f.walk(where, seen.Elem())
	case *types.Slice:
		f.walk(where, seen.Elem())
	case *types.Array:
		f.walk(where, seen.Elem())
	case *types.Chan:
		f.walk(where, seen.Elem())
	case *types.Map:
		f.walk(where, seen.Key())
		f.walk(where, seen.Elem())
	case *types.Signature:
		for variable := range seen.Params().Variables() {
			f.walk(where, variable.Type())
		}
		for variable := range seen.Results().Variables() {
			f.walk(where, variable.Type())
		}
	case *types.Struct:
		for field := range seen.Fields() {
			if field.Exported() {
				f.walk(where+"."+field.Name(), field.Type())
			}
		}
	case *types.Interface:
		for method := range seen.ExplicitMethods() {
			if method.Exported() {
				f.walk(where+"."+method.Name(), method.Type())
			}
		}
		for embedded := range seen.EmbeddedTypes() {
			f.walk(where, embedded)
		}
	}
}

// mention reports a type of an internal package that has no public name.
func (f *leakFinder) mention(where string, typeName *types.TypeName) {
	pkg := typeName.Pkg()
	if pkg == nil || pkg == f.public || f.named[typeName] || !strings.Contains(pkg.Path(), "internal/") ||
		!strings.HasPrefix(pkg.Path(), module) {
		return
	}
	f.findings = append(f.findings, fmt.Sprintf("%s mentions %s.%s", where+":", pkg.Path(), typeName.Name()))
}
