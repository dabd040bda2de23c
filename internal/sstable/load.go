package sstable

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/offheap"
)

// This file brings blocks from the file into memory: read, verify, decompress,
// check the structure, and only then show them to others.
//
// A frame holds the raw block and behind it the bytes of a trailer, which mean
// nothing any more: uncompressed blocks are read into place in one piece,
// trailer included.

// largeBytes is the memory from which reads are into memory outside of Go's heap, which
// is given back as soon as nobody needs it: as garbage a few of them would be as much as
// all else.
const largeBytes = 1 << 20

// newLarge returns memory of at least largeBytes, or nothing if it has to be Go's.
func (r *Reader) newLarge(sizeBytes int64) (offheap.Block, bool) {
	if sizeBytes < largeBytes {
		return offheap.Block{}, false
	}
	return r.newBlock(offheap.OwnerLarge, sizeBytes)
}

// newBuffer is newLarge for one who reads the table in large pieces.
func (r *Reader) newBuffer(sizeBytes int64) (offheap.Block, bool) {
	if buffers.MinBytes <= sizeBytes && sizeBytes < largeBytes {
		return r.newBlock(offheap.OwnerBuffers, sizeBytes)
	}
	return r.newLarge(sizeBytes)
}

// newBlock returns memory that counts as owner's, or nothing if it has to be Go's.
func (r *Reader) newBlock(owner offheap.Owner, sizeBytes int64) (offheap.Block, bool) {
	if r.o.Memory == nil {
		return offheap.Block{}, false
	}
	b, err := offheap.NewBlock(r.o.Memory, owner, int(sizeBytes))
	if err == nil && r.o.Cache != nil {
		r.o.Cache.MakeWay() // before the block is used, and takes any memory
	}
	return b, err == nil
}

// scratchMaxBytes is the size above which a scratch buffer is not kept.
const scratchMaxBytes = 256 << 10

// frame is a loaded block: a pinned frame of the cache, a large block, or Go memory.
type frame struct {
	handle framecache.Handle
	cached bool // handle is a frame
	large  offheap.Block
	memory []byte
	// payloadBytes is the length of the raw block, which memory begins with.
	payloadBytes int
}

// payload is the raw block.
func (f *frame) payload() []byte { return f.memory[:f.payloadBytes] }

// release unpins the frame. The bytes of one of the cache stay valid until the end of
// the caller's epoch guard, if it is inside one.
func (f *frame) release() {
	if f.cached {
		f.handle.Release()
	}
	f.large.Free()
	*f = frame{}
}

// releaseAfter is release for a caller inside a guard, until whose end all bytes stay
// valid.
func (r *Reader) releaseAfter(f frame) {
	if large := f.large; large.Bytes() != nil {
		f.large = offheap.Block{}
		r.o.Cache.Retire(large, r.o.Later)
	}
	f.release()
}

// allocate returns private memory for a block of rawBytes.
func (r *Reader) allocate(rawBytes uint32) frame {
	n := int(rawBytes) + r.layout.trailerBytes
	if r.table != nil {
		if h, ok := r.o.Cache.Alloc(n); ok {
			return frame{handle: h, cached: true, memory: h.Bytes(), payloadBytes: int(rawBytes)}
		}
		if large, ok := r.newLarge(int64(n)); ok {
			return frame{large: large, memory: large.Bytes(), payloadBytes: int(rawBytes)}
		}
	}
	return frame{memory: make([]byte, n), payloadBytes: int(rawBytes)}
}

// load brings a data block or an index block in and publishes it in slot. stored is the
// block with its trailer where the caller has read it already, else nil. The errors are
// findings for blame.
func (r *Reader) load(kind blockKind, slot int, ref blockRef, stored []byte) (frame, error) {
	f, err := r.fetch(kind, ref, stored)
	if err == nil {
		err = r.checkBlock(kind, slot, f.payload())
	}
	return r.publish(slot, f, err)
}

// publish shows a block that was fetched, and checked, to others; or gives it up.
func (r *Reader) publish(slot int, f frame, err error) (frame, error) {
	if err != nil {
		f.release()
		return frame{}, err
	}
	if f.cached {
		f.handle = r.table.Publish(slot, f.handle)
		f.memory = f.handle.Bytes()
	}
	return f, nil
}

// fetch brings a block into private memory and verifies its checksum.
func (r *Reader) fetch(kind blockKind, ref blockRef, stored []byte) (frame, error) {
	if ref.compressed() {
		return r.fetchCompressed(kind, ref, stored)
	}
	f := r.allocate(ref.rawBytes)
	return f, r.fill(f.memory, kind, ref, stored)
}

// fill reads an uncompressed block with its trailer into dst and verifies it.
func (r *Reader) fill(dst []byte, kind blockKind, ref blockRef, stored []byte) error {
	if stored != nil {
		copy(dst, stored)
	} else if err := r.readAt(dst, ref.offset); err != nil {
		return err
	}
	_, err := r.checkStored(dst, kind, ref)
	return err
}

// fetchCompressed allocates by the raw length only after the stored bytes
// have proved to be those that were written.
func (r *Reader) fetchCompressed(kind blockKind, ref blockRef, stored []byte) (frame, error) {
	if stored == nil {
		if large, ok := r.newLarge(r.layout.storedBytes(ref)); ok {
			defer large.Free()
			stored = large.Bytes()
		} else {
			scratch := r.takeScratch(int(r.layout.storedBytes(ref)))
			defer r.returnScratch(scratch)
			stored = *scratch
		}
		if err := r.readAt(stored, ref.offset); err != nil {
			return frame{}, err
		}
	}
	codec, err := r.checkStored(stored, kind, ref)
	if err != nil {
		return frame{}, err
	}
	f := r.allocate(ref.rawBytes)
	return f, decompress(f.payload(), codec, stored[:ref.diskBytes])
}

// decompress makes the raw block in dst of a payload that has a codec.
func decompress(dst []byte, codec compress.Codec, payload []byte) error {
	if codec == codecPacked {
		return block.Unpack(dst, payload)
	}
	return compress.Decompress(dst, codec, payload)
}

func (r *Reader) takeScratch(n int) *[]byte {
	p, _ := r.scratch.Get().(*[]byte)
	if p == nil || cap(*p) < n {
		b := make([]byte, n, max(n, defaultBlockBytes))
		return &b
	}
	*p = (*p)[:n]
	return p
}

func (r *Reader) returnScratch(p *[]byte) {
	if cap(*p) <= scratchMaxBytes {
		r.scratch.Put(p)
	}
}

// checkBlock verifies the structure of a block that goes to slot.
func (r *Reader) checkBlock(kind blockKind, slot int, payload []byte) error {
	v, err := block.Parse(payload)
	switch {
	case err != nil:
		return err
	case v.Len() == 0:
		return errEmpty
	case kind == kindIndex:
		return r.checkPartition(&v, slot-r.blockCount())
	case kind == kindDeleteIndex:
		return r.checkDeleteIndex(&v)
	}
	return nil
}

// cached returns the payload of a block that is in the cache, else nil. The
// caller is inside an epoch guard.
func (r *Reader) cached(slot int) []byte {
	if r.table != nil {
		if b := r.table.Get(slot); b != nil {
			return b[:len(b)-r.layout.trailerBytes]
		}
	}
	return nil
}

// partition returns index partition p. The bytes under the view are valid
// until the end of the caller's epoch guard.
func (r *Reader) partition(p int) (block.View, error) {
	slot := r.blockCount() + p
	if payload := r.cached(slot); payload != nil {
		return block.Trusted(payload), nil
	}
	ref := r.parts[p].ref
	f, err := r.load(kindIndex, slot, ref, nil)
	if err != nil {
		return block.View{}, r.blamePartition(err, p)
	}
	v := block.Trusted(f.payload())
	r.releaseAfter(f)
	return v, nil
}

// data returns the data block of an entry of partition p, under the same
// terms.
func (r *Reader) data(index *block.View, p, entry int) (block.View, error) {
	slot := r.parts[p].firstBlock + entry
	if payload := r.cached(slot); payload != nil {
		return block.Trusted(payload), nil
	}
	ref := dataRef(index, entry)
	f, err := r.load(kindData, slot, ref, nil)
	if err != nil {
		return block.View{}, r.blameData(err, index, p, entry)
	}
	v := block.Trusted(f.payload())
	r.releaseAfter(f)
	return v, nil
}

// partitionEnd returns the separator behind partition p, or what is given where the
// top index cannot be read.
func (r *Reader) partitionEnd(p int, otherwise []byte) []byte {
	key, err := r.topEntry(p)
	if err != nil {
		return otherwise
	}
	return key
}

// blamePartition is blame for index partition p.
func (r *Reader) blamePartition(err error, p int) error {
	lo, hi := r.props.Lo, r.props.Hi
	if p > 0 {
		lo = r.partitionEnd(p-1, lo)
	}
	if last := r.partitionEnd(p, nil); last != nil {
		hi = base.Successor(nil, last)
	}
	return r.blame(err, kindIndex, r.parts[p].ref, lo, hi)
}

// blameData is blame for the data block of an entry of partition p.
func (r *Reader) blameData(err error, index *block.View, p, entry int) error {
	lo := r.props.Lo
	switch {
	case entry > 0:
		lo = index.AppendKey(nil, entry-1)
	case p > 0:
		lo = r.partitionEnd(p-1, lo)
	}
	hi := base.Successor(nil, index.AppendKey(nil, entry))
	return r.blame(err, kindData, dataRef(index, entry), lo, hi)
}
