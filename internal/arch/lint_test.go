package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// The longest file and function, in lines, outside tests.
const (
	maxFileLines     = 600
	maxFunctionLines = 70
)

// maxPublicFiles is how many files the root package may have.
const maxPublicFiles = 26

// ban forbids calls into a package.
type ban struct {
	pkg     string
	names   []string // of functions; none means the import itself
	allowed func(s *source) bool
	instead string
}

// bans lists what is forbidden outside tests, and below it what also tests
// must not do.
func bans() []ban {
	return []ban{
		{
			"log", []string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"}, nowhere,
			"return an error: a library never ends its program",
		},
		{
			"os", []string{"Exit"}, either("internal/torture/process"), // which is the child that gets killed
			"return an error: a library never ends its program",
		},
		{
			"os", []string{
				"Open", "OpenFile", "OpenInRoot", "OpenRoot", "Create", "CreateTemp", "ReadFile", "WriteFile",
				"Remove", "RemoveAll", "Rename", "Mkdir", "MkdirAll", "MkdirTemp", "Stat", "Lstat", "ReadDir",
				"Truncate", "Link", "Symlink", "Readlink", "Chmod", "Chown", "Chtimes", "NewFile", "DirFS", "CopyFS",
			}, either("vfs", "internal/torture/process", "internal/offheap"), "go through a vfs.FS, so that tests can fail and crash it",
		},
		{
			"time", []string{
				"Now", "Since", "Until", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc",
			}, either("internal/clock"), "take a clock.Clock, so that tests decide when time passes",
		},
		{"math/rand", nil, nowhere, "use math/rand/v2"},
		{
			"unsafe", nil, either("internal/offheap", "internal/epoch", "internal/memtable",
				"internal/framecache", "internal/hotcache", "internal/block", "internal/kernel", "internal/aio"),
			"keep memory tricks in the rooms that are about them",
		},
	}
}

func testBans() []ban {
	return []ban{
		{"time", []string{"Sleep"}, inBubbles, "wait for an event, or use testing/synctest"},
		{"math/rand", nil, nowhere, "use math/rand/v2 with a printed seed"},
	}
}

func nowhere(*source) bool { return false }

// inBubbles allows the tests that run under a fake clock, where a sleep takes
// no time and is how a test lets time pass.
func inBubbles(s *source) bool {
	return slices.ContainsFunc(s.syntax.Imports, func(i *ast.ImportSpec) bool {
		return i.Path.Value == `"testing/synctest"`
	})
}

// either allows the packages named, and the program, which is no library.
func either(pkgs ...string) func(*source) bool {
	return func(s *source) bool { return s.inProgram() || slices.Contains(pkgs, s.pkg) }
}

func TestCallsAreWhereTheyBelong(t *testing.T) {
	for _, s := range repository(t) {
		for _, finding := range checkCalls(s) {
			t.Error(finding)
		}
	}
}

// checkCalls finds what a file must not call or import.
func checkCalls(s *source) []string {
	list := bans()
	if s.test {
		list = testBans()
	}
	var findings []string
	known := map[string]string{} // name in this file -> import path
	for _, imp := range s.imports() {
		known[imp.name] = imp.path
		for _, b := range list {
			if b.pkg == imp.path && b.names == nil && !b.allowed(s) {
				findings = append(findings, fmt.Sprintf("%s:%d: import of %s: %s", s.name, imp.line, b.pkg, b.instead))
			}
		}
	}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.SelectorExpr:
			qualifier, ok := node.X.(*ast.Ident)
			if !ok {
				break
			}
			for _, b := range list {
				if known[qualifier.Name] == b.pkg && slices.Contains(b.names, node.Sel.Name) && !b.allowed(s) {
					findings = append(findings, fmt.Sprintf("%s:%d: %s.%s: %s",
						s.name, s.line(node.Pos()), b.pkg, node.Sel.Name, b.instead))
				}
			}
		case *ast.CallExpr:
			called, ok := node.Fun.(*ast.Ident)
			if ok && called.Name == "panic" && !s.test && s.pkg != "internal/invariant" {
				findings = append(findings, fmt.Sprintf("%s:%d: panic: return an error, or use invariant.Check for the impossible",
					s.name, s.line(node.Pos())))
			}
		}
		return true
	})
	return findings
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range repository(t) {
		for _, finding := range checkLength(s) {
			t.Error(finding)
		}
	}
}

// checkLength finds a file or functions that are too long to read. Tests and
// generated files may be long.
func checkLength(s *source) []string {
	if s.test || ast.IsGenerated(s.syntax) {
		return nil
	}
	var findings []string
	if s.lines > maxFileLines {
		findings = append(findings, fmt.Sprintf("%s:%d: file of %d lines; at most %d",
			s.name, maxFileLines+1, s.lines, maxFileLines))
	}
	for _, declaration := range s.syntax.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		first, last := s.line(function.Pos()), s.line(function.End())
		if lines := last - first + 1; lines > maxFunctionLines {
			findings = append(findings, fmt.Sprintf("%s:%d: function %s of %d lines; at most %d",
				s.name, first, function.Name.Name, lines, maxFunctionLines))
		}
	}
	return findings
}

func TestPublicPackageIsSmall(t *testing.T) {
	count := 0
	for _, s := range repository(t) {
		if s.pkg == "." && !s.test {
			count++
		}
	}
	if count > maxPublicFiles {
		t.Errorf("the root package has %d files; at most %d, it is the API and nothing else", count, maxPublicFiles)
	}
}

func TestMethodsStandWithTheirTypes(t *testing.T) {
	for _, finding := range checkMethods(repository(t)) {
		t.Error(finding)
	}
}

// checkMethods finds methods of the root package in another file than their type:
// what can be done with a type is then read in one place.
func checkMethods(sources []*source) []string {
	declared := map[string]string{} // type -> file
	ours := slices.DeleteFunc(slices.Clone(sources), func(s *source) bool { return s.pkg != "." || s.test })
	for _, s := range ours {
		for _, declaration := range s.syntax.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				for _, spec := range general.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						declared[spec.Name.Name] = s.name
					}
				}
			}
		}
	}
	var findings []string
	for _, s := range ours {
		for _, declaration := range s.syntax.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil {
				continue
			}
			receiver := method.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			if name, ok := receiver.(*ast.Ident); ok && declared[name.Name] != s.name {
				findings = append(findings, fmt.Sprintf("%s:%d: method %s of %s: its place is in %s",
					s.name, s.line(method.Pos()), method.Name.Name, name.Name, declared[name.Name]))
			}
		}
	}
	return findings
}

// TestMethodsCatchesStrays moves a method away.
func TestMethodsCatchesStrays(t *testing.T) {
	texts := map[string]string{
		"a.go": "package a\ntype t struct{}\nfunc (*t) at() {}\nfunc (t) too() {}",
		"b.go": "package a\nfunc f() {}\n",
	}
	expectFindings(t, "at home", checkMethods(parseAll(t, texts)), "")
	texts["b.go"] += "func (*t) astray() {}"
	expectFindings(t, "astray", checkMethods(parseAll(t, texts)), "b.go:3: method astray of t: its place is in a.go")
	texts["c_test.go"] = "package a\nfunc (*t) tested() {}"
	texts["internal/a/a.go"] = "package a\ntype u struct{}"
	texts["internal/a/b.go"] = "package a\nfunc (u) elsewhere() {}"
	expectFindings(t, "others", checkMethods(parseAll(t, texts)), "b.go:3: ")
}

// TestLintCatchesBadCode breaks each rule once.
func TestLintCatchesBadCode(t *testing.T) {
	long := "package p\nfunc f() {" + strings.Repeat("\n_ = 0", maxFunctionLines-1) + "\n}\n"
	short := "package p\nfunc f() {" + strings.Repeat("\n_ = 0", maxFunctionLines-2) + "\n}\n"
	big := "package p\n" + strings.Repeat("\n", maxFileLines)
	for _, c := range []struct{ name, file, text, want string }{
		{"fatal", "internal/a/a.go", "package a\nimport \"log\"\nfunc f() { log.Fatalf(\"\") }", "internal/a/a.go:3: log.Fatalf:"},
		{"fatal in the program", "cmd/lightning/a.go", "package a\nimport \"log\"\nfunc f() { log.Fatal(\"\") }", "cmd/lightning/a.go:3: log.Fatal:"},
		{"exit", "internal/a/a.go", "package a\nimport \"os\"\nfunc f() { os.Exit(1) }", "internal/a/a.go:3: os.Exit:"},
		{"exit of the program", "cmd/lightning/main.go", "package main\nimport \"os\"\nfunc f() { os.Exit(1) }", ""},
		{"panic", "internal/a/a.go", "package a\nfunc f() { panic(1) }", "internal/a/a.go:2: panic:"},
		{"panic in invariant", "internal/invariant/a.go", "package a\nfunc f() { panic(1) }", ""},
		{"panic in a test", "internal/a/a_test.go", "package a\nfunc f() { panic(1) }", ""},
		{"now", "internal/a/a.go", "package a\nimport \"time\"\nvar _ = time.Now", "internal/a/a.go:3: time.Now:"},
		{"now renamed", "internal/a/a.go", "package a\nimport x \"time\"\nvar _ = x.Since", "internal/a/a.go:3: time.Since:"},
		{"now in clock", "internal/clock/a.go", "package a\nimport \"time\"\nvar _ = time.Now", ""},
		{"a span of time", "internal/a/a.go", "package a\nimport \"time\"\nvar _ = time.Second", ""},
		{"file", "internal/a/a.go", "package a\nimport \"os\"\nvar _ = os.Rename", "internal/a/a.go:3: os.Rename:"},
		{"file in vfs", "vfs/a.go", "package a\nimport \"os\"\nvar _ = os.Rename", ""},
		{"file in memfs", "vfs/memfs/a.go", "package a\nimport \"os\"\nvar _ = os.Rename", "vfs/memfs/a.go:3: os.Rename:"},
		{"random", "internal/a/a.go", "package a\nimport _ \"math/rand\"", "internal/a/a.go:2: import of math/rand:"},
		{"random in a test", "internal/a/a_test.go", "package a\nimport _ \"math/rand\"", "internal/a/a_test.go:2: import of math/rand:"},
		{"random v2", "internal/a/a.go", "package a\nimport _ \"math/rand/v2\"", ""},
		{"unsafe", "internal/a/a.go", "package a\nimport _ \"unsafe\"", "internal/a/a.go:2: import of unsafe:"},
		{"sleep in a test", "internal/a/a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", "internal/a/a_test.go:3: time.Sleep:"},
		{"sleep in a bubble", "internal/a/a_test.go", "package a\nimport (\n\"time\"\n_ \"testing/synctest\"\n)\nfunc f() { time.Sleep(1) }", ""},
		{"long function", "internal/a/a.go", long, "internal/a/a.go:2: function f of 71 lines"},
		{"long function in a test", "internal/a/a_test.go", long, ""},
		{"short function", "internal/a/a.go", short, ""},
		{"long file", "internal/a/a.go", big, "internal/a/a.go:601: file of 601 lines"},
	} {
		s := parseAll(t, map[string]string{c.file: c.text})[0]
		expectFindings(t, c.name, append(checkCalls(s), checkLength(s)...), c.want)
	}
}
