// Package foreign reads the databases of other engines, for those who move in. Each is opened by the
// engine itself, for reading only, and must not be open elsewhere.
package foreign

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Record is one of another engine's. Its slices are valid until the next one.
type Record struct {
	Key, Value []byte
	ExpiresAt  time.Time // zero: never
}

// Source is a database of another engine.
type Source interface {
	// Each calls enter with the name of each keyspace, "" where the engine has none, and then
	// record with each record of that, in the order of their keys. It ends with the first error.
	Each(ctx context.Context, enter func(keyspace string) error, record func(r Record) error) error
	Close() error
}

// engines are those that are known, by name.
var engines = map[string]func(path string) (Source, error){
	"bbolt": openBbolt, "badger": openBadger, "leveldb": openLevelDB, "pebble": openPebble,
}

// Names returns the names of the engines that are known, sorted.
func Names() []string { return slices.Sorted(maps.Keys(engines)) }

// Open opens a database of an engine.
func Open(engine, path string) (Source, error) {
	open := engines[engine]
	if open == nil {
		return nil, fmt.Errorf("no engine %q is known", engine)
	}
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s as a database of %s: %w", path, engine, err)
	}
	return s, nil
}

// everyRecords is how often it is looked whether the context has ended.
const everyRecords = 1024

// counted calls record with what it is given, and ends with ctx.
func counted(ctx context.Context, record func(r Record) error) func(r Record) error {
	n := 0
	return func(r Record) error {
		if n++; n%everyRecords == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return record(r)
	}
}
