package engine

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// With eight processors a large compaction has several writers, which write side by side: each
// waits here a little for another one. All that there was is there afterwards.
func TestCompactionHasSeveralWriters(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	fs := memfs.New()
	opts := testOptions(fs)
	opts.L0Files = 64
	db := openTest(t, opts)
	ctx := context.Background()
	fillFile(t, db, "a", 8000)
	must(t, db.Compact(ctx, nil, nil)) // into tables whose bounds can divide a job
	for i := range 4 {
		fillFile(t, db, fmt.Sprintf("a%d", i), 2000)
	}
	var inside atomic.Int32
	var once sync.Once
	met := make(chan struct{})
	fs.SetHook(func(op vfs.Op) error {
		if ok, _ := path.Match("*.sst", path.Base(op.Name)); op.Kind != vfs.OpCreate || !ok {
			return nil
		}
		defer inside.Add(-1)
		if inside.Add(1) > 1 {
			once.Do(func() { close(met) })
		}
		select {
		case <-met:
		case <-time.After(100 * time.Millisecond): // a small job has one
		}
		return nil
	})
	must(t, db.Compact(ctx, nil, nil))
	fs.SetHook(nil)
	select {
	case <-met:
	default:
		t.Error("never were two tables begun at a time")
	}
	for i := range 8000 {
		if _, err := db.Reads().AppendGet(nil, fmt.Appendf([]byte{0}, "a%05d", i)); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	for prefix := range 4 {
		for i := range 2000 {
			if _, err := db.Reads().AppendGet(nil, fmt.Appendf([]byte{0}, "a%d%05d", prefix, i)); err != nil {
				t.Fatalf("row %d of %d: %v", i, prefix, err)
			}
		}
	}
	must(t, db.Close())
}

// A compaction writes no faster than it may, and flushes are not held up.
func TestCompactionPace(t *testing.T) {
	inBubble(t, "compact", func(t *testing.T) {
		opts := testOptions(memfs.New())
		opts.CompactionBytesPerSecond = 32 << 10
		opts.L0Files = 64
		db := openTest(t, opts)
		start := time.Now()
		for range 3 {
			fillFile(t, db, "a", 2000)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("flushes took %v", took)
		}
		start = time.Now()
		must(t, db.Compact(context.Background(), nil, nil))
		var sizeBytes uint64
		for _, level := range db.Metrics().Levels {
			sizeBytes += level.Bytes
		}
		want := time.Duration(sizeBytes) * time.Second / (32 << 10)
		if took := time.Since(start); took < want/2 || took > 2*want {
			t.Errorf("%d bytes were written in %v, want about %v", sizeBytes, took, want)
		}
		must(t, db.Close())
	})
}
