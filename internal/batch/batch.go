// Package batch is the form in which writes travel: a Batch is encoded once, in
// the form in which the log stores it, and a Reader takes encoded batches apart,
// be they on their way into the memtable or read back from the log.
//
// Keys are internal: they include the keyspace prefix. A Batch and a Reader are
// used by one goroutine at a time.
package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
)

// Batch is a list of writes that take effect together, encoded as
//
//	count  u32
//	count times:
//	  kind u8, key length uvarint, key,
//	  and for all but delete: value length uvarint, value
//
// The value of a range-delete is its upper bound; base/stored.go has those of
// set-expiring and merge, keyspace.Act that of keyspace.
type Batch struct {
	buf []byte
	// arena has buf; nil: Go's heap. See UseArena.
	arena *offheap.Arena
	// memBytes bounds what the records take in a memtable.
	memBytes int64
	// keyspaces are the named keyspaces written to.
	keyspaces []*keyspace.Info
	// The key of the last record begins at keyAt; its value, if it has one, ends the batch.
	keyAt, keyBytes, valueBytes int

	expiring bool // whether a record expires
	merging  bool // whether a record is an operand
	adding   bool // whether a record is more than a delete
	ranging  bool // whether a record is a range delete
}

const headerBytes = 4

var (
	// ErrTooLarge says that a batch would pass base.MaxBatchBytes.
	ErrTooLarge = errors.New("batch is too large")
	// ErrEncoding says that bytes are not an encoded batch.
	ErrEncoding = errors.New("malformed batch")
)

// Len returns the number of writes in the batch.
func (b *Batch) Len() int {
	if len(b.buf) == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(b.buf))
}

// SizeBytes returns the encoded size.
func (b *Batch) SizeBytes() int { return len(b.buf) }

// Bytes returns the encoded batch, which stays the batch's.
func (b *Batch) Bytes() []byte { return b.buf }

// MemtableBytes bounds what the records take in a memtable.
func (b *Batch) MemtableBytes() int64 { return b.memBytes }

// Only returns the record of a batch of one, if it is the write or the delete of a value.
// The slices alias the batch.
func (b *Batch) Only() (kind base.Kind, key, value []byte, ok bool) {
	if b.Len() != 1 {
		return 0, nil, nil, false
	}
	kind = base.Kind(b.buf[headerBytes])
	end := b.keyAt + b.keyBytes
	key = b.buf[b.keyAt:end:end]
	switch kind {
	case base.KindSet:
		value = b.buf[len(b.buf)-b.valueBytes:]
	case base.KindDelete:
	default:
		return 0, nil, nil, false
	}
	return kind, key, value, true
}

// Expires reports whether a record expires.
func (b *Batch) Expires() bool { return b.expiring }

// Merges reports whether a record is a merge operand.
func (b *Batch) Merges() bool { return b.merging }

// Adds reports whether the batch adds data: a batch of deletes, range deletes and
// drops of keyspaces does not.
func (b *Batch) Adds() bool { return b.adding }

// DeletesRanges reports whether a record is a range delete.
func (b *Batch) DeletesRanges() bool { return b.ranging }

// Grow makes room for records of so many bytes, on Go's heap, in a batch that is empty.
func (b *Batch) Grow(sizeBytes int) { b.buf = make([]byte, 0, headerBytes+sizeBytes) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.buf = b.buf[:0]
	b.memBytes = 0
	b.keyspaces = b.keyspaces[:0]
	b.expiring, b.merging, b.adding, b.ranging = false, false, false, false
}

// Touch notes that the batch writes to a keyspace; nil is the default one.
func (b *Batch) Touch(k *keyspace.Info) {
	if k != nil && !slices.Contains(b.keyspaces, k) {
		b.keyspaces = append(b.keyspaces, k)
	}
}

// CheckKeyspaces returns an error when a keyspace written to was dropped.
func (b *Batch) CheckKeyspaces() error { return keyspace.CheckLive(b.keyspaces) }

// UseArena has an empty batch, for one write of so many bytes, in an arena, so that
// nothing of it is left to the garbage collector. Where there is no memory the batch
// stays on Go's heap.
func (b *Batch) UseArena(memory *offheap.Accountant, keyBytes, valueBytes int) {
	const overheadBytes = 256 // more than encoding and arena add
	arena, err := offheap.NewArena(memory, offheap.OwnerMemtable, keyBytes+valueBytes+overheadBytes)
	if err != nil {
		return
	}
	sizeBytes := uint32(arena.Cap() - arena.Used())
	offset, ok := arena.Alloc(sizeBytes, 1)
	if !ok {
		arena.Free()
		return
	}
	b.arena, b.buf = arena, arena.Bytes(offset, sizeBytes)[:0]
}

// TakeArena hands the arena that has the batch over to the caller, nil if none has. The
// bytes of the batch are valid until it is freed.
func (b *Batch) TakeArena() *offheap.Arena {
	arena := b.arena
	b.arena = nil
	return arena
}

// ShrinkTo gives back the memory of a batch that nobody needs any more, if it is an
// arena or more than maxBytes.
func (b *Batch) ShrinkTo(maxBytes int) {
	if arena := b.TakeArena(); arena != nil {
		arena.Free()
	}
	if cap(b.buf) > maxBytes {
		*b = Batch{}
	}
}

// Set adds a write of value to the key prefix+key. Both are copied.
func (b *Batch) Set(prefix, key, value []byte) error {
	if err := b.begin(base.KindSet, prefix, key, len(value)); err != nil {
		return err
	}
	b.appendValue(value)
	return nil
}

// SetExpiring adds a write of value to the key prefix+key, which counts as
// absent from expiry on.
func (b *Batch) SetExpiring(prefix, key, value []byte, expiry base.Instant) error {
	if err := b.begin(base.KindSetExpiring, prefix, key, base.ExpiryBytes+len(value)); err != nil {
		return err
	}
	b.expiring = true
	b.buf = binary.AppendUvarint(b.buf, uint64(base.ExpiryBytes+len(value)))
	b.buf = append(base.AppendExpiry(b.buf, expiry), value...)
	return nil
}

// Merge adds the application of an operand to the key prefix+key.
func (b *Batch) Merge(prefix, key, operand []byte) error {
	if err := b.begin(base.KindMerge, prefix, key, base.ReachBytes+len(operand)); err != nil {
		return err
	}
	b.merging = true
	b.buf = binary.AppendUvarint(b.buf, uint64(base.ReachBytes+len(operand)))
	b.buf = append(base.AppendReach(b.buf, 0, 0), operand...)
	return nil
}

// Delete adds a deletion of the key prefix+key.
func (b *Batch) Delete(prefix, key []byte) error {
	return b.begin(base.KindDelete, prefix, key, 0)
}

// DeleteRange adds a deletion of all internal keys in [lo, hi).
func (b *Batch) DeleteRange(lo, hi []byte) error {
	if err := b.begin(base.KindRangeDelete, nil, lo, len(hi)); err != nil {
		return err
	}
	b.ranging = true
	b.appendValue(hi)
	return nil
}

// Keyspace adds an act that makes, changes or drops a keyspace. Whoever commits it
// is alone in the commit pipeline.
func (b *Batch) Keyspace(a keyspace.Act) error {
	value := a.AppendTo(nil)
	b.adding = b.adding || a.Keyspace != nil
	if err := b.begin(base.KindKeyspace, nil, keyspace.AppendPrefix(nil, a.ID), len(value)); err != nil {
		return err
	}
	b.appendValue(value)
	return nil
}

func (b *Batch) begin(kind base.Kind, prefix, key []byte, valueBytes int) error {
	keyBytes := len(prefix) + len(key)
	const overheadBytes = 1 + 2*binary.MaxVarintLen32
	need := int64(len(b.buf)) + int64(keyBytes) + int64(valueBytes) + overheadBytes
	if need > base.MaxBatchBytes || need > math.MaxInt {
		return ErrTooLarge
	}
	if len(b.buf) == 0 {
		b.buf = append(b.buf, 0, 0, 0, 0)
	}
	b.memBytes += int64(memtable.AddBound(keyBytes, valueBytes))
	b.adding = b.adding || kind != base.KindDelete && kind != base.KindRangeDelete && kind != base.KindKeyspace
	binary.LittleEndian.PutUint32(b.buf, binary.LittleEndian.Uint32(b.buf)+1)
	b.buf = append(b.buf, byte(kind))
	b.buf = binary.AppendUvarint(b.buf, uint64(keyBytes))
	b.keyAt, b.keyBytes, b.valueBytes = len(b.buf), keyBytes, valueBytes
	b.buf = append(b.buf, prefix...)
	b.buf = append(b.buf, key...)
	return nil
}

func (b *Batch) appendValue(value []byte) {
	b.buf = binary.AppendUvarint(b.buf, uint64(len(value)))
	b.buf = append(b.buf, value...)
}

// Reader decodes the records of one or more batches that stand one after
// the other, as a log group holds them. Slices alias the input.
type Reader struct {
	rest []byte
	left uint32 // records of the current batch that are not read yet
	tail int    // bytes of the input from behind the current record's kind on

	// The current record.
	Kind       base.Kind
	Key, Value []byte
}

// NewReader returns a Reader of encoded batches.
func NewReader(encoded []byte) Reader { return Reader{rest: encoded} }

// LastSeq returns the number of the last record of encoded batches, whose first one has number first. Where they do
// not decode it is that of the last record before that.
func LastSeq(first base.SeqNum, encoded []byte) (last base.SeqNum, err error) {
	r := NewReader(encoded)
	for last = first - 1; ; last++ {
		if ok, err := r.Next(); !ok || err != nil {
			return last, err
		}
	}
}

// Rest returns what was not read yet.
func (r *Reader) Rest() []byte { return r.rest }

// TailBytes returns how much of the input there is from the key of the current
// record on: that is where Record reads it again.
func (r *Reader) TailBytes() int { return r.tail }

// Left returns how many records of the current batch were not read yet.
func (r *Reader) Left() int { return int(r.left) }

// MemtableBytes bounds what the current record takes in a memtable.
func (r *Reader) MemtableBytes() int64 {
	return int64(memtable.AddBound(len(r.Key), len(r.Value)))
}

// Next decodes a record. It returns false at the end of the input.
func (r *Reader) Next() (bool, error) {
	for r.left == 0 {
		if len(r.rest) == 0 {
			return false, nil
		}
		if len(r.rest) < headerBytes {
			return false, fmt.Errorf("%w: truncated header", ErrEncoding)
		}
		r.left = binary.LittleEndian.Uint32(r.rest)
		r.rest = r.rest[headerBytes:]
	}
	if len(r.rest) == 0 {
		return false, fmt.Errorf("%w: %d records are missing", ErrEncoding, r.left)
	}
	r.Kind = base.Kind(r.rest[0])
	if !r.Kind.Valid() || r.Kind == base.KindBlob {
		return false, fmt.Errorf("%w: %v", ErrEncoding, r.Kind)
	}
	r.rest = r.rest[1:]
	r.tail = len(r.rest)
	var ok bool
	if r.Key, ok = r.take(); !ok || len(r.Key) == 0 {
		return false, fmt.Errorf("%w: bad key", ErrEncoding)
	}
	r.Value = nil
	if r.Kind != base.KindDelete {
		if r.Value, ok = r.take(); !ok {
			return false, fmt.Errorf("%w: bad value", ErrEncoding)
		}
		if r.Kind == base.KindKeyspace {
			if _, err := keyspace.DecodeAct(r.Key, r.Value); err != nil {
				return false, fmt.Errorf("%w: %w", ErrEncoding, err)
			}
		}
		// An operand in a batch stands for itself: it reaches back zero.
		if r.Kind != base.KindSet {
			if _, err := base.Decode(base.MakeTrailer(0, r.Kind), r.Value); err != nil {
				return false, fmt.Errorf("%w: bad value of %v", ErrEncoding, r.Kind)
			}
		}
	}
	r.left--
	return true, nil
}

// Record decodes key and value of a record of some kind that a Reader has read, and
// that begins where TailBytes said. The slices alias the input.
func Record(encoded []byte, kind base.Kind) (key, value []byte) {
	r := Reader{rest: encoded}
	key, _ = r.take()
	if kind != base.KindDelete {
		value, _ = r.take()
	}
	return key, value
}

// take reads a length and that many bytes.
func (r *Reader) take() ([]byte, bool) {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		n := int(r.rest[0])
		if len(r.rest) <= n {
			return nil, false
		}
		b := r.rest[1 : 1+n : 1+n]
		r.rest = r.rest[1+n:]
		return b, true
	}
	n, w := binary.Uvarint(r.rest)
	if w <= 0 || n > uint64(len(r.rest)-w) {
		return nil, false
	}
	b := r.rest[w : w+int(n) : w+int(n)]
	r.rest = r.rest[w+int(n):]
	return b, true
}
