package store

import (
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Sources returns what the tables have in [lo, hi), the newest first, past the cache. Values
// that are kept apart stay there: their records are KindBlob.
// Whoever takes them closes them.
func (t *Tree) Sources(lo, hi []byte) (sources []iterate.Source, err error) {
	read := sstable.IterOptions{NoFill: true, BulkBytes: t.store.bulkBytes(len(t.Levels[0]) + len(t.Levels))}
	for level := range t.Levels {
		var run []*Table
		t.overlapping(level, lo, hi, func(tab *Table) { run = append(run, tab) })
		if level > 0 && len(run) > 0 {
			it := iterate.NewLevel(&Run{Tables: run, Read: read, Apart: true})
			sources = append(sources, iterate.Source{Iter: it, MaxSeq: t.MaxSeq[level]})
			continue
		}
		for _, tab := range run {
			r, err := tab.Reader()
			if err != nil {
				for _, s := range sources {
					s.Iter.Close()
				}
				return nil, err
			}
			it := r.NewIter(read)
			sources = append(sources, iterate.Source{Iter: it, MaxSeq: tab.Meta.LargestSeq})
		}
	}
	return sources, nil
}
