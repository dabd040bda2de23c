// Package engine puts every database that is compared behind one small
// interface, so that all do exactly the same work. Each engine has a file of
// its own, tuned as its authors advise, with the reason beside each option.
//
// # Rules for an adapter
//
// The durability asked for is what the engine delivers, no more and no less.
// The memory asked for covers its caches and write buffers together, as far as
// the engine lets them be bounded; where the operating system's page cache
// serves instead (bbolt, LMDB), nothing is bounded, and the description says so.
// No compression, where it can be switched off, but where Config asks for it: the
// other records do not compress.
// What an engine does in the background while nobody waits is not prevented.
//
// # Thread-safety
//
// A DB may be used by several goroutines, a Session by the one that made it.
package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lightningdb/lightning/internal/workload"
)

// Durability says what a write waits for before it returns. It is the same for
// all engines of a run.
type Durability string

const (
	// Async waits for no device: a write may be lost by a power cut, and by
	// the end of the process where the engine buffers it itself.
	Async Durability = "async"
	// Sync waits until the write is on stable storage.
	Sync Durability = "sync"
)

// Config is what a database is opened with.
type Config struct {
	Dir         string // exists; empty for a new database
	Durability  Durability
	MemoryBytes int64 // for caches and write buffers together
	DataBytes   int64 // about how much will ever be in it: the size of LMDB's map
	// Transactions says that there will be some that read and write; without
	// them an engine need not look for conflicts.
	Transactions bool
	// Small says that the records compress, and that their size is what counts: with
	// Zstandard where the engine has it, else with what it has.
	Small bool
}

// DB is an open database.
type DB interface {
	workload.Store
	// Close ends the use of the database in the clean way.
	Close() error
}

// What an engine has to do is said where it is needed: the same work is also done
// by 'lightning bench'.
type (
	// Record is a key with its value.
	Record = workload.Record
	// Session is one goroutine's handle.
	Session = workload.Session
	// Transactor is a Session whose engine has transactions that read and write.
	Transactor = workload.Transactor
	// Load is a bulk load.
	Load = workload.Load
	// Bulk is a sort of bulk loads.
	Bulk = workload.Bulk
	// Tx is a transaction, for the time of the function it is passed to.
	Tx = workload.Tx
)

// Engine is a database that can be measured.
type Engine struct {
	Name    string
	Package string // Go module, or C library, whose version is reported
	// Version tells the version of a C library at run time. It is nil for a Go
	// module: the information of the build tells that.
	Version func() string
	// Tuning says in one line how it is set up, and Memory what of the memory
	// asked for it keeps to.
	Tuning, Memory string
	// Go says that its memory is the Go runtime's, so that allocations are
	// counted.
	Go bool
	// Transactions says that its sessions are Transactors.
	Transactions bool
	// RangeDeletes says that it deletes a range in one step; where it does not, its
	// sessions delete one key after the other.
	RangeDeletes bool
	// Tables says that it takes in tables that were written apart from it.
	Tables bool
	// Compresses says that it can do that.
	Compresses bool
	// Cache says that it is no database: it only puts, gets and deletes.
	Cache bool
	Open  func(Config) (DB, error)
}

// engines is filled by the files of the engines.
var engines []Engine

func register(e Engine) { engines = append(engines, e) }

// Missing says how to get the engines that are not built in, a line each.
func Missing() []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(optional)) {
		if _, err := Lookup(name); err != nil {
			lines = append(lines, fmt.Sprintf("%-12s not built in: %s", name, optional[name]))
		}
	}
	return lines
}

// Tags returns the build tags of this program, separated by commas.
func Tags() string {
	var tags []string
	for _, name := range slices.Sorted(maps.Keys(optional)) {
		if _, err := Lookup(name); err == nil {
			tags = append(tags, name)
		}
	}
	return strings.Join(tags, ",")
}

// Optional engines need a C library and a build tag.
var optional = map[string]string{
	"lmdb":    "build with -tags lmdb; needs the C library LMDB (Debian: liblmdb-dev)",
	"rocksdb": "build with -tags rocksdb; needs the C library RocksDB (Debian: librocksdb-dev)",
}

// Names returns the engines that are built in, Lightning DB first.
func Names() []string {
	names := make([]string, 0, len(engines))
	for _, e := range engines {
		names = append(names, e.Name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(rank(a)+a, rank(b)+b)
	})
	return names
}

func rank(name string) string {
	if name == "lightning" {
		return "0"
	}
	return "1"
}

// Lookup returns an engine by name. The error says what there is.
func Lookup(name string) (Engine, error) {
	for _, e := range engines {
		if e.Name == name {
			return e, nil
		}
	}
	if how, ok := optional[name]; ok {
		return Engine{}, fmt.Errorf("engine %q is not built in: %s", name, how)
	}
	return Engine{}, fmt.Errorf("no engine %q; there are %s", name, strings.Join(Names(), ", "))
}
