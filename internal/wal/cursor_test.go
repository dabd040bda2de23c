package wal

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const noLimit = Position(math.MaxInt64)

// readAll reads groups up to a limit and compares them with what was appended.
func readAll(t *testing.T, c *Cursor, limit Position, want []group) {
	t.Helper()
	for i, w := range want {
		g, ok, err := c.Next(limit)
		if err != nil || !ok {
			t.Fatalf("group %d of %d: %v, %v", i, len(want), ok, err)
		}
		if g.First != w.first || g.Last != w.last || !bytes.Equal(g.Payload, w.payload) {
			t.Fatalf("group %d: %d..%d with %d bytes, want %d..%d with %d",
				i, g.First, g.Last, len(g.Payload), w.first, w.last, len(w.payload))
		}
	}
	if g, ok, err := c.Next(limit); ok || err != nil {
		t.Fatalf("behind the last group: %+v, %v, %v", g, ok, err)
	}
}

// TestCursorFollowsTheLog reads a segment while it is written: everything up to
// the limit, and nothing of what lies behind it, which is not there yet when the
// file is first looked at.
func TestCursorFollowsTheLog(t *testing.T) {
	cfg, _ := newConfig(t)
	l := mustLog(t, cfg, mustPrepare(t, cfg, 1<<20, 1)[0], 0)
	w := newWriter(l, 1)
	c, err := OpenCursor(cfg, 1)
	must(t, err)
	read := 0
	for range 300 {
		must(t, w.append(w.size()))
		if w.rng.IntN(4) == 0 {
			must(t, w.append(3*windowBytes/2)) // beyond the window, in a segment that grows
		}
		if w.rng.IntN(3) == 0 {
			must(t, l.Flush()) // written, and not to be read
			must(t, w.append(w.size()))
			n := len(w.groups) - 2
			readAll(t, c, w.groups[n].end, w.groups[read:n+1])
			read = n + 1
		}
	}
	must(t, l.Close())
	readAll(t, c, l.Appended(), w.groups[read:]) // not the seal
	must(t, c.Close())
	if _, err := OpenCursor(cfg, 2); err == nil {
		t.Error("a segment that does not exist was opened")
	}
	mustPrepare(t, cfg, 1<<10, 2)
	if _, err := OpenCursor(cfg, 2); !errors.Is(err, base.ErrCorrupted) {
		t.Errorf("a segment that was not begun: %v", err)
	}
}

// sealedSegment makes a closed log of n groups in segment 1.
func sealedSegment(t *testing.T, cfg Config, n int) (*writer, Extent) {
	t.Helper()
	l := mustLog(t, cfg, mustPrepare(t, cfg, 1<<16, 1)[0], 800)
	w := newWriter(l, 2)
	for range n {
		must(t, w.append(100))
	}
	must(t, l.Close())
	return w, Extent{Start: 800, End: l.Appended(), First: 1, Last: w.seq}
}

func TestArchive(t *testing.T) {
	cfg, m := newConfig(t)
	w, e := sealedSegment(t, cfg, 20)
	end := w.groups[19].end
	if got, ok, err := Survey(cfg, 1, noLimit); err != nil || !ok || got != (Extent{800, end, 1, w.seq}) {
		t.Errorf("survey: %+v, %v, %v", got, ok, err)
	}
	if got, ok, err := Survey(cfg, 1, w.groups[4].end+8); err != nil || !ok ||
		got != (Extent{800, w.groups[4].end, 1, w.groups[4].last}) {
		t.Errorf("survey of a part: %+v, %v, %v", got, ok, err)
	}
	at := time.Unix(1_700_000_000, 5)
	size, err := Archive(cfg, 1, e, at)
	must(t, err)
	if _, ok, err := Survey(cfg, 1, noLimit); ok || err == nil {
		t.Error("it is still a log segment")
	}
	must(t, m.SyncDir(testDir))
	crashed := on(cfg, m.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}))
	for _, cfg := range []Config{cfg, crashed} {
		h, err := ReadArchived(cfg, 1)
		if err != nil || h.Extent != e || !h.At.Equal(at) || h.SizeBytes != size ||
			size != segmentHeaderBytes+int64(e.End-e.Start)+footerBytes {
			t.Errorf("%+v, %v", h, err)
		}
		c, err := OpenArchived(cfg, 1)
		must(t, err)
		readAll(t, c, e.End, w.groups)
		must(t, c.Close())
	}
	// Under another number it is nobody's.
	must(t, m.Rename(filepath.Join(testDir, ArchivedFileName(1)), filepath.Join(testDir, ArchivedFileName(2))))
	if _, err := ReadArchived(cfg, 2); !errors.Is(err, base.ErrCorrupted) {
		t.Errorf("history of another number: %v", err)
	}
}

// A segment is archived while a cursor opens it. The cut behind its last group
// was once met by the first read, which took all of the prepared file at once.
func TestArchiveWhileACursorOpens(t *testing.T) {
	cfg, m := newConfig(t)
	w, e := sealedSegment(t, cfg, 5)
	first := true
	m.SetHook(func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && first {
			first = false
			_, err := Archive(cfg, 1, e, time.Unix(1, 0))
			must(t, err)
		}
		return nil
	})
	c, err := OpenCursor(cfg, 1)
	must(t, err)
	readAll(t, c, e.End, w.groups)
	must(t, c.Close())
}

// TestCursorSkipsDamage damages one group after the other, and the header and
// the footer. The other groups can be read all the same.
func TestCursorSkipsDamage(t *testing.T) {
	cfg, m := newConfig(t)
	w, e := sealedSegment(t, cfg, 10)
	_, err := Archive(cfg, 1, e, time.Unix(1, 0))
	must(t, err)
	name := filepath.Join(testDir, ArchivedFileName(1))
	flip := func(offset int64) {
		f, err := m.OpenReadWrite(name)
		must(t, err)
		var b [1]byte
		_, err = f.ReadAt(b[:], offset)
		must(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b[:], offset)
		must(t, errors.Join(err, f.Close()))
	}
	size := segmentHeaderBytes + int64(e.End-e.Start) + footerBytes
	for i, g := range w.groups {
		offset := segmentHeaderBytes + int64(g.end-e.Start) - 60
		flip(offset)
		c, err := OpenArchived(cfg, 1)
		must(t, err)
		for _, want := range w.groups[:i] {
			if got, ok, err := c.Next(e.End); !ok || err != nil || got.First != want.first {
				t.Fatalf("before the damage: %+v, %v, %v", got, ok, err)
			}
		}
		if _, ok, err := c.Next(e.End); ok || err != nil {
			t.Fatalf("group %d: damage was not seen: %v", i, err)
		}
		first, ok, err := c.Skip(e.End)
		if last := i == len(w.groups)-1; err != nil || ok == last || ok && first != w.groups[i+1].first {
			t.Fatalf("group %d: skipped to %d, %v, %v", i, first, ok, err)
		} else if ok {
			readAll(t, c, e.End, w.groups[i+1:])
		}
		must(t, c.Close())
		flip(offset)
	}
	for what, offset := range map[string]int64{"header": 40, "second header": 70, "footer": size - 20} {
		flip(offset)
		h, err := ReadArchived(cfg, 1)
		if err != nil || h.Extent.Start != e.Start || h.Extent.First != 1 || h.Extent.Last != w.seq ||
			errors.Is(h.Damage, base.ErrCorrupted) != h.At.IsZero() || h.At.IsZero() != (what == "footer") {
			t.Errorf("damaged %s: %+v, %v", what, h, err)
		}
		c, err := OpenArchived(cfg, 1)
		must(t, err)
		readAll(t, c, e.End, w.groups)
		must(t, c.Close())
		flip(offset)
	}
	flip(70)
	flip(size - 20)
	if h, err := ReadArchived(cfg, 1); err != nil || h.Damage == nil || h.Extent.Start != e.Start ||
		h.Extent.First != 1 || h.Extent.Last != w.seq {
		t.Errorf("neither second header nor footer: %+v, %v", h, err)
	}
	flip(70)
	flip(40)
	if _, err := ReadArchived(cfg, 1); !errors.Is(err, base.ErrCorrupted) {
		t.Errorf("neither header nor footer: %v", err)
	}
}

// The footer is frozen: this is what version 1 of the format looks like.
func TestFooterIsFrozen(t *testing.T) {
	f := footer{
		number: 7, salt: 0x01020304, extent: Extent{Start: 80, End: 80 + 128, First: 5, Last: 9},
		at: time.Unix(1, 1),
	}
	b := f.encode()
	want := "LTNGHIST\x01\x00\x00\x00\x04\x03\x02\x01\a\x00\x00\x00\x00\x00\x00\x00P\x00\x00\x00\x00\x00\x00\x00" +
		"\x05\x00\x00\x00\x00\x00\x00\x00\t\x00\x00\x00\x00\x00\x00\x00\x01\xca\x9a;\x00\x00\x00\x00\x00\x00\x00\x00"
	if string(b[:60]) != want {
		t.Errorf("got %q", b[:60])
	}
	got, err := decodeFooter(7, b, segmentHeaderBytes+128)
	if err != nil || got.extent != f.extent || got.salt != f.salt || !got.at.Equal(f.at) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := decodeFooter(8, b, segmentHeaderBytes+128); err == nil {
		t.Error("the footer of another file was taken")
	}
	torn := slices.Clone(b)
	torn[30] ^= 1
	if _, err := decodeFooter(7, torn, segmentHeaderBytes+128); err == nil {
		t.Error("a footer with a bad checksum was taken")
	}
}
