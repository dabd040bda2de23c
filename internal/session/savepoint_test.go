package session

import (
	"testing"

	"github.com/lightningdb/lightning/internal/commit"
)

func TestSavepoints(t *testing.T) {
	for _, spillBytes := range []int64{0, 100, inMemory} {
		_, m := open(t, spillBytes)
		v := begin(t, m, Options{})
		v.put("a", "1")
		first := v.Savepoint()
		v.put("a", "2")
		second := v.Savepoint()
		v.del("a")
		v.put("b", "3")
		must(t, v.RollbackTo(second))
		if got := v.scan(false); got != "a=2" {
			t.Errorf("after the second: %s", got)
		}
		it, err := v.Iterator(nil, all())
		must(t, err)
		must(t, v.RollbackTo(first))
		v.put("c", "4")
		if got := v.scan(true); got != "c=4 a=1" {
			t.Errorf("after the first: %s", got)
		}
		if it.First() || it.Last() || it.Valid() {
			t.Errorf("an iterator over what was taken back shows %q", it.Key())
		}
		wantErr(t, it.Close(), ErrRolledBack)
		must(t, v.RollbackTo(first))
		must(t, v.Commit(commit.Async))
		if got := begin(t, m, Options{}).scan(false); got != "a=1" {
			t.Errorf("committed %s", got)
		}
	}
}

// An iterator that shows what is taken back says so, wherever it stands: its rows
// vanished, or came again, or it just ended. One that shows nothing of it goes on.
func TestRollbackEndsIteratorsOverIt(t *testing.T) {
	for _, spillBytes := range []int64{0, 100, inMemory} {
		db, m := open(t, spillBytes)
		set(t, db, "a", "0")
		set(t, db, "b", "0")
		v := begin(t, m, Options{})
		v.put("c", "1")
		before, err := v.Iterator(nil, all())
		must(t, err)
		place := v.Savepoint()
		inside := map[string]*Iterator{}
		for what, write := range map[string]func(){
			"range delete": func() { must(t, v.DeleteRange(nil, key("a"), key("b"))) },
			"put":          func() { v.put("d", "1") },
			"delete":       func() { v.del("b") },
		} {
			write()
			inside[what], err = v.Iterator(nil, all())
			must(t, err)
			inside[what].First()
		}
		if !before.First() {
			t.Fatal(before.Err())
		}
		must(t, v.RollbackTo(place))
		for what, it := range inside {
			if it.Next() || it.Valid() || it.Key() != nil {
				t.Errorf("spill at %d, after a %s: it goes on", spillBytes, what)
			}
			wantErr(t, it.Err(), ErrRolledBack)
			wantErr(t, it.Close(), ErrRolledBack)
		}
		after, err := v.Iterator(nil, all())
		must(t, err)
		must(t, v.RollbackTo(place)) // nothing is taken back
		key := string(before.Key())
		if got := key + " " + rows(t, before, false); got != "a a=0 b=0 c=1" {
			t.Errorf("spill at %d: the one from before shows %s", spillBytes, got)
		}
		if got := rows(t, after, true); got != "c=1 b=0 a=0" {
			t.Errorf("spill at %d: the one from after shows %s", spillBytes, got)
		}
		must(t, before.Close())
		must(t, after.Close())
	}
}

func TestSavepointsAreGivenUp(t *testing.T) {
	_, m := open(t, inMemory)
	v := begin(t, m, Options{})
	first, second, third := v.Savepoint(), v.Savepoint(), v.Savepoint()
	must(t, v.RollbackTo(second))
	wantErr(t, v.RollbackTo(third), ErrSavepoint)
	must(t, v.Release(second))
	for _, s := range []Savepoint{second, third} {
		wantErr(t, v.RollbackTo(s), ErrSavepoint)
		wantErr(t, v.Release(s), ErrSavepoint)
	}
	again := v.Savepoint() // at the same step, and where second was
	wantErr(t, v.RollbackTo(second), ErrSavepoint)
	must(t, v.RollbackTo(again))
	must(t, v.RollbackTo(first))
	wantErr(t, v.RollbackTo(again), ErrSavepoint)
	for _, foreign := range []Savepoint{{}, begin(t, m, Options{}).Savepoint()} {
		wantErr(t, v.RollbackTo(foreign), errForeignSavepoint)
		wantErr(t, v.Release(foreign), errForeignSavepoint)
	}
}
