package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
)

// A merge of many tables with large values has one of them in memory at a time, and what
// its inputs read ahead together stays within a bound. A value that cannot be loaded ends
// the merge.
func TestMergeMemory(t *testing.T) {
	const tables, valueBytes, mergeBytes = 24, 1200 << 10, 1 << 20
	r := newRoom(t)
	cfg := r.cfg
	var memory offheap.Accountant
	cfg.Memory, cfg.Later, cfg.MergeBytes = &memory, func(task func()) { task() }, mergeBytes
	var files []*manifest.FileMeta
	for i := range tables {
		records := []base.Record{rec(fmt.Sprintf("\x00a%02d", i), base.SeqNum(i+1), strings.Repeat("v", valueBytes))}
		for small := range 2000 {
			records = append(records, rec(fmt.Sprintf("\x00b%04d%02d", small, i), base.SeqNum(i+1), strings.Repeat("s", 100)))
		}
		files = append(files, r.table(records))
	}
	r.Store = New(cfg)
	tree := r.NewTree(r.version(files))
	it, _, err := tree.MergeInputs(0, 1, [2][]*manifest.FileMeta{files, nil}, 1)
	must(t, err)
	count, large, buffers := 0, int64(0), int64(0)
	for rec := it.First(); rec != nil; rec = it.Next() {
		count++
		if want := map[bool]int{true: valueBytes, false: 100}[rec.Key[1] == 'a']; len(rec.Value) != want {
			t.Fatalf("%q has %d bytes", rec.Key, len(rec.Value))
		}
		large = max(large, memory.Bytes(offheap.OwnerLarge))
		buffers = max(buffers, memory.Bytes(offheap.OwnerBuffers))
	}
	must(t, it.Err())
	if count != tables*2001 {
		t.Errorf("%d records", count)
	}
	if large < valueBytes || large > 2*valueBytes {
		t.Errorf("%d bytes of large values at once", large)
	}
	if buffers == 0 || buffers > 2*mergeBytes {
		t.Errorf("%d bytes of buffers, %d are meant", buffers, mergeBytes)
	}
	must(t, it.Close())
	if n := memory.Bytes(offheap.OwnerLarge) + memory.Bytes(offheap.OwnerBuffers); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	r.drop(tree)
}

// The tables of one commit past the log are one source of a merge, in key order, and others of
// level 0 one each.
func TestRunsOf(t *testing.T) {
	table := func(seqBase base.SeqNum, lo string) *Table {
		return &Table{Meta: &manifest.FileMeta{SeqBase: seqBase, Lo: []byte(lo)}}
	}
	tables := []*Table{table(0, "a"), table(9, "c"), table(9, "a"), table(9, "b"), table(7, "a"), table(0, "b"), table(0, "c")}
	show := func(level int) (text string) {
		for _, run := range runsOf(level, tables) {
			for _, tab := range run {
				text += fmt.Sprintf("%d%s ", tab.Meta.SeqBase, tab.Meta.Lo)
			}
			text += "| "
		}
		return text
	}
	if got, want := show(0), "0a | 9a 9b 9c | 7a | 0b | 0c | "; got != want {
		t.Errorf("level 0: %q, want %q", got, want)
	}
	if got, want := show(3), "0a 9c 9a 9b 7a 0b 0c | "; got != want {
		t.Errorf("level 3: %q, want %q", got, want)
	}
	if runs := runsOf(2, nil); len(runs) != 0 {
		t.Errorf("%d runs of nothing", len(runs))
	}
}
