package sharing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/reuse"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const mib = 1 << 20

// asked is who asks for records and blocks, as if both caches were warm.
type asked struct {
	records, blocks *reuse.Curve
	rng             *rand.Rand
}

func newAsked() *asked {
	curve := func(itemBytes int64) *reuse.Curve {
		return reuse.New(reuse.Config{MinBytes: 4 * mib, MaxBytes: 256 * mib, ItemBytes: itemBytes, Due: func() {}})
	}
	return &asked{curve(recordBytesMean), curve(blockBytesMean), rand.New(rand.NewPCG(1, 2))}
}

// gets asks for random ones of so many records, of which a hot-record cache has a share.
func (a *asked) gets(n, records int, hot float64) {
	for range n {
		i := a.rng.IntN(records)
		answered := a.rng.Float64() < hot
		a.records.Use(base.Hash(fmt.Appendf(nil, "record %d", i)), 180, answered)
		if !answered {
			a.scan(i/50, 1)
		}
	}
}

// scan asks for blocks.
func (a *asked) scan(from, n int) {
	for i := range n {
		a.blocks.Use(base.Hash(fmt.Appendf(nil, "block %d", from+i)), blockBytesMean, true)
	}
}

// TestDemand asks for what memory is to go to, for reads of several kinds.
func TestDemand(t *testing.T) {
	const allRecords = 180 // bytes of each
	for name, c := range map[string]struct {
		reads  func(a *asked)
		now    int64 // MiB, of 256
		data   int64 // records
		atMost int64 // MiB
		least  int64
	}{
		"few hot records stay where they are":         {func(a *asked) { a.gets(300_000, 5000, 1) }, 4, 5_000_000, 4, 4},
		"all records fit":                             {func(a *asked) { a.gets(300_000, 500_000, 0.02) }, 4, 500_000, 224, 86},
		"there are more hot records than room":        {func(a *asked) { a.gets(2_000_000, 200_000, 0.1) }, 4, 5_000_000, 224, 32},
		"more is read than fits anywhere":             {func(a *asked) { a.gets(1_000_000, 20_000_000, 0.01) }, 4, 20_000_000, 4, 4},
		"scans of what fits but for the records":      {func(a *asked) { a.gets(1000, 500_000, 1); a.scanAll() }, 224, 5_000_000, 64, 4},
		"writes alone do not pay for a large cache":   {func(a *asked) { a.write(300_000) }, 224, 500_000, 16, 4},
		"nor do gets of what is absent":               {func(a *asked) { a.absent(300_000) }, 224, 500_000, 16, 4},
		"nothing was asked for":                       {func(*asked) {}, 16, 5_000_000, 16, 16},
		"records that are asked for once do not come": {func(a *asked) { a.once(300_000) }, 4, 300_000, 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsked()
			c.reads(a)
			d := demand{
				records: a.records.Take(), blocks: a.blocks.Take(),
				now: c.now * mib, all: 256 * mib, max: 224 * mib, data: c.data * allRecords,
			}
			if got := d.best(); got < c.least*mib || got > c.atMost*mib {
				t.Errorf("%d MiB instead of %d to %d; %.0f gets, %.2f hits now, %.0f uses of blocks, %.2f hits now",
					got/mib, c.least, c.atMost, d.records.Uses, d.records.Hits(d.now), d.blocks.Uses, d.blocks.Hits(d.all-d.now))
			}
		})
	}
}

// write writes random records.
func (a *asked) write(n int) {
	for range n {
		a.records.Write(a.rng.Uint64())
	}
}

// absent asks for keys that are not there, each of which the filters know.
func (a *asked) absent(n int) {
	for range n {
		a.records.Pass(a.rng.Uint64())
		a.scan(a.rng.IntN(10), 3)
	}
}

// scanAll scans 180 MiB of blocks again and again.
func (a *asked) scanAll() {
	for range 10 {
		a.scan(0, 180*mib/blockBytesMean)
	}
}

// once asks for records one after the other.
func (a *asked) once(n int) {
	for i := range n {
		a.records.Use(base.Hash(fmt.Appendf(nil, "record %d", i)), 180, false)
		a.scan(i/50, 1)
	}
}

// A move that cannot keep commits out changes nothing, and takes no memory.
func TestMoveWithoutCommits(t *testing.T) {
	var memory offheap.Accountant
	var epochs epoch.Domain
	hot, err := hotcache.New(hotcache.Config{SizeBytes: mib / 2, MaxBytes: 8 * mib, Epochs: &epochs, Memory: &memory})
	if err != nil {
		t.Fatal(err)
	}
	defer hot.Free()
	cache := framecache.New(framecache.Config{CapacityBytes: 16 * mib, Epochs: &epochs, Memory: &memory})
	defer cache.Close()
	var nextBytes atomic.Int64
	w := New(Bounds{HotBytes: mib / 2, BudgetBytes: 16 * mib, BlocksBytes: 2 * mib})
	w.Config = Config{
		Hot: hot, Cache: cache, Events: event.NewSink(slog.New(slog.DiscardHandler), nil),
		NextBytes: &nextBytes, Divide: func() {},
		Alone: func(context.Context, func() error) error { return errors.New("no") },
	}
	before := memory.Bytes(offheap.OwnerHotCache)
	w.move(context.Background(), 4*mib)
	if w.now != mib/2 || memory.Bytes(offheap.OwnerHotCache) != before || nextBytes.Load() != 0 {
		t.Errorf("%d bytes, %d counted, %d before", w.now, memory.Bytes(offheap.OwnerHotCache), before)
	}
}
