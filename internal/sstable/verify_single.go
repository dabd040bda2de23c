package sstable

import (
	"github.com/zeebo/xxh3"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
	"github.com/lightningdb/lightning/internal/checksum"
)

// This file verifies a data block that is one record with a large value, piece by
// piece: a value of a gibibyte is verified in half a mebibyte.

// single checks the record of such a block.
func (v *verifier) single(ref blockRef) error {
	head := make([]byte, min(int(ref.rawBytes), block.SingleHeadMaxBytes(maxKeyBytes)))
	if err := v.r.readAt(head, ref.offset); err != nil {
		return err
	}
	key, tr, valueAt, err := block.ParseSingle(head, int(ref.rawBytes))
	if err != nil {
		return err
	}
	if _, err := v.follows(true, key, tr, head[valueAt:]); err != nil {
		return err
	}
	value := xxh3.New()
	_, _ = value.Write(head[valueAt:]) // never fails
	err = v.r.checkRest(ref, head, func(piece []byte) { _, _ = value.Write(piece) })
	if err != nil {
		return err
	}
	hash := base.Hash(key)
	v.pass(key, hash, tr)
	v.tally.addSummed(key, tr, head[valueAt:], int(ref.rawBytes)-valueAt, uint64(base.RecordSumOf(hash, tr, value.Sum64())))
	v.summary.BytesRead += v.r.layout.end(ref) - ref.offset
	return nil
}

// checkRest reads a data block that is not compressed behind its head, which was read, piece
// by piece, and verifies all of it.
func (r *Reader) checkRest(ref blockRef, head []byte, do func(piece []byte)) error {
	buffer := buffers.Take(bulkReadBytes)
	defer func() { buffers.Put(buffer) }()
	sum := checksum.Block(r.o.FileNum, ref.offset, byte(kindData), head)
	payloadEnd := ref.offset + int64(ref.rawBytes)
	for at := ref.offset + int64(len(head)); at < payloadEnd; {
		piece := buffer[:min(bulkReadBytes, payloadEnd-at)]
		if err := r.readAt(piece, at); err != nil {
			return err
		}
		do(piece)
		sum = checksum.CRC(sum, piece)
		at += int64(len(piece))
	}
	trailer := buffer[:r.layout.end(ref)-payloadEnd]
	if err := r.readAt(trailer, payloadEnd); err != nil {
		return err
	}
	for _, b := range trailer[r.layout.trailerBytes:] {
		if b != 0 {
			return errPadding
		}
	}
	sum = checksum.CRC(sum, trailer[:trailerCovered])
	_, err := r.layout.checkTrailer(trailer[:r.layout.trailerBytes], sum, kindData, ref)
	return err
}
