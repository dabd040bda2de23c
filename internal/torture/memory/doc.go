// Package memory measures what a process takes that uses a database: the promise is
// Options.MemoryBudget and 64 MiB, whatever the shape of the use. Each shape runs in a
// process of its own, on real files, and the kernel says how much memory that process
// had at its peak.
//
//	go test ./internal/torture/memory                       # small sizes
//	go test ./internal/torture/memory -full -v -timeout 1h  # all sizes and budgets
//
// It is made of tests alone, which need Linux.
package memory
