package torture

import (
	"maps"
	"slices"
)

// sortedNames makes walks over a map repeatable for a seed.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
