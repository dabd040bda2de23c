package cookbook

import (
	"context"
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
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

var (
	sectionForm = regexp.MustCompile(`(?m)^## `)
	linkForm    = regexp.MustCompile(`\]\(\.\./examples/cookbook/([a-z_]+\.go)\)`)
	blockForm   = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
)

// checkPage finds code blocks of a page that are not, line by line, in the file that their section
// names, and recipes that the page does not show. files has their text by name.
func checkPage(page string, files map[string]string) (findings []string) {
	shown := map[string]bool{}
	for _, section := range sectionForm.Split(page, -1) {
		title, _, _ := strings.Cut(section, "\n")
		blocks := blockForm.FindAllStringSubmatch(section, -1)
		if len(blocks) != strings.Count(section, "```go") {
			findings = append(findings, title+": a code block has no end")
		}
		link := linkForm.FindStringSubmatch(section)
		for _, block := range blocks {
			switch {
			case link == nil:
				findings = append(findings, title+": code without the name of its file")
			case strings.TrimSpace(block[1]) == "" || !strings.Contains("\n"+files[link[1]], "\n"+block[1]):
				first, _, _ := strings.Cut(block[1], "\n")
				findings = append(findings, fmt.Sprintf("%s: not in %s: the code that begins with %q", title, link[1], first))
			default:
				shown[link[1]] = true
			}
		}
	}
	for name := range files {
		if name != "doc.go" && !shown[name] {
			findings = append(findings, name+": the page shows nothing of it")
		}
	}
	slices.Sort(findings)
	return findings
}

func recipes(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			files[name] = string(text)
		}
	}
	return files
}

// What docs/cookbook.md shows is the code that is compiled here.
func TestPageShowsTheCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "cookbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range checkPage(string(page), recipes(t)) {
		t.Errorf("docs/cookbook.md: %s", finding)
	}
}

// Each recipe is run: an example in example_test.go, which has the output that it says, names
// something that is declared in the recipe's file.
func TestEachRecipeIsRun(t *testing.T) {
	examples, err := parser.ParseFile(token.NewFileSet(), "example_test.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, d := range examples.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") {
			run = append(run, strings.TrimPrefix(f.Name.Name, "Example"))
		}
	}
	for name, text := range recipes(t) {
		declares := func(what string) bool {
			return strings.Contains(text, "\ntype "+what+" ") || strings.Contains(text, "\nfunc "+what+"(")
		}
		if name != "doc.go" && !slices.ContainsFunc(run, declares) {
			t.Errorf("%s: no example runs it", name)
		}
	}
}

// A page that differs is found, however it does.
func TestPageCheckFindsDrift(t *testing.T) {
	const code = "package p\n\nfunc f() int {\n\treturn 1\n}\n"
	section := func(link, block string) string { return "# T\n\n## A\n\n" + link + "\n\n```go\n" + block + "```\n" }
	const link = "[a.go](../examples/cookbook/a.go)"
	for want, page := range map[string]string{
		"":                                section(link, "func f() int {\n\treturn 1\n}\n"),
		"code without the name":           section("", "func f() int {\n\treturn 1\n}\n"),
		`begins with "func f() int {"`:    section(link, "func f() int {\n\treturn 2\n}\n"),
		`begins with "f() int {"`:         section(link, "f() int {\n"),
		`begins with ""`:                  section(link, "\n"),
		"not in b.go":                     section("[b.go](../examples/cookbook/b.go)", "func f() int {\n"),
		"a.go: the page shows nothing":    "# T\n\n## A\n\n" + link + "\n",
		"A: a code block has no end":      section(link, "func f() int {\n") + "```go\nx\n",
		"B: code without the name of its": section(link, "func f() int {\n") + "\n## B\n\n```go\nx\n```\n",
	} {
		got := strings.Join(checkPage(page, map[string]string{"a.go": code, "doc.go": ""}), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: found %q, want %q", page, got, want)
		}
	}
}

// Entries of the cache, and readings of a year ago, go by themselves.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		loads := 0
		cache, err := OpenCache(t.Context(), db, func(context.Context, string) ([]byte, error) {
			loads++
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		series, err := OpenSeries(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := series.Add("roof", Reading{begin, 20}); err != nil {
			t.Fatal(err)
		}
		readings := func() (n int) {
			count := func(Reading) error { n++; return nil }
			if err := series.Between("roof", begin, begin.AddDate(1, 0, 0), count); err != nil {
				t.Error(err)
			}
			return n
		}
		for i, c := range []struct {
			pass            time.Duration
			loads, readings int
		}{{0, 1, 1}, {59 * time.Second, 1, 1}, {2 * time.Second, 2, 1}, {364 * 24 * time.Hour, 3, 1}, {24 * time.Hour, 4, 0}} {
			time.Sleep(c.pass)
			if _, err := cache.Get(t.Context(), "key"); err != nil || loads != c.loads || readings() != c.readings {
				t.Errorf("step %d: %d loads, want %d; %d readings, want %d; %v", i, loads, c.loads, readings(), c.readings, err)
			}
		}
	})
}
