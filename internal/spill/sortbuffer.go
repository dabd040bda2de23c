package spill

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

// sortBuffer holds records in the order in which they were added, and then in that of their
// keys, the newest of a key first. The records lie at the begin of a block of memory, their
// entries, which are what is sorted, at its end. An entry has the first bytes in which keys
// differ, so that two records are seldom looked at to compare them. It is used by one goroutine
// at a time, and must be freed.
type sortBuffer struct {
	block    offheap.Block
	memory   []byte
	entries  []entry // all that there is room for; those in use are the last ones
	count    int
	end      int         // of the records
	firstSeq base.SeqNum // sequence number of the record that was added first

	sorted []entry
	at     int
	rec    base.Record
}

// entry is where a record lies.
type entry struct {
	head   uint64
	offset uint32
	number uint32 // counts the records as they were added
}

const (
	entryBytes = 16
	// recordHeadBytes are the kind of a record and the lengths of its key and its value.
	recordHeadBytes = 9
	// sortBufferMaxBytes is what offsets can reach, and an int on all machines.
	sortBufferMaxBytes = math.MaxInt32
)

// sortBufferBytes is what a buffer for one record takes at least.
func sortBufferBytes(keyBytes, valueBytes int) int {
	return recordHeadBytes + keyBytes + valueBytes + 2*entryBytes
}

// newSortBuffer returns a buffer without records.
func newSortBuffer(memory *offheap.Accountant, sizeBytes int) (*sortBuffer, error) {
	sizeBytes = min(sizeBytes, sortBufferMaxBytes)
	block, err := offheap.NewBlock(memory, offheap.OwnerMemtable, sizeBytes)
	if err != nil {
		return nil, err
	}
	return &sortBuffer{block: block, memory: block.Bytes(), entries: offheap.Values[entry](block)}, nil
}

// reset empties the buffer; the next record has a sequence number.
func (b *sortBuffer) reset(firstSeq base.SeqNum) {
	b.count, b.end, b.firstSeq, b.sorted = 0, 0, firstSeq, nil
}

func (b *sortBuffer) free() { b.block.Free() }

// fits reports whether there is room for a record.
func (b *sortBuffer) fits(keyBytes, valueBytes int) bool {
	taken := b.end + recordHeadBytes + keyBytes + valueBytes
	return taken <= (len(b.entries)-b.count-1)*entryBytes
}

// add takes a record for which there is room.
func (b *sortBuffer) add(kind base.Kind, key, value []byte) {
	head := b.memory[b.end:]
	head[0] = byte(kind)
	binary.LittleEndian.PutUint32(head[1:], uint32(len(key)))
	binary.LittleEndian.PutUint32(head[5:], uint32(len(value)))
	n := recordHeadBytes
	n += copy(head[n:], key)
	n += copy(head[n:], value)
	b.count++
	b.entries[len(b.entries)-b.count] = entry{offset: uint32(b.end), number: uint32(b.count - 1)}
	b.end += n
}

// key returns the key of a record.
func (b *sortBuffer) key(e *entry) []byte {
	keyBytes := binary.LittleEndian.Uint32(b.memory[e.offset+1:])
	return b.memory[e.offset+recordHeadBytes:][:keyBytes]
}

// sort brings the records in order.
func (b *sortBuffer) sort() {
	b.sorted = b.entries[len(b.entries)-b.count:]
	if len(b.sorted) == 0 {
		return
	}
	first := b.key(&b.sorted[0])
	shared := len(first)
	for i := range b.sorted {
		shared = base.CommonPrefix(first[:shared], b.key(&b.sorted[i]))
	}
	for i := range b.sorted {
		b.sorted[i].head = headOf(b.key(&b.sorted[i])[shared:])
	}
	slices.SortFunc(b.sorted, func(x, y entry) int {
		if x.head != y.head {
			return cmp.Compare(x.head, y.head)
		}
		if c := bytes.Compare(b.key(&x), b.key(&y)); c != 0 {
			return c
		}
		return cmp.Compare(y.number, x.number)
	})
}

// headOf returns the first bytes of a key as a number that orders as they do, where it differs
// from that of another key.
func headOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var padded [8]byte
	copy(padded[:], key)
	return binary.BigEndian.Uint64(padded[:])
}

// First lands on the first of the sorted records.
func (b *sortBuffer) First() *base.Record {
	b.at = -1
	return b.Next()
}

// Next lands on the next one.
func (b *sortBuffer) Next() *base.Record {
	if b.at++; b.at >= len(b.sorted) {
		return nil
	}
	e := &b.sorted[b.at]
	record := b.memory[e.offset:]
	key := record[recordHeadBytes:][:binary.LittleEndian.Uint32(record[1:])]
	value := record[recordHeadBytes+len(key):][:binary.LittleEndian.Uint32(record[5:])]
	b.rec = base.Record{
		Key: key, Trailer: base.MakeTrailer(b.firstSeq+base.SeqNum(e.number), base.Kind(record[0])), Value: value,
	}
	return &b.rec
}

// Err implements txn.Records: what is in memory can be read.
func (b *sortBuffer) Err() error { return nil }

// Close has nothing to do: the Sorter frees the buffer.
func (b *sortBuffer) Close() error { return nil }
