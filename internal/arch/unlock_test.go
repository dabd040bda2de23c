package arch

import (
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"testing"
)

// unpaired are the functions (package.Type.method) that give a lock back which
// their caller took, or return with one, and why.
func unpaired() map[string]string {
	return map[string]string{}
}

func TestLocksAreGivenBackWhereTheyAreTaken(t *testing.T) {
	for _, finding := range checkUnlocks(repository(t), unpaired()) {
		t.Error(finding)
	}
}

// checkUnlocks finds functions that give back a lock before they have taken it, or
// take one last, and exceptions that are none. It goes by the text: in its order,
// the first call for each lock takes it, and the last one, or a deferred one, gives
// it back.
func checkUnlocks(sources []*source, exceptions map[string]string) []string {
	var findings []string
	used := map[string]bool{}
	for _, s := range sources {
		if s.test || s.pkg == "internal/ranked" {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			name := functionName(s, function)
			for _, problem := range unpairedLocks(function) {
				if exceptions[name] != "" {
					used[name] = true
					continue
				}
				findings = append(findings, fmt.Sprintf("%s:%d: %s %s", s.name, s.line(function.Pos()), name, problem))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exceptions)) {
		if !used[name] {
			findings = append(findings, fmt.Sprintf("%s: is no exception; take it off the list", name))
		}
	}
	return findings
}

func functionName(s *source, function *ast.FuncDecl) string {
	if receiver := receiverName(function); receiver != "" {
		return s.pkg + "." + receiver + "." + function.Name.Name
	}
	return s.pkg + "." + function.Name.Name
}

// lockCalls is what a function does with one lock.
type lockCalls struct{ firstGives, lastTakes, deferred bool }

// unpairedLocks says what is wrong with the locks of a function.
func unpairedLocks(function *ast.FuncDecl) []string {
	calls := map[string]*lockCalls{}
	deferred := map[ast.Node]bool{}
	other := map[ast.Node]bool{} // methods of that name which have arguments
	ast.Inspect(function.Body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.DeferStmt:
			deferred[node.Call.Fun] = true
		case *ast.CallExpr:
			other[node.Fun] = len(node.Args) > 0
		}
		selector, ok := node.(*ast.SelectorExpr)
		if !ok || other[selector] {
			return true
		}
		takes := false
		switch selector.Sel.Name {
		case "Lock", "TryLock", "RLock":
			takes = true
		case "Unlock", "RUnlock":
		default:
			return true
		}
		lock := types.ExprString(selector.X)
		c := calls[lock]
		if c == nil {
			c = &lockCalls{firstGives: !takes}
			calls[lock] = c
		}
		if deferred[selector] {
			c.deferred = c.deferred || !takes
			return true
		}
		c.lastTakes = takes
		return true
	})
	var problems []string
	for _, lock := range slices.Sorted(maps.Keys(calls)) {
		switch c := calls[lock]; {
		case c.firstGives:
			problems = append(problems, fmt.Sprintf("gives back %s, which its caller took", lock))
		case c.lastTakes && !c.deferred:
			problems = append(problems, fmt.Sprintf("returns with %s", lock))
		}
	}
	return problems
}

// TestUnlocksCatchesUnpairedLocks breaks each rule once.
func TestUnlocksCatchesUnpairedLocks(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"paired", "t.mu.Lock(); f(); t.mu.Unlock()", ""},
		{"deferred", "t.mu.Lock(); defer t.mu.Unlock(); f()", ""},
		{"deferred in a function", "t.mu.RLock(); defer func() { t.mu.RUnlock() }()", ""},
		{"tried", "if t.mu.TryLock() { t.mu.Unlock() }", ""},
		{"in between", "t.mu.Lock(); t.mu.Unlock(); f(); t.mu.Lock(); t.mu.Unlock()", ""},
		{"returned", "t.mu.Lock(); return t.mu.Unlock", ""},
		{"two", "t.mu.Lock(); t.at.mu.Lock(); t.at.mu.Unlock(); t.mu.Unlock()", ""},
		{"of a file", "return fs.Lock(name)", ""},
		{"given back", "t.mu.Unlock(); f()", "internal/a/a.go:2: internal/a.T.m gives back t.mu, which its caller took"},
		{"given back at the end", "defer t.mu.Unlock(); f()", "internal/a/a.go:2: internal/a.T.m gives back t.mu"},
		{"for a while", "t.mu.Unlock(); defer t.mu.Lock(); f()", "internal/a/a.go:2: internal/a.T.m gives back t.mu"},
		{"kept", "t.mu.Lock()", "internal/a/a.go:2: internal/a.T.m returns with t.mu"},
		{"kept again", "t.mu.Lock(); for !f() { t.mu.Unlock(); t.mu.Lock() }", "internal/a/a.go:2: internal/a.T.m returns with t.mu"},
		{"another one", "t.mu.Lock(); t.at.mu.Unlock(); t.mu.Unlock()", "internal/a/a.go:2: internal/a.T.m gives back t.at.mu"},
	} {
		sources := parseAll(t, map[string]string{"internal/a/a.go": "package a\nfunc (t *T) m() any {" + c.body + "}"})
		expectFindings(t, c.name, checkUnlocks(sources, nil), c.want)
		if c.want != "" {
			expectFindings(t, c.name, checkUnlocks(sources, map[string]string{"internal/a.T.m": "why"}), "")
		}
	}
	sources := parseAll(t, map[string]string{"internal/a/a.go": "package a"})
	expectFindings(t, "stale", checkUnlocks(sources, map[string]string{"internal/a.T.m": "why"}), "internal/a.T.m: is no exception")
}
