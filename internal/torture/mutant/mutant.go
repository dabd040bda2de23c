// Package mutant proves that the tests bite. A Mutant is a small change of the
// engine's source that breaks one promise: a sync that is left out, two steps in
// the wrong order, a check that always says yes. Each must make one of its
// suites fail. One that survives is a promise that nothing tests.
//
// The lists stand in files by theme. They are data, immutable, and safe for
// concurrent use. The sources are never written to: the runner, behind the
// build tag mutants, hands the changed file to the compiler as an overlay:
//
//	go test -tags mutants -timeout 3h ./internal/torture/mutant -v
//	go test -tags mutants ./internal/torture/mutant -v -run 'TestMutants/wal-.*'
//
// The ordinary tests of this package prove that every mutant still fits the
// source, and that no call that makes something durable is without one.
package mutant

import "slices"

// Mutant is one way to break the engine.
type Mutant struct {
	Name string
	File string // from the root of the repository, with slashes
	// Old stands in the file exactly once; New takes its place.
	Old, New string
	// Breaks says which promise is broken.
	Breaks string
	// Suites are expected to notice, the cheapest first.
	Suites []Suite
}

// Suite is one run of `go test`.
type Suite struct {
	Package string // pattern, from the root of the repository
	Run     string // which tests, as a regular expression; empty: all
	Args    []string
}

// All returns every mutant.
func All() []Mutant {
	return slices.Concat(
		durabilityMutants, platformMutants, orderMutants, logMutants, checksumMutants,
		fileMutants, recoveryMutants, poisonMutants, tombstoneMutants, visibilityMutants,
		hotCacheMutants, frameCacheMutants, lifetimeMutants, keyspaceMutants,
		transactionMutants, dataModelMutants, feedMutants,
	)
}
