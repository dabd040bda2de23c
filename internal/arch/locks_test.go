package arch

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/ranked"
)

// lockPage is the document that has every lock of the library.
const lockPage = "docs/locks.md"

// TestLocksAreInTheDocument compares docs/locks.md with the locks of the library
// and with the order that is declared in internal/ranked.
func TestLocksAreInTheDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(lockPage)))
	if err != nil {
		t.Fatal(err)
	}
	page := readLockPage(string(text))
	for _, finding := range checkLocks(repository(t), page) {
		t.Error(finding)
	}
	for _, finding := range checkRanks(page, ranked.Order()) {
		t.Error(finding)
	}
}

// lockRow is a lock, or a rank without one, in the document.
type lockRow struct {
	line  int
	rank  string // "": has none
	where string // "": there is none yet
	cells []string
}

// readLockPage returns the rows of the two tables.
func readLockPage(text string) []lockRow {
	var rows []lockRow
	column := -1 // of the place; -1 outside of a table of locks
	number := 0
	for line := range strings.Lines(text) {
		number++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			column = -1
		case slices.Contains(cells, "where"):
			column = slices.Index(cells, "where")
		case column >= 0 && len(cells) > column && !strings.HasPrefix(cells[0], "---"):
			row := lockRow{line: number, cells: cells}
			if column > 0 {
				row.rank = strings.Trim(cells[0], "`")
			}
			if strings.HasPrefix(cells[column], "`") {
				row.where = strings.Trim(cells[column], "`")
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// lock is a field or variable that is one.
type lock struct {
	where string // package.Type.field
	rank  string // "": a plain mutex
	at    string // file:line
}

// checkLocks finds locks that are not in the document under their rank, and
// what is in the document and not in the code.
func checkLocks(sources []*source, page []lockRow) []string {
	var findings []string
	var found []lock
	for _, s := range sources {
		harness := strings.HasPrefix(s.pkg, "internal/torture")
		if s.test || s.inProgram() || harness || s.pkg == "internal/ranked" {
			continue
		}
		found = append(found, locksOf(s)...)
	}
	for _, l := range found {
		i := slices.IndexFunc(page, func(r lockRow) bool { return r.where == l.where })
		switch {
		case i < 0:
			findings = append(findings, fmt.Sprintf("%s: lock %s is not in %s", l.at, l.where, lockPage))
		case page[i].rank != l.rank:
			findings = append(findings, fmt.Sprintf("%s: lock %s has the rank %q, and %q in %s",
				l.at, l.where, l.rank, page[i].rank, lockPage))
		}
	}
	for _, r := range page {
		if r.where != "" && !slices.ContainsFunc(found, func(l lock) bool { return l.where == r.where }) {
			findings = append(findings, fmt.Sprintf("%s:%d: there is no lock %s", lockPage, r.line, r.where))
		}
	}
	return findings
}

// locksOf returns the locks that a file declares, wherever that is.
func locksOf(s *source) []lock {
	known := map[string]string{} // name in this file -> import path
	for _, imp := range s.imports() {
		known[imp.name] = imp.path
	}
	var found []lock
	var inside []ast.Node
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		if node == nil {
			inside = inside[:len(inside)-1]
			return true
		}
		inside = append(inside, node)
		if selector, ok := node.(*ast.SelectorExpr); ok && isLock(selector, known) {
			l := lock{where: s.pkg, at: fmt.Sprintf("%s:%d", s.name, s.line(node.Pos()))}
			for i, n := range inside {
				if name := declaredName(n, selector); name != "" {
					l.where += "." + name
				}
				if index, ok := n.(*ast.IndexExpr); ok && inside[i+1] == node {
					if rank, ok := index.Index.(*ast.SelectorExpr); ok {
						l.rank = rank.Sel.Name
					}
				}
			}
			found = append(found, l)
		}
		return true
	})
	return found
}

// isLock reports whether a selector names a type of locks.
func isLock(selector *ast.SelectorExpr, known map[string]string) bool {
	pkg, ok := selector.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch known[pkg.Name] {
	case "sync":
		return selector.Sel.Name == "Mutex" || selector.Sel.Name == "RWMutex"
	case module + "/internal/ranked":
		return selector.Sel.Name == "Mutex" || selector.Sel.Name == "Token"
	}
	return false
}

// declaredName is the name that a node on the way to a lock gives to what is in it.
// An embedded lock is a field with the name of its type.
func declaredName(node ast.Node, embedded *ast.SelectorExpr) string {
	switch node := node.(type) {
	case *ast.TypeSpec:
		return node.Name.Name
	case *ast.ValueSpec:
		return node.Names[0].Name
	case *ast.FuncDecl:
		return node.Name.Name
	case *ast.Field:
		if len(node.Names) == 0 {
			return embedded.Sel.Name
		}
		return node.Names[0].Name
	}
	return ""
}

// checkRanks finds where the table of the document differs from the order in
// the code.
func checkRanks(page []lockRow, order []ranked.Lock) []string {
	var got, want []string
	for _, r := range page {
		if r.rank == "" {
			continue
		}
		cells := append([]string{r.rank}, r.cells[2:]...)
		if len(got) == 0 || got[len(got)-1] != strings.Join(cells, " | ") { // two locks of a rank
			got = append(got, strings.Join(cells, " | "))
		}
	}
	answer := map[bool]string{true: "yes", false: "no"}
	for _, l := range order {
		name := strings.TrimPrefix(fmt.Sprintf("%T", l.Rank), "ranked.")
		want = append(want, strings.Join([]string{name, l.Guards, answer[l.IO], answer[l.Readers]}, " | "))
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return []string{fmt.Sprintf("%s ends before %q", lockPage, want[i])}
		case i >= len(want):
			return []string{fmt.Sprintf("%s goes on with %q, internal/ranked does not", lockPage, got[i])}
		case got[i] != want[i]:
			return []string{fmt.Sprintf("%s has %q, internal/ranked %q", lockPage, got[i], want[i])}
		}
	}
	return nil
}

// TestLocksCatchesGaps breaks each rule once.
func TestLocksCatchesGaps(t *testing.T) {
	const header = "# Locks\n\n| rank | where | guards | files | readers |\n|---|---|---|---|---|\n"
	const plain = "\n| where | guards | files |\n|---|---|---|\n"
	const imports = "package a\nimport (\n\"sync\"\n\"" + module + "/internal/ranked\"\n)\n"
	const row = "| `State` | `internal/a.T.mu` | all | yes | no |\n"
	const field = "type T struct { n int\nmu ranked.Mutex[ranked.State] }\n"
	for _, c := range []struct{ name, file, code, page, want string }{
		{"none", "internal/a/a.go", "", header, ""},
		{"ranked", "internal/a/a.go", field, header + row, ""},
		{"missing", "internal/a/a.go", field, header, "internal/a/a.go:7: lock internal/a.T.mu is not in"},
		{"token", "internal/a/a.go", "type T struct { mu ranked.Token[ranked.State] }", header + row, ""},
		{"other rank", "internal/a/a.go", "type T struct { mu ranked.Mutex[ranked.Cache] }", header + row,
			`internal/a/a.go:6: lock internal/a.T.mu has the rank "Cache", and "State"`},
		{"no rank", "internal/a/a.go", "type T struct { mu sync.Mutex }", header + row,
			`internal/a/a.go:6: lock internal/a.T.mu has the rank "", and "State"`},
		{"plain", "internal/a/a.go", "type T struct { mu sync.RWMutex }", header + plain + "| `internal/a.T.mu` | all | no |\n", ""},
		{"embedded", "internal/a/a.go", "var v = struct{ sync.Mutex; n int }{}", header,
			"internal/a/a.go:6: lock internal/a.v.Mutex is not in"},
		{"nested", "internal/a/a.go", "type T struct { s [3]struct { mu sync.Mutex } }", header,
			"internal/a/a.go:6: lock internal/a.T.s.mu is not in"},
		{"local", "internal/a/a.go", "func f() { var mu sync.Mutex }", header,
			"internal/a/a.go:6: lock internal/a.f.mu is not in"},
		{"in a test", "internal/a/a_test.go", field, header, ""},
		{"in the harness", "internal/torture/a/a.go", field, header, ""},
		{"in the program", "cmd/lightning/a.go", field, header, ""},
		{"stale", "internal/a/a.go", "", header + row, "docs/locks.md:5: there is no lock internal/a.T.mu"},
		{"none yet", "internal/a/a.go", "", header + "| `State` | none yet | all | yes | no |\n", ""},
	} {
		sources := parseAll(t, map[string]string{c.file: imports + c.code})
		expectFindings(t, c.name, checkLocks(sources, readLockPage(c.page)), c.want)
	}
	order := []ranked.Lock{{Rank: ranked.State{}, Guards: "all", IO: true}, {Rank: ranked.Cache{}, Guards: "it", Readers: true}}
	cache := "| `Cache` | `x` | it | no | yes |\n"
	for _, c := range []struct{ name, page, want string }{
		{"same", header + row + cache, ""},
		{"two of one rank", header + row + row + cache, ""},
		{"turned around", header + cache + row, `docs/locks.md has "Cache | it | no | yes", internal/ranked "State`},
		{"too few", header + row, `docs/locks.md ends before "Cache`},
		{"too many", header + row + cache + row, `docs/locks.md goes on with "State`},
		{"files", header + strings.Replace(row, "yes", "no", 1) + cache, `docs/locks.md has "State | all | no | no"`},
	} {
		expectFindings(t, c.name, checkRanks(readLockPage(c.page), order), c.want)
	}
}
