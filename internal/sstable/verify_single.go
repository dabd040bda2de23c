package sstable

import (
	"github.com/zeebo/xxh3"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
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
	sum := checksum.Block(v.r.o.FileNum, ref.offset, byte(kindData), head)
	end := ref.offset + int64(ref.rawBytes)
	for at := ref.offset + int64(len(head)); at < end; {
		piece := v.piece(min(bulkReadBytes, end-at))
		if err := v.r.readAt(piece, at); err != nil {
			return err
		}
		_, _ = value.Write(piece)
		sum = checksum.CRC(sum, piece)
		at += int64(len(piece))
	}
	if err := v.blockEnd(ref, sum); err != nil {
		return err
	}
	hash := base.Hash(key)
	v.pass(key, hash, tr)
	v.tally.addSummed(key, tr, head[valueAt:], int(ref.rawBytes)-valueAt, uint64(base.RecordSumOf(hash, tr, value.Sum64())))
	v.summary.BytesRead += v.r.layout.end(ref) - ref.offset
	return nil
}

// piece returns memory for a piece of a block.
func (v *verifier) piece(sizeBytes int64) []byte {
	if int64(cap(v.raw)) < sizeBytes {
		putBuffer(v.raw)
		v.raw = takeBuffer(int(sizeBytes))
	}
	return v.raw[:sizeBytes]
}

// blockEnd checks trailer and padding of a block, given the checksum of its payload.
func (v *verifier) blockEnd(ref blockRef, sum uint32) error {
	payloadEnd := ref.offset + int64(ref.diskBytes)
	trailer := v.piece(v.r.layout.end(ref) - payloadEnd)
	if err := v.r.readAt(trailer, payloadEnd); err != nil {
		return err
	}
	for _, b := range trailer[v.r.layout.trailerBytes:] {
		if b != 0 {
			return errPadding
		}
	}
	sum = checksum.CRC(sum, trailer[:trailerCovered])
	_, err := v.r.layout.checkTrailer(trailer[:v.r.layout.trailerBytes], sum, kindData, ref)
	return err
}
