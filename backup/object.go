package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// This file has the form of chunks and manifests, which is the same:
//
//	magic      8 bytes  "LDBACKUP"
//	version    1        1
//	kind       1        'c' or 'm'
//	codec      1        0: the content follows as it is; 1: compressed by Zstandard
//	zero       1
//	length     4        of the content, little endian
//	sum       32        SHA-256 of the content
//	content             to the end
//
// A chunk has the sum in its name too, so that the same content is stored once, whichever
// file, backup or database it is of, and what is under a name can be told from what belongs
// there.

// sum is the SHA-256 of a content.
type sum [sha256.Size]byte

const (
	magic        = "LDBACKUP"
	version      = 1
	headerBytes  = 48
	lengthOffset = 12
	sumOffset    = 16

	kindChunk    = 'c'
	kindManifest = 'm'

	codecNone = 0
	codecZstd = 1

	// chunkBytes is how much of a file is one chunk.
	chunkBytes = 8 << 20
	// manifestBytesMax bounds a manifest. That of a terabyte has 10 MiB.
	manifestBytesMax = 256 << 20
)

// chunkName is the name of the chunk with some content.
func chunkName(s sum) string {
	name := hex.EncodeToString(s[:])
	return chunkPrefix + name[:2] + "/" + name
}

// parseChunkName returns the sum of the content of a chunk.
func parseChunkName(name string) (s sum, ok bool) {
	if len(name) != len(chunkPrefix)+3+2*len(s) {
		return s, false
	}
	n, err := hex.Decode(s[:], []byte(name[len(chunkPrefix)+3:]))
	return s, err == nil && n == len(s) && chunkName(s) == name
}

// listChunks calls fn with each chunk of a target, in any order.
func listChunks(ctx context.Context, t Target, fn func(s sum, o Object)) error {
	for o, err := range t.List(ctx, chunkPrefix) {
		if err != nil {
			return fmt.Errorf("list the chunks: %w", err)
		}
		if s, ok := parseChunkName(o.Name); ok {
			fn(s, o)
		}
	}
	return nil
}

// soundChunks returns the chunks of a target that may be whole: none is shorter than its header.
func soundChunks(ctx context.Context, t Target) (map[sum]bool, error) {
	have := map[sum]bool{}
	err := listChunks(ctx, t, func(s sum, o Object) { have[s] = o.SizeBytes >= headerBytes })
	return have, err
}

// MarshalText implements encoding.TextMarshaler.
func (s sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *sum) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("a sum has %d digits, not %d", 2*len(s), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// codec compresses and decompresses contents. It is safe for concurrent use.
type codec struct {
	in  *zstd.Encoder
	out *zstd.Decoder
}

// newCodec returns a codec that as many goroutines use at once as it is told.
func newCodec(parallel int) (*codec, error) {
	in, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(parallel))
	if err != nil {
		return nil, err
	}
	out, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(parallel), zstd.WithDecoderMaxMemory(manifestBytesMax))
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return &codec{in, out}, nil
}

func (c *codec) close() {
	_ = c.in.Close() // it has no stream
	c.out.Close()
}

// gain is the part of a content that compression has to save: an eighth, or decompressing
// is not worth it.
const gain = 8

// encode appends an object to dst, which is empty.
func (c *codec) encode(dst []byte, kind byte, content []byte, s sum) []byte {
	dst = append(dst[:0], magic...)
	dst = append(dst, version, kind, codecZstd, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(content)))
	dst = append(dst, s[:]...)
	dst = c.in.EncodeAll(content, dst)
	if len(dst)-headerBytes > len(content)-len(content)/gain {
		dst = append(dst[:headerBytes], content...)
		dst[len(magic)+2] = codecNone
	}
	return dst
}

// decode returns the content of an object. It may be a part of data, or else of dst.
func (c *codec) decode(dst []byte, name string, kind byte, data []byte, maxBytes int64) ([]byte, sum, error) {
	var s sum
	if len(data) < headerBytes || string(data[:len(magic)]) != magic {
		return nil, s, damaged(name, errors.New("it does not begin as one"))
	}
	if v := data[len(magic)]; v != version {
		return nil, s, fmt.Errorf("%s has version %d, this program knows version %d", name, v, version)
	}
	if k := data[len(magic)+1]; k != kind {
		return nil, s, damaged(name, fmt.Errorf("it is of kind %q, not %q", k, kind))
	}
	length := int64(binary.LittleEndian.Uint32(data[lengthOffset:]))
	if length > maxBytes {
		return nil, s, damaged(name, fmt.Errorf("its content has %d bytes, at most %d are possible", length, maxBytes))
	}
	copy(s[:], data[sumOffset:])
	content := data[headerBytes:]
	switch data[len(magic)+2] {
	case codecNone:
	case codecZstd:
		// The decoder makes room for what the frame says, up to its limit.
		var h zstd.Header
		if err := h.Decode(content); err != nil || h.HasFCS && h.FrameContentSize > uint64(length) {
			return nil, s, damaged(name, errors.New("its compressed content has another length"))
		}
		var err error
		if content, err = c.out.DecodeAll(content, dst[:0]); err != nil {
			return nil, s, damaged(name, err)
		}
	default:
		return nil, s, damaged(name, fmt.Errorf("its codec is %d", data[len(magic)+2]))
	}
	if int64(len(content)) != length || sha256.Sum256(content) != s {
		return nil, s, damaged(name, errors.New("its content is not what was stored"))
	}
	return content, s, nil
}

// getChunk returns the content of a chunk, of which the length is known. It belongs to the caller.
func (c *codec) getChunk(ctx context.Context, t Target, dst []byte, want sum, length int64) ([]byte, error) {
	name := chunkName(want)
	data, err := fetch(ctx, t, name, headerBytes+chunkBytes)
	if err != nil {
		return nil, err
	}
	content, got, err := c.decode(dst, name, kindChunk, data, chunkBytes)
	switch {
	case err != nil:
		return nil, err
	case got != want:
		return nil, damaged(name, errors.New("it is another chunk"))
	case int64(len(content)) != length:
		return nil, damaged(name, fmt.Errorf("it has %d bytes, the backup says %d", len(content), length))
	}
	return content, nil
}
