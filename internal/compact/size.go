package compact

import (
	"math"

	"github.com/lightningdb/lightning/internal/manifest"
)

// This file says how large tables become. Both grow with the tree, the tables and how
// many of them there are: with many small ones an open, and every edit of the version,
// has much to look at; with few large ones a job takes long, and others wait for it.
// All levels aim at one size. Where each aimed at more than the one above it, every job
// would rewrite a larger part of a table that it hardly overlaps: see
// docs/decisions/0018-tables-grow-with-the-tree.md.

const (
	// growFromTables is how many tables of the least size a tree has before its tables
	// grow.
	growFromTables = 1024
	// maxGrowth is how many times the least size tables become at most: the writer of
	// a table has a part of it in memory, and a reserve for a full disk has all.
	maxGrowth = 16
)

// TableBytes returns the size that tables below level 0 aim at in a tree of so many
// bytes: leastBytes in a small one, and from there on as the square root of it grows.
func TableBytes(treeBytes uint64, leastBytes int64) int64 {
	growth := math.Sqrt(float64(treeBytes) / float64(leastBytes) / growFromTables)
	return int64(float64(leastBytes) * min(max(growth, 1), maxGrowth))
}

// TreeBytes returns the size of all tables of a version.
func TreeBytes(v *manifest.Version) (n uint64) {
	for level := range manifest.NumLevels {
		n += v.LevelBytes(level)
	}
	return n
}
