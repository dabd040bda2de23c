// Package compress holds the block codecs of the file formats behind two
// functions. A codec is an on-disk number; None stores the bytes as they are.
//
// Everything here may be called by any number of goroutines. The zstd coders
// are shared; they keep no state between calls that influences a result.
package compress

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Codec names a way to store bytes. The values are part of the file formats.
type Codec uint8

const (
	None  Codec = 0 // as they are
	Fast  Codec = 1 // S2, for the levels that are soon rewritten
	Small Codec = 2 // zstd, for data that settles
)

// Valid reports whether c is a codec this version of the code knows.
func (c Codec) Valid() bool { return c <= Small }

func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Fast:
		return "fast"
	case Small:
		return "small"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

var (
	errUnknownCodec = errors.New("unknown codec")
	errLength       = errors.New("length differs from the recorded length")
)

// minSavedPercent is what a codec has to save to be kept: below it the reader
// would pay for decompression and the disk would gain next to nothing.
const minSavedPercent = 12

// windowBytes bounds how far back zstd matches, and with it the memory of a
// coder. Blocks are far smaller; only huge single values notice it.
const windowBytes = 1 << 20

// maxDecodedBytes is a second fence against hostile frames behind the length
// of the destination: no block of the formats is larger.
const maxDecodedBytes = 4 << 30

// codersMax bounds how many zstd coders there are: each has a megabyte and a half, which costs
// nothing before it is used.
const codersMax = 8

// The coders are made when the program starts, and not when they are first needed: they have
// channels, and one that is made in a bubble of testing/synctest must not be used outside of it, or a
// test of one who uses the library would end the tests that follow.
var (
	zstdEncoder, zstdEncoderErr = newZstdEncoder()
	zstdDecoder, zstdDecoderErr = zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0), // one coder per processor, for DecodeAll
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxDecodedBytes),
		zstd.WithDecodeAllCapLimit(true))
)

func newZstdEncoder() (*zstd.Encoder, error) {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(min(runtime.GOMAXPROCS(0), codersMax)),
		zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderCRC(false), // blocks carry their own checksum
		zstd.WithWindowSize(windowBytes),
		zstd.WithSingleSegment(true),
		zstd.WithLowerEncoderMem(true))
	if err == nil {
		e.EncodeAll([]byte{0}, nil) // which makes them
	}
	return e, err
}

// Append appends src to dst, compressed by c, if that takes at least 12 % less than rawBytes:
// the length of src, or of what src is another form of. Otherwise, and for None and an unknown
// codec, it returns dst as it is, perhaps with more room.
func Append(dst []byte, c Codec, src []byte, rawBytes int) (out []byte, done bool) {
	start := len(dst)
	switch c {
	case Fast:
		bound := s2.MaxEncodedLen(len(src))
		if bound < 0 {
			return dst, false
		}
		dst = slices.Grow(dst, bound)
		encoded := s2.Encode(dst[start:start+bound:start+bound], src)
		out = dst[:start+len(encoded)]
	case Small:
		if zstdEncoderErr != nil {
			return dst, false
		}
		dst = slices.Grow(dst, zstdEncoder.MaxEncodedSize(len(src)))
		out = zstdEncoder.EncodeAll(src, dst)
	default:
		return dst, false
	}
	if len(out)-start > rawBytes-(rawBytes*minSavedPercent+99)/100 {
		return dst, false
	}
	return out, true
}

// Decompress fills dst, whose length is the recorded length of the raw bytes,
// from src. It never writes beyond dst and never allocates by a length that
// src claims. On an error the content of dst is undefined.
func Decompress(dst []byte, c Codec, src []byte) error {
	switch c {
	case None:
		if len(src) != len(dst) {
			return fmt.Errorf("decompress %v: %w", c, errLength)
		}
		copy(dst, src)
		return nil
	case Fast:
		// s2.Decode allocates when its destination is too short, hence the
		// check beforehand.
		n, err := s2.DecodedLen(src)
		if err != nil {
			return fmt.Errorf("decompress %v: %w", c, err)
		}
		if n != len(dst) {
			return fmt.Errorf("decompress %v: %w", c, errLength)
		}
		if _, err := s2.Decode(dst[:n:n], src); err != nil {
			return fmt.Errorf("decompress %v: %w", c, err)
		}
		return nil
	case Small:
		return decompressSmall(dst, src)
	}
	return fmt.Errorf("decompress %v: %w", c, errUnknownCodec)
}

func decompressSmall(dst, src []byte) error {
	if zstdDecoderErr != nil {
		return fmt.Errorf("decompress %v: %w", Small, zstdDecoderErr)
	}
	out, err := zstdDecoder.DecodeAll(src, dst[:0:len(dst)])
	if err != nil {
		return fmt.Errorf("decompress %v: %w", Small, err)
	}
	if len(out) != len(dst) {
		return fmt.Errorf("decompress %v: %w", Small, errLength)
	}
	// The decoder appends; should it ever have moved to a buffer of its own,
	// the bytes come back here.
	if len(out) > 0 && &out[0] != &dst[0] {
		copy(dst, out)
	}
	return nil
}
