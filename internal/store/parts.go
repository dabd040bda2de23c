package store

import (
	"bytes"
	"context"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file has several writers write one merge, each a span of the keys: where there are
// more processors than one, a flush after an open and a large compaction take less time.
// Spans meet between two keys, never between two versions of one, so what may be dropped is
// decided in each as it is in one.

// Records are records in internal order among which a key can be sought.
type Records interface {
	compact.Source
	SeekGE(key []byte) *base.Record
	Close() error
}

// Opener opens the records of a merge, all of them, and its range tombstones in [lo, hi),
// where nil is no bound. It is called once by each writer, side by side with the others.
type Opener func(lo, hi []byte) (Records, rangedel.Iterator, error)

// WriteParts is Write with a writer for each span between two borders, which ascend. Bounds of
// cfg are those of all spans together.
func (s *Store) WriteParts(ctx context.Context, borders [][]byte, open Opener, out Output, cfg compact.Config) (
	outputs []*manifest.FileMeta, stats compact.Stats, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([]part, len(borders)+1)
	var writers sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		if i > 0 {
			p.lo = borders[i-1]
		}
		if i < len(borders) {
			p.hi = borders[i]
		}
		writers.Go(func() {
			if err := p.write(ctx, s, open, out, cfg); err != nil {
				cancel(err) // the others need not go on
			}
		})
	}
	writers.Wait()
	for i := range parts {
		outputs = append(outputs, parts[i].outputs...)
		stats.Add(parts[i].stats)
	}
	if err := context.Cause(ctx); err != nil {
		s.RemoveOutputs(outputs)
		return nil, stats, err
	}
	return outputs, stats, nil
}

// part is the records of a merge in [lo, hi), nil for no bound, and what became of them. It
// belongs to its writer.
type part struct {
	Records
	merge   *Merge // which Records are, or nil
	lo, hi  []byte
	outputs []*manifest.FileMeta
	stats   compact.Stats
}

func (p *part) write(ctx context.Context, s *Store, open Opener, out Output, cfg compact.Config) (err error) {
	if p.Records, cfg.RangeDeletes, err = open(p.lo, p.hi); err != nil {
		return err
	}
	p.merge, _ = p.Records.(*Merge)
	defer p.Close() // reads alone: nothing is lost
	if p.lo != nil {
		cfg.Lo = p.lo
	}
	if p.hi != nil {
		cfg.Hi = p.hi
	}
	p.outputs, p.stats, err = s.Write(ctx, p, out, cfg)
	return err
}

// First implements compact.Source.
func (p *part) First() *base.Record {
	if p.lo == nil {
		return p.within(p.Records.First())
	}
	return p.within(p.SeekGE(p.lo))
}

// Next implements compact.Source.
func (p *part) Next() *base.Record { return p.within(p.Records.Next()) }

func (p *part) within(rec *base.Record) *base.Record {
	if rec != nil && p.hi != nil && bytes.Compare(rec.Key, p.hi) >= 0 {
		return nil
	}
	return rec
}

// Fresh implements compact.BlockSource.
func (p *part) Fresh() *bool {
	if p.merge == nil {
		return new(bool)
	}
	return p.merge.Fresh()
}

// Whole implements compact.BlockSource.
func (p *part) Whole() (block sstable.Whole, ok bool) {
	block, ok = p.merge.Whole()
	return block, ok && (p.hi == nil || bytes.Compare(block.Last, p.hi) < 0)
}

// PassBlock implements compact.BlockSource.
func (p *part) PassBlock() *base.Record { return p.within(p.merge.PassBlock()) }
