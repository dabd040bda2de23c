package session

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/keyspace"
)

// plain is a keyspace as a map: what a transaction in it must come to.
type plain map[string]string

func (p plain) deleteRange(lo, hi string) {
	maps.DeleteFunc(p, func(key, _ string) bool { return lo <= key && key < hi })
}

func (p plain) rows(backward bool) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(p)) {
		out = append(out, key+"="+p[key])
	}
	if backward {
		slices.Reverse(out)
	}
	return strings.Join(out, " ")
}

// walker drives a transaction and its model beside each other.
type walker struct {
	t      *testing.T
	r      *rand.Rand
	tx     *Tx
	k      *Keyspace
	prefix []byte
	bounds Bounds

	now    plain
	saved  []Savepoint
	states []plain // at saved
	open   *Iterator
	shown  plain // by open
}

func (w *walker) key() (user string, full []byte) {
	user = fmt.Sprintf("k%02d", w.r.IntN(20))
	return user, append(slices.Clone(w.prefix), user...)
}

// step does something to both.
func (w *walker) step(n int) {
	t, user, full := w.t, "", []byte(nil)
	user, full = w.key()
	value := fmt.Sprint(n)
	switch what := w.r.IntN(10); {
	case what < 3:
		if n%7 == 0 {
			value = ""
		}
		must(t, w.tx.Put(w.k, full, []byte(value), 0))
		w.now[user] = value
	case what < 5:
		must(t, w.tx.Merge(w.k, full, []byte(value)))
		if _, ok := w.now[user]; !ok {
			w.now[user] = "nil"
		}
		w.now[user] += value
	case what == 5:
		must(t, w.tx.Delete(w.k, full))
		delete(w.now, user)
	case what == 6:
		other, otherFull := w.key()
		if other < user {
			user, full, other, otherFull = other, otherFull, user, full
		}
		must(t, w.tx.DeleteRange(w.k, full, otherFull))
		w.now.deleteRange(user, other)
	case what == 7:
		w.saved = append(w.saved, w.tx.Savepoint())
		w.states = append(w.states, maps.Clone(w.now))
	case what == 8 && len(w.saved) > 0:
		i := w.r.IntN(len(w.saved))
		must(t, w.tx.RollbackTo(w.saved[i]))
		w.now = maps.Clone(w.states[i])
		w.saved, w.states = w.saved[:i+1], w.states[:i+1]
		defer hold(w.tx)()
		if w.open != nil && !w.open.First() && w.open.Err() == ErrRolledBack {
			wantErr(t, w.open.Close(), ErrRolledBack)
			w.open = nil
		}
	case what == 9:
		w.close()
		var err error
		w.open, err = w.tx.Iterator(w.k, w.bounds)
		must(t, err)
		w.shown = maps.Clone(w.now)
	}
}

// check compares what the transaction shows with the model.
func (w *walker) check() {
	w.t.Helper()
	user, full := w.key()
	value, err := w.tx.AppendGet([]byte{}, w.k, full)
	want, ok := w.now[user]
	if string(value) != want || ok != (err == nil) || err != nil && err != base.ErrNotFound {
		w.t.Fatalf("get %s: %q, %v; want %q", user, value, err, want)
	}
	if w.open != nil {
		w.compare(w.open, w.shown)
	}
	it, err := w.tx.Iterator(w.k, w.bounds)
	must(w.t, err)
	w.compare(it, w.now)
	defer hold(w.tx)()
	must(w.t, it.Close())
}

func (w *walker) compare(it *Iterator, want plain) {
	w.t.Helper()
	defer hold(w.tx)()
	for _, backward := range []bool{false, true} {
		if got := rows(w.t, it, backward); got != want.rows(backward) {
			w.t.Fatalf("backward %v: shows %s\nwant %s", backward, got, want.rows(backward))
		}
	}
	keys := slices.Sorted(maps.Keys(want))
	user, full := w.key()
	at, _ := slices.BinarySearch(keys, user)
	w.landed("seek to "+user, it.SeekGE(full), it, keys, at)
	w.landed("and next", it.Next(), it, keys, at+1)
	w.landed("seek before "+user, it.SeekLT(full), it, keys, at-1)
	w.landed("and prev", it.Prev(), it, keys, at-2)
	w.landed("and next again", it.Next(), it, keys, max(at-1, 0))
}

// landed checks that a move has gone to a place among all keys.
func (w *walker) landed(move string, ok bool, it *Iterator, keys []string, at int) {
	w.t.Helper()
	exists := at >= 0 && at < len(keys)
	if ok != exists || it.Valid() != exists || exists && string(it.Key()) != keys[at] {
		w.t.Fatalf("%s: %v at %q, want place %d of %q", move, ok, it.Key(), at, keys)
	}
}

func (w *walker) close() {
	if w.open != nil {
		defer hold(w.tx)()
		must(w.t, w.open.Close())
		w.open = nil
	}
}

// Transactions of all writes, savepoints and iterators against a map, with their
// writes in memory, in files and in both.
func TestTransactionsAgainstModel(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 6
	}
	for _, spillBytes := range []int64{0, 400, inMemory} {
		db, m := open(t, spillBytes)
		k, err := db.Keyspace(context.Background(), "k", keyspace.Settings{Merge: marking().Name})
		must(t, err)
		prefix := keyspace.AppendPrefix(nil, k.ID)
		committed := plain{}
		for seed := range seeds {
			tx, err := m.Begin(Options{FirstCommitterWins: seed%2 == 0})
			must(t, err)
			w := &walker{
				t: t, r: rand.New(rand.NewPCG(seed, 17)), tx: tx, k: k, prefix: prefix,
				bounds: Bounds{Lower: prefix, Upper: keyspace.PrefixEnd(prefix), PrefixBytes: len(prefix)},
				now:    maps.Clone(committed),
			}
			t.Logf("spill at %d, seed %d", spillBytes, seed)
			for n := range 60 {
				w.step(n)
				w.check()
				set(t, db, "elsewhere", fmt.Sprint(n))
			}
			w.close()
			if seed%5 == 4 {
				tx.Rollback()
				continue
			}
			must(t, tx.Commit(commit.Async))
			committed = w.now
		}
	}
}

// A step of an iterator costs no memory.
func TestNextDoesNotAllocate(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the check of every cache hit allocates")
	}
	db, m := open(t, inMemory)
	for n := range 3000 {
		set(t, db, fmt.Sprintf("%05d", n), "value")
	}
	v := begin(t, m, Options{})
	for n := range 300 {
		v.put(fmt.Sprintf("%05d+", n*10), "own")
	}
	it, err := v.Iterator(nil, all())
	must(t, err)
	defer it.Close()
	defer hold(v.Tx)() // what was put is flushed meanwhile
	it.First()
	if n := testing.AllocsPerRun(1000, func() { it.Next(); it.Key(); it.Value() }); n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
	if n := testing.AllocsPerRun(900, func() { it.Prev() }); n != 0 {
		t.Errorf("Prev allocates %v times", n)
	}
}
