package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const testDir = "db"

var testID = base.DBID{1, 2, 3, 4}

// newConfig returns the configuration of a log in an empty file system.
func newConfig(t testing.TB) (Config, *memfs.FS) {
	t.Helper()
	m := memfs.New()
	if err := errors.Join(m.MkdirAll(testDir), m.SyncDir("")); err != nil {
		t.Fatal(err)
	}
	return Config{FS: m, Dir: testDir, DBID: testID, BufferBytes: minBufferBytes}, m
}

func on(cfg Config, fsys vfs.FS) Config {
	cfg.FS = fsys
	return cfg
}

// group is what a test appended.
type group struct {
	first, last base.SeqNum
	payload     []byte
	end         Position
}

// writer appends groups of random sizes and remembers them.
type writer struct {
	l      *Log
	rng    *rand.Rand
	seq    base.SeqNum
	groups []group
}

func newWriter(l *Log, seed uint64) *writer {
	return &writer{l: l, rng: rand.New(rand.NewPCG(seed, 1))}
}

// size draws mostly small sizes, and some around the size of the ring.
func (w *writer) size() int {
	switch w.rng.IntN(12) {
	case 0:
		return 0
	case 1:
		return w.rng.IntN(2 * minBufferBytes)
	case 2:
		return minBufferBytes - groupHeaderBytes - 4 + w.rng.IntN(9)
	}
	return w.rng.IntN(300)
}

func (w *writer) append(size int) error {
	g := group{first: w.seq + 1, last: w.seq + 1 + base.SeqNum(w.rng.IntN(5))}
	g.payload = make([]byte, size)
	for i := range g.payload {
		g.payload[i] = byte(w.rng.Uint32())
	}
	g.end = w.l.Appended() + Position(groupBytes(uint64(size)))
	w.seq = g.last
	w.groups = append(w.groups, g)
	cut := w.rng.IntN(size + 1)
	end, err := w.l.Append(g.first, g.last, g.payload[:cut], nil, g.payload[cut:])
	if err == nil && end != g.end {
		return fmt.Errorf("group ends at %d, not %d", end, g.end)
	}
	return err
}

// check compares a replay with what was appended: it must have handed out a
// beginning of it that holds everything up to synced.
func check(groups []group, got []group, r Result, synced Position) error {
	if len(got) > len(groups) {
		return fmt.Errorf("%d groups came back, %d were appended", len(got), len(groups))
	}
	if r.Groups != len(got) {
		return fmt.Errorf("%d groups handed out, the result says %d", len(got), r.Groups)
	}
	end, lastSeq := Position(0), base.SeqNum(0)
	for i, g := range got {
		if g.first != groups[i].first || !bytes.Equal(g.payload, groups[i].payload) {
			return fmt.Errorf("group %d is not what was appended", i)
		}
		end, lastSeq = groups[i].end, groups[i].last
	}
	switch {
	case end < synced:
		return fmt.Errorf("the log ends at %d, %d was synced", end, synced)
	case r.LastSeq != lastSeq:
		return fmt.Errorf("last sequence number %d, want %d", r.LastSeq, lastSeq)
	case r.End != end && r.End != end+groupHeaderBytes: // a seal
		return fmt.Errorf("result ends at %d, the groups at %d", r.End, end)
	}
	return nil
}

func replayAll(cfg Config, from Position, segments ...Segment) ([]group, Result, error) {
	var got []group
	r, err := Replay(cfg, segments, from, 0, func(first base.SeqNum, payload []byte) error {
		got = append(got, group{first: first, payload: bytes.Clone(payload)})
		return nil
	})
	return got, r, err
}

// mustPrepare prepares segments; what it returns is what a manifest would know.
func mustPrepare(t testing.TB, cfg Config, sizeBytes int64, nums ...base.FileNum) (all []Segment) {
	t.Helper()
	for _, n := range nums {
		s, err := Prepare(cfg, n, sizeBytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func mustLog(t testing.TB, cfg Config, s Segment, start Position) *Log {
	t.Helper()
	l, err := NewLog(cfg, s, start, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func readSegment(t testing.TB, fsys vfs.FS, n base.FileNum) []byte {
	t.Helper()
	f, err := fsys.Open(testDir + "/" + FileName(n))
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); size > 0 && err != nil {
		t.Fatal(err)
	}
	return b
}

func writeSegment(t testing.TB, fsys vfs.FS, n base.FileNum, b []byte) {
	t.Helper()
	f, err := fsys.Create(testDir + "/" + FileName(n))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, 0)
	must(t, err, f.Close())
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*base.CorruptionError](err)
	return ok && errors.Is(err, base.ErrCorrupted)
}

// damages returns the single findings of a joined error.
func damages(err error) (all []*base.CorruptionError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, damages(e)...)
		}
	} else if e, ok := errors.AsType[*base.CorruptionError](err); ok {
		all = append(all, e)
	}
	return all
}

// reseal makes the checksums of both segment headers right again.
func reseal(b []byte) {
	for range 2 {
		binary.LittleEndian.PutUint32(b[60:], checksum.CRC(0, b[:60]))
		if b = b[preparedHeaderBytes:]; len(b) < beginHeaderBytes {
			return
		}
	}
}
