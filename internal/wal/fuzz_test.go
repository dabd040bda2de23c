package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// FuzzReplay replaces a piece of one segment. With repair the checksums of the
// groups that are still in place are made right again, so that the fuzzer gets
// past them.
func FuzzReplay(f *testing.F) {
	s := newSample(f, true)
	f.Add(uint8(0), uint16(64), []byte{1, 2, 3}, false)
	f.Add(uint8(0), uint16(128), []byte{1, 2, 3}, false)
	f.Add(uint8(1), uint16(0), make([]byte, 64), false)
	f.Add(uint8(1), uint16(40), make([]byte, 60), true)
	f.Add(uint8(2), uint16(128+24), []byte{9, 0, 0, 0, 0, 0, 0, 1}, true)
	f.Add(uint8(1), uint16(128+32), []byte{9, 0, 0, 0, 9, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, seg uint8, at uint16, piece []byte, repair bool) {
		n := base.FileNum(seg%3 + 1)
		b := readSegment(t, s.m, n)
		copy(b[min(int(at), len(b)):], piece)
		if repair {
			repairSegment(b)
		}
		got, r, err := replayAll(s.with(t, n, b), 0, s.segments...)
		if err != nil && !isDamage(err) {
			if repair { // the format version may be another
				return
			}
			t.Fatalf("%v is not typed as damage", err)
		}
		if r.Groups != len(got) {
			t.Fatalf("%d groups handed out, the result says %d", len(got), r.Groups)
		}
		if repair {
			return // what was forged is not to be told from what was written
		}
		if err == nil {
			err = check(s.groups, got, r, 0)
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func repairSegment(b []byte) {
	reseal(b)
	for off := segmentHeaderBytes; off+groupHeaderBytes <= len(b); {
		h, _ := decodeGroupHeader(b[off:])
		size := h.sizeBytes()
		if h.number == 0 || size > uint64(len(b)-off) {
			return
		}
		binary.LittleEndian.PutUint32(b[off:], checksum.CRC(0, b[off+4:off+int(size)]))
		off += int(size)
	}
}

func FuzzDecodeSegmentHeaders(f *testing.F) {
	s := Segment{Num: 4, SizeBytes: 1 << 18, Salt: 7}
	h := beginHeader{number: 4, salt: 7, start: 800, durable: 640}
	f.Add(slices.Concat(encodePrepared(testID, s), h.encode()))
	f.Add(slices.Concat(encodePrepared(testID, Segment{SizeBytes: -1}), h.encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= segmentHeaderBytes {
			reseal(b)
		}
		if id, s, err := decodePrepared("x", b); err == nil {
			if again := encodePrepared(id, s); !bytes.Equal(again, b[:preparedHeaderBytes]) {
				t.Fatalf("%x of %+v came back as %x", b[:preparedHeaderBytes], s, again)
			}
		}
		b = b[min(len(b), preparedHeaderBytes):]
		if h, ok := decodeBegin(b); ok {
			if again, ok := decodeBegin(h.encode()); !ok || again != h {
				t.Fatalf("%+v came back as %+v, %v", h, again, ok)
			}
		}
	})
}

// FuzzHistory replaces a piece of an archived segment. What is read of it is a part
// of what was written, in order, unless it was forged with checksums and all.
func FuzzHistory(f *testing.F) {
	cfg, m := newConfig(f)
	l := mustLog(f, cfg, mustPrepare(f, cfg, 1<<14, 1)[0], 0)
	w := newWriter(l, 3)
	for range 12 {
		must(f, w.append(60))
	}
	must(f, l.Close())
	e := Extent{End: l.Appended(), First: 1, Last: w.seq}
	size, err := Archive(cfg, 1, e, time.Unix(5, 0))
	must(f, err)
	f.Add(uint16(0), []byte{1, 2, 3})
	f.Add(uint16(128+4), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint16(size-footerBytes), make([]byte, footerBytes))
	f.Fuzz(func(t *testing.T, at uint16, piece []byte) {
		cfg := on(cfg, m.Crash(memfs.CrashOptions{Keep: memfs.KeepAll}))
		file, err := cfg.FS.OpenReadWrite(filepath.Join(testDir, ArchivedFileName(1)))
		must(t, err)
		_, err = file.WriteAt(piece, int64(at))
		must(t, errors.Join(err, file.Close()))
		if h, err := ReadArchived(cfg, 1); err != nil && !isDamage(err) {
			t.Fatalf("%+v: %v is not typed as damage", h, err)
		}
		c, err := OpenArchived(cfg, 1)
		if err != nil {
			if !isDamage(err) {
				t.Fatalf("%v is not typed as damage", err)
			}
			return
		}
		defer func() { must(t, c.Close()) }()
		for rest := w.groups; ; {
			g, ok, err := c.Next(noLimit)
			must(t, err)
			if !ok {
				if _, ok, err = c.Skip(noLimit); err != nil || !ok {
					must(t, err)
					return
				}
				continue
			}
			i := slices.IndexFunc(rest, func(w group) bool { return w.first == g.First })
			if i < 0 || rest[i].last != g.Last || !bytes.Equal(rest[i].payload, g.Payload) {
				t.Fatalf("%d..%d was not written there", g.First, g.Last)
			}
			rest = rest[i+1:]
		}
	})
}
