package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// testOptions make every structure fill soon.
func testOptions(fs vfs.FS) Options {
	none := func(int, bool) compress.Policy { return compress.Policy{} }
	return Options{
		FS: fs, Clock: clock.System, Logger: slog.New(slog.DiscardHandler),
		MemoryBudget: 4 << 20, MemtableBytes: 64 << 10, BlockBytes: 512, FilterBits: 12,
		FileBytes: 16 << 10, L0Files: 4, AsyncDelay: 5 * time.Millisecond,
		Keyspaces: keyspace.Config{
			Codec: none, CodecFor: func(uint8) keyspace.CodecPolicy { return none },
		},
	}
}

func openTest(t testing.TB, opts Options) *DB {
	t.Helper()
	db, err := Open("db", opts)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What writer promises about its pace, which tests here measure from outside.
const (
	paceEnd          = 9
	slowestNSPerByte = 1000.0
	sleepMin         = time.Millisecond
	sleepMax         = 10 * time.Millisecond
)

// rotate begins a new memtable. It is for commits.Alone.
func (db *DB) rotate() error { return db.writer.Rotate(db.commits.LastSeq()) }

// waitForQueue waits until so many commits stand in line.
func waitForQueue(db *DB, n int) {
	for db.commits.Waiting() < n {
		runtime.Gosched()
	}
}

// fill writes n rows that begin with prefix.
func fill(t testing.TB, db *DB, prefix string, n int) {
	t.Helper()
	value := make([]byte, 50)
	for i := range n {
		must(t, db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%s%05d", prefix, i), value, commit.Async))
	}
}

// fillFile is fill with a table of its own in level 0.
func fillFile(t testing.TB, db *DB, prefix string, n int) {
	t.Helper()
	fill(t, db, prefix, n)
	must(t, db.Flush(context.Background()))
}

// inBubble runs a subtest under fake time.
func inBubble(t *testing.T, name string, run func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
}

// retryClock tells of each wait between two attempts of a job.
type retryClock struct {
	clock.Clock
	retry chan struct{}
}

func (c retryClock) AfterFunc(d time.Duration, fn func()) clock.Timer {
	if d == retryDelay {
		select {
		case c.retry <- struct{}{}:
		default:
		}
	}
	return c.Clock.AfterFunc(d, fn)
}
