package compact

import (
	"bytes"
	"context"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file takes compressed blocks of the inputs over to the output as they are, where no other
// input has anything between their first and their last key, and nothing in them changes. To
// compress is most of the work of a compaction with the codec Small, and a good part of it with
// Fast; without one, taking over would save hardly anything, and is not tried.

// BlockSource is a Source that knows the blocks of its records.
type BlockSource interface {
	Source
	// Fresh is set while the current record may be the first of such a block, or one that comes:
	// to ask for each would cost more than it brings where inputs interleave finely.
	Fresh() *bool
	// Whole returns the block whose first record is the current one, if all of it comes before
	// the records of other inputs.
	Whole() (p sstable.Whole, ok bool)
	// PassBlock goes to the record behind the block that Whole has returned last.
	PassBlock() *base.Record
}

// blockSource returns the source of blocks that it is, nil if it is none.
func blockSource(it Source) (source BlockSource, fresh *bool) {
	source, ok := it.(BlockSource)
	if !ok {
		return nil, new(bool)
	}
	return source, source.Fresh()
}

// takeOver takes the block over that begins with the current record, the first with its key, if
// there is one and it may go to the output as it is.
func (r *runner) takeOver(ctx context.Context, source BlockSource) (done bool, err error) {
	p, ok := source.Whole()
	if !ok || !r.unchanged(&p) {
		return false, nil
	}
	if r.writer == nil {
		if err := r.openFile(r.key); err != nil {
			return false, err
		}
	}
	if !r.writer.Takes(&p) {
		return false, nil
	}
	count := p.Records.Len()
	for range count - 1 { // one was counted
		if err := r.count(ctx); err != nil {
			return false, err
		}
	}
	r.stats.RecordsOut += uint64(count)
	r.stats.BlocksTaken++
	r.key = append(r.key[:0], p.Last...)
	r.stripe = stripeOf(r.cfg.Snapshots, p.Records.Trailer(count-1).Seq())
	return true, r.writer.AddWhole(&p)
}

// unchanged reports whether all records of a block go to one output file, as they are: they are
// values, of different keys, without an expiry, that no tombstone is near and none of which is to
// be kept apart, and their sequence numbers stay.
func (r *runner) unchanged(p *sstable.Whole) bool {
	plain := block.Plain{Newest: base.SeqNumMax}
	if r.cfg.Bottom {
		plain.Newest = 0
	}
	if at := r.deletes.at; at != nil && bytes.Compare(at.Lo, p.Last) <= 0 {
		return false
	}
	if !block.AllPlain(p.Records, &plain) || r.cfg.SplitBefore(r.key, p.Last, math.MaxInt64) {
		return false
	}
	return r.cfg.Blobs == nil || !r.cfg.Blobs.Apart(r.key, block.LongestValue(p.Records))
}
