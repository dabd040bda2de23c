package table

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
)

// Analyze counts the rows and the entries of all indexes that are ready, and
// keeps what the planner wants to know of them: how many values differ, and
// samples of the keys. It reads all of them as they are at one moment, without
// being in anybody's way, and stores a few kilobytes for each index.
func (t *Table[R, K]) Analyze(ctx context.Context) error {
	if t.core == nil {
		return lightning.ErrClosed
	}
	if err := t.analyze(ctx); err != nil {
		return fmt.Errorf("table %s: analyze: %w", t.name, err)
	}
	return nil
}

func (c *core[R]) analyze(ctx context.Context) error {
	c.counts.folding.Lock()
	defer c.counts.folding.Unlock()
	// What is counted from here on may or may not be in what is read.
	rowsBefore := c.counts.rows.Load()
	entriesBefore := make([]int64, len(c.indexes))
	for i := range c.indexes {
		entriesBefore[i] = c.counts.entries[i].Load()
	}
	tx, err := c.db.Begin(lightning.TxOptions{ReadOnly: true, Context: ctx})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	v, err := c.look(tx)
	if err != nil {
		return err
	}
	known := c.counts.known.Load()
	found := &catalogue.Statistics{Analyzed: true, Indexes: map[uint64]catalogue.IndexStatistics{}}
	rows, err := survey(tx.In(c.rows), func(*lightning.Iterator) error { return nil })
	if err != nil {
		return err
	}
	found.Rows, found.Samples = rows.count, rows.samples
	for i, x := range c.indexes {
		if !v.ready[i] {
			found.Indexes[x.id] = catalogue.IndexStatistics{
				Entries: max(0, known.Indexes[x.id].Entries+entriesBefore[i]),
			}
			continue
		}
		if found.Indexes[x.id], err = x.survey(tx.In(x.keyspace)); err != nil {
			return err
		}
	}
	c.counts.known.Store(found)
	c.counts.rows.Add(-rowsBefore)
	for i := range c.indexes {
		c.counts.entries[i].Add(-entriesBefore[i])
	}
	return c.storeStatistics(found)
}

// survey counts the entries of an index and the values of its columns.
func (x *index[R]) survey(tx *lightning.Tx) (catalogue.IndexStatistics, error) {
	distinct := make([]int64, len(x.columns))
	var previous, key []byte
	var ends []int
	s, err := survey(tx, func(it *lightning.Iterator) error {
		now, value := it.Key(), it.Value()
		previous, key = key, append(previous[:0], now...)
		p, err := x.decode(ends, key, value)
		if err != nil {
			return err
		}
		ends = p.ends
		same := 0
		for same < len(previous) && same < len(key) && previous[same] == key[same] {
			same++
		}
		for i, end := range ends { // elements end where they differ or before
			if previous == nil || end > same {
				distinct[i]++
			}
		}
		return nil
	})
	return catalogue.IndexStatistics{
		Entries: s.count, Counted: s.count, Distinct: distinct, Samples: s.samples,
	}, err
}

// surveyed is what is known of a keyspace after a walk.
type surveyed struct {
	count   int64
	samples [][]byte
}

const (
	samplesMax     = 128
	sampleBytesMax = 64
)

// survey walks through a keyspace and keeps keys at equal distances, which it
// doubles whenever there are too many of them.
func survey(tx *lightning.Tx, see func(it *lightning.Iterator) error) (s surveyed, err error) {
	it, err := tx.Iterator(lightning.IterOptions{})
	if err != nil {
		return s, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	for distance := int64(1); it.Next(); s.count++ {
		key := it.Key()
		if err := see(it); err != nil {
			return s, err
		}
		if s.count%distance != 0 {
			continue
		}
		s.samples = append(s.samples, bytes.Clone(key[:min(len(key), sampleBytesMax)]))
		if len(s.samples) == samplesMax {
			for i := range samplesMax / 2 {
				s.samples[i] = s.samples[2*i]
			}
			s.samples = slices.Delete(s.samples, samplesMax/2, samplesMax)
			distance *= 2
		}
	}
	return s, nil
}
