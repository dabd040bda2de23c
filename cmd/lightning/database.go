package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

// store holds the verbs that a database and a keyspace share, as far as the
// commands need them.
type store interface {
	Get(key []byte) ([]byte, error)
	Has(key []byte) (bool, error)
	ExpiresAt(key []byte) (time.Time, error)
	GetReader(key []byte) (*lightning.ValueReader, error)
	PutReader(ctx context.Context, key []byte, r io.Reader) (int64, error)
	PutReaderWithTTL(ctx context.Context, key []byte, r io.Reader, ttl time.Duration) (int64, error)
	PutIfAbsent(key, value []byte) (bool, error)
	CompareAndSwap(key, old, new []byte) (bool, error)
	CompareAndDelete(key, old []byte) (bool, error)
	GetAndDelete(key []byte) ([]byte, error)
	Increment(key []byte, delta int64) (int64, error)
	Touch(key []byte, ttl time.Duration) error
	EstimateCount(lo, hi []byte) (int64, error)
	Count(ctx context.Context, lo, hi []byte) (int64, error)
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
	Iterator(lightning.IterOptions) (*lightning.Iterator, error)
	NewBatch() *lightning.Batch
	BulkLoader() (*lightning.BulkLoader, error)
	Compact(ctx context.Context, lo, hi []byte) error
}

// keyFlags say how a command names its keys.
type keyFlags struct {
	keyspace string
	hex      bool
}

func (f *keyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.keyspace, "keyspace", "k", "", "work in this keyspace instead of the default one")
	cmd.Flags().BoolVar(&f.hex, "hex", false, "keys on the command line are in hexadecimal")
}

// decode turns a key as typed into its bytes.
func (f *keyFlags) decode(text string) ([]byte, error) {
	if text == "" {
		return []byte{}, nil
	}
	return f.bound(text)
}

// bound turns one end of a range as typed into its bytes; empty text is an open
// end, which is nil.
func (f *keyFlags) bound(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	key := []byte(text)
	if f.hex {
		var err error
		if key, err = hex.DecodeString(text); err != nil {
			return nil, usagef("%q is not hexadecimal", text)
		}
	}
	if len(key) > lightning.MaxKeyBytes {
		return nil, usagef("key is too large: %d bytes, the limit is %d", len(key), lightning.MaxKeyBytes)
	}
	return key, nil
}

// bounds decodes the range [lo, hi).
func (f *keyFlags) bounds(from, to string) (lo, hi []byte, err error) {
	if lo, err = f.bound(from); err != nil {
		return nil, nil, err
	}
	if hi, err = f.bound(to); err != nil {
		return nil, nil, err
	}
	if hi != nil && bytes.Compare(lo, hi) > 0 {
		return nil, nil, usagef("--from must not sort after --to")
	}
	return lo, hi, nil
}

// show prints a key the way the user typed it.
func (f *keyFlags) show(key []byte) string {
	if f.hex {
		return hex.EncodeToString(key)
	}
	return fmt.Sprintf("%q", key)
}

// readStore opens an existing database for reading, runs fn on the wanted
// keyspace and closes the database again.
func readStore(dir, keyspace string, fn func(*lightning.DB, store) error) error {
	return onStore(dir, keyspace, lightning.Options{ReadOnly: true}, fn)
}

// writeStore opens an existing database for writing, runs fn on the wanted
// keyspace, which must exist, and closes the database again.
func writeStore(dir, keyspace string, opts lightning.Options, fn func(*lightning.DB, store) error) error {
	opts.MustExist = true
	return onStore(dir, keyspace, opts, fn)
}

func onStore(dir, keyspace string, opts lightning.Options, fn func(*lightning.DB, store) error) error {
	db, err := openDatabase(dir, opts)
	if err != nil {
		return err
	}
	return closing(db, func() error {
		// To look into the library's own keyspaces does no harm.
		target, err := existingKeyspace(db, keyspace, &lightning.KeyspaceOptions{Reserved: opts.ReadOnly})
		if err != nil {
			return err
		}
		return fn(db, target)
	})
}

// reservedNames is what names of keyspaces begin with that are the library's.
const reservedNames = "lightning."

// createStore is writeStore for commands that make a database or keyspace
// that is not there yet; what is new is mentioned on notes, so that a mistyped
// directory or name does not go unseen.
func createStore(
	ctx context.Context, notes io.Writer, dir, keyspace string, opts lightning.Options,
	fn func(*lightning.DB, store) error,
) error {
	if strings.HasPrefix(keyspace, reservedNames) { // before a database is made for it
		return fmt.Errorf("%w: %q", lightning.ErrKeyspaceReserved, keyspace)
	}
	opts.MustExist = true
	db, err := openDatabase(dir, opts)
	if errors.Is(err, lightning.ErrNotDatabase) {
		opts.MustExist = false
		if db, err = openDatabase(dir, opts); err == nil {
			fmt.Fprintf(notes, "new database in %s\n", dir)
		}
	}
	if err != nil {
		return err
	}
	return closing(db, func() error {
		if keyspace == "" {
			return fn(db, db)
		}
		isNew := !slices.Contains(db.Keyspaces(), keyspace)
		target, err := db.Keyspace(ctx, keyspace, nil)
		if err != nil {
			return err
		}
		if isNew {
			fmt.Fprintf(notes, "new keyspace %q\n", keyspace)
		}
		return fn(db, target)
	})
}

// openDatabase opens dir and puts the common failures into plain words.
func openDatabase(dir string, opts lightning.Options) (*lightning.DB, error) {
	switch {
	case opts.LogArchive.SizeBytes == noArchive:
		opts.LogArchive.SizeBytes = 0
	case !opts.ReadOnly:
		opts.LogArchive.SizeBytes = archiveToKeep(dir)
	}
	db, err := lightning.Open(dir, &opts)
	if err != nil {
		return nil, openFailure(dir, err)
	}
	return db, nil
}

// openFailure puts the common reasons why a database cannot be used into plain words.
func openFailure(dir string, err error) error {
	switch {
	case errors.Is(err, lightning.ErrNotDatabase) && dir == "":
		return plainError{"the name of the database is empty", err}
	case errors.Is(err, lightning.ErrNotDatabase) && isMissing(dir):
		return plainError{dir + " does not exist", err}
	case errors.Is(err, lightning.ErrNotDatabase) || isFile(dir):
		return plainError{fmt.Sprintf("%s is not a Lightning database", dir), err}
	case errors.Is(err, lightning.ErrLocked):
		return plainError{fmt.Sprintf("%s is in use by another process", dir), err}
	}
	return err
}

// How much of what the program writes 'lightning changes' can tell afterwards:
// without an archive a closed database has none of it. Each command leaves a file,
// and every open looks at all of them.
const (
	keptArchive      = 64 << 20
	keptArchiveFiles = 256
	// noArchive as the bound of the log archive has what is there deleted.
	noArchive = -1
	// peekBudget is for looking into a database without reading from it.
	peekBudget = 4 << 20
)

// archiveToKeep is the bound of the log archive of a database. More than the program
// keeps is there because the owner of the database wants it: which part of that may
// be deleted is not for this program to say.
func archiveToKeep(dir string) int64 {
	entries, _ := os.ReadDir(dir) // where this fails, opening does
	var total int64
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".sst") }) {
		total = transactionsBytes(dir)
	}
	sizes := archivedSegments(entries)
	for _, size := range sizes {
		total += size
	}
	if total > keptArchive {
		return math.MaxInt64
	}
	for len(sizes) > keptArchiveFiles {
		total -= sizes[0]
		if sizes = sizes[1:]; len(sizes) == keptArchiveFiles {
			return total
		}
	}
	return keptArchive
}

// archivedSegments returns the sizes of the log segments in the archive, of the oldest
// first.
func archivedSegments(entries []os.DirEntry) (sizes []int64) {
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.HasSuffix(entry.Name(), ".archive") {
			sizes = append(sizes, info.Size())
		}
	}
	return sizes
}

// transactionsBytes is the size of the large transactions that the log archive of a
// database keeps as tables, which only the database can tell.
func transactionsBytes(dir string) int64 {
	db, err := lightning.Open(dir, &lightning.Options{ReadOnly: true, MemoryBudget: peekBudget})
	if err != nil {
		return 0 // opening it for real says why
	}
	defer db.Close()
	return db.Metrics().LogArchive.SizeBytes // of segments it has none before somebody asks
}

func isMissing(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// closing runs fn and then closes db; the first failure counts.
func closing(db *lightning.DB, fn func() error) error {
	err := fn()
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	return err
}

func existingKeyspace(db *lightning.DB, name string, opts *lightning.KeyspaceOptions) (store, error) {
	if name == "" {
		return db, nil
	}
	names := db.Keyspaces()
	if slices.Contains(names, name) {
		return db.Keyspace(context.Background(), name, opts)
	}
	if len(names) == 0 {
		return nil, plainError{fmt.Sprintf("no keyspace %q: there are none", name), lightning.ErrNotFound}
	}
	quoted := make([]string, len(names))
	for i, other := range names {
		quoted[i] = strconv.Quote(other)
	}
	return nil, plainError{
		fmt.Sprintf("no keyspace %q: there are %s", name, strings.Join(quoted, ", ")), lightning.ErrNotFound,
	}
}

// plainError is an error with a text for the terminal.
type plainError struct {
	text  string
	cause error
}

func (e plainError) Error() string { return e.text }

func (e plainError) Unwrap() error { return e.cause }

// errHasValue says that a key has a value that was to have none, or another one.
var errHasValue = errors.New("key has a value")

// errOtherValue says that a key does not have the value that it was to have.
func errOtherValue(shown string) error {
	return plainError{fmt.Sprintf("key %s has another value, or none", shown), errHasValue}
}

// errNoKey says that a key is not there; it matches lightning.ErrNotFound.
func errNoKey(shown string) error {
	return plainError{fmt.Sprintf("key %s not found", shown), lightning.ErrNotFound}
}
