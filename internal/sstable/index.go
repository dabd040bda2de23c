package sstable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
)

// This file is the two-level index. What its entries are, and how they are cut into partitions,
// is in block/index.go; the top index has the last entry of each partition.

// appendTopValue appends the value of a top index entry.
func appendTopValue(dst []byte, ref blockRef, firstBlock uint32) []byte {
	return binary.AppendUvarint(ref.appendTo(dst), uint64(firstBlock))
}

// partitionRef is a decoded top index entry.
type partitionRef struct {
	ref        blockRef
	firstBlock int // ordinal of its first data block
	endBlock   int // one past the last
}

// decodeTop reads the entries of the top index. The partitions lie side by
// side up to end, the first at or behind the header; together they stand for
// blockCount data blocks.
func (l layout) decodeTop(top *block.View, f *footer, end int64) ([]partitionRef, error) {
	if top.Len() != int(f.partitionCount) {
		return nil, fmt.Errorf("index has %d partitions, not %d", top.Len(), f.partitionCount)
	}
	parts := make([]partitionRef, top.Len())
	for i := range parts {
		ref, rest, ok := takeRef(top.Value(i))
		if !ok || !l.holds(ref, headerBytes, end) || ref.rawBytes > maxRawIndexBytes {
			return nil, errReference
		}
		first, n := binary.Uvarint(rest)
		if n <= 0 || n != len(rest) || first >= uint64(f.blockCount) {
			return nil, errReference
		}
		parts[i] = partitionRef{ref: ref, firstBlock: int(first), endBlock: int(f.blockCount)}
		if i == 0 {
			if first != 0 {
				return nil, errReference
			}
			continue
		}
		before := &parts[i-1]
		if ref.offset != l.end(before.ref) || int(first) <= before.firstBlock {
			return nil, errOutOfPlace
		}
		before.endBlock = int(first)
	}
	if l.end(parts[len(parts)-1].ref) != end {
		return nil, errOutOfPlace
	}
	return parts, nil
}

// checkPartition verifies the entries of a loaded partition: one for each data
// block it stands for, side by side inside the data of the table, and the last
// separator is the one the top index has.
func (r *Reader) checkPartition(v *block.View, p int) error {
	part := &r.parts[p]
	if v.Len() != part.endBlock-part.firstBlock {
		return fmt.Errorf("index block has %d entries, not %d", v.Len(), part.endBlock-part.firstBlock)
	}
	next := int64(-1)
	for i := range v.Len() {
		ref, rest, ok := takeRef(v.Value(i))
		if !ok || len(rest) > 0 || !r.layout.holds(ref, headerBytes, r.dataEnd()) || ref.rawBytes > maxRawBytes {
			return errReference
		}
		if next >= 0 && ref.offset != next {
			return errOutOfPlace
		}
		next = r.layout.end(ref)
	}
	if part.firstBlock == 0 {
		if first, _, _ := takeRef(v.Value(0)); first.offset != headerBytes {
			return errOutOfPlace
		}
	}
	if part.endBlock == r.blockCount() && next != r.dataEnd() {
		return errOutOfPlace
	}
	last := v.Len() - 1
	key := v.AppendKey(buffers.Spare(maxKeyBytes), last)
	defer func() { buffers.Put(key) }()
	same, err := r.isTopEntry(p, key, v.Trailer(last))
	if err == nil && !same {
		err = errors.New("index block does not end where the top index says")
	}
	return err
}

// dataRef returns the reference of a data block in its loaded partition.
// checkPartition has seen it before.
func dataRef(v *block.View, slot int) blockRef {
	ref, _, _ := takeRef(v.Value(slot))
	return ref
}

// seekEntry returns the first entry of an index block that is not before
// (key, seq) in internal order, v.Len() if there is none.
func seekEntry(v *block.View, key []byte, seq base.SeqNum) int {
	slot := v.SeekGE(key)
	// Settled entries have sequence number 0: the loop is entered only where
	// versions span blocks and the reader is an old one.
	for ; slot < v.Len() && v.Trailer(slot).Seq() > seq; slot++ {
		// Only an entry of the very key may be passed by.
		if !bytes.Equal(v.AppendKey(nil, slot), key) {
			break
		}
	}
	return slot
}
