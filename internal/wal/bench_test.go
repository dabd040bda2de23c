package wal

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// nowhere is a file that takes every write and keeps nothing.
type nowhere struct{ vfs.File }

func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) Close() error                           { return nil }

type nowhereFS struct{ vfs.FS }

func (nowhereFS) OpenReadWrite(string) (vfs.File, error) { return nowhere{}, nil }

// BenchmarkAppend is the cost to a commit leader, without that of the disk.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{20, 140, 1000, 16 << 10, 128 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, err := NewLog(Config{FS: nowhereFS{}}, Segment{Num: 1}, 0, 0)
			if err != nil {
				b.Fatal(err)
			}
			payload := bytes.Repeat([]byte("x"), size)
			seq := base.SeqNum(0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				seq++
				if _, err := l.Append(seq, seq, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func realConfig(b *testing.B) Config {
	b.Helper()
	return Config{FS: vfs.OS, Dir: b.TempDir(), DBID: testID}
}

// BenchmarkSyncedGroups compares the ways to make a segment ready: what counts
// is the time of a synced group, of 200 bytes or of a whole page.
func BenchmarkSyncedGroups(b *testing.B) {
	const segmentBytes = 16 << 20
	ways := map[string]func(cfg Config) (Segment, error){
		"growing":    func(cfg Config) (Segment, error) { return makeFile(cfg, 0) },
		"fallocated": func(cfg Config) (Segment, error) { return makeFile(cfg, segmentBytes) },
		"prepared":   func(cfg Config) (Segment, error) { return Prepare(cfg, 2, segmentBytes) },
		"recycled": func(cfg Config) (Segment, error) {
			if s, err := Prepare(cfg, 1, segmentBytes); err != nil {
				return s, err
			}
			return Recycle(cfg, 1, 2, segmentBytes)
		},
	}
	for _, way := range []string{"growing", "fallocated", "prepared", "recycled"} {
		for _, size := range []int{160, 4056} {
			b.Run(fmt.Sprint(way, "/", size), func(b *testing.B) {
				cfg := realConfig(b)
				s, err := ways[way](cfg)
				if err != nil {
					b.Fatal(err)
				}
				l, err := NewLog(cfg, s, 0, 0)
				if err != nil {
					b.Fatal(err)
				}
				syncGroups(b, l, make([]byte, size))
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

func syncGroups(b *testing.B, l *Log, payload []byte) {
	b.Helper()
	seq := base.SeqNum(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		if _, err := l.Append(seq, seq, payload); err != nil {
			b.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func makeFile(cfg Config, sizeBytes int64) (Segment, error) {
	s := newSegment(2, sizeBytes)
	f, err := cfg.FS.Create(filepath.Join(cfg.Dir, FileName(2)))
	if err != nil {
		return s, err
	}
	if sizeBytes > 0 {
		if err := f.Preallocate(sizeBytes); err != nil {
			return s, err
		}
	}
	if err := f.Sync(); err != nil {
		return s, err
	}
	if err := f.Close(); err != nil {
		return s, err
	}
	return s, cfg.FS.SyncDir(cfg.Dir)
}

func BenchmarkPrepare(b *testing.B) {
	cfg := realConfig(b)
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	n := base.FileNum(0)
	for b.Loop() {
		n++
		if _, err := Prepare(cfg, n, 64<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay reads a crashed log of 140-byte groups, and what is behind
// its end.
func BenchmarkReplay(b *testing.B) {
	const segmentBytes = 64 << 20
	for name, used := range map[string]int{"full": segmentBytes - 1<<20, "empty": 0} {
		b.Run(name, func(b *testing.B) {
			cfg := Config{FS: memfs.New(), DBID: testID}
			s, err := Prepare(cfg, 1, segmentBytes)
			if err != nil {
				b.Fatal(err)
			}
			l, err := NewLog(cfg, s, 0, 0)
			if err != nil {
				b.Fatal(err)
			}
			payload := bytes.Repeat([]byte("x"), 140)
			for seq := base.SeqNum(1); l.Appended() < Position(used); seq++ {
				if _, err := l.Append(seq, seq, payload); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Flush(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(segmentBytes)
			b.ReportAllocs()
			for b.Loop() {
				got, err := Replay(cfg, []Segment{s}, 0, 0,
					func(base.SeqNum, []byte) error { return nil })
				if err != nil || got.End != l.Appended() {
					b.Fatal(got, err)
				}
			}
		})
	}
}
