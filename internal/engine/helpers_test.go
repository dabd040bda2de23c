package engine

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testOptions make every structure fill soon.
func testOptions(fs vfs.FS) Options {
	none := func(int, bool) compress.Codec { return compress.None }
	return Options{
		FS: fs, Clock: clock.System, Logger: slog.New(slog.DiscardHandler),
		MemoryBudget: 4 << 20, MemtableBytes: 64 << 10, BlockBytes: 512, FilterBits: 12,
		FileBytes: 16 << 10, L0Files: 4, AsyncDelay: 5 * time.Millisecond,
		Codec: none, CodecFor: func(uint8) CodecPolicy { return none },
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

// fill writes n rows that begin with prefix.
func fill(t testing.TB, db *DB, prefix string, n int) {
	t.Helper()
	value := make([]byte, 50)
	for i := range n {
		must(t, db.Set(nil, []byte{0}, fmt.Appendf(nil, "%s%05d", prefix, i), value, Async))
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
