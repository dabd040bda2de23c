package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
)

// This file delivers commits past the log from their tables: first the range deletes,
// under which none of the records is, then the records by their keys, of each key one
// or its operands. Nothing is in memory but the operation at hand and a block of
// range deletes of each table. All of it is read twice: what is damaged is found before anything is
// delivered.

// tables are those of a commit past the log, open for a feed alone.
type tables struct {
	readers    []*store.Apart
	names      []string // of the files
	first      base.SeqNum
	at         time.Time // of the commit
	operations int
	err        error // of the last walk
}

// operation is called for each operation of a commit; an error ends the walk.
type operation func(kind base.Kind, key, value []byte) error

var (
	errEnough  = errors.New("enough") // ends a walk early
	errRecords = errors.New("records that are no changes")
)

// checkRecords is how many operations pass between two looks at a context.
const checkRecords = 1024

// openTables makes a commit past the log the current one. Everything that Changes does
// is tried here, so that nothing can fail but the disk.
func (f *Feed) openTables(ctx context.Context, c *ingestCommit) (err error) {
	t := &tables{first: c.first, at: c.since}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	for _, table := range c.tables {
		r, err := table.OpenApart()
		if err != nil {
			return err
		}
		t.readers, t.names = append(t.readers, r), append(t.names, store.TableName(table.Meta.Num))
	}
	commit := Commit{First: c.first, Last: c.last, tables: t, names: f.names}
	err = t.each(func(kind base.Kind, key, value []byte) error {
		if t.operations++; t.operations%checkRecords == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		f.learnName(key)
		_, err := commit.change(kind, key, value)
		if err != nil {
			err = fmt.Errorf("%w: %w", errRecords, err)
		}
		return err
	})
	if err == nil {
		f.commit = commit
	}
	return err
}

// close closes the files.
func (t *tables) close() error {
	var errs []error
	for _, r := range t.readers {
		errs = append(errs, r.Close())
	}
	t.readers = nil
	return errors.Join(errs...)
}

// changes passes the operations to yield, in memory of their own.
func (t *tables) changes(c *Commit, yield func(Change) bool) {
	t.err = t.each(func(kind base.Kind, key, value []byte) error {
		own := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
		change, err := c.change(kind, own[:len(key):len(key)], own[len(key):])
		if err == nil && !yield(change) {
			err = errEnough
		}
		return err
	})
}

// each walks over the operations in order.
func (t *tables) each(do operation) error {
	file, err := t.names[0], t.eachRangeDelete(do)
	for i := 0; i < len(t.readers) && err == nil; i++ {
		file, err = t.names[i], t.eachRecord(t.readers[i], do)
	}
	switch {
	case errors.Is(err, errEnough):
		return nil
	case errors.Is(err, errRecords):
		return &base.CorruptionError{File: file, Offset: -1, Kind: "table", Err: err}
	}
	return err
}

// eachRangeDelete walks over the range deletes. Each table has those in its span, and
// neighbours were joined; each keyspace gets its own.
func (t *tables) eachRangeDelete(do operation) error {
	deletes := make([]rangedel.Iterator, len(t.readers))
	for i, r := range t.readers {
		deletes[i] = r.RangeDeletes()
	}
	union := rangedel.Union(deletes...)
	for {
		f, err := union.Next()
		if f == nil || err != nil {
			return err
		}
		for lo := f.Lo; bytes.Compare(lo, f.Hi) < 0; {
			_, n := keyspace.SplitPrefix(lo)
			hi := keyspace.PrefixEnd(lo[:n])
			if hi == nil || bytes.Compare(f.Hi, hi) < 0 {
				hi = f.Hi
			}
			if err := do(base.KindRangeDelete, lo, hi); err != nil {
				return err
			}
			lo = hi
		}
	}
}

// eachRecord walks over the records of a table.
func (t *tables) eachRecord(r *store.Apart, do operation) error {
	it := r.NewIter(sstable.IterOptions{NoFill: true})
	records := 0
	err := t.walk(it, func(kind base.Kind, key, value []byte) error {
		records++
		return do(kind, key, value)
	})
	if want := r.Properties().Count; err == nil && records != int(want) {
		err = fmt.Errorf("%w: %d instead of %d", errRecords, records, want)
	}
	return errors.Join(err, it.Close())
}

// walk passes on the records of an iterator. Of the operands of a key the oldest comes
// first: the iterator goes to the end of them and back.
func (t *tables) walk(it base.Iterator, do operation) error {
	var key []byte
	for rec := it.First(); rec != nil; {
		if rec.Trailer.Kind() != base.KindMerge || rec.Trailer.Seq() == t.first {
			if err := do(rec.Trailer.Kind(), rec.Key, rec.Value); err != nil {
				return err
			}
			rec = it.Next()
			continue
		}
		key = append(key[:0], rec.Key...)
		n := 0
		for ; rec != nil && bytes.Equal(rec.Key, key); rec = it.Next() {
			n++
		}
		if it.Err() != nil {
			break
		}
		for range n {
			if rec = it.Prev(); rec == nil {
				return it.Err()
			}
			if err := do(rec.Trailer.Kind(), rec.Key, rec.Value); err != nil {
				return err
			}
		}
		for range n {
			rec = it.Next()
		}
	}
	return it.Err()
}
