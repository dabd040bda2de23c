package manifest

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// wideState has so many tables in level 6, and a tenth as many in level 5.
func wideState(b *testing.B, tables int) *State {
	b.Helper()
	e := &Edit{}
	for i := range tables {
		f := table(base.FileNum(i+1), fmt.Sprintf("key%09d", i), fmt.Sprintf("key%09d", i+1))
		e.AddFiles = append(e.AddFiles, LevelFile{6, f})
		if i%10 == 0 {
			g := *f
			g.Num += base.FileNum(tables)
			e.AddFiles = append(e.AddFiles, LevelFile{5, &g})
		}
	}
	state, err := newState(testID).apply(e)
	if err != nil {
		b.Fatal(err)
	}
	return state
}

func BenchmarkApplyFlush(b *testing.B) {
	for _, tables := range []int{100, 10_000} {
		b.Run(fmt.Sprint(tables), func(b *testing.B) {
			state := wideState(b, tables)
			e := add(0, table(1<<40, "a", "z"))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := state.apply(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkApplyCompaction(b *testing.B) {
	for _, tables := range []int{100, 10_000} {
		b.Run(fmt.Sprint(tables), func(b *testing.B) {
			state := wideState(b, tables)
			old := state.Version.Levels[6][tables/2]
			next := *old
			next.Num = 1 << 40
			e := add(6, &next)
			e.RemoveFiles = []LevelNum{{6, old.Num}, {5, state.Version.Levels[5][3].Num}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := state.apply(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOverlapping(b *testing.B) {
	state := wideState(b, 10_000)
	lo, hi := []byte("key000005000"), []byte("key000005010")
	b.ReportAllocs()
	for b.Loop() {
		if len(state.Version.Overlapping(6, lo, hi)) != 10 {
			b.Fatal("wrong tables")
		}
	}
}

func BenchmarkSnapshotCodec(b *testing.B) {
	state := wideState(b, 10_000)
	encoded := appendEdit(nil, state.snapshot())
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(encoded)))
		for b.Loop() {
			encoded = appendEdit(encoded[:0], state.snapshot())
		}
	})
	b.Run("load", func(b *testing.B) {
		b.SetBytes(int64(len(encoded)))
		for b.Loop() {
			if _, err := applyPayload(newState(testID), encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendInMemory(b *testing.B) {
	fsys := newFS(b)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := base.FileNum(0)
	for b.Loop() {
		n++
		e := &Edit{AddLogs: logs(n), NextFileNum: n + 1, LastSeq: base.SeqNum(n)}
		if n > 1 {
			e.RemoveLogs = []base.FileNum{n - 1}
		}
		if err := l.Append(e); err != nil {
			b.Fatal(err)
		}
	}
}
