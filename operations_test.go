package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Each figure is what a scripted run comes to: of gets by how they end and who has answered,
// of gets of many keys, and of commits.
func TestOperationMetrics(t *testing.T) {
	ctx := context.Background()
	o := &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync}
	o.Debug.NoHotCache = true // so that all gets go to the tree
	db := open(t, o)
	before := db.Metrics().Operations
	if g := before.Gets; g.Found+g.Missed != 0 || before.Commits.Count != 0 {
		t.Errorf("before anything: %+v", before)
	}
	const rows = 500
	for i := range rows {
		must(t, db.Put(fmt.Appendf(nil, "key%04d", i), make([]byte, 50)))
	}
	b := db.NewBatch()
	for i := range 10 {
		must(t, b.Put(fmt.Appendf(nil, "batch%d", i), []byte("v")))
	}
	must(t, b.CommitWith(lightning.DurabilitySync))
	must(t, db.Flush(ctx))
	refused := errors.New("refused")
	for i := range rows {
		key := fmt.Appendf(nil, "key%04d", i)
		_, err := db.Get(key) // from the tree, for the first time
		must(t, err)
		_, err = db.AppendGet(nil, append(key, 'x'))
		wantErr(t, err, lightning.ErrNotFound)
		ok, err := db.Has(key)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		wantErr(t, db.GetFunc(key, func([]byte) error { return refused }), refused)
	}
	snap, err := db.Snapshot()
	must(t, err)
	_, err = snap.Get([]byte("key0001"))
	must(t, err)
	wantErr(t, snap.GetFunc([]byte("none"), func([]byte) error { return nil }), lightning.ErrNotFound)
	must(t, snap.Close())
	must(t, db.View(func(tx *lightning.Tx) error {
		_, err := tx.Get([]byte("key0002"))
		return err
	}))
	for range 3 {
		must(t, db.MultiGet([][]byte{[]byte("key0001"), []byte("key0002")}, func(int, []byte, error) error { return nil }))
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.GetFunc([]byte("key0003"), func([]byte) error { panic("the caller's") })
	}()

	m := db.Metrics().Operations
	g := m.Gets
	if g.Found != 2*rows+3 || g.Missed != 2*rows+1 {
		t.Errorf("%d gets found and %d missed, want %d and %d", g.Found, g.Missed, 2*rows+3, 2*rows+1)
	}
	if g.FromTree != g.Found+g.Missed {
		t.Errorf("%d of %d gets went to the tree", g.FromTree, g.Found+g.Missed)
	}
	if n := g.Latency.Count(); n < (g.Found+g.Missed)/64/4 || n > (g.Found+g.Missed)/4 {
		t.Errorf("%d of %d gets were timed", n, g.Found+g.Missed)
	}
	if l := g.Latency; l.Quantile(0.5) > l.Quantile(0.99) || l.Quantile(1) != l.Max() || l.Mean() > l.Max() || l.Max() <= 0 {
		t.Errorf("half of gets took %v, 99 %% %v, the longest %v, on average %v", l.Quantile(0.5), l.Quantile(0.99), l.Max(), l.Mean())
	}
	if m.MultiGets.Latency.Count() != 3 || m.MultiGets.Keys.Sum() != 6 || m.MultiGets.Keys.Max() != 2 {
		t.Errorf("MultiGets: %d of %d keys", m.MultiGets.Latency.Count(), m.MultiGets.Keys.Sum())
	}
	c := m.Commits
	if c.Count != rows+1 || c.Sync.Count() != 1 || c.LogSyncs.Count() != 1 || c.CommitsPerSync.Sum() != 1 {
		t.Errorf("%d commits, %d synced, by %d syncs for %d", c.Count, c.Sync.Count(), c.LogSyncs.Count(), c.CommitsPerSync.Sum())
	}
	if c.Sync.Max() < c.LogSyncs.Max() || c.Buffered.Count() != 0 || c.Async.Count() > rows/4 {
		t.Errorf("a synced commit took %v, its sync %v; %d buffered, %d async ones were timed", c.Sync.Max(), c.LogSyncs.Max(),
			c.Buffered.Count(), c.Async.Count())
	}
	if c.SizeBytes.Count() != c.Async.Count()+1 || c.SizeBytes.Max() < 100 {
		t.Errorf("%d batches of up to %d bytes", c.SizeBytes.Count(), c.SizeBytes.Max())
	}

	// What comes between two looks.
	must(t, db.PutWithTTL([]byte("k"), []byte("v"), time.Hour))
	b = db.NewBatch()
	must(t, b.Put([]byte("k"), []byte("v")))
	must(t, b.CommitWith(lightning.DurabilitySync))
	later := db.Metrics().Operations.Commits
	if later.Count != c.Count+2 || later.Sync.Since(c.Sync).Count() != 1 {
		t.Errorf("later %d commits, %d synced since", later.Count, later.Sync.Since(c.Sync).Count())
	}
	var total uint64
	for bound, n := range later.Sync.Buckets() {
		if total += n; bound <= 0 {
			t.Errorf("%d values up to %v", n, bound)
		}
	}
	if total != later.Sync.Count() {
		t.Errorf("%d values are in buckets, want %d", total, later.Sync.Count())
	}
}

// Gets that the cache of hot records answers do not count as those of the tree.
func TestOperationMetricsOfHotRecords(t *testing.T) {
	db := open(t, &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
	must(t, db.Put([]byte("k"), []byte("v")))
	const gets = 10_000
	for range gets {
		_, err := db.Get([]byte("k"))
		must(t, err)
	}
	if g := db.Metrics().Operations.Gets; g.Found != gets || g.Missed != 0 || g.FromTree == 0 || g.FromTree > gets/2 {
		t.Errorf("%d found, %d missed, %d from the tree", g.Found, g.Missed, g.FromTree)
	}
}
