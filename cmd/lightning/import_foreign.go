package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/cmd/lightning/internal/foreign"
)

// This file loads the databases of other engines. Each keyspace is loaded as a whole or not at
// all, by a bulk load, and is read back and compared at the end.

// foreignImport loads one database.
type foreignImport struct {
	engine   string
	db       *lightning.DB
	only     store // where records go that are in no keyspace
	name     string
	progress *importProgress
	// stays is when records that expire are looked at in the comparison: those that may expire
	// while it goes on are not.
	stays time.Time
	seed  maphash.Seed

	loader   *lightning.BulkLoader // nil before the first keyspace
	current  *loadedKeyspace
	loaded   []*loadedKeyspace
	skipped  int64 // that had expired
	allCount int64
}

// loadedKeyspace is what was read of a keyspace.
type loadedKeyspace struct {
	Name    string `json:"keyspace"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`

	target store
	sum    maphash.Hash // of all records that stay
	brief  int64        // that may expire soon
}

// foreignResult is what the import prints, in the form of its JSON.
type foreignResult struct {
	Engine    string            `json:"engine"`
	Records   int64             `json:"records"`
	Bytes     int64             `json:"bytes"`
	Expired   int64             `json:"expired"` // that were left out
	Keyspaces []*loadedKeyspace `json:"keyspaces"`
	Seconds   float64           `json:"seconds"`
}

// runForeign loads the database of another engine.
func (f *importFlags) runForeign(cmd *cobra.Command, dir, path string) error {
	for _, name := range []string{"format", "key", "value", "expires", "join", "header", "skip-bad", "batch", "bulk", "durability"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s is for lines of text, not for the database of an engine", name)
		}
	}
	source, err := foreign.Open(f.from.value, path)
	if err != nil {
		return err
	}
	defer source.Close() // only read from
	notes := cmd.OutOrStdout()
	if f.output.value == formatJSON {
		notes = cmd.ErrOrStderr()
	}
	opts := lightning.Options{Durability: lightning.DurabilityAsync, MemoryBudget: int64(f.memory)}
	return createStore(cmd.Context(), notes, dir, f.keyspace, opts, func(db *lightning.DB, target store) error {
		start := time.Now()
		l := foreignImport{
			engine: f.from.value, db: db, only: target, name: f.keyspace, seed: maphash.MakeSeed(),
			progress: newImportProgress(cmd.ErrOrStderr(), -1), stays: start.Add(24 * time.Hour),
		}
		l.progress.begin()
		defer l.progress.finish()
		err := l.run(cmd.Context(), source)
		l.progress.finish()
		if err != nil {
			return fmt.Errorf("%s: %w; %s", path, interruptedOr(cmd.Context(), err), l.kept())
		}
		result := l.result(time.Since(start))
		if f.output.value == formatJSON {
			return printJSON(cmd.OutOrStdout(), result)
		}
		return result.print(cmd.OutOrStdout())
	})
}

// run loads and compares.
func (l *foreignImport) run(ctx context.Context, source foreign.Source) (err error) {
	defer func() {
		if l.loader != nil {
			err = errors.Join(err, l.loader.Close())
		}
	}()
	enter := func(keyspace string) error { return l.enter(ctx, keyspace) }
	if err := source.Each(ctx, enter, l.put); err != nil {
		return err
	}
	if err := l.commit(); err != nil {
		return err
	}
	for _, k := range l.loaded {
		if err := l.compare(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// enter goes on to another keyspace, which must be empty.
func (l *foreignImport) enter(ctx context.Context, keyspace string) error {
	if err := l.commit(); err != nil {
		return err
	}
	k := &loadedKeyspace{Name: keyspace, target: l.only}
	k.sum.SetSeed(l.seed)
	if keyspace != "" {
		if l.name != "" {
			return usagef("--keyspace is not for %s, which has keyspaces of its own", l.engine)
		}
		target, err := l.db.Keyspace(ctx, keyspace, nil)
		if err != nil {
			return fmt.Errorf("keyspace %q: %w", keyspace, err)
		}
		k.target = target
	} else if l.name != "" {
		k.Name = l.name
	}
	n, err := k.target.EstimateCount(nil, nil)
	if err == nil && n > 0 {
		n, err = k.target.Count(ctx, nil, nil)
	}
	switch {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("keyspace %q has %s already; nothing is loaded over them", k.Name, console.CountOf(n, "record"))
	}
	l.current = k
	l.loader, err = k.target.BulkLoader()
	return err
}

// commit ends the keyspace at hand.
func (l *foreignImport) commit() error {
	if l.loader == nil {
		return nil
	}
	if err := l.loader.Commit(); err != nil {
		return err
	}
	l.loader = nil
	l.loaded = append(l.loaded, l.current)
	return nil
}

func (l *foreignImport) put(r foreign.Record) error {
	var err error
	switch {
	case r.ExpiresAt.IsZero():
		err = l.loader.Put(r.Key, r.Value)
	case r.ExpiresAt.Before(time.Now()):
		l.skipped++
		return nil
	default:
		err = l.loader.PutUntil(r.Key, r.Value, r.ExpiresAt)
	}
	if err != nil {
		return fmt.Errorf("record %d, key %q: %w", l.current.Records+1, r.Key[:min(len(r.Key), 50)], err)
	}
	k := l.current
	k.Records++
	k.Bytes += int64(len(r.Key) + len(r.Value))
	l.allCount++
	if !r.ExpiresAt.IsZero() && r.ExpiresAt.Before(l.stays) {
		k.brief++
	}
	l.note(&k.sum, r.Key, r.Value, r.ExpiresAt)
	l.progress.update(l.allCount)
	return nil
}

// note adds a record to a sum, if it stays.
func (l *foreignImport) note(sum *maphash.Hash, key, value []byte, expires time.Time) {
	if !expires.IsZero() && expires.Before(l.stays) {
		return
	}
	var head [24]byte
	binary.LittleEndian.PutUint64(head[:], uint64(len(key)))
	binary.LittleEndian.PutUint64(head[8:], uint64(len(value)))
	if !expires.IsZero() {
		binary.LittleEndian.PutUint64(head[16:], uint64(expires.Unix()))
	}
	_, _ = sum.Write(head[:]) // a hash takes all
	_, _ = sum.Write(key)
	_, _ = sum.Write(value)
}

// compare reads a keyspace back.
func (l *foreignImport) compare(ctx context.Context, k *loadedKeyspace) (err error) {
	it, err := k.target.Iterator(lightning.IterOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var sum maphash.Hash
	sum.SetSeed(l.seed)
	n := int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		l.note(&sum, it.Key(), it.Value(), it.ExpiresAt())
		if n++; n%10_000 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	// What may have expired meanwhile need not be there.
	if sum.Sum64() != k.sum.Sum64() || n > k.Records || n < k.Records-k.brief {
		return fmt.Errorf("keyspace %q does not hold what was read: %d records of %d, or others", k.Name, n, k.Records)
	}
	return nil
}

func (l *foreignImport) kept() string {
	if len(l.loaded) == 0 {
		return "nothing was loaded"
	}
	return fmt.Sprintf("%s loaded before it are kept", console.CountOf(int64(len(l.loaded)), "keyspace"))
}

func (l *foreignImport) result(elapsed time.Duration) foreignResult {
	r := foreignResult{Engine: l.engine, Expired: l.skipped, Keyspaces: l.loaded, Seconds: elapsed.Seconds()}
	for _, k := range l.loaded {
		r.Records += k.Records
		r.Bytes += k.Bytes
	}
	return r
}

func (r *foreignResult) print(w io.Writer) error {
	elapsed := asDuration(r.Seconds)
	var page strings.Builder
	if len(r.Keyspaces) > 1 {
		for _, k := range r.Keyspaces {
			fmt.Fprintf(&page, "%q: %s, %s\n", k.Name, console.CountOf(k.Records, "record"), console.Bytes(k.Bytes))
		}
	}
	text := fmt.Sprintf("loaded %s, %s, from %s in %s (%s), and compared them", console.CountOf(r.Records, "record"),
		console.Bytes(r.Bytes), r.Engine, console.Duration(elapsed), console.Rate(r.Records, elapsed))
	if r.Expired > 0 {
		text += fmt.Sprintf("; left out %d that had expired", r.Expired)
	}
	fmt.Fprintln(&page, console.Fill(text, 2, console.LineWidth(w)))
	_, err := io.WriteString(w, page.String())
	return err
}
