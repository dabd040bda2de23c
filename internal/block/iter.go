package block

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/kernel"
)

// Iter walks the records of one block; it implements base.Iterator. The key
// is put together in a buffer of the Iter, in which the common prefix stays;
// the value aliases the block. The zero Iter is one over an empty block. An
// Iter may be initialised any number of times, after Close too, and keeps its
// buffer.
type Iter struct {
	slot int // -1 before the first record, n past the last
	n    int
	rec  base.Record
	buf  []byte // the common prefix, then the suffix of the current key
	view View

	// What view would have to work out again for each record.
	slots, records, trailers uintptr // distances from view.base
	slotWidth, trailerWidth  uintptr
	offsetMask, lengthMask   uint64
	lengthShift              uintptr
	trailerMask, baseTrailer uint64
	baseLen                  int
}

var _ base.Iterator = (*Iter)(nil)

// Init stands the iterator before the first record of v.
func (it *Iter) Init(v View) {
	it.slot, it.n = -1, v.Len()
	it.view = v
	if it.n == 0 {
		return
	}
	it.slots, it.records, it.trailers = v.slots(), v.records(), v.trailers()
	it.slotWidth, it.trailerWidth = v.slotWidth(), v.trailerWidth()
	it.offsetMask, it.lengthMask = lowMask(v.offsetWidth()), lowMask(v.lengthWidth())
	it.lengthShift = 8 * v.offsetWidth()
	it.trailerMask, it.baseTrailer = lowMask(it.trailerWidth), kernel.Load64(v.base, baseTrailerAt)
	it.baseLen = v.baseLen()
	it.buf = append(it.buf[:0], v.prefix()...)
	it.reserve(it.baseLen)
}

// Raise adds n to the sequence numbers of all records, until the next Init.
func (it *Iter) Raise(n base.SeqNum) { it.baseTrailer += uint64(n) << 8 }

// reserve makes room for a suffix of the given length and a head, so that a
// head can be stored in one piece whatever the length of the key. It is kept
// out of land, which seldom needs it.
//
//go:noinline
func (it *Iter) reserve(suffixLen int) {
	need := it.view.prefixLen + suffixLen + headBytes
	if cap(it.buf) < need {
		buf := make([]byte, need+need/4)
		copy(buf, it.view.prefix())
		it.buf = buf
	}
	it.buf = it.buf[:cap(it.buf)]
}

// AtFirst reports whether the current record is the first one.
func (it *Iter) AtFirst() bool { return it.slot == 0 && it.n > 0 }

// First lands on the first record.
func (it *Iter) First() *base.Record { return it.land(0) }

// Last lands on the last record.
func (it *Iter) Last() *base.Record { return it.land(it.n - 1) }

// SeekGE lands on the newest version of the first key >= key.
func (it *Iter) SeekGE(key []byte) *base.Record { return it.land(it.view.SeekGE(key)) }

// SeekLT lands on the oldest version of the last key < key.
func (it *Iter) SeekLT(key []byte) *base.Record { return it.land(it.view.SeekGE(key) - 1) }

// Next goes one record forward.
func (it *Iter) Next() *base.Record { return it.land(min(it.slot+1, it.n)) }

// Prev goes one record back.
func (it *Iter) Prev() *base.Record { return it.land(max(it.slot-1, -1)) }

// Err returns nil: Parse has found all errors that a block can have.
func (it *Iter) Err() error { return nil }

// Close lets go of the block.
func (it *Iter) Close() error {
	it.Init(View{})
	it.rec = base.Record{}
	return nil
}

// land stands on slot and shows its record, if there is one. Calls out of it
// come last, so that nothing has to be kept across them.
//
// The stores into buf go without bounds checks: the check against its length
// leaves room for a head behind the key, so that the eight bytes behind the
// prefix and, where there is a rest, the eight bytes before the end of the key
// lie inside.
func (it *Iter) land(slot int) *base.Record {
	it.slot = slot
	if uint(slot) >= uint(it.n) {
		return nil
	}
	p := it.view.base
	slotAt := it.slots + uintptr(slot)*it.slotWidth
	word, next := kernel.Load64(p, slotAt), kernel.Load64(p, slotAt+it.slotWidth)
	at, end := uintptr(word&it.offsetMask), uintptr(next&it.offsetMask)
	suffixLen := it.baseLen + int(word>>(it.lengthShift&63)&it.lengthMask)
	keyLen := it.view.prefixLen + suffixLen
	if keyLen+headBytes > len(it.buf) {
		it.reserve(suffixLen)
		return it.land(slot)
	}
	suffix := unsafe.Add(unsafe.Pointer(unsafe.SliceData(it.buf)), it.view.prefixLen)
	rest := max(suffixLen-headBytes, 0)
	valueAt := it.records + at + uintptr(rest)
	if rest != 0 {
		// The word that ends where the key ends. If it begins before the rest,
		// the bytes too many lie under the head, which is stored over them.
		store64(unsafe.Add(suffix, rest), kernel.Load64(p, valueAt-headBytes))
	}
	store64(suffix, bits.ReverseBytes64(it.view.head(slot)))
	delta := kernel.Load64(p, it.trailers+uintptr(slot)*it.trailerWidth) & it.trailerMask
	it.rec.Key = it.buf[:keyLen]
	it.rec.Trailer = base.Trailer(it.baseTrailer + delta)
	it.rec.Value = bytesAt(p, valueAt, int(end-at)-rest)
	if rest > headBytes {
		copy(it.buf[keyLen-rest:], bytesAt(p, valueAt-uintptr(rest), rest-headBytes))
	}
	return &it.rec
}

// store64 writes x to p, little-endian; any alignment will do.
func store64(p unsafe.Pointer, x uint64) { binary.LittleEndian.PutUint64((*[8]byte)(p)[:], x) }
