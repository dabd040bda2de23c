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
		if got := rows(t, it, false); got != "a=1" {
			t.Errorf("an iterator from before shows %s", got)
		}
		must(t, it.Close())
		must(t, v.RollbackTo(first))
		must(t, v.Commit(commit.Async))
		if got := begin(t, m, Options{}).scan(false); got != "a=1" {
			t.Errorf("committed %s", got)
		}
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
