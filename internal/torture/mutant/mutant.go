// Package mutant proves that the tests bite. A Mutant is a small change of the
// engine's source that breaks one promise: a sync that is left out, two steps in
// the wrong order, a check that always says yes. Each must make one of its
// suites fail. One that survives is a promise that nothing tests.
//
// The mutants stand in lists/*.txt by theme; list.go says how. A mutant names a
// function, a pattern of Go syntax that fits one place in it, and an operation.
// So it stays as it is when the function moves to another file or package, when
// its receiver gets another name or type, and when the code is laid out anew.
// Where it fits no longer, the ordinary test says what is near.
//
// The lists are data, immutable, and safe for concurrent use. The sources are
// never written to: the runner, behind the build tag mutants, hands the changed
// file to the compiler as an overlay:
//
//	go test -tags mutants -timeout 3h ./internal/torture/mutant -v
//	go test -tags mutants ./internal/torture/mutant -v -run 'TestMutants/wal-.*'
//
// After a move, see at least that all of them compile:
//
//	go test -tags mutants ./internal/torture/mutant -run TestMutantsCompile
//
// The ordinary tests of this package prove that every mutant still fits the
// source, and that no call that makes something durable is without one. To see
// where mutants fit, and what they change:
//
//	go test ./internal/torture/mutant -run TestMutantsFit -v -args -show 'wal-.*'
package mutant

// Mutant is one way to break the engine.
type Mutant struct {
	Name string
	// Breaks says which promise is broken.
	Breaks string
	// Suites are expected to notice, the cheapest first.
	Suites []Suite
	// In is the function, Under the pattern of something in it (empty: all of it),
	// and At the pattern of a place in that: the only one, or the Nth Of some.
	In, Under, At string
	Nth, Of       int
	// Op is what is done to the place, with Text.
	Op, Text string
	// Place is where in the lists the mutant stands.
	Place string
}

// Suite is one run of `go test`.
type Suite struct {
	Package string // pattern, from the root of the repository
	Run     string // which tests, as a regular expression; empty: all
	Args    []string
}
