package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// sample is a log of three segments in memory, of which everything before the
// last two groups is synced.
type sample struct {
	cfg    Config
	m      *memfs.FS
	groups []group
	ends   []Position // where the segments end
	synced Position

	segments []Segment
}

const sampleSegmentBytes = 2 << 10

func newSample(t testing.TB, closed bool) *sample {
	t.Helper()
	cfg, m := newConfig(t)
	segments := mustPrepare(t, cfg, sampleSegmentBytes, 1, 2, 3)
	l := mustLog(t, cfg, segments[0], 0)
	w := newWriter(l, 4)
	s := &sample{cfg: cfg, m: m, segments: segments}
	for i := range 11 {
		if i == 4 || i == 7 {
			s.ends = append(s.ends, l.Appended())
			must(t, l.Rotate(segments[len(s.ends)]))
		}
		must(t, w.append(50+13*i))
		if i < 9 {
			must(t, l.Sync())
			s.synced = l.Appended()
		}
	}
	must(t, l.Flush())
	s.ends = append(s.ends, l.Appended())
	if closed {
		must(t, l.Close())
		s.synced = s.ends[2]
	}
	s.groups = w.groups
	return s
}

// with returns a copy of the log in which a segment has other content.
func (s *sample) with(t testing.TB, n base.FileNum, b []byte) Config {
	t.Helper()
	c := s.m.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	writeSegment(t, c, n, b)
	return on(s.cfg, c)
}

// proved is how far the log says of itself that it was durable. Nothing says
// so of the last sync before a crash.
func (s *sample) proved(closed bool) Position {
	if closed {
		return s.synced
	}
	return s.groups[8].end // groups 9 and 10 were written knowing of group 8
}

func TestEveryBitFlip(t *testing.T) {
	for _, closed := range []bool{false, true} {
		s := newSample(t, closed)
		start := Position(0)
		for seg, end := range s.ends {
			n := base.FileNum(seg + 1)
			file := readSegment(t, s.m, n)
			used := segmentHeaderBytes + int(end-start)
			for i := range file {
				for bit := range 8 {
					if i >= used+groupHeaderBytes && bit > 0 {
						break // empty space
					}
					b := slices.Clone(file)
					b[i] ^= 1 << bit
					got, r, err := replayAll(s.with(t, n, b), 0, s.segments...)
					at := start + Position(max(0, i-segmentHeaderBytes))
					begin := i >= preparedHeaderBytes && i < segmentHeaderBytes
					switch {
					case err != nil && !isDamage(err):
						t.Fatalf("segment %d byte %d: %v is not typed as damage", n, i, err)
					case err != nil && damages(err)[0].File != FileName(n):
						t.Fatalf("segment %d byte %d: blamed on %v", n, i, err)
					case err != nil && begin:
						t.Fatalf("segment %d byte %d: all groups are there: %v", n, i, err)
					case err == nil && i < used && at < s.proved(closed) && !begin:
						t.Fatalf("closed %v, segment %d byte %d bit %d: not found: %+v", closed, n, i, bit, r)
					case err == nil:
						proved := min(s.proved(closed), s.synced)
						if begin {
							proved = s.synced
						}
						if err := check(s.groups, got, r, proved); err != nil {
							t.Fatalf("segment %d byte %d: %v", n, i, err)
						}
					default: // what was handed out before is right in any case
						for k, g := range got {
							if g.first != s.groups[k].first || !bytes.Equal(g.payload, s.groups[k].payload) {
								t.Fatalf("segment %d byte %d: group %d is wrong", n, i, k)
							}
						}
					}
				}
			}
			start = end
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	for _, closed := range []bool{false, true} {
		s := newSample(t, closed)
		start := Position(0)
		for seg, end := range s.ends {
			n := base.FileNum(seg + 1)
			file := readSegment(t, s.m, n)
			for size := range file {
				got, _, err := replayAll(s.with(t, n, file[:size]), 0, s.segments...)
				all := damages(err)
				if !isDamage(err) || len(all) != 1 || all[0].File != FileName(n) || all[0].Offset != int64(size) {
					t.Fatalf("segment %d cut to %d: %v", n, size, err)
				}
				intact := 0
				for intact < len(s.groups) && s.groups[intact].end <= min(end, start+Position(max(0, size-segmentHeaderBytes))) {
					intact++
				}
				newest := base.SeqNum(0)
				if intact > 0 {
					newest = s.groups[intact-1].last
				}
				if want := fmt.Sprintf("commits after number %d may be lost", newest); len(got) != 0 ||
					!strings.HasSuffix(all[0].Err.Error(), want) {
					t.Fatalf("segment %d cut to %d: %d groups, %v, want %q", n, size, len(got), err, want)
				}
			}
			start = end
		}
	}
}

func TestZeroedSectorsAreFound(t *testing.T) {
	s := newSample(t, true)
	for seg := range s.ends {
		n := base.FileNum(seg + 1)
		file := readSegment(t, s.m, n)
		for at := 0; at < segmentHeaderBytes+200; at += 64 {
			b := slices.Clone(file)
			clear(b[at : at+64])
			got, r, err := replayAll(s.with(t, n, b), 0, s.segments...)
			if begin := at == preparedHeaderBytes; begin && (err != nil || len(got) != len(s.groups)) || !begin && !isDamage(err) {
				t.Errorf("segment %d, zeroes at %d: %v, %+v", n, at, err, r)
			}
		}
	}
}

func TestMissingAndForeignSegments(t *testing.T) {
	s := newSample(t, true)
	for n := base.FileNum(1); n <= 3; n++ {
		c := s.m.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
		must(t, c.Remove(testDir+"/"+FileName(n)))
		got, _, err := replayAll(on(s.cfg, c), 0, s.segments...)
		if len(got) != 0 { // it is known before anything is handed out
			t.Errorf("segment %d removed: %d groups", n, len(got))
		}
		if all := damages(err); len(all) != 1 || all[0].Kind != "missing file" || all[0].File != FileName(n) {
			t.Errorf("segment %d removed: %v", n, err)
		}
	}
	one, two := readSegment(t, s.m, 1), readSegment(t, s.m, 2)
	if _, _, err := replayAll(s.with(t, 1, two), 0, s.segments...); !isDamage(err) {
		t.Errorf("segment 2 in the place of 1: %v", err)
	}
	if _, _, err := replayAll(s.with(t, 2, one), 0, s.segments...); !isDamage(err) {
		t.Errorf("segment 1 in the place of 2: %v", err)
	}
	if _, _, err := replayAll(s.with(t, 2, one), 0, s.segments[:2]...); !isDamage(err) {
		t.Errorf("segment 1 in the place of 2, which is the last: %v", err)
	}
	if _, _, err := replayAll(s.cfg, 0, s.segments[0], s.segments[2], s.segments[1]); !isDamage(err) {
		t.Errorf("segments out of order: %v", err)
	}
	if _, _, err := replayAll(s.cfg, 0, s.segments[0], s.segments[2]); !isDamage(err) {
		t.Errorf("a segment not listed: %v", err)
	}
	// A newer segment in the place of the only one must not pass as unused.
	if _, _, err := replayAll(s.with(t, 1, two), 0, s.segments[0]); !isDamage(err) {
		t.Errorf("segment 2 in the place of 1, alone: %v", err)
	}
	// Nor when nothing of the log was ever synced, so that no header says so.
	cfg, m := newConfig(t)
	segments := mustPrepare(t, cfg, sampleSegmentBytes, 1, 2)
	l := mustLog(t, cfg, segments[0], 0)
	must(t, newWriter(l, 1).append(100), l.Rotate(segments[1]))
	writeSegment(t, m, 1, readSegment(t, m, 2))
	if _, _, err := replayAll(cfg, 0, segments[0]); !isDamage(err) {
		t.Errorf("segment 2 in the place of 1, nothing synced: %v", err)
	}
	for what, header := range map[string][]byte{
		"of another database": encodePrepared(base.DBID{9}, s.segments[0]),
		"number":              encodePrepared(testID, Segment{2, sampleSegmentBytes, s.segments[0].Salt}),
		"salt":                encodePrepared(testID, Segment{1, sampleSegmentBytes, s.segments[0].Salt + 1}),
		"size":                encodePrepared(testID, Segment{1, sampleSegmentBytes + 8, s.segments[0].Salt}),
		"missing":             make([]byte, preparedHeaderBytes),
	} {
		b := slices.Concat(header, one[preparedHeaderBytes:])
		got, _, err := replayAll(s.with(t, 1, b), 0, s.segments...)
		if all := damages(err); len(got) != 0 || len(all) != 1 || all[0].Kind != "wal segment header" ||
			!strings.HasSuffix(all[0].Error(), "commits after number 0 may be lost") {
			t.Errorf("header of segment 1, %s: %d groups, %v", what, len(got), err)
		}
	}
	foreign := s.cfg
	foreign.DBID = base.DBID{9}
	if _, _, err := replayAll(foreign, 0, s.segments...); len(damages(err)) != 3 {
		t.Errorf("log of another database: %v", err)
	}
	other := newSample(t, true) // same numbers and positions, other salts
	mixed := slices.Concat(one[:segmentHeaderBytes], readSegment(t, other.m, 1)[segmentHeaderBytes:])
	if got, _, err := replayAll(s.with(t, 1, mixed), 0, s.segments...); !isDamage(err) || len(got) != 0 {
		t.Errorf("groups of another incarnation: %d of them, %v", len(got), err)
	}
}

// The header of a segment that has no groups yet vouches for the one before.
func TestEmptySegmentProvesTheOneBefore(t *testing.T) {
	cfg, m := newConfig(t)
	segments := mustPrepare(t, cfg, sampleSegmentBytes, 1, 2)
	l := mustLog(t, cfg, segments[0], 0)
	w := newWriter(l, 1)
	must(t, w.append(100), w.append(100), l.Sync(), l.Rotate(segments[1]))
	s := &sample{cfg: cfg, m: m}
	b := readSegment(t, m, 1)
	b[w.groups[0].end+segmentHeaderBytes+groupHeaderBytes] ^= 1
	if _, r, err := replayAll(s.with(t, 1, b), 0, segments...); !isDamage(err) {
		t.Errorf("rot at the end of the segment before: %v, %+v", err, r)
	}
}

// Groups that are intact but say that they belong somewhere else.
func TestMisplacedGroups(t *testing.T) {
	s := newSample(t, true)
	for _, field := range []int{8, 12, 16} { // number, salt, position
		b := readSegment(t, s.m, 1)
		b[segmentHeaderBytes+field] ^= 8
		h, _ := decodeGroupHeader(b[segmentHeaderBytes:])
		group := b[segmentHeaderBytes:][:h.sizeBytes()]
		binary.LittleEndian.PutUint32(group, checksum.CRC(0, group[4:]))
		if got, _, err := replayAll(s.with(t, 1, b), 0, s.segments...); !isDamage(err) || len(got) != 0 {
			t.Errorf("field at %d: %d groups, %v", field, len(got), err)
		}
	}
}

// A group that is larger than what a replay reads at once.
func TestDamageInHugeGroup(t *testing.T) {
	cfg, m := newConfig(t)
	segments := mustPrepare(t, cfg, 64<<10, 1)
	l := mustLog(t, cfg, segments[0], 0)
	w := newWriter(l, 1)
	must(t, w.append(50), w.append(2*windowBytes+100), w.append(windowBytes), w.append(60), l.Close())
	s := &sample{cfg: cfg, m: m}
	got, r, err := replayAll(cfg, 0, segments...)
	if err == nil {
		err = check(w.groups, got, r, w.groups[3].end)
	}
	must(t, err)
	for _, at := range []int{30, windowBytes, windowBytes + 7, 2 * windowBytes} {
		b := readSegment(t, m, 1)
		b[segmentHeaderBytes+int(w.groups[0].end)+groupHeaderBytes+at] ^= 4
		got, _, err := replayAll(s.with(t, 1, b), 0, segments...)
		if all := damages(err); len(got) != 1 || len(all) != 1 ||
			all[0].Offset != segmentHeaderBytes+int64(w.groups[0].end) ||
			all[0].Length != int64(w.groups[1].end-w.groups[0].end) {
			t.Errorf("byte %d: %d groups, %v", at, len(got), err)
		}
	}
}

func TestPaddingIsZero(t *testing.T) {
	cfg, m := newConfig(t)
	l := mustLog(t, cfg, mustPrepare(t, cfg, 64<<10, 1)[0], 0)
	w := newWriter(l, 1)
	for i := range 60 {
		must(t, w.append(200+i))
	}
	must(t, w.append(minBufferBytes+1), l.Flush())
	b := readSegment(t, m, 1)
	for i, g := range w.groups {
		for at := int(g.end) - 1; at >= int(g.end)-7; at-- {
			start := int(g.end) - int(groupBytes(uint64(len(g.payload))))
			if at >= start+groupHeaderBytes+len(g.payload) && b[segmentHeaderBytes+at] != 0 {
				t.Fatalf("group %d: padding is not zero", i)
			}
		}
	}
}

func TestAllDamageIsListed(t *testing.T) {
	s := newSample(t, true)
	c := s.m.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	one := readSegment(t, c, 1)
	one[segmentHeaderBytes+groupHeaderBytes+5] ^= 1                      // group 0
	one[segmentHeaderBytes+int(s.groups[1].end)+groupHeaderBytes+5] ^= 1 // group 2
	writeSegment(t, c, 1, one)
	three := readSegment(t, c, 3)
	three[3] ^= 1
	writeSegment(t, c, 3, three)
	must(t, c.Remove(testDir+"/"+FileName(2)))
	_, _, err := replayAll(on(s.cfg, c), 0, s.segments...)
	found := map[string]int{}
	for _, d := range damages(err) {
		found[d.File+" "+d.Kind]++
	}
	if found["000001.wal wal group"] != 2 || found["000002.wal missing file"] != 1 ||
		found["000003.wal wal segment header"] != 1 || len(found) != 3 {
		t.Errorf("found %v in %v", found, err)
	}
}

func TestTornEndIsReported(t *testing.T) {
	s := newSample(t, false)
	three := readSegment(t, s.m, 3)
	at := segmentHeaderBytes + int(s.groups[9].end-s.ends[1]) // group 10, never synced
	three[at+groupHeaderBytes] ^= 1
	got, r, err := replayAll(s.with(t, 3, three), 0, s.segments...)
	if err != nil || len(got) != 10 || r.TornFile != FileName(3) || r.End != s.groups[9].end ||
		r.TornBytes != int64(s.groups[10].end-s.groups[9].end) {
		t.Errorf("last group torn: %d groups, %+v, %v", len(got), r, err)
	}
	// Group 9 torn, group 10 intact: a disk that wrote them out of order.
	at = segmentHeaderBytes + int(s.groups[8].end-s.ends[1])
	three[at+groupHeaderBytes] ^= 1
	three[segmentHeaderBytes+int(s.groups[9].end-s.ends[1])+groupHeaderBytes] ^= 1
	got, r, err = replayAll(s.with(t, 3, three), 0, s.segments...)
	if err != nil || len(got) != 9 || r.End != s.groups[8].end ||
		r.TornBytes != int64(s.groups[10].end-s.groups[8].end) {
		t.Errorf("out of order: %d groups, %+v, %v", len(got), r, err)
	}
}

func TestNewerFormatIsNamed(t *testing.T) {
	s := newSample(t, true)
	b := readSegment(t, s.m, 2)
	binary.LittleEndian.PutUint32(b[8:], 7)
	reseal(b)
	_, _, err := replayAll(s.with(t, 2, b), 0, s.segments...)
	if err == nil || isDamage(err) || !strings.Contains(err.Error(), "format version 7") {
		t.Errorf("format 7: %v", err)
	}
}

func TestReservedBytesAreRefused(t *testing.T) {
	s := newSample(t, true)
	for _, off := range []int{12, 47, 52, 59} {
		b := readSegment(t, s.m, 2)
		b[off] |= 1
		reseal(b)
		if _, _, err := replayAll(s.with(t, 2, b), 0, s.segments...); !isDamage(err) {
			t.Errorf("byte %d: %v", off, err)
		}
	}
}

// The seal of a closed log is durable with the rest: what rots in the last
// group after a power loss is found, however the log had been synced before.
func TestSealProvesTheLastGroup(t *testing.T) {
	for _, synced := range []bool{false, true} {
		cfg, m := newConfig(t)
		segments := mustPrepare(t, cfg, sampleSegmentBytes, 1)
		l := mustLog(t, cfg, segments[0], 0)
		w := newWriter(l, 3)
		must(t, w.append(100))
		must(t, w.append(100))
		if synced {
			must(t, l.Sync())
		}
		must(t, l.Close())
		crashed := m.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
		b := readSegment(t, crashed, 1)
		b[segmentHeaderBytes+int(w.groups[1].end)-8] ^= 1
		writeSegment(t, crashed, 1, b)
		if got, r, err := replayAll(on(cfg, crashed), 0, segments...); !isDamage(err) {
			t.Errorf("synced before %v: rot in the last group: %d groups, %+v, %v", synced, len(got), r, err)
		}
	}
}

// A segment that begins inside the one before it belongs to another history.
func TestOverlappingSegments(t *testing.T) {
	cfg, _ := newConfig(t)
	segments := mustPrepare(t, cfg, sampleSegmentBytes, 1, 2)
	l := mustLog(t, cfg, segments[0], 0)
	w := newWriter(l, 2)
	must(t, w.append(100), w.append(100), w.append(100), l.Close())
	l = mustLog(t, cfg, segments[1], w.groups[1].end)
	must(t, newWriter(l, 3).append(100), l.Close())
	if got, _, err := replayAll(cfg, 0, segments...); !isDamage(err) || len(got) > len(w.groups) {
		t.Errorf("segments that overlap: %d groups, %v", len(got), err)
	}
}
