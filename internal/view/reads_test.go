package view

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/txn"
)

// write is one write of the model; end is not empty in a range delete.
type write struct {
	seq             base.SeqNum
	key, end, value string
	deletes         bool
}

// history is all writes, the oldest first.
type history []write

// at returns the rows as of a number.
func (h history) at(seq base.SeqNum) map[string]string {
	rows := map[string]string{}
	for _, w := range h {
		switch {
		case w.seq > seq:
		case w.end != "":
			for key := range rows {
				if key >= w.key && key < w.end {
					delete(rows, key)
				}
			}
		case w.deletes:
			delete(rows, w.key)
		default:
			rows[w.key] = w.value
		}
	}
	return rows
}

// readers is the interface of a Reader and of a Snapshot.
type readers interface {
	AppendGet(dst, key []byte) ([]byte, error)
	MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error
	NewIterator(o IterOptions) (*Iterator, error)
}

const modelKeys = 12

func modelKey(n int) string { return fmt.Sprintf("k%02d", n) }

// compare reads everything in every way and compares it with the rows of a model.
func compare(t testing.TB, what string, r readers, rows map[string]string) {
	t.Helper()
	check := func(how, key string, value []byte, err error) {
		t.Helper()
		want, ok := rows[key]
		if ok && (err != nil || string(value) != want) || !ok && !errors.Is(err, base.ErrNotFound) {
			t.Fatalf("%s: %s of %s is %q, %v; want %q, %v", what, how, key, value, err, want, ok)
		}
	}
	var keys [][]byte
	var want []string
	for n := range modelKeys {
		key := modelKey(n)
		keys = append(keys, []byte("\x00"+key))
		if value, ok := rows[key]; ok {
			want = append(want, key+"="+value)
		}
		value, err := r.AppendGet(nil, keys[n])
		check("a get", key, value, err)
	}
	must(t, r.MultiGet(keys, func(i int, value []byte, err error) error {
		check("one of many gets", modelKey(i), value, err)
		return nil
	}))
	it, err := r.NewIterator(IterOptions{Lower: []byte{0}, Upper: []byte{1}, PrefixBytes: 1})
	must(t, err)
	var forward, backward []string
	row := func() string { return string(it.Key()) + "=" + string(it.Value()) }
	for ok := it.First(); ok; ok = it.Next() {
		forward = append(forward, row())
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		backward = append(backward, row())
	}
	must(t, it.Close())
	slices.Reverse(backward)
	if !slices.Equal(forward, want) || !slices.Equal(backward, want) {
		t.Fatalf("%s: a walk finds\n%v, and backward\n%v; want\n%v", what, forward, backward, want)
	}
}

// flush writes all that waits to one table.
func (db *database) flush(t testing.TB) {
	t.Helper()
	s := db.Pin()
	defer db.Release(s)
	var sources []iterate.Source
	var lists []*rangedel.List
	for _, m := range s.Immutables {
		sources = append(sources, iterate.Source{Iter: m.NewIter(), MaxSeq: base.SeqNumMax})
		lists = append(lists, m.RangeDeletes())
	}
	merged := iterate.NewMerging(sources)
	outputs, _, err := db.store.Write(t.Context(), merged, store.Output{}, compact.Config{
		Snapshots: db.Pinned().Seqs, RangeDeletes: rangedel.Merge(lists...),
	})
	must(t, err)
	must(t, merged.Close())
	edit := &manifest.Edit{}
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Meta: meta})
	}
	v, err := s.Tree.Version.Apply(edit)
	must(t, err)
	db.NoteFlushed(s.Immutables[0].LastSeq)
	db.Update(func(c *Change) { c.Immutables, c.Tree = nil, db.store.NewTree(v) })
}

// rotate makes the memtable wait for its flush.
func (db *database) rotate(t testing.TB) {
	t.Helper()
	next := db.newMemtable(t)
	db.Update(func(c *Change) {
		c.Mem.LastSeq = db.VisibleSeq()
		c.Immutables, c.Mem = append([]*Flushable{c.Mem}, c.Immutables...), next
	})
}

// random does what n says and returns what it has written.
func (db *database) random(t testing.TB, rng *rand.Rand) (done []write) {
	t.Helper()
	seq := db.VisibleSeq() + 1
	key := modelKey(rng.IntN(modelKeys))
	mem := db.State().Mem
	switch n := rng.IntN(20); {
	case n < 8:
		done = []write{{seq: seq, key: key, value: fmt.Sprint(seq)}}
		must(t, mem.Table.Add([]byte("\x00"+key), base.MakeTrailer(seq, base.KindSet), []byte(done[0].value)))
	case n < 11:
		done = []write{{seq: seq, key: key, deletes: true}}
		must(t, mem.Table.Add([]byte("\x00"+key), base.MakeTrailer(seq, base.KindDelete), nil))
	case n < 13:
		done = []write{{seq: seq, key: key, end: modelKey(rng.IntN(modelKeys)) + "~"}}
		if done[0].end <= key {
			return nil
		}
		must(t, mem.Table.AddRangeDelete([]byte("\x00"+key), []byte("\x00"+done[0].end), seq))
	case n < 15:
		var b batch.Batch
		for range 3 {
			w := write{seq: seq + base.SeqNum(len(done)), key: modelKey(rng.IntN(modelKeys)), value: strings.Repeat("x", 10)}
			must(t, b.Set([]byte{0}, []byte(w.key), []byte(w.value)))
			done = append(done, w)
		}
		w := write{seq: seq + 3, key: key, end: key + "~"}
		must(t, b.DeleteRange([]byte("\x00"+w.key), []byte("\x00"+w.end)))
		done = append(done, w)
		if !mem.Empty() {
			db.rotate(t)
		}
		large, err := NewLarge(b.Bytes(), seq, w.seq)
		must(t, err)
		db.Update(func(c *Change) {
			c.Immutables, c.Visible = append([]*Flushable{large}, c.Immutables...), w.seq
		})
		return done
	case n < 18 && !mem.Empty():
		db.rotate(t)
		return nil
	case len(db.State().Immutables) > 0:
		db.flush(t)
		return nil
	default:
		return nil
	}
	db.Publish(seq)
	return done
}

// changed says whether something was written to [lo, hi) after a number.
func (h history) changed(since base.SeqNum, lo, hi string) bool {
	return slices.ContainsFunc(h, func(w write) bool {
		end := w.end
		if end == "" {
			end = w.key + "\x00"
		}
		return w.seq > since && w.key < hi && end > lo
	})
}

// validate asks for each key, and for some ranges, whether it is as a snapshot has
// it, and compares the answer with that of the model.
func validate(t testing.TB, what string, db *database, s *Snapshot, h history) {
	t.Helper()
	check := func(lo, hi string, reads *txn.Reads) {
		t.Helper()
		reads.Freeze()
		err := db.Validate(&ReadSet{Since: s.Seq(), Reads: reads})
		if changed := h.changed(s.Seq(), lo, hi); changed != errors.Is(err, txn.ErrConflict) || !changed && err != nil {
			t.Fatalf("%s: [%q, %q) has changed: %v; the answer is %v", what, lo, hi, changed, err)
		}
	}
	for n := range modelKeys {
		var point, span txn.Reads
		point.AddPoint([]byte("\x00" + modelKey(n)))
		check(modelKey(n), modelKey(n)+"\x00", &point)
		span.AddSpan([]byte("\x00"+modelKey(n)), []byte("\x00"+modelKey(n+2)))
		check(modelKey(n), modelKey(n+2), &span)
	}
}

// Whatever of the data is in the memtable, waits for its flush, or is in a table,
// reads and snapshots find what the model has, and a validation what was written
// since.
func TestReadsAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { readAgainstModel(t, seed) })
	}
}

func readAgainstModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	db := newDatabase(t)
	var h history
	open := map[*Snapshot]map[string]string{}
	for step := range 60 {
		h = append(h, db.random(t, rng)...)
		if rng.IntN(8) == 0 && len(open) < 4 {
			s, err := db.Snapshot()
			must(t, err)
			open[s] = h.at(db.VisibleSeq())
			if s.Seq() != db.VisibleSeq() {
				t.Fatalf("a snapshot is at %d, not %d", s.Seq(), db.VisibleSeq())
			}
		}
		if step%5 > 0 {
			continue
		}
		what := fmt.Sprintf("step %d", step)
		compare(t, what, db.Reader, h.at(db.VisibleSeq()))
		for s, rows := range open {
			what := fmt.Sprintf("%s, snapshot of %d", what, s.Seq())
			compare(t, what, s, rows)
			validate(t, what, db, s, h)
			if rng.IntN(6) == 0 {
				must(t, s.Close())
				delete(open, s)
			}
		}
	}
	for s := range open {
		must(t, s.Close())
	}
}
