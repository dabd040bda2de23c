package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// Contents come back as they were, compressed where that gains something.
func TestObjects(t *testing.T) {
	with := newTestCodec(t)
	random := make([]byte, 100_000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	var object, dst []byte
	for name, content := range map[string][]byte{
		"nothing": nil, "a byte": {7}, "zeroes": make([]byte, chunkBytes), "noise": random,
		"text": bytes.Repeat([]byte("lightning "), 5000),
	} {
		s := sum(sha256.Sum256(content))
		object = with.encode(object, kindChunk, content, s)
		if name == "noise" && len(object) != headerBytes+len(content) || name == "zeroes" && len(object) > len(content)/100 {
			t.Errorf("%s of %d bytes takes %d", name, len(content), len(object))
		}
		got, sum, err := with.decode(dst, "x", kindChunk, object, chunkBytes)
		if err != nil || !bytes.Equal(got, content) || sum != s {
			t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
		}
		if _, _, err := with.decode(nil, "x", kindManifest, object, chunkBytes); !isDamage(err) {
			t.Errorf("%s as a manifest: %v", name, err)
		}
		if len(content) > 0 {
			if _, _, err := with.decode(nil, "x", kindChunk, object, int64(len(content)-1)); !isDamage(err) {
				t.Errorf("%s with a lower bound: %v", name, err)
			}
		}
	}
}

// Names of chunks are what their sums make of them, and nothing else is one.
func TestChunkNames(t *testing.T) {
	s := sum(sha256.Sum256([]byte("x")))
	name := chunkName(s)
	if got, ok := parseChunkName(name); !ok || got != s {
		t.Errorf("%s is parsed as %x, %v", name, got, ok)
	}
	for _, other := range []string{"", "chunks/", name + "0", name[:len(name)-1], "chunks/00/" + name[10:], "chunks/2d/" + name[10:len(name)-1] + "G"} {
		if _, ok := parseChunkName(other); ok && other != name {
			t.Errorf("%q is taken for a chunk", other)
		}
	}
}

// Whatever a target says, nothing is made of it that was not stored: what is decoded is encoded
// to something that is decoded to the same.
func FuzzObjects(f *testing.F) {
	with, err := newCodec(1)
	must(f, err)
	f.Cleanup(with.close)
	for _, content := range []string{"", "a", "some text, some text, some text, some text, some text, some text"} {
		s := sum(sha256.Sum256([]byte(content)))
		f.Add(with.encode(nil, kindChunk, []byte(content), s))
		f.Add(with.encode(nil, kindManifest, []byte(content), s))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		content, s, err := with.decode(nil, "x", kindChunk, object, chunkBytes)
		if err != nil {
			return
		}
		if sha256.Sum256(content) != s || len(content) > chunkBytes {
			t.Fatalf("%d bytes are taken for a chunk", len(content))
		}
		again, _, err := with.decode(nil, "x", kindChunk, with.encode(nil, kindChunk, content, s), chunkBytes)
		if err != nil || !bytes.Equal(again, content) {
			t.Fatalf("what was decoded does not come back: %v", err)
		}
	})
}

// A manifest that is accepted names files of databases alone, and as many chunks as they have.
func FuzzContents(f *testing.F) {
	with, err := newCodec(1)
	must(f, err)
	f.Cleanup(with.close)
	for _, files := range [][]file{
		{{Name: "CURRENT", SizeBytes: 3, Chunks: make([]sum, 1)}},
		{{Name: "CURRENT"}, {Name: "000007.sst", SizeBytes: chunkBytes + 1, Chunks: make([]sum, 2)}},
		{{Name: "../CURRENT"}}, {{Name: "CURRENT"}, {Name: "CURRENT"}},
	} {
		c := contents{Info: Info{ID: "id"}, ChunkBytes: chunkBytes, List: files}
		for _, file := range files {
			c.SizeBytes += file.SizeBytes
		}
		text, err := json.Marshal(c)
		must(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := decodeContents(with, "id", with.encode(nil, kindManifest, text, sha256.Sum256(text)))
		if err != nil {
			if !isDamage(err) {
				t.Fatal(err)
			}
			return
		}
		var total int64
		for _, file := range c.List {
			if !isFile(file.Name) || int64(len(file.Chunks)) != chunks(file.SizeBytes, c.ChunkBytes) {
				t.Fatalf("accepted %+v", file)
			}
			must(t, file.each(c.ChunkBytes, func(_ int, offset, length int64) error {
				if offset < 0 || length <= 0 || length > chunkBytes {
					t.Fatalf("a chunk of %d bytes at %d", length, offset)
				}
				total += length
				return nil
			}))
		}
		if total != c.SizeBytes {
			t.Fatalf("%d bytes, of %d", total, c.SizeBytes)
		}
	})
}
