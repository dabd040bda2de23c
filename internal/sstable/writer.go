package sstable

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/filter"
	"github.com/lightningdb/lightning/internal/parity"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs"
)

const (
	// writeBytes is the size of the pieces in which a table goes to its file.
	writeBytes = 512 << 10
	// firstBufferBytes is what the buffer of such a piece begins with: many
	// tables of small databases never need more.
	firstBufferBytes = 32 << 10
	// directBytes is the value from which a record that is not to be compressed is
	// alone in its block, and is written where it lies instead of being copied; and
	// the payload from which any other uncompressed block is.
	directBytes = 256 << 10
	// packedMaxBytes is the largest value that is compressed. To compress takes the
	// value and the result in memory at once.
	packedMaxBytes = 4 << 20
)

// WriterOptions says what to write into a table and how.
type WriterOptions struct {
	DBID    base.DBID
	FileNum base.FileNum
	// BlockSizeBytes is what data blocks hold at most, before compression and
	// with their trailer, unless a single record takes more. Default 8192, and 16384
	// where Compression is compress.Small.
	BlockSizeBytes int
	// Compression is tried on index blocks, and on data blocks as long as they give
	// something back. OrSmall says that compress.Small may take its place in those.
	Compression compress.Codec
	OrSmall     bool
	// FilterBitsPerKey is the space of the filter; 0 means none.
	FilterBitsPerKey int
	// Temporary says that nobody needs the table after a crash: Finish does not
	// make it durable.
	Temporary bool
	// ParityPercent is how much parity follows the table, as a part of it; 0: none.
	ParityPercent int
}

var (
	errOrder       = errors.New("record is not behind the one before it")
	errDone        = errors.New("writer is finished or aborted")
	errNothing     = errors.New("table has no records")
	errKeyLength   = errors.New("key length is outside the limits")
	errValueLength = errors.New("value is too long")
	errRecordKind  = errors.New("record concerns no single key")
)

// Writer writes one table. Records come in internal order; range deletes may
// come between them at any time, in order among themselves. After the first
// error every call fails with it, and only Abort is useful.
type Writer struct {
	file vfs.File
	o    WriterOptions
	err  error
	done bool // the file is closed

	buffer  []byte // stored blocks that wait for WriteAt
	written int64  // bytes of the file before buffer

	data        block.Builder
	chooser     compress.Chooser // for data
	room        block.Room       // in data
	single      blockRef         // a block that is stored and not in the index yet
	index       block.IndexBuilder
	filter      filter.Builder
	tally       tally
	lastKey     []byte
	lastTrailer base.Trailer
	lastHash    uint64

	deletes deleteBlocks

	value []byte     // scratch
	walk  block.Iter // over a block of another table
}

// NewWriter begins a table in the empty file f, which it takes over.
func NewWriter(f vfs.File, o WriterOptions) *Writer {
	if o.BlockSizeBytes <= 0 {
		o.BlockSizeBytes = defaultBlockBytes
		if o.Compression == compress.Small {
			o.BlockSizeBytes = smallBlockBytes
		}
	}
	w := &Writer{
		file: f, o: o, chooser: compress.NewChooser(compress.Policy{Codec: o.Compression, OrSmall: o.OrSmall}),
		index: block.IndexBuilder{
			LimitBytes: indexBlockBytes, LeastEntries: minPartitionEntries, TrailerBytes: newest.trailerBytes,
		},
	}
	if w.buffer = buffers.Growing(); w.buffer == nil {
		w.buffer = make([]byte, 0, firstBufferBytes)
	}
	w.data.Use(buffers.Growing(), buffers.Growing())
	w.buffer = appendHeader(w.buffer, o.DBID, o.FileNum)
	return w
}

// offset is where the next block begins.
func (w *Writer) offset() int64 { return w.written + int64(len(w.buffer)) }

// Add appends a record: a set or a delete, behind all records added before.
// Neither slice is kept.
func (w *Writer) Add(key []byte, tr base.Trailer, value []byte) error {
	if w.err != nil {
		return w.err
	}
	shared := base.CommonPrefix(w.lastKey, key)
	isNew := shared < len(key) && (shared == len(w.lastKey) || w.lastKey[shared] < key[shared])
	isVersion := shared == len(key) && shared == len(w.lastKey) && tr < w.lastTrailer
	if !isNew && !isVersion || !acceptable(key, tr, value) {
		return w.refuse(key, tr, value)
	}
	direct := w.isDirect(value)
	if w.data.Len() > 0 && (direct || !w.room.Take(&w.data, shared, len(key), len(value))) {
		if err := w.endBlock(key); err != nil {
			return err
		}
	}
	w.endSingle(key)
	if isNew {
		w.addKey(key)
		w.lastKey = append(w.lastKey[:0], key...)
	}
	w.lastTrailer = tr
	w.tally.addRecord(key, w.lastHash, tr, value)
	if direct {
		return w.storeSingle(value)
	}
	if w.data.Len() == 0 {
		w.room.Begin(w.o.BlockSizeBytes-newest.trailerBytes, len(key), len(value))
	}
	w.data.Add(key, tr, value, w.lastHash)
	return nil
}

// addKey notes a key that is not that of the record before.
func (w *Writer) addKey(key []byte) {
	w.lastHash = base.Hash(key)
	if w.o.FilterBitsPerKey > 0 {
		w.filter.Add(w.lastHash)
	}
	if w.tally.Count == 0 {
		w.tally.Lo = bytes.Clone(key)
	}
}

// isDirect reports whether a value is written where it lies.
func (w *Writer) isDirect(value []byte) bool {
	return len(value) >= directBytes && (w.o.Compression == compress.None || len(value) > packedMaxBytes)
}

// acceptable reports whether a record keeps the limits of the data model.
func acceptable(key []byte, tr base.Trailer, value []byte) bool {
	return len(key) > 0 && len(key) <= maxKeyBytes &&
		len(value) <= base.MaxStoredBytes && tr.Kind().Point()
}

// refuse finds out why a record is refused and makes that the writer's error.
func (w *Writer) refuse(key []byte, tr base.Trailer, value []byte) error {
	reason := errOrder
	switch {
	case len(key) == 0 || len(key) > maxKeyBytes:
		reason = errKeyLength
	case len(value) > base.MaxStoredBytes:
		reason = errValueLength
	case !tr.Kind().Point():
		reason = errRecordKind
	}
	return w.fail("add record", reason)
}

// fail makes err, with what was done, the error of the writer.
func (w *Writer) fail(doing string, err error) error {
	w.err = fmt.Errorf("table %s: %s: %w", w.o.FileNum, doing, err)
	return w.err
}

// AddRangeDelete appends a fragment that begins at or behind the end of the
// one before it. Its slices are not kept.
func (w *Writer) AddRangeDelete(f rangedel.Fragment) error {
	if w.err != nil {
		return w.err
	}
	switch {
	case len(f.Lo) == 0 || len(f.Lo) > maxKeyBytes || len(f.Hi) > maxKeyBytes+1:
		return w.fail("add range delete", errKeyLength)
	case bytes.Compare(f.Lo, w.tally.DeletesHi) < 0:
		return w.fail("add range delete", errOrder)
	}
	w.value = f.AppendValue(w.value[:0])
	// Decoding is the check that the fragment is well formed.
	if err := w.deletes.check.Decode(f.Lo, w.value); err != nil {
		return w.fail("add range delete", err)
	}
	w.deletes.add(&f, w.value, w.o.BlockSizeBytes)
	w.tally.addRangeDelete(&f, w.value)
	return nil
}

// EstimatedBytes returns about how long the file would be if it were finished
// now.
func (w *Writer) EstimatedBytes() int64 {
	n := w.offset() + w.index.SizeBytes() + w.deletes.sizeBytes() + footerBytes
	if w.data.Len() > 0 {
		n += int64(w.room.Taken())
	}
	return n + int64(w.filter.Len())*int64(w.o.FilterBitsPerKey)/8
}

// endBlock stores the current data block; next is the key that follows it, nil
// at the end.
func (w *Writer) endBlock(next []byte) error {
	ref, err := w.storeData()
	if err != nil {
		return err
	}
	w.chooser.Saw(int(ref.rawBytes), int(ref.diskBytes))
	w.data.Reset()
	w.addEntry(ref, next)
	return nil
}

// addEntry puts the block that the last record is in into the index; next is as in endBlock.
func (w *Writer) addEntry(ref blockRef, next []byte) {
	w.value = ref.appendTo(w.value[:0])
	w.index.Add(w.value, w.lastKey, w.lastTrailer, next)
}

// storeData stores the current data block by the codec that promises most: Small gets its packed
// form, but of one record, where nothing can be left out.
func (w *Writer) storeData() (ref blockRef, err error) {
	codec, start := w.chooser.Next(), len(w.buffer)
	if codec == compress.Small && w.data.Len() > 1 {
		ref.offset = w.offset()
		out, rawBytes, done := w.data.AppendPacked(w.buffer)
		w.buffer, ref.rawBytes = out, uint32(rawBytes)
		if done {
			return w.seal(kindData, codecPacked, ref, start)
		}
		codec = compress.None // nothing was given back
	}
	return w.store(kindData, codec, w.data.Finish())
}

// store appends a block to the file and says where it is.
func (w *Writer) store(kind blockKind, codec compress.Codec, payload []byte) (blockRef, error) {
	if len(payload) > maxRawBytes {
		return blockRef{}, w.fail("store "+kind.String(), errTooLong)
	}
	ref := blockRef{offset: w.offset(), rawBytes: uint32(len(payload))}
	if codec == compress.None && len(payload) >= directBytes {
		ref.diskBytes = ref.rawBytes
		return ref, w.storeDirect(ref, kind, payload)
	}
	if len(payload) >= directBytes { // so that the buffer needs to hold nothing else
		if err := w.flush(); err != nil {
			return blockRef{}, err
		}
	}
	start := len(w.buffer)
	var done bool
	if w.buffer, done = compress.Append(w.buffer, codec, payload, len(payload)); !done {
		codec, w.buffer = compress.None, append(w.buffer, payload...)
	}
	return w.seal(kind, codec, ref, start)
}

// seal ends a block whose payload is in the buffer from start on.
func (w *Writer) seal(kind blockKind, codec compress.Codec, ref blockRef, start int) (blockRef, error) {
	ref.diskBytes = uint32(len(w.buffer) - start)
	w.buffer = newest.appendTrailer(w.buffer, w.o.FileNum, kind, codec, ref, w.buffer[start:])
	if len(w.buffer) >= writeBytes {
		return ref, w.flush()
	}
	return ref, nil
}

// storeDirect writes a large uncompressed payload without copying it.
func (w *Writer) storeDirect(ref blockRef, kind blockKind, payload []byte) error {
	if err := w.flush(); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(payload, w.written); err != nil {
		return w.fail("write", err)
	}
	w.written += int64(len(payload))
	w.buffer = newest.appendTrailer(w.buffer, w.o.FileNum, kind, compress.None, ref, payload)
	return nil
}

// storeSingle writes a block of the last record alone.
func (w *Writer) storeSingle(value []byte) error {
	w.value = block.AppendSingle(w.value[:0], w.lastKey, w.lastTrailer, len(value), w.lastHash)
	ref := blockRef{offset: w.offset(), rawBytes: uint32(len(w.value) + len(value))}
	ref.diskBytes = ref.rawBytes
	w.buffer = append(w.buffer, w.value...)
	if err := w.flush(); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(value, w.written); err != nil {
		return w.fail("write", err)
	}
	w.written += int64(len(value))
	w.buffer = newest.appendTrailer(w.buffer, w.o.FileNum, kindData, compress.None, ref, w.value, value)
	w.single = ref
	return nil
}

// endSingle puts a block that is stored into the index, if it is not there; next is as in
// endBlock.
func (w *Writer) endSingle(next []byte) {
	if w.single != (blockRef{}) {
		w.addEntry(w.single, next)
		w.single = blockRef{}
	}
}

// flush writes the buffer to the file.
func (w *Writer) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}
	if _, err := w.file.WriteAt(w.buffer, w.written); err != nil {
		return w.fail("write", err)
	}
	w.written += int64(len(w.buffer))
	w.buffer = w.buffer[:0]
	return nil
}

// Finish writes what is left, makes the file durable, unless it is temporary, and
// closes it. When it fails the file is closed as well and not a table. The bounds of
// what was added are cut as base.CutLow and base.CutHigh have it, and stay within
// [floor, ceiling]; nil is no limit.
func (w *Writer) Finish(floor, ceiling []byte) (Properties, error) {
	if w.err != nil {
		return Properties{}, w.err
	}
	if err := w.finish(floor, ceiling); err != nil {
		w.Abort()
		return Properties{}, err
	}
	w.free()
	w.err, w.done = fmt.Errorf("table %s: %w", w.o.FileNum, errDone), true
	return w.tally.Properties, nil
}

// free gives the memory up.
func (w *Writer) free() {
	buffers.Put(w.buffer)
	w.buffer = nil
	w.data.Free(buffers.Put)
}

func (w *Writer) finish(floor, ceiling []byte) error {
	p := &w.tally.Properties
	if p.Count+p.RangeDeletes == 0 {
		return w.fail("finish", errNothing)
	}
	if w.data.Len() > 0 {
		if err := w.endBlock(nil); err != nil {
			return err
		}
	}
	w.endSingle(nil)
	w.setSpan(floor, ceiling)
	p.DataBytes = uint64(w.offset() - headerBytes)
	f := footer{blockCount: uint32(w.index.Len())}
	top, err := w.storePartitions(&f)
	if err != nil {
		return err
	}
	deleteIndex, err := w.storeDeletes()
	if err != nil {
		return err
	}
	if err := w.storeSections(&f, deleteIndex, top); err != nil {
		return err
	}
	offset := w.offset()
	f.sizeBytes = offset + footerBytes
	p.SizeBytes = uint64(f.sizeBytes)
	w.buffer = f.appendTo(w.buffer, w.o.FileNum, offset)
	if err := w.flush(); err != nil {
		return err
	}
	if w.o.ParityPercent > 0 {
		if err := w.protect(f.sizeBytes); err != nil {
			return err
		}
	}
	if !w.o.Temporary {
		if err := w.file.SyncData(); err != nil {
			return w.fail("sync", err)
		}
	}
	if err := w.file.Close(); err != nil {
		w.done = true
		return w.fail("close", err)
	}
	return nil
}

// protect writes the parity of a table of tableBytes behind it.
func (w *Writer) protect(tableBytes int64) error {
	l := parity.Layout{ContentBytes: tableBytes, Percent: w.o.ParityPercent}
	if err := parity.Append(w.file, w.o.FileNum, l); err != nil {
		return w.fail("write parity", err)
	}
	w.tally.SizeBytes = uint64(l.FileBytes())
	return nil
}

// setSpan widens the span to all records and range deletes. What these reach to is in
// memory whole in any case.
func (w *Writer) setSpan(floor, ceiling []byte) {
	p := &w.tally.Properties
	if p.Count > 0 {
		p.Lo = bytes.Clone(base.CutLow(p.Lo, floor))
		p.Hi = base.CutHigh(nil, w.lastKey, ceiling)
	}
	if p.RangeDeletes == 0 {
		return
	}
	if p.Count == 0 || bytes.Compare(p.DeletesLo, p.Lo) < 0 {
		p.Lo = p.DeletesLo
	}
	if bytes.Compare(p.DeletesHi, p.Hi) > 0 {
		p.Hi = p.DeletesHi
	}
}

// storePartitions stores the index partitions and returns the top index block,
// nil if the table has no data blocks.
func (w *Writer) storePartitions(f *footer) ([]byte, error) {
	begin := w.offset()
	var top block.Builder
	for _, part := range w.index.Finish() {
		ref, err := w.store(kindIndex, w.o.Compression, part.Payload)
		if err != nil {
			return nil, err
		}
		w.value = appendTopValue(w.value[:0], ref, part.FirstBlock)
		top.Add(part.Separator, part.Trailer, w.value, 0)
	}
	p := &w.tally.Properties
	p.IndexBytes = uint64(w.offset() - begin)
	p.BlockCount = uint64(w.index.Len())
	f.partitionCount = uint32(top.Len())
	if top.Len() == 0 {
		return nil, nil
	}
	return top.Finish(), nil
}

// storeSections stores what follows the range-delete blocks, up to the footer.
func (w *Writer) storeSections(f *footer, deleteIndex, top []byte) (err error) {
	p := &w.tally.Properties
	if w.filter.Len() > 0 {
		begin := w.offset()
		bits := w.filter.Finish(w.o.FilterBitsPerKey)
		if f.filter, err = w.store(kindFilter, compress.None, bits); err != nil {
			return err
		}
		p.FilterBytes = uint64(w.offset() - begin)
	}
	if len(deleteIndex) > 0 {
		if f.deleteIndex, err = w.store(kindDeleteIndex, compress.None, deleteIndex); err != nil {
			return err
		}
	}
	if f.properties, err = w.store(kindProperties, compress.None, p.appendTo(nil)); err != nil {
		return err
	}
	if len(top) > 0 {
		f.topIndex, err = w.store(kindTopIndex, compress.None, top)
	}
	return err
}

// Abort gives up the table and closes the file, which the caller removes. It
// does nothing after Finish.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	if w.err == nil {
		w.err = fmt.Errorf("table %s: %w", w.o.FileNum, errDone)
	}
	w.free()
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("table %s: close: %w", w.o.FileNum, err)
	}
	return nil
}
