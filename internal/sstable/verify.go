package sstable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
	"github.com/lightningdb/lightning/internal/filter"
)

// This file proves a table from its file alone. Nothing that an earlier read
// has left in memory is trusted.

// findingsMax is how many findings Verify gathers before it gives up.
const findingsMax = 64

var (
	errPadding   = errors.New("padding is not zero")
	errBoundary  = errors.New("record is on the wrong side of a separator")
	errFiltered  = errors.New("filter misses a key")
	errUnfound   = errors.New("record cannot be found by its key")
	errDisorder  = errors.New("records are out of order")
	errStored    = errors.New("malformed value of an expiring record or an operand")
	errDataKind  = errors.New("record of a kind that no data block holds")
	errManyFinds = errors.New("too many findings, the rest of the table is not verified")
)

// Summary is what Verify found in the file.
type Summary struct {
	Properties            // as counted, not as stored
	IndexPartitions int   // read
	BytesRead       int64 // from the file
}

// Verify reads the whole file, past the cache, and checks it: every checksum
// and structure, that the index leads to every block and the blocks hold what
// the index says, the order of all records, that the filter knows every key,
// and that the properties are true. It returns all damage it finds, joined, up
// to a limit.
func (r *Reader) Verify(ctx context.Context) (Summary, error) {
	o := r.o
	o.Cache, o.Epochs = nil, nil
	fresh := &Reader{file: r.file, name: r.name, o: o, scratch: new(sync.Pool), iters: new(sync.Pool)}
	if err := fresh.openCareful(); err != nil {
		return Summary{}, err
	}
	v := verifier{r: fresh, window: window{bulk: true}, partitions: window{bulk: true}}
	defer v.free()
	err := v.run(ctx)
	v.summary.Properties = v.tally.Properties
	if err == nil {
		err = errors.Join(v.findings...)
	}
	return v.summary, err
}

// verifier is one run of Verify over a reader of its own.
type verifier struct {
	r       *Reader
	tally   tally
	summary Summary

	findings   []error
	window     window
	partitions window // the index partition at hand
	raw        []byte // decompressed block
	rawIndex   []byte // decompressed partition
	filter     []byte // nil where there is none to ask
	data       block.Iter
	hashes     []uint64 // of the keys of a block, in the order of its records

	// The record and index entry before the ones at hand.
	hasLast      bool
	lastKey      []byte
	lastTrailer  base.Trailer
	hasEntry     bool
	separator    []byte
	entryTrailer base.Trailer
}

// free gives the memory back.
func (v *verifier) free() {
	v.window.shrink()
	v.partitions.shrink()
	buffers.Put(v.raw)
	buffers.Put(v.rawIndex)
}

// found notes damage; the error is for a table that has too much of it.
func (v *verifier) found(err error) error {
	v.findings = append(v.findings, err)
	if len(v.findings) == findingsMax {
		return errors.Join(append(v.findings, errManyFinds)...)
	}
	return nil
}

func (v *verifier) run(ctx context.Context) error {
	v.tally.SizeBytes = v.r.props.SizeBytes
	v.summary.BytesRead = headerBytes + footerBytes
	if err := v.sections(); err != nil {
		return err
	}
	for p := range v.r.parts {
		if err := v.partition(ctx, p); err != nil {
			return err
		}
	}
	// With damaged blocks the sums cannot be right.
	if len(v.findings) > 0 {
		return nil
	}
	return v.properties()
}

// stored reads a block with its padding into a window and returns its payload, in place or
// in *raw.
func (v *verifier) stored(w *window, kind blockKind, ref blockRef, end int64, raw *[]byte) ([]byte, error) {
	stored, err := w.read(v.r, ref, bulkReadBytes, end)
	if err != nil {
		return nil, err
	}
	v.summary.BytesRead += v.r.layout.end(ref) - ref.offset
	for _, b := range stored[len(stored) : v.r.layout.end(ref)-ref.offset] {
		if b != 0 {
			return nil, errPadding
		}
	}
	return v.r.unpack(kind, ref, stored, raw)
}

// sections checks what lies between the index partitions and the footer.
func (v *verifier) sections() error {
	f := &v.r.footer
	for _, section := range []struct {
		kind  blockKind
		ref   blockRef
		check func(payload []byte) error
	}{
		{kindFilter, f.filter, v.useFilter},
		{kindDeleteIndex, f.deleteIndex, v.rangeDeletes},
		{kindProperties, f.properties, nil},
		{kindTopIndex, f.topIndex, nil},
	} {
		if section.ref == (blockRef{}) {
			continue
		}
		payload, err := v.stored(&v.window, section.kind, section.ref, v.r.tableBytes-footerBytes, nil)
		if err == nil && section.check != nil {
			err = section.check(payload)
		}
		if err != nil {
			p := &v.r.props
			if err := v.found(v.r.blame(err, section.kind, section.ref, p.Lo, p.Hi)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) useFilter(payload []byte) error {
	v.tally.FilterBytes = uint64(v.r.layout.end(v.r.footer.filter) - v.r.footer.filter.offset)
	if err := filter.Check(payload); err != nil {
		return err
	}
	v.filter = bytes.Clone(payload) // the window moves on
	return nil
}

// partition checks an index partition and the data blocks under it.
func (v *verifier) partition(ctx context.Context, p int) error {
	part := &v.r.parts[p]
	index, err := v.index(p)
	if err != nil {
		v.hasLast, v.hasEntry = false, false
		return v.found(v.r.blamePartition(err, p))
	}
	v.tally.IndexBytes += uint64(v.r.layout.end(part.ref) - part.ref.offset)
	v.summary.IndexPartitions++
	for entry := range index.Len() {
		if entry%32 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := v.block(&index, entry); err != nil {
			v.hasLast, v.hasEntry = false, false
			if err := v.found(v.r.blameData(err, &index, p, entry)); err != nil {
				return err
			}
		}
	}
	return nil
}

// index reads partition p.
func (v *verifier) index(p int) (block.View, error) {
	payload, err := v.stored(&v.partitions, kindIndex, v.r.parts[p].ref, v.r.layout.end(v.r.parts[p].ref), &v.rawIndex)
	if err != nil {
		return block.View{}, err
	}
	index, err := block.Parse(payload)
	if err == nil {
		err = v.r.checkPartition(&index, p)
	}
	return index, err
}

// block checks the data block of an index entry.
func (v *verifier) block(index *block.View, entry int) error {
	ref := dataRef(index, entry)
	v.hashes = v.hashes[:0]
	records := v.records
	if !ref.compressed() && ref.rawBytes > packedMaxBytes {
		records = v.single
	}
	if err := records(ref); err != nil {
		return err
	}
	v.tally.DataBytes += uint64(v.r.layout.end(ref) - ref.offset)
	v.tally.BlockCount++
	if err := v.filtered(); err != nil {
		return err
	}
	v.separator = index.AppendKey(v.separator[:0], entry)
	v.entryTrailer = index.Trailer(entry)
	v.hasEntry = true
	c := bytes.Compare(v.lastKey, v.separator)
	if c > 0 || c == 0 && v.lastTrailer.Seq() < v.entryTrailer.Seq() {
		return errBoundary
	}
	return nil
}

// records checks the records of a data block.
func (v *verifier) records(ref blockRef) error {
	payload, err := v.stored(&v.window, kindData, ref, v.r.dataEnd(), &v.raw)
	if err != nil {
		return err
	}
	view, err := block.Parse(payload)
	if err != nil {
		return err
	}
	v.data.Init(view)
	slot := 0
	for rec := v.data.First(); rec != nil; rec = v.data.Next() {
		if err := v.record(&view, slot, rec); err != nil {
			return fmt.Errorf("record %d: %w", slot, err)
		}
		slot++
	}
	if slot == 0 {
		return errEmpty
	}
	return nil
}

// record checks one record in slot of a data block.
func (v *verifier) record(view *block.View, slot int, rec *base.Record) error {
	isNew, err := v.follows(slot == 0, rec.Key, rec.Trailer, rec.Value)
	if err != nil {
		return err
	}
	hash := base.Hash(rec.Key)
	if isNew {
		at, found, _ := view.Find(rec.Key, block.Fingerprint(hash), rec.Trailer.Seq())
		if !found || at != slot {
			return errUnfound
		}
	}
	v.pass(rec.Key, hash, rec.Trailer)
	v.tally.addRecord(rec.Key, hash, rec.Trailer, rec.Value)
	return nil
}

// follows checks a record, the first of its block or not, against what came before it,
// and says whether it is the first with its key. Of the value the beginning will do.
func (v *verifier) follows(first bool, key []byte, tr base.Trailer, value []byte) (isNew bool, err error) {
	if !tr.Kind().Point() {
		return false, errDataKind
	}
	stored, err := base.Check(tr, value)
	if err != nil || tr.Kind() == base.KindMerge && stored.Oldest != tr.Seq() {
		return false, errStored // in a table each operand stands for itself
	}
	order := -1
	if v.hasLast {
		order = bytes.Compare(v.lastKey, key)
	}
	if order > 0 || order == 0 && v.lastTrailer <= tr {
		return false, errDisorder
	}
	if first && v.hasEntry {
		c := bytes.Compare(v.separator, key)
		if c > 0 || c == 0 && v.entryTrailer.Seq() < tr.Seq() {
			return false, errBoundary
		}
	}
	return order != 0, nil
}

// pass notes a record that was checked and is about to be counted.
func (v *verifier) pass(key []byte, hash uint64, tr base.Trailer) {
	v.hashes = append(v.hashes, hash)
	filter.Expect(v.filter, hash)
	v.widen(key)
	v.hasLast = true
	v.lastKey = append(v.lastKey[:0], key...)
	v.lastTrailer = tr
}

// filtered checks that the filter knows the keys of a block. The processor was asked for
// what it knows of each when the record passed.
func (v *verifier) filtered() error {
	if v.filter == nil {
		return nil
	}
	for slot, hash := range v.hashes {
		if !filter.MayContain(v.filter, hash) {
			return fmt.Errorf("record %d: %w", slot, errFiltered)
		}
	}
	return nil
}

// widen extends the span downwards to the first record.
func (v *verifier) widen(key []byte) {
	p := &v.tally.Properties
	if p.Count == 0 && (p.Lo == nil || bytes.Compare(key, p.Lo) < 0) {
		p.Lo = bytes.Clone(key)
	}
}

// spanned reports whether the table's bounds are those of what was found, or what these
// may be cut to.
func (v *verifier) spanned() bool {
	p, stored := &v.tally.Properties, &v.r.props
	low := bytes.Equal(p.Lo, stored.Lo) || p.Count > 0 && base.IsLow(stored.Lo, p.Lo)
	high := bytes.Equal(p.Hi, stored.Hi) ||
		p.Count > 0 && base.IsHigh(stored.Hi, v.lastKey) && bytes.Compare(p.Hi, stored.Hi) <= 0
	return low && high
}

// properties compares what was counted with what the table says of itself.
func (v *verifier) properties() error {
	p := &v.tally.Properties
	if p.Count > 0 && bytes.Compare(v.lastKey, p.Hi) >= 0 {
		p.Hi = base.Successor(nil, v.lastKey)
	}
	stored := &v.r.props
	same := v.spanned()
	if same {
		p.Lo, p.Hi = stored.Lo, stored.Hi
	}
	counted := p.numbers()
	for i, number := range stored.numbers() {
		same = same && *number == *counted[i]
	}
	if same {
		return nil
	}
	err := fmt.Errorf("properties say %+v, the table holds %+v", *stored, *p)
	return v.found(v.r.blame(err, kindProperties, v.r.footer.properties, p.Lo, p.Hi))
}
