package compact

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Config tells Run what may be dropped and where output goes.
type Config struct {
	// Snapshots are the sequence numbers that readers hold, ascending. Between
	// two neighbours only the newest version of a key can be seen; such a gap
	// is called a stripe.
	Snapshots []base.SeqNum
	// ReadTimes are, for each stripe, the earliest time at which one who reads
	// in it, or in a newer one, lives: there is one more than Snapshots. What
	// has expired by then is a delete. Nil: nothing has expired.
	ReadTimes []base.Instant
	// Operators tells the merge operator of a key; nil where there is none.
	Operators merge.Operators
	// RangeDeletes are the tombstones of all inputs; nil: none.
	RangeDeletes rangedel.Iterator
	// Bottom says that nothing older than the inputs exists for their keys
	// outside of them: deletes of the oldest stripe have done their work, and
	// sequence numbers there no longer matter.
	Bottom bool
	// Lo and Hi are what the bounds of the outputs stay within; nil: nothing is near.
	Lo, Hi []byte
	// FileBytes is the size at which an output file ends; 0 means never. One with long
	// keys becomes larger, see boundsShare.
	FileBytes int64
	// GrowToBytes is what FileBytes becomes where there are many files: it doubles after
	// each growFiles of them. 0: it stays.
	GrowToBytes int64
	// SplitBefore says whether an output file must end between two neighbouring
	// keys, given the bytes it holds so far.
	SplitBefore func(prev, next []byte, fileBytes int64) bool
	// Blobs says which values are kept apart from their keys; nil: none are, and none were.
	Blobs *Blobs
	// NewWriter makes the next output file; firstKey is the first it will hold.
	NewWriter func(firstKey []byte) (base.FileNum, *sstable.Writer, error)
	// Finished, which may be nil, is told of each output file when all of it was written.
	Finished func(meta *manifest.FileMeta) error
}

// Stats counts what a run did.
type Stats struct {
	RecordsIn, RecordsOut uint64
	RecordsExpired        uint64 // dropped, or made deletes
	BytesOut              uint64
	BlocksTaken           uint64 // that went to the output as they were
}

// Add adds what another run did.
func (s *Stats) Add(o Stats) {
	s.RecordsIn += o.RecordsIn
	s.RecordsOut += o.RecordsOut
	s.RecordsExpired += o.RecordsExpired
	s.BytesOut += o.BytesOut
	s.BlocksTaken += o.BlocksTaken
}

// yieldRecords is how many records pass between two looks at the context and
// offers of the processor to foreground work: about 200 microseconds.
const yieldRecords = 1024

// boundsShare is how many times larger than its bounds a file is at least: those of all
// files are in memory at all times.
const boundsShare = 64

// growFiles is how many files of one size there are where they grow.
const growFiles = 8

// Source yields records in internal order.
type Source interface {
	First() *base.Record
	Next() *base.Record
	Err() error
}

// Run merges the records of it into new tables and returns their descriptions
// in key order. On an error every output was aborted; files already finished
// are returned as well, for the caller to remove.
func Run(ctx context.Context, it Source, cfg Config) ([]*manifest.FileMeta, Stats, error) {
	r := runner{cfg: cfg}
	err := r.deletes.begin(cfg.RangeDeletes)
	if err == nil {
		err = r.run(ctx, it)
	}
	if err == nil {
		err = r.finish()
	}
	if err == nil {
		err = r.closeBlobs()
	}
	for _, w := range []*sstable.Writer{r.writer, r.blobs.writer} {
		if err != nil && w != nil {
			w.Abort()
		}
	}
	return r.outputs, r.stats, err
}

type runner struct {
	cfg     Config
	deletes deletes

	key    []byte // the user key being handled
	hasKey bool
	stripe int // of the newest version of key seen so far

	writer  *sstable.Writer
	fileNum base.FileNum

	firstKeyBytes int // of the first key of the output file

	outputs []*manifest.FileMeta
	stats   Stats
	merging mergeRun
	blobs   blobRun
}

func (r *runner) run(ctx context.Context, it Source) error {
	source, fresh := blockSource(it)
	rec := it.First()
	for rec != nil {
		if err := r.count(ctx); err != nil {
			return err
		}
		stripe := stripeOf(r.cfg.Snapshots, rec.Trailer.Seq())
		isNew := !r.hasKey || !bytes.Equal(rec.Key, r.key)
		if !isNew && stripe == r.stripe {
			rec = it.Next() // a newer version hides this one from everybody
			continue
		}
		if isNew {
			if err := r.startKey(rec.Key); err != nil {
				return err
			}
		}
		if isNew && *fresh {
			done, err := r.takeOver(ctx, source)
			if err != nil {
				return err
			}
			if done {
				rec = source.PassBlock()
				continue
			}
		}
		r.stripe = stripe
		var err error
		switch {
		case r.hidden(rec, stripe):
			rec = it.Next()
		case r.droppable(rec, stripe):
			if r.expired(rec, stripe) {
				r.stats.RecordsExpired++
			}
			rec = it.Next()
		case rec.Trailer.Kind() == base.KindMerge:
			rec, err = r.merge(ctx, it, rec, stripe)
		default:
			if err = r.write(rec, stripe); err == nil {
				rec = it.Next()
			}
		}
		if err != nil {
			return err
		}
	}
	return it.Err()
}

// count notes a record that was read, and now and then lets others go first.
func (r *runner) count(ctx context.Context) error {
	r.stats.RecordsIn++
	if r.stats.RecordsIn%yieldRecords == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

// startKey notes the new key, writes the tombstones before it, and ends the output file
// where that is due. A file never ends between two versions of one key.
func (r *runner) startKey(key []byte) error {
	if err := r.passDeletes(key); err != nil {
		return err
	}
	if r.writer != nil && r.isDue(r.last(), key) {
		if err := r.finishFile(key); err != nil {
			return err
		}
	}
	r.key = append(r.key[:0], key...)
	r.hasKey = true
	return nil
}

// isDue reports whether the output file is to end between two neighbouring keys.
func (r *runner) isDue(prev, next []byte) bool {
	size := r.sizeBytes()
	full := r.cfg.FileBytes > 0 && size >= max(r.cfg.FileBytes, boundsShare*int64(r.firstKeyBytes+len(next)))
	return full || r.cfg.SplitBefore(prev, next, size)
}

// hidden reports whether a range tombstone hides the record from all who could
// see it.
func (r *runner) hidden(rec *base.Record, stripe int) bool {
	newest := base.SeqNumMax
	if stripe < len(r.cfg.Snapshots) {
		newest = r.cfg.Snapshots[stripe]
	}
	return r.deletes.covering(newest) > rec.Trailer.Seq()
}

// expired reports whether the record has expired for all who could see it.
func (r *runner) expired(rec *base.Record, stripe int) bool {
	return r.cfg.ReadTimes != nil && rec.Dead(r.cfg.ReadTimes[stripe])
}

// droppable reports whether the record is no value to anybody, and nothing is
// left for it to hide.
func (r *runner) droppable(rec *base.Record, stripe int) bool {
	if stripe != 0 || !r.cfg.Bottom {
		return false
	}
	if r.expired(rec, stripe) {
		return true
	}
	return rec.Trailer.Kind() == base.KindDelete
}

func (r *runner) write(rec *base.Record, stripe int) error {
	if r.expired(rec, stripe) {
		// Older versions must stay hidden.
		r.stats.RecordsExpired++
		return r.put(rec.Key, base.MakeTrailer(rec.Trailer.Seq(), base.KindDelete), nil, stripe)
	}
	return r.put(rec.Key, rec.Trailer, rec.Value, stripe)
}

func (r *runner) put(key []byte, trailer base.Trailer, value []byte, stripe int) error {
	if r.writer == nil {
		if err := r.openFile(key); err != nil {
			return err
		}
	}
	if r.cfg.Bottom && stripe == 0 && trailer.Kind() != base.KindMerge {
		// Everyone sees it and nothing older exists that it must hide: range
		// tombstones of this stripe were dropped with the same condition.
		trailer = base.MakeTrailer(0, trailer.Kind())
	}
	trailer, value, err := r.stored(key, trailer, value)
	if err != nil {
		return err
	}
	r.stats.RecordsOut++
	return r.writer.Add(key, trailer, value)
}

func (r *runner) openFile(firstKey []byte) error {
	num, w, err := r.cfg.NewWriter(firstKey)
	if err != nil {
		return err
	}
	r.fileNum, r.writer, r.firstKeyBytes = num, w, len(firstKey)
	return nil
}

// finish writes the tombstones behind the last key and ends the last file.
func (r *runner) finish() error {
	if err := r.passDeletes(nil); err != nil {
		return err
	}
	if err := r.writeDelete(); err != nil || r.writer == nil {
		return err
	}
	return r.closeFile(r.cfg.Hi)
}

// finishFile ends the output file before a key, with the part of the tombstones that
// lies there.
func (r *runner) finishFile(key []byte) error {
	if err := r.cutDeletes(key); err != nil {
		return err
	}
	return r.closeFile(key)
}

// closeFile ends the output file with what was added. What comes next is not below
// ceiling.
func (r *runner) closeFile(ceiling []byte) error {
	floor := r.cfg.Lo
	if n := len(r.outputs); n > 0 {
		floor = r.outputs[n-1].Hi
	}
	props, err := r.writer.Finish(floor, ceiling)
	if err != nil {
		return fmt.Errorf("finish table %s: %w", r.fileNum, err)
	}
	r.writer = nil
	r.stats.BytesOut += uint64(props.SizeBytes)
	meta := &manifest.FileMeta{Num: r.fileNum, Blobs: r.blobs.take()}
	describe(meta, &props)
	r.outputs = append(r.outputs, meta)
	if len(r.outputs)%growFiles == 0 && r.cfg.FileBytes < r.cfg.GrowToBytes {
		r.cfg.FileBytes = min(2*r.cfg.FileBytes, r.cfg.GrowToBytes)
	}
	if r.cfg.Finished == nil {
		return nil
	}
	return r.cfg.Finished(meta)
}

// describe fills in what the properties of a table say.
func describe(m *manifest.FileMeta, p *sstable.Properties) {
	m.SizeBytes, m.Lo, m.Hi = p.SizeBytes, p.Lo, p.Hi
	m.SmallestSeq, m.LargestSeq = p.SmallestSeq, p.LargestSeq
	m.Count, m.Deletes, m.RangeDeletes = p.Count, p.Deletes, p.RangeDeletes
	m.RawBytes = p.RawKeyBytes + p.RawValueBytes
	m.Expiring = manifest.Expiring(p.Expiring)
	m.EntryChecksum = p.EntryChecksum
	m.DeletesLo, m.DeletesHi = p.DeletesLo, p.DeletesHi
}

// stripeOf returns the index of the oldest of some snapshots that sees seq, or their
// number when only new readers do.
func stripeOf(snapshots []base.SeqNum, seq base.SeqNum) int {
	if len(snapshots) == 0 {
		return 0
	}
	return sort.Search(len(snapshots), func(i int) bool { return snapshots[i] >= seq })
}
