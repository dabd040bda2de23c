package wal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// What goes on behind a log is read as one with it, cut into segments or not, also after a power cut, and nothing is
// there before a group is.
func TestExtend(t *testing.T) {
	for _, cut := range []bool{false, true} {
		fsys := memfs.New()
		if err := errors.Join(fsys.MkdirAll("db"), fsys.SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		cfg := Config{FS: fsys, Dir: "db", DBID: base.DBID{7}}
		first := Extend(cfg, 3, 64, 10)
		first.Cut()
		if segments, err := first.Close(); err != nil || len(segments) > 0 {
			t.Fatalf("nothing is in %v, %v", segments, err)
		}
		var want []string
		add := func(e *Extension, seq base.SeqNum) {
			t.Helper()
			payload := fmt.Appendf(nil, "group %d", seq)
			if err := e.Append(seq, seq, payload); err != nil {
				t.Fatal(err)
			}
			want = slices.Concat(want, []string{string(payload)})
		}
		first = Extend(cfg, 3, 64, 10)
		add(first, 11)
		add(first, 12)
		segments, err := first.Close()
		if err != nil {
			t.Fatal(err)
		}
		result, err := Replay(cfg, segments, 64, 10, func(base.SeqNum, []byte) error { return nil })
		if err != nil || result.LastSeq != 12 {
			t.Fatalf("replayed %+v, %v", result, err)
		}
		second := Extend(cfg, 4, result.End, 12)
		for seq := base.SeqNum(13); seq < 20; seq++ {
			if cut && seq%3 == 0 {
				second.Cut()
				second.Cut() // once is enough
			}
			add(second, seq)
		}
		more, err := second.Close()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := second.Close(); err != nil || !slices.Equal(again, more) {
			t.Errorf("closed again: %v, %v", again, err)
		}
		if n := len(more); !cut && n != 1 || cut && n != 3 {
			t.Errorf("%d segments, cut: %v", n, cut)
		}
		cfg.FS = fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
		var got []string
		result, err = Replay(cfg, slices.Concat(segments, more), 64, 10, func(_ base.SeqNum, payload []byte) error {
			got = slices.Concat(got, []string{string(payload)})
			return nil
		})
		if err != nil || result.LastSeq != 19 || result.TornBytes > 0 || !slices.Equal(got, want) {
			t.Errorf("replayed %q, %+v, %v", got, result, err)
		}
		for _, s := range slices.Concat(segments, more) {
			info, err := cfg.FS.Stat("db/" + FileName(s.Num))
			if err != nil || info.Size() < s.SizeBytes { // a segment grows by more than it needs
				t.Errorf("%v has %d bytes, %v", s, info.Size(), err)
			}
		}
	}
}
