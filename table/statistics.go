package table

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/keyenc"
)

// statistics are what the planner knows of a table. They may be old or
// missing: no result depends on them. Once published they do not change.
type statistics struct {
	analyzed bool // Analyze has counted once
	rows     int64
	samples  [][]byte // of the primary keys
	indexes  map[uint64]indexStatistics
}

type indexStatistics struct {
	entries int64
	// counted is how many there were when distinct and samples were made.
	counted  int64
	distinct []int64  // of the first column, of the first two, and so on
	samples  [][]byte // keys at equal distances
}

// counts are the statistics of a handle and what has changed since. Writers add
// to them when they write, committed or not, and without a write of their own:
// a counter in the database would put all writers in conflict. Now and then one
// of them stores the sum, outside of any transaction. What a transaction adds
// that is rolled back or runs again is there until Analyze counts.
type counts struct {
	known   atomic.Pointer[statistics]
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
	if pending = max(pending, -pending); pending >= max(foldAfter, c.counts.known.Load().rows/8) {
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
	next.rows = max(0, next.rows+change)
	c.counts.rows.Add(-change)
	next.indexes = maps.Clone(next.indexes)
	for i, x := range c.indexes {
		change := c.counts.entries[i].Load()
		one := next.indexes[x.id]
		one.entries = max(0, one.entries+change)
		next.indexes[x.id] = one
		c.counts.entries[i].Add(-change)
	}
	c.counts.known.Store(&next)
	_ = c.storeStatistics(&next)
}

func (c *core[R]) storeStatistics(s *statistics) error {
	batch := c.catalogue.NewBatch()
	if err := batch.Put(catalogueKey(kindStatistics, c.name), s.encode()); err != nil {
		return err
	}
	return batch.CommitWith(lightning.DurabilityAsync)
}

func (c *core[R]) loadStatistics() error {
	c.counts.entries = make([]atomic.Int64, len(c.indexes))
	s := &statistics{indexes: map[uint64]indexStatistics{}}
	record, err := c.catalogue.Get(catalogueKey(kindStatistics, c.name))
	if err == nil {
		s, err = decodeStatistics(record)
	}
	if err != nil && !errors.Is(err, lightning.ErrNotFound) {
		return err
	}
	c.counts.known.Store(s)
	return nil
}

// now returns the statistics with what has changed since.
func (c *core[R]) now() *statistics {
	s := *c.counts.known.Load()
	s.rows = max(0, s.rows+c.counts.rows.Load())
	s.indexes = maps.Clone(s.indexes)
	for i, x := range c.indexes {
		one := s.indexes[x.id]
		one.entries = max(0, one.entries+c.counts.entries[i].Load())
		s.indexes[x.id] = one
	}
	return &s
}

func (s *statistics) encode() []byte {
	indexes := keyenc.Tuple{}
	for _, id := range slices.Sorted(maps.Keys(s.indexes)) {
		x := s.indexes[id]
		distinct := keyenc.Tuple{}
		for _, n := range x.distinct {
			distinct = append(distinct, n)
		}
		indexes = append(indexes, keyenc.Tuple{id, x.entries, x.counted, distinct, sampleTuple(x.samples)})
	}
	return seal(s.analyzed, s.rows, sampleTuple(s.samples), indexes)
}

func sampleTuple(samples [][]byte) keyenc.Tuple {
	tuple := keyenc.Tuple{}
	for _, sample := range samples {
		tuple = append(tuple, sample)
	}
	return tuple
}

func decodeStatistics(record []byte) (*statistics, error) {
	r, err := unseal(record)
	if err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	s := &statistics{
		analyzed: r.boolean(), rows: int64(r.number()), samples: readSamples(r.tuple()),
		indexes: map[uint64]indexStatistics{},
	}
	previous := uint64(0)
	for list := r.tuple(); list.more(); {
		one := list.tuple()
		id := one.number()
		if id <= previous {
			r.fail()
		}
		previous = id
		x := indexStatistics{entries: int64(one.number()), counted: int64(one.number())}
		for distinct := one.tuple(); distinct.more(); {
			x.distinct = append(x.distinct, int64(distinct.number()))
		}
		x.samples = readSamples(one.tuple())
		one.end()
		s.indexes[id] = x
	}
	r.end()
	if r.failed() {
		return nil, fmt.Errorf("statistics: %w", errRecord)
	}
	return s, nil
}

func readSamples(r *reader) [][]byte {
	var samples [][]byte
	for r.more() {
		samples = append(samples, r.bytes())
	}
	return samples
}

// unanalyzedRowsMin is how many rows a table is taken to have before anyone
// has counted: what is small costs little whatever the plan.
const unanalyzedRowsMin = 1000

// rowCount is the estimated number of rows.
func (s *statistics) rowCount() float64 {
	if !s.analyzed {
		return float64(max(s.rows, unanalyzedRowsMin))
	}
	return float64(s.rows)
}

// The shares that are assumed where nothing is known.
const (
	shareOfEqual  = 0.1 // of one column
	shareOfClosed = 0.1 // of an interval with two ends
	shareOfOpen   = 1.0 / 3
)

// entriesIn estimates the entries of an index in a range of keys: those where
// the first equal columns have given values and, if ranged, the next one is in
// an interval of so many ends.
func (s *statistics) entriesIn(id uint64, unique bool, columns int, r keyRange) float64 {
	x := s.indexes[id]
	total := float64(x.entries)
	if x.counted == 0 && !s.analyzed {
		total = max(total, s.rowCount())
	}
	if r.equal == 0 && r.ends == 0 {
		return total
	}
	if unique && r.equal == columns {
		return min(1, total)
	}
	return share(total, x.perPrefix(total, r.equal), x.samples, r)
}

// perPrefix estimates how many entries agree in their first columns.
func (x *indexStatistics) perPrefix(total float64, equal int) float64 {
	if equal == 0 {
		return total
	}
	if equal > len(x.distinct) || x.counted == 0 {
		for range equal {
			total *= shareOfEqual
		}
		return total
	}
	distinct := float64(max(1, x.distinct[equal-1]))
	if distinct > float64(x.counted)/10 { // most are new values: they grow with the table
		distinct *= max(1, total/float64(x.counted))
	}
	return total / distinct
}

// rowsIn estimates the rows in a range of primary keys.
func (s *statistics) rowsIn(r keyRange) float64 {
	switch {
	case r.equal == 1:
		return min(1, s.rowCount())
	case r.ends == 0:
		return s.rowCount()
	}
	return share(s.rowCount(), s.rowCount(), s.samples, r)
}

// keyRange is a range of keys in which the first equal columns have given
// values and, unless ends is 0, the next one is in an interval that many ends.
type keyRange struct {
	lo, hi []byte // nil: no end
	equal  int
	ends   int
}

// share estimates how many of total keys are in a range of them, where base is
// what its equal columns leave. Samples tell of ranges that are large enough;
// what lies between two of them is guessed.
func share(total, base float64, samples [][]byte, r keyRange) float64 {
	guess := base
	switch r.ends {
	case 1:
		guess *= shareOfOpen
	case 2:
		guess *= shareOfClosed
	}
	if len(samples) == 0 {
		return guess
	}
	first, _ := slices.BinarySearchFunc(samples, r.lo, bytes.Compare)
	last := len(samples)
	if r.hi != nil {
		last, _ = slices.BinarySearchFunc(samples, r.hi, bytes.Compare)
	}
	step := total / float64(len(samples))
	inside := float64(max(0, last-first))
	if r.ends == 0 { // a few samples more or less say little about one value
		if inside >= 2 {
			return max(guess, inside*step)
		}
		return guess
	}
	if inside == 0 {
		return min(guess, step/2)
	}
	return min(base, inside*step)
}

// ceil returns an estimate as a number to show.
func ceil(estimate float64) int64 {
	n := int64(estimate)
	return n + int64(cmp.Compare(estimate, float64(n)))
}
