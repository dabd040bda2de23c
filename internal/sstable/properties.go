package sstable

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// Properties describes a table. The properties block holds all of it but
// SizeBytes, which the footer holds, and Expiring and the bounds of the range deletes,
// which the manifest holds.
type Properties struct {
	SizeBytes   uint64 // of the file
	DataBytes   uint64 // of the data blocks as stored
	IndexBytes  uint64 // of the index partitions as stored
	FilterBytes uint64 // of the filter block as stored; 0 without a filter
	DeleteBytes uint64 // of the range-delete blocks as stored

	BlockCount    uint64 // data blocks
	DeleteBlocks  uint64 // range-delete blocks
	Count         uint64 // point records, deletes included
	Deletes       uint64 // point deletes
	RangeDeletes  uint64 // fragments of range deletes
	RawKeyBytes   uint64 // of point records
	RawValueBytes uint64 // of point records

	SmallestSeq, LargestSeq base.SeqNum // range deletes included

	Expiring Expiring

	// EntryChecksum is a sum over all records as they were added, range
	// deletes included. It does not depend on their order.
	EntryChecksum uint64

	// Every record, and every key a range delete covers, is in [Lo, Hi).
	Lo, Hi []byte
	// DeletesLo is where the first range delete begins, DeletesHi where the last one
	// ends. A Reader leaves them out.
	DeletesLo, DeletesHi []byte
}

// Expiring says when the expiring records of a table will have expired.
type Expiring struct {
	Count uint64
	Mean  base.Instant // of the instants at which they expire
	Last  base.Instant
}

// add counts a record.
func (e *Expiring) add(expiry base.Instant) {
	e.Count++
	e.Mean += (expiry - e.Mean) / base.Instant(e.Count)
	e.Last = max(e.Last, expiry)
}

// ownSpan has the span in memory of others, if it is the same, or in its own.
func (p *Properties) ownSpan(lo, hi []byte) {
	if bytes.Equal(p.Lo, lo) && bytes.Equal(p.Hi, hi) {
		p.Lo, p.Hi = lo, hi
		return
	}
	both := append(append(make([]byte, 0, len(p.Lo)+len(p.Hi)), p.Lo...), p.Hi...)
	p.Lo, p.Hi = both[:len(p.Lo):len(p.Lo)], both[len(p.Lo):]
}

// The properties block: propertyCount numbers of 8 bytes, then the lengths of
// Lo and Hi, 4 bytes each, then their bytes.
const (
	propertyCount      = 14
	propertyFixedBytes = propertyCount*8 + 8
)

var errProperties = errors.New("malformed properties")

// numbers lists the fields in the order in which the block holds them.
func (p *Properties) numbers() [propertyCount]*uint64 {
	return [propertyCount]*uint64{
		&p.DataBytes, &p.IndexBytes, &p.FilterBytes,
		&p.BlockCount, &p.Count, &p.Deletes, &p.RangeDeletes, &p.RawKeyBytes, &p.RawValueBytes,
		(*uint64)(&p.SmallestSeq), (*uint64)(&p.LargestSeq), &p.EntryChecksum,
		&p.DeleteBlocks, &p.DeleteBytes,
	}
}

func (p *Properties) appendTo(dst []byte) []byte {
	for _, number := range p.numbers() {
		dst = binary.LittleEndian.AppendUint64(dst, *number)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p.Lo)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p.Hi)))
	dst = append(dst, p.Lo...)
	return append(dst, p.Hi...)
}

// decodeProperties reads what appendTo wrote; the keys lie in src.
func decodeProperties(src []byte) (Properties, error) {
	if len(src) < propertyFixedBytes {
		return Properties{}, errProperties
	}
	var p Properties
	for i, number := range p.numbers() {
		*number = binary.LittleEndian.Uint64(src[8*i:])
	}
	loBytes := uint64(binary.LittleEndian.Uint32(src[8*propertyCount:]))
	hiBytes := uint64(binary.LittleEndian.Uint32(src[8*propertyCount+4:]))
	keys := src[propertyFixedBytes:]
	if loBytes+hiBytes != uint64(len(keys)) {
		return Properties{}, errProperties
	}
	p.Lo, p.Hi = keys[:loBytes:loBytes], keys[loBytes:]
	if string(p.Lo) >= string(p.Hi) || p.SmallestSeq > p.LargestSeq || p.LargestSeq > base.SeqNumMax ||
		p.Deletes > p.Count || p.BlockCount > p.Count || p.Count+p.RangeDeletes == 0 ||
		p.DeleteBlocks > p.RangeDeletes || (p.DeleteBlocks == 0) != (p.RangeDeletes == 0) {
		return Properties{}, errProperties
	}
	return p, nil
}

// tally accumulates the properties of records. Writer and Verify share it, so
// that what is promised and what is checked cannot drift apart.
type tally struct {
	Properties
	seen bool // whether the sequence numbers are set
}

// addRecord counts a point record; keyHash is base.Hash of its key.
func (t *tally) addRecord(key []byte, keyHash uint64, tr base.Trailer, value []byte) {
	t.addSummed(key, tr, value, len(value), entrySum(keyHash, tr, value))
}

// addSummed is addRecord for a record whose checksum is known, and of whose value there
// is only the beginning.
func (t *tally) addSummed(key []byte, tr base.Trailer, value []byte, valueBytes int, sum uint64) {
	t.Count++
	switch tr.Kind() {
	case base.KindDelete:
		t.Deletes++
	case base.KindSetExpiring, base.KindBlob:
		if stored, err := base.Check(tr, value); err == nil && stored.Expiry > 0 {
			t.Expiring.add(stored.Expiry)
		}
	}
	t.RawKeyBytes += uint64(len(key))
	t.RawValueBytes += uint64(valueBytes)
	t.EntryChecksum += sum
	t.addSeq(tr.Seq())
}

// addRangeDelete counts a fragment, behind those before it, and its stored form.
func (t *tally) addRangeDelete(f *rangedel.Fragment, value []byte) {
	if t.RangeDeletes == 0 {
		t.DeletesLo = bytes.Clone(f.Lo)
	}
	t.RangeDeletes++
	t.DeletesHi = append(t.DeletesHi[:0], f.Hi...)
	t.EntryChecksum += entrySum(base.Hash(f.Lo), base.MakeTrailer(f.Seqs[0], base.KindRangeDelete), value)
	t.addSeq(f.Seqs[0])
	t.addSeq(f.Seqs[len(f.Seqs)-1])
}

func (t *tally) addSeq(seq base.SeqNum) {
	if !t.seen {
		t.seen = true
		t.SmallestSeq, t.LargestSeq = seq, seq
		return
	}
	t.SmallestSeq = min(t.SmallestSeq, seq)
	t.LargestSeq = max(t.LargestSeq, seq)
}

// entrySum is the contribution of one record to EntryChecksum.
func entrySum(keyHash uint64, tr base.Trailer, value []byte) uint64 {
	return uint64(base.RecordSum(keyHash, tr, value))
}
