package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// testOnly is the tier of rooms that only tests import.
const testOnly = 100

// tiers gives each package of the library and of the harness its height. A package
// imports only packages of lower tiers.
func tiers() map[string]int {
	return map[string]int{
		"internal/base":      0,
		"internal/invariant": 0,
		"internal/clock":     0,
		"internal/inuse":     0,
		"internal/ranked":    0,
		"keyenc":             0,

		"vfs":               1,
		"vfs/memfs":         1,
		"vfs/faultfs":       1,
		"internal/offheap":  1,
		"internal/epoch":    1,
		"internal/kernel":   1,
		"internal/interval": 1,
		"internal/reuse":    1,
		"internal/buffers":  1,
		"internal/compress": 1,
		"internal/checksum": 1,
		"internal/event":    1,
		"internal/signal":   1,
		"internal/health":   2,
		"internal/meter":    1,
		"internal/janitor":  1,
		"internal/timeline": 1,
		"internal/uuid":     1,

		"internal/aio":            2,
		"internal/catalogue":      2,
		"internal/position":       2,
		"internal/filter":         2,
		"internal/block":          2,
		"internal/rangedel":       2,
		"internal/framecache":     2,
		"internal/deadrange":      2,
		"internal/filepool":       2,
		"internal/parity":         2,
		"internal/heal":           6,
		"internal/sharing":        7,
		"internal/hotcache":       2,
		"internal/merge":          2,
		"internal/loan":           2,
		"internal/ranked/watchfs": 2,

		"internal/memtable":  3,
		"internal/wal":       3,
		"internal/sstable":   3,
		"internal/manifest":  3,
		"internal/reserve":   3,
		"internal/directory": 4,

		"internal/external": 4,
		"internal/iterate":  4,
		"internal/compact":  4,
		"internal/txn":      4,

		"internal/keyspace":   4,
		"internal/batch":      5,
		"internal/store":      5,
		"internal/objectdir":  5,
		"internal/view":       6,
		"internal/spill":      6,
		"internal/feed":       6,
		"internal/commit":     7,
		"internal/expirer":    7,
		"internal/segments":   7,
		"internal/checkpoint": 8,
		"internal/verify":     8,
		"internal/prover":     8,
		"internal/writer":     8,
		"internal/engine":     9,
		"backup":              9,
		"repair":              9,
		"internal/session":    10,
		"internal/bulk":       10,

		".": 11,

		"compat/badger":     12,
		"compat/bolt":       12,
		"queue":             12,
		"table":             12,
		"internal/workload": 12,

		"internal/torture/model":  0,
		"internal/torture/ledger": 0,
		"internal/torture/script": 12,

		"internal/torture/crash":     13,
		"internal/torture/damage":    13,
		"internal/torture/fault":     13,
		"internal/torture/linear":    13,
		"internal/torture/metamorph": 13,
		"internal/torture/process":   13,
		"internal/torture/serial":    13,
		"internal/torture/tables":    13,

		"internal/torture": 14,

		"internal/arch":           testOnly,
		"internal/leak":           testOnly,
		"internal/property":       testOnly,
		"internal/torture/memory": testOnly,
		"internal/torture/mutant": testOnly,
		"internal/torture/soak":   testOnly,
	}
}

// sideways are imports inside one tier that are as wanted: the implementations
// of an interface import it, and all that must be impossible is reported in one
// way.
func sideways() map[string]string {
	return map[string]string{
		"internal/ranked": "internal/invariant",

		"vfs/memfs":   "vfs",
		"vfs/faultfs": "vfs",
	}
}

func TestImportsGoStrictlyDownwards(t *testing.T) {
	for _, finding := range checkTiers(repository(t), tiers()) {
		t.Error(finding)
	}
}

// checkTiers finds packages without a tier, tiers without a package, imports that
// do not go down, and imports of the harness by the library. The last are looked
// for in tests as well: the workspace knows both modules, so they compile, and
// fail for those who have only the library.
func checkTiers(sources []*source, tiers map[string]int) []string {
	var findings []string
	existing := packages(sources)
	for _, pkg := range existing {
		if _, ok := tiers[pkg]; !ok && !strings.HasPrefix(pkg, programDir) {
			findings = append(findings, fmt.Sprintf("%s: package has no tier; give it one in internal/arch/tiers_test.go", pkg))
		}
	}
	for pkg := range tiers {
		if !slices.Contains(existing, pkg) {
			findings = append(findings, fmt.Sprintf("%s: has a tier, but there is no such package", pkg))
		}
	}
	for _, s := range sources {
		for _, imp := range s.imports() {
			if finding := checkEdge(s, imp, tiers); finding != "" {
				findings = append(findings, fmt.Sprintf("%s:%d: %s", s.name, imp.line, finding))
			}
		}
	}
	slices.Sort(findings)
	return findings
}

// checkEdge says what is wrong with one import, or "". The program may run the
// harness, so that whoever has the program can check on their own machine what is
// said of the database. The harness uses the engine's internals, so it cannot live
// in the program.
func checkEdge(s *source, imp imported, tiers map[string]int) string {
	target, ours := strings.CutPrefix(imp.path, module)
	if !ours || target != "" && target[0] != '/' {
		return ""
	}
	target = strings.TrimPrefix(target, "/")
	if target == "" {
		target = "."
	}
	toProgram := within(target, programDir)
	switch {
	case within(target, harnessDir) && !within(s.pkg, harnessDir) && !s.inProgram():
		return fmt.Sprintf("%s imports %s: the library must not know the torture harness", s.pkg, target)
	case s.test:
		return ""
	case s.inProgram() && (toProgram || !strings.Contains(target, "internal") || isLent(target)):
		return ""
	case s.inProgram():
		return fmt.Sprintf("the program imports %s; it may use only what every user can", target)
	case toProgram:
		return fmt.Sprintf("%s imports %s: the library must not know the program", s.pkg, target)
	case tiers[target] < tiers[s.pkg] || sideways()[s.pkg] == target:
		return ""
	}
	return fmt.Sprintf("%s (tier %d) imports %s (tier %d): imports must go strictly down",
		s.pkg, tiers[s.pkg], target, tiers[target])
}

// isLent reports whether the program may import an internal package. It runs the
// torture harness and the workloads of bench/, so that whoever has the program can
// check on their own machine what is said of the database. The harness itself uses
// the engine's internals, so it cannot live in the program; bench/ is a module that
// the program does not need.
func isLent(pkg string) bool {
	return within(pkg, harnessDir) || pkg == "internal/workload"
}

// TestTiersCatchesBadEdges breaks each rule once.
func TestTiersCatchesBadEdges(t *testing.T) {
	table := map[string]int{"internal/low": 0, "internal/high": 3, "internal/peer": 3, "internal/helper": testOnly}
	good := map[string]string{
		"internal/low/a.go":    `package low; import "fmt"`,
		"internal/high/a.go":   `package high; import "` + module + `/internal/low"`,
		"internal/peer/a.go":   `package peer`,
		"internal/helper/a.go": `package helper; import "` + module + `/internal/peer"`,
	}
	for name, broken := range map[string]struct{ file, text, want string }{
		"none":     {"internal/low/b_test.go", `package low; import "` + module + `/internal/high"`, ""},
		"program":  {"cmd/lightning/a.go", `package main; import "` + module + `"`, ""},
		"up":       {"internal/low/b.go", `package low; import "` + module + `/internal/high"`, "internal/low/b.go:1: internal/low (tier 0) imports internal/high (tier 3)"},
		"level":    {"internal/peer/b.go", `package peer; import "` + module + `/internal/high"`, "internal/peer/b.go:1: internal/peer (tier 3) imports internal/high (tier 3)"},
		"testOnly": {"internal/high/b.go", `package high; import "` + module + `/internal/helper"`, "internal/high/b.go:1: internal/high (tier 3) imports internal/helper"},
		"untiered": {"internal/new/a.go", `package new`, "internal/new: package has no tier"},
		"inside":   {"cmd/lightning/a.go", `package main; import "` + module + `/internal/low"`, "cmd/lightning/a.go:1: the program imports internal/low"},
		"down":     {"internal/high/b.go", `package high; import "` + module + `/internal/torture"`, "internal/high/b.go:1: internal/high imports internal/torture: the library"},
		"in tests": {"internal/high/b_test.go", `package high; import "` + module + `/internal/torture/low"`, "internal/high/b_test.go:1: internal/high imports internal/torture/low: the library"},
		"harness":  {"cmd/lightning/a.go", `package main; import "` + module + `/internal/torture/low"`, ""},
		"workload": {"cmd/lightning/a.go", `package main; import "` + module + `/internal/workload"`, ""},
		"like it":  {"cmd/lightning/a.go", `package main; import "` + module + `/internal/torturer"`, "cmd/lightning/a.go:1: the program imports internal/torturer"},
		"upwards":  {"internal/high/b.go", `package high; import "` + module + `/cmd/lightning/x"`, "internal/high/b.go:1: internal/high imports cmd/lightning/x"},
	} {
		texts := map[string]string{broken.file: broken.text}
		for file, text := range good {
			texts[file] = text
		}
		expectFindings(t, name, checkTiers(parseAll(t, texts), table), broken.want)
	}
	stale := map[string]int{"internal/low": 0, "internal/gone": 1}
	sources := parseAll(t, map[string]string{"internal/low/a.go": "package low"})
	expectFindings(t, "stale", checkTiers(sources, stale), "internal/gone: has a tier, but there is no such package")
}

// expectFindings wants one finding that begins with want, or none for "".
func expectFindings(t *testing.T, name string, findings []string, want string) {
	t.Helper()
	if want == "" {
		if len(findings) > 0 {
			t.Errorf("%s: unexpected %q", name, findings)
		}
		return
	}
	if len(findings) != 1 || !strings.HasPrefix(findings[0], want) {
		t.Errorf("%s: got %q, want one that begins with %q", name, findings, want)
	}
}

func parseAll(t *testing.T, texts map[string]string) []*source {
	t.Helper()
	var sources []*source
	for name, text := range texts {
		s, err := parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	return sources
}
