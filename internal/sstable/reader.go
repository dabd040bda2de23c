package sstable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/parity"
	"github.com/lightningdb/lightning/vfs"
)

// tailBytes is how much of the end of a file is read at once when it is
// opened: footer, top index and properties of nearly every table.
const tailBytes = 16 << 10

// ReaderOptions says which table a file should be and where its blocks are
// cached.
type ReaderOptions struct {
	Name    string // of the file, for errors
	DBID    base.DBID
	FileNum base.FileNum
	// SizeBytes is the length the file should have; 0 where it is not known.
	SizeBytes int64
	// SeqBase is added to the sequence numbers in the file, of records and range
	// deletes: a table that was written before they were known has small ones.
	// Verify looks at what is stored.
	SeqBase base.SeqNum
	// Lo and Hi are the span of the table, where the caller keeps it anyway: the reader
	// then need not have it once more.
	Lo, Hi []byte
	// IO does many reads at once.
	IO *aio.Reader
	// Cache holds the loaded blocks. Without one every read goes to the file.
	Cache *framecache.Cache
	// Epochs is the domain of Cache; it is not used without one.
	Epochs *epoch.Domain
	// Memory accounts for large values that have no place in the cache, and Later does
	// something when the caller need not wait for it. Nil: such values are garbage.
	Memory *offheap.Accountant
	Later  func(task func())
	// Damaged, which may be nil, is told of each damaged place that is met.
	Damaged func(err *base.CorruptionError)
	// Lost, which may be nil, is told of each sector that cannot be read, or is not what was
	// written, and that parity makes good.
	Lost func(err *base.CorruptionError)
}

// Reader reads one table. It keeps properties and top index in Go memory, the latter
// unless it is large: see top.go. All other blocks come from the cache. In the frame
// table of the file the data blocks have their ordinals as slots, then come the
// partitions, the filter, the top index, and, where there are range deletes, their index
// and their blocks.
//
// All methods are safe for concurrent use. What is found damaged is reported
// as a *base.CorruptionError by the call that needed it; other parts of the
// file stay readable.
type Reader struct {
	file   vfs.ReadFile
	name   string
	o      ReaderOptions
	table  *framecache.Table // nil without a cache
	layout layout
	footer footer
	top    block.View // over Go memory; empty where topLarge
	parts  []partitionRef
	props  Properties

	topLarge bool // the top index comes from the cache

	tableBytes int64         // of the file, up to the parity
	parity     parity.Layout // zero where there is none
	careful    *parity.File  // through which all is read; nil: only what is damaged

	filter       atomic.Pointer[[]byte] // the filter block, where there is no cache
	filterBroken atomic.Bool            // the filter was found damaged

	// Behind pointers, because the runtime keeps a used pool, and whatever it is
	// a part of, until the second garbage collection from then.
	scratch *sync.Pool // *[]byte: compressed blocks on their way in
	iters   *sync.Pool // *Iter
}

// readError is a failed read, as opposed to bytes that are wrong.
type readError struct {
	name   string
	offset int64
	err    error
}

func (e *readError) Error() string {
	return fmt.Sprintf("read table %s at offset %d: %v", e.name, e.offset, e.err)
}

func (e *readError) Unwrap() error { return e.err }

// OpenReader opens a table. It takes f over, and closes it if it fails.
func OpenReader(f vfs.ReadFile, o ReaderOptions) (*Reader, error) {
	r := &Reader{file: f, name: o.Name, o: o, scratch: new(sync.Pool), iters: new(sync.Pool)}
	r.o.Damaged = nil // what is made good is not told
	err := r.open()
	r.o.Damaged = o.Damaged
	if err != nil {
		err = r.reopen(err)
	}
	if err != nil {
		// Nothing was written: a failed close adds nothing to err.
		_ = f.Close()
		return nil, err
	}
	if o.Cache != nil {
		slots := r.topSlot() + 1
		if r.footer.deleteIndex != (blockRef{}) {
			slots = r.deleteSlot(int(r.props.DeleteBlocks))
		}
		r.table = o.Cache.NewTable(slots)
	}
	return r, nil
}

func (r *Reader) open() error {
	size, err := r.file.Size()
	if err != nil {
		return fmt.Errorf("size of table %s: %w", r.name, err)
	}
	if r.careful == nil {
		r.findParity(size)
	}
	if err := r.readHeader(size); err != nil {
		return err
	}
	if r.o.SizeBytes != 0 && size != r.o.SizeBytes {
		err := fmt.Errorf("file has %d bytes, not %d", size, r.o.SizeBytes)
		return r.corrupt(-1, size, "table file", err)
	}
	tail, err := r.readTail(r.tableBytes)
	defer func() { buffers.Put(tail) }() // nothing of it is kept
	if err != nil {
		return err
	}
	props, err := r.section(kindProperties, r.footer.properties, tail, r.tableBytes)
	if err == nil {
		r.props, err = decodeProperties(props)
		r.props.SizeBytes = uint64(size)
		r.props.ownSpan(r.o.Lo, r.o.Hi)
	}
	if err == nil && (r.props.BlockCount != uint64(r.footer.blockCount) || !r.deletesFit()) {
		err = errProperties
	}
	if err != nil {
		return r.blame(err, kindProperties, r.footer.properties, nil, nil)
	}
	return r.openTop(tail, r.tableBytes)
}

func (r *Reader) readHeader(size int64) error {
	if size < headerBytes+footerBytes {
		return r.corrupt(-1, size, "table file", errTruncated)
	}
	header := make([]byte, headerBytes)
	if err := r.readAt(header, 0); err != nil {
		return r.blame(err, kindHeader, blockRef{diskBytes: headerBytes}, nil, nil)
	}
	l, err := checkHeader(header, r.name, r.o.DBID, r.o.FileNum)
	r.layout = l
	return err
}

// readTail reads and decodes the footer, and returns the end of the file from
// the first section needed at open, or from earlier on.
func (r *Reader) readTail(size int64) ([]byte, error) {
	place := blockRef{offset: size - footerBytes, diskBytes: footerBytes}
	tail := make([]byte, min(size, tailBytes))
	if err := r.readAt(tail, size-int64(len(tail))); err != nil {
		return tail, r.blame(err, kindFooter, place, nil, nil)
	}
	var err error
	r.footer, err = r.layout.decodeFooter(tail[len(tail)-footerBytes:], r.o.FileNum, size)
	if err != nil {
		return tail, r.blame(err, kindFooter, place, nil, nil)
	}
	if begin := r.footer.properties.offset; begin < size-int64(len(tail)) {
		tail = buffers.Take(int(size - begin))
		if err := r.readAt(tail, begin); err != nil {
			return tail, r.blame(err, kindProperties, r.footer.properties, nil, nil)
		}
	}
	return tail, nil
}

// section returns the verified payload of an uncompressed block inside the
// tail of the file.
func (r *Reader) section(kind blockKind, ref blockRef, tail []byte, size int64) ([]byte, error) {
	begin := ref.offset - (size - int64(len(tail)))
	stored := tail[begin : begin+r.layout.storedBytes(ref)]
	_, err := r.checkStored(stored, kind, ref)
	return stored[:ref.diskBytes], err
}

func (r *Reader) openTop(tail []byte, size int64) error {
	ref := r.footer.topIndex
	if ref == (blockRef{}) {
		if r.props.Count > 0 || r.deletesBegin() != headerBytes {
			return r.blame(errProperties, kindProperties, r.footer.properties, nil, nil)
		}
		return nil
	}
	payload, err := r.section(kindTopIndex, ref, tail, size)
	if r.topLarge = r.o.Cache != nil && len(payload) > topKeptBytes; err == nil && !r.topLarge {
		payload = bytes.Clone(payload) // which is kept, as the tail is not
	}
	var top block.View
	if err == nil {
		top, err = block.Parse(payload)
	}
	if err == nil {
		r.parts, err = r.layout.decodeTop(&top, &r.footer, r.deletesBegin())
	}
	if err != nil {
		return r.blameTop(err)
	}
	if !r.topLarge {
		r.top = top
	}
	return nil
}

// readAt fills p from offset. The error is a readError, or errTruncated where
// the file ends too early, or one that matches fs.ErrNotExist where it has gone.
func (r *Reader) readAt(p []byte, offset int64) error {
	n, err := r.readFile(p, offset)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errTruncated
	case errors.Is(err, fs.ErrNotExist): // it was to be opened again, and is gone
		return err
	}
	return r.rescue(p, offset, &readError{name: r.name, offset: offset, err: err})
}

// readFile reads from the file, through its parity if the reader is careful. What that cannot make
// good is read as it is: it may be of no block, and those have checksums of their own.
func (r *Reader) readFile(p []byte, offset int64) (int, error) {
	if r.careful != nil {
		if n, err := r.careful.ReadAt(p, offset); !errors.Is(err, parity.ErrBeyond) {
			return n, err
		}
	}
	return r.file.ReadAt(p, offset)
}

// checkStored verifies a block as read from the file, and returns the payload's codec. Where
// parity makes it good, stored is that afterwards.
func (r *Reader) checkStored(stored []byte, kind blockKind, ref blockRef) (compress.Codec, error) {
	codec, err := r.layout.checkStored(stored, r.o.FileNum, kind, ref)
	if err == nil {
		return codec, nil
	}
	if err := r.rescue(stored, ref.offset, err); err != nil {
		return 0, err
	}
	return r.layout.checkStored(stored, r.o.FileNum, kind, ref)
}

func (r *Reader) corrupt(offset, length int64, kind string, err error) error {
	return &base.CorruptionError{
		File: r.name, Offset: offset, Length: length, Kind: kind, Err: err,
	}
}

// blame turns what was found about a block into the error to return: a failed
// read stays as it is, everything else is corruption that affects [lo, hi), which are
// copied: errors go to users.
func (r *Reader) blame(err error, kind blockKind, ref blockRef, lo, hi []byte) error {
	if _, failed := errors.AsType[*readError](err); failed {
		return err
	}
	damage := &base.CorruptionError{
		File: r.name, Offset: ref.offset, Length: int64(ref.diskBytes), Kind: kind.String(),
		Lo: bytes.Clone(lo), Hi: bytes.Clone(hi), Err: err,
	}
	if r.o.Damaged != nil {
		r.o.Damaged(damage)
	}
	return damage
}

func (r *Reader) blockCount() int { return int(r.footer.blockCount) }

// filterSlot is the slot of the filter in the frame table.
func (r *Reader) filterSlot() int { return r.blockCount() + len(r.parts) }

// topSlot is that of the top index, where it is large.
func (r *Reader) topSlot() int { return r.filterSlot() + 1 }

// dataEnd is the offset behind the last data block. There is one.
func (r *Reader) dataEnd() int64 { return r.parts[0].ref.offset }

// Properties returns the description of the table. It may not be written to.
func (r *Reader) Properties() *Properties { return &r.props }

// Close forgets the cached blocks and closes the file. No call of another
// method, no Iter and no value may be in use.
func (r *Reader) Close() error {
	if r.table != nil {
		r.table.Drop()
	}
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("close table %s: %w", r.name, err)
	}
	return nil
}
