package table

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/ranked"
)

// counts are the statistics of a handle and what has changed since. Writers add
// to them when they write, committed or not, and without a write of their own:
// a counter in the database would put all writers in conflict. Now and then one
// of them stores the sum, outside of any transaction. What a transaction adds
// that is rolled back or runs again is there until Analyze counts.
type counts struct {
	known   atomic.Pointer[catalogue.Statistics]
	rows    atomic.Int64
	entries []atomic.Int64                  // for each index of the handle
	folding ranked.Mutex[ranked.Statistics] // who publishes
}

// foldAfter is the change of the number of rows that makes it worth storing,
// and an eighth of the rows is. So a table that grows stores it a few times in
// all, and a large transaction that runs again does not meet it forever.
const foldAfter = 1024

// count notes a change of a row.
func (c *core[R]) count(was, is bool, edits []edit) {
	for i, e := range edits {
		if n := int64(len(e.added) - len(e.removed)); n != 0 {
			c.counts.entries[i].Add(n)
		}
	}
	if was == is {
		return
	}
	change := int64(1)
	if was {
		change = -1
	}
	pending := c.counts.rows.Add(change)
	if pending = max(pending, -pending); pending >= max(foldAfter, c.counts.known.Load().Rows/8) {
		c.fold()
	}
}

// countEntries notes entries that a builder has added.
func (c *core[R]) countEntries(x *index[R], n int64) {
	c.counts.entries[slices.Index(c.indexes, x)].Add(n)
}

// fold stores what has changed, unless someone else does. That it failed is no
// reason to fail: the user's own write will say so.
func (c *core[R]) fold() {
	if !c.counts.folding.TryLock() {
		return
	}
	defer c.counts.folding.Unlock()
	next := *c.counts.known.Load()
	change := c.counts.rows.Load()
	next.Rows = max(0, next.Rows+change)
	c.counts.rows.Add(-change)
	next.Indexes = maps.Clone(next.Indexes)
	for i, x := range c.indexes {
		change := c.counts.entries[i].Load()
		one := next.Indexes[x.id]
		one.Entries = max(0, one.Entries+change)
		next.Indexes[x.id] = one
		c.counts.entries[i].Add(-change)
	}
	c.counts.known.Store(&next)
	_ = c.storeStatistics(&next)
}

func (c *core[R]) storeStatistics(s *catalogue.Statistics) error {
	batch := c.catalogue.NewBatch()
	if err := batch.Put(catalogue.Key(catalogue.KindStatistics, c.name), s.Encode()); err != nil {
		return err
	}
	return batch.CommitWith(lightning.DurabilityAsync)
}

func (c *core[R]) loadStatistics() error {
	c.counts.entries = make([]atomic.Int64, len(c.indexes))
	s := &catalogue.Statistics{Indexes: map[uint64]catalogue.IndexStatistics{}}
	record, err := c.catalogue.Get(catalogue.Key(catalogue.KindStatistics, c.name))
	if err == nil {
		s, err = catalogue.DecodeStatistics(record)
	}
	if err != nil && !errors.Is(err, lightning.ErrNotFound) {
		return err
	}
	c.counts.known.Store(s)
	return nil
}

// now returns the statistics with what has changed since.
func (c *core[R]) now() *catalogue.Statistics {
	s := *c.counts.known.Load()
	s.Rows = max(0, s.Rows+c.counts.rows.Load())
	s.Indexes = maps.Clone(s.Indexes)
	for i, x := range c.indexes {
		one := s.Indexes[x.id]
		one.Entries = max(0, one.Entries+c.counts.entries[i].Load())
		s.Indexes[x.id] = one
	}
	return &s
}
