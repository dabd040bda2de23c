package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/kernel"
)

var (
	errShort    = errors.New("block: shorter than its header says")
	errHeader   = errors.New("block: impossible header")
	errLength   = errors.New("block: length differs from the one in the block")
	errSlots    = errors.New("block: slots do not follow each other within the block")
	errPadding  = errors.New("block: head of a short key is not padded with zeroes")
	errOrder    = errors.New("block: records out of order")
	errTrailers = errors.New("block: unknown kind of record")
)

// Parse checks the whole structure of a block and the order of its records,
// once and in linear time. No accessor of the View that it returns can fault
// or leave data, whatever the bytes are. It does not judge the fingerprints,
// and two neighbours may be equal in key and trailer (index blocks use that).
func Parse(data []byte) (View, error) {
	if err := checkHeader(data); err != nil {
		return View{}, err
	}
	v := newView(unsafe.Pointer(unsafe.SliceData(data)))
	if err := v.checkSlots(); err != nil {
		return View{}, err
	}
	if err := v.checkTrailers(); err != nil {
		return View{}, err
	}
	if err := checkOrder(v); err != nil {
		return View{}, err
	}
	return v, nil
}

// checkHeader proves that all arrays lie within data and that the records end
// where data ends. It computes in 64 bits, where no header can overflow.
func checkHeader(data []byte) error {
	if len(data) < headerBytes+sentinelBytes {
		return errShort
	}
	n := uint64(binary.LittleEndian.Uint32(data[countAt:]))
	prefixLen := uint64(binary.LittleEndian.Uint32(data[prefixLenAt:]))
	trailerWidth := uint64(data[trailerWidthAt])
	offsetWidth := uint64(data[offsetWidthAt])
	lengthWidth := uint64(data[lengthWidthAt])
	if trailerWidth > maxTrailerWidth || offsetWidth < 1 || offsetWidth > maxOffsetWidth ||
		lengthWidth > maxLengthWidth || data[reservedAt] != 0 {
		return errHeader
	}
	sentinel := headerBytes + (prefixLen+7)&^7 + (n+7)&^7 +
		n*(headBytes+trailerWidth+offsetWidth+lengthWidth)
	if sentinel+sentinelBytes > uint64(len(data)) {
		return errShort
	}
	total := binary.LittleEndian.Uint64(data[sentinel:])
	if total != uint64(len(data))-sentinel-sentinelBytes ||
		total&lowMask(uintptr(offsetWidth)) != total {
		return errLength
	}
	return nil
}

// checkSlots proves that the records lie behind each other from the first to
// the last byte of the area, each with room for its key, and that the heads
// of short keys are padded. The sign bits of all differences are gathered, so
// that the loop has no branch to mispredict.
func (v View) checkSlots() error {
	n := v.Len()
	baseLen := int64(binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(v.base, baseLengthAt))[:]))
	if n == 0 {
		if v.prefixLen != 0 || baseLen != 0 || v.slotWord(0) != 0 {
			return errHeader
		}
		return nil
	}
	at, width := v.slots(), v.slotWidth()
	offsetMask, lengthMask := lowMask(v.offsetWidth()), lowMask(v.lengthWidth())
	shift := 8 * v.offsetWidth() & 63
	word := kernel.Load64(v.base, at)
	if word&offsetMask != 0 {
		return errSlots
	}
	negative := int64(0)
	for range n {
		at += width
		next := kernel.Load64(v.base, at)
		length := baseLen + int64(word>>shift&lengthMask)
		room := int64(next&offsetMask) - int64(word&offsetMask)
		negative |= room | (room - (length - headBytes))
		word = next
	}
	if negative < 0 {
		return errSlots
	}
	if baseLen >= headBytes {
		return nil
	}
	for slot := range n {
		length := v.suffixLen(v.slotWord(slot))
		if length < headBytes && v.head(slot)<<(8*uint(length)) != 0 {
			return errPadding
		}
	}
	return nil
}

// checkTrailers proves that every kind is known.
func (v View) checkTrailers() error {
	first := byte(kernel.Load64(v.base, baseTrailerAt))
	at, width := v.trailers(), v.trailerWidth()
	for slot := range v.Len() {
		delta := byte(kernel.Load64(v.base, at) & lowMask(width))
		if !base.Kind(first + delta).InTables() {
			return fmt.Errorf("%w in slot %d", errTrailers, slot)
		}
		if at += width; width == 0 {
			break // one trailer for all
		}
	}
	return nil
}

// checkOrder proves that keys ascend, and that trailers do not ascend among
// the versions of a key. It needs checkSlots first.
func checkOrder(v View) error {
	n := v.Len()
	if n == 0 {
		return nil
	}
	previous := v.head(0)
	for slot := 1; slot < n; slot++ {
		head := v.head(slot)
		if head <= previous {
			c := v.compareNeighbours(slot - 1)
			if c > 0 || c == 0 && v.Trailer(slot-1) < v.Trailer(slot) {
				return fmt.Errorf("%w at slot %d", errOrder, slot)
			}
		}
		previous = head
	}
	return nil
}
