package session

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// inMemory is a bound of a transaction's memory that no test reaches; with 0 each
// write goes to a file of its own before the next.
const inMemory = 1 << 20

// openEngine opens an engine whose structures fill soon.
func openEngine(t testing.TB, fs vfs.FS) *engine.DB {
	t.Helper()
	none := func(int, bool) compress.Policy { return compress.Policy{} }
	operators, err := merge.NewRegistry([]merge.Operator{marking()})
	must(t, err)
	db, err := engine.Open("db", engine.Options{
		FS: fs, Clock: clock.System, Logger: slog.New(slog.DiscardHandler),
		MemoryBudget: 4 << 20, MemtableBytes: 64 << 10, BlockBytes: 512, FilterBits: 12,
		FileBytes: 16 << 10, L0Files: 4, AsyncDelay: 5 * time.Millisecond,
		Keyspaces: keyspace.Config{Codec: none, Operators: operators},
	})
	must(t, err)
	return db
}

// marking is a merge operator that puts the operands behind the value, or behind
// "nil" where there is none: an empty value is something else.
func marking() merge.Operator {
	return merge.Operator{Name: "marking", Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
		if value == nil {
			value = []byte("nil")
		}
		return append(append(dst, value...), bytes.Join(operands, nil)...), nil
	}}
}

// open returns a manager over an engine of its own, which the end of the test
// closes: nothing may be left open then.
func open(t testing.TB, spillBytes int64) (*engine.DB, *Manager) {
	t.Helper()
	return openOn(t, memfs.New(), spillBytes)
}

func openOn(t testing.TB, fs vfs.FS, spillBytes int64) (*engine.DB, *Manager) {
	t.Helper()
	db := openEngine(t, fs)
	m := managerOf(db, spillBytes)
	t.Cleanup(func() {
		m.Close()
		must(t, db.Close())
		if held, waiting := m.locks.Held(); held+waiting > 0 {
			t.Errorf("%d locks are held and %d waited for", held, waiting)
		}
	})
	return db, m
}

func managerOf(db *engine.DB, spillBytes int64) *Manager {
	return NewManager(db, Config{SpillBytes: spillBytes, Logger: slog.New(slog.DiscardHandler)})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// key returns the internal key of the default keyspace.
func key(user string) []byte { return append([]byte{0}, user...) }

// all are the bounds of the default keyspace.
func all() Bounds { return Bounds{Lower: []byte{0}, Upper: []byte{1}, PrefixBytes: 1} }

// set writes past all transactions.
func set(t testing.TB, db *engine.DB, user, value string) {
	t.Helper()
	must(t, db.Commits().Set(nil, []byte{0}, []byte(user), []byte(value), commit.Async))
}

// begin begins a transaction, which the end of the test rolls back.
func begin(t testing.TB, m *Manager, o Options) testTx {
	t.Helper()
	tx, err := m.Begin(o)
	must(t, err)
	t.Cleanup(tx.Rollback)
	return testTx{t, tx}
}

// testTx is a transaction in the default keyspace, for tests.
type testTx struct {
	t testing.TB
	*Tx
}

// get returns the value, "-" if there is none.
func (v testTx) get(user string) string {
	v.t.Helper()
	value, err := v.AppendGet(nil, nil, key(user))
	if err == base.ErrNotFound {
		return "-"
	}
	must(v.t, err)
	return string(value)
}

func (v testTx) put(user, value string) {
	v.t.Helper()
	must(v.t, v.Put(nil, key(user), []byte(value), 0))
}

func (v testTx) del(user string) {
	v.t.Helper()
	must(v.t, v.Delete(nil, key(user)))
}

// hold does what the callers of iterators do before they move or close one, and returns
// what they do afterwards: the janitor parks those that nobody is in.
func hold(tx *Tx) (leave func()) {
	tx.InUse().Enter()
	return tx.InUse().Leave
}

// rows returns what an iterator shows, forward or backward.
func rows(t testing.TB, it *Iterator, backward bool) string {
	t.Helper()
	var out []string
	start, step := it.First, it.Next
	if backward {
		start, step = it.Last, it.Prev
	}
	for ok := start(); ok; ok = step() {
		out = append(out, string(it.Key())+"="+string(it.Value()))
	}
	must(t, it.Err())
	return strings.Join(out, " ")
}

// scan returns all rows of the default keyspace.
func (v testTx) scan(backward bool) string {
	v.t.Helper()
	it, err := v.Iterator(nil, all())
	must(v.t, err)
	defer hold(v.Tx)()
	out := rows(v.t, it, backward)
	must(v.t, it.Close())
	return out
}
