package arch

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The largest package and type, outside tests. Lines of code are those with at
// least one token: neither blank nor only a comment.
const (
	maxPackageLines = 3000
	maxMethods      = 30
)

// oversized are the packages (internal/a) and types (internal/a.T) that are
// larger, and why.
func oversized() map[string]string {
	return map[string]string{
		"internal/iterate.UserIter": "one state machine for both directions: a half of it could not be read alone",
		"internal/sstable.Reader":   "finding blocks and fetching them are to become two types",
		"internal/workload.Runner":  "a method for each row of the suite, which know nothing of one another",
		"internal/sstable":          "one format, from both ends: what looks into indexes alone is to become a package",
		"table":                     "verbs, queries and plans of one type of record: what declares tables in the catalogue is to become a package",
		".":                         "the verbs that users have, which are many; what they do is in the rooms beneath",
		"cmd/lightning":             "the commands, which know nothing of one another",
	}
}

func TestPackagesAndTypesAreSmall(t *testing.T) {
	for _, finding := range checkSize(repository(t), oversized()) {
		t.Error(finding)
	}
}

// checkSize finds packages and types that are too large to know, and exceptions
// that are none. A type of a public package may have as many methods as its users
// need.
func checkSize(sources []*source, exceptions map[string]string) []string {
	lines, methods := map[string]int{}, map[string]int{}
	for _, s := range sources {
		if s.test || ast.IsGenerated(s.syntax) {
			continue
		}
		lines[s.pkg] += s.code
		if !s.public() {
			countMethods(s, methods)
		}
	}
	var findings []string
	used := map[string]bool{}
	report := func(sizes map[string]int, most int, what string) {
		for _, name := range slices.Sorted(maps.Keys(sizes)) {
			if size := sizes[name]; size > most && exceptions[name] != "" {
				used[name] = true
			} else if size > most {
				findings = append(findings, fmt.Sprintf("%s: %d %s; at most %d", name, size, what, most))
			}
		}
	}
	report(lines, maxPackageLines, "lines of code")
	report(methods, maxMethods, "methods")
	for _, name := range slices.Sorted(maps.Keys(exceptions)) {
		if !used[name] {
			findings = append(findings, fmt.Sprintf("%s: is no exception; take it off the list", name))
		}
	}
	return findings
}

// public reports whether the users of the library can import the package.
func (s *source) public() bool {
	return !s.inProgram() && !strings.HasPrefix(s.pkg, "internal/")
}

// countMethods adds the methods that a file declares to those of their types.
func countMethods(s *source, methods map[string]int) {
	for _, declaration := range s.syntax.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv != nil {
			methods[s.pkg+"."+receiverName(function)]++
		}
	}
}

// receiverName is the name of the type that a method belongs to; "" for a
// function.
func receiverName(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return ""
	}
	receiver := function.Recv.List[0].Type
	for {
		switch outer := receiver.(type) {
		case *ast.StarExpr:
			receiver = outer.X
		case *ast.IndexExpr:
			receiver = outer.X
		case *ast.IndexListExpr:
			receiver = outer.X
		case *ast.ParenExpr:
			receiver = outer.X
		case *ast.Ident:
			return outer.Name
		default:
			return ""
		}
	}
}

// codeLines counts the lines of a text that have a token.
func codeLines(text string) int {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(text))
	var scan scanner.Scanner
	scan.Init(file, []byte(text), func(token.Position, string) {}, 0) // the parser complains
	count, last := 0, 0
	for {
		at, tok, literal := scan.Scan()
		if tok == token.EOF {
			return count
		}
		if tok == token.SEMICOLON && literal != ";" {
			continue // the end of a line, or of what stands before a comment
		}
		first := file.Line(at)
		end := first + strings.Count(literal, "\n")
		count += end - max(first-1, last)
		last = end
	}
}

// TestSizeCatchesLargeCode breaks each rule once.
func TestSizeCatchesLargeCode(t *testing.T) {
	code := func(lines int) string { return "package a" + strings.Repeat("\nvar _ int", lines-1) }
	method := func(receiver string, n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "\nfunc (%s) f%d() {}", receiver, i)
		}
		return text.String()
	}
	for _, c := range []struct{ name, file, text, want string }{
		{"lines", "internal/a/a.go", code(maxPackageLines), ""},
		{"a line more", "internal/a/a.go", code(maxPackageLines + 1), "internal/a: 3001 lines of code; at most 3000"},
		{"comments", "internal/a/a.go", code(maxPackageLines) + "\n\n// one\n/* two\nthree */\n", ""},
		{"code before a comment", "internal/a/a.go", code(maxPackageLines) + "\nvar _ int // one\n", "internal/a: 3001 lines"},
		{"a raw string", "internal/a/a.go", code(maxPackageLines-1) + "\nvar _ = `\n`\n", "internal/a: 3001 lines"},
		{"in the public package", "a.go", code(maxPackageLines + 1), ".: 3001 lines"},
		{"in a test", "internal/a/a_test.go", code(maxPackageLines + 1), ""},
		{"methods", "internal/a/a.go", "package a" + method("T", maxMethods), ""},
		{"a method more", "internal/a/a.go", "package a" + method("T", maxMethods+1), "internal/a.T: 31 methods; at most 30"},
		{"of a pointer", "internal/a/a.go", "package a" + method("t *T[K, V]", maxMethods+1), "internal/a.T: 31 methods"},
		{"of two types", "internal/a/a.go", "package a" + method("T", maxMethods) + method("U", maxMethods), ""},
		{"of a public type", "a.go", "package a" + method("T", maxMethods+1), ""},
		{"in the program", "cmd/lightning/a.go", "package main" + method("T", maxMethods+1), "cmd/lightning.T: 31"},
	} {
		expectFindings(t, c.name, checkSize(parseAll(t, map[string]string{c.file: c.text}), nil), c.want)
	}
	large := parseAll(t, map[string]string{"internal/a/a.go": code(maxPackageLines+1) + method("T", maxMethods+1)})
	expectFindings(t, "listed", checkSize(large, map[string]string{"internal/a": "why", "internal/a.T": "why"}), "")
	small := parseAll(t, map[string]string{"internal/a/a.go": code(1)})
	expectFindings(t, "stale", checkSize(small, map[string]string{"internal/a": "why"}), "internal/a: is no exception")
}
