package table

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The verbs without a transaction do what those with one do, each at once.
func TestWithoutATransaction(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "email", "age")
	ada := person{ID: 1, Email: "ada", Age: 36}
	if err := errors.Join(people.Put(ada), people.Insert(person{ID: 2, Email: "emmy", Age: 53})); err != nil {
		t.Fatal(err)
	}
	if err := people.Insert(ada); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a second row of the same key: %v", err)
	}
	if err := people.Put(person{ID: 3, Email: "ada"}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a second row of the same e-mail: %v", err)
	}
	if got, err := people.Get(1); err != nil || !got.equal(ada) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := people.Update(1, func(p *person) error { p.Age++; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := people.Query().Where(age.Eq(37)).First(); err != nil || got.ID != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := people.Delete(2); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[int64]bool{1: true, 2: false} {
		if has, err := people.Has(key); has != want || err != nil {
			t.Errorf("row %d: %v, %v", key, has, err)
		}
	}
	if _, err := people.Get(2); !errors.Is(err, lightning.ErrNotFound) {
		t.Errorf("a deleted row: %v", err)
	}
	if err := people.Check(); err != nil {
		t.Error(err)
	}
}

// What is run without a transaction is run again after a conflict.
func TestUpdatesWithoutATransactionAreNotLost(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	if err := people.Put(person{ID: 1}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				older := func(p *person) error { p.Age++; return nil }
				if err := people.Update(1, older); err != nil {
					t.Error(err)
				}
				if n, err := people.Query().Where(id.Eq(1)).Update(older); n != 1 || err != nil {
					t.Error(n, err)
				}
			}
		})
	}
	wg.Wait()
	if p, err := people.Get(1); err != nil || p.Age != 200 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// A query without a transaction sees one moment, that of each loop.
func TestQueryWithoutATransactionSeesOneMoment(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db)
	for n := range int64(10) {
		if err := people.Put(person{ID: n}); err != nil {
			t.Fatal(err)
		}
	}
	query, rows := people.Query(), 0
	for p, err := range query.All() {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		if err := errors.Join(people.Delete(9-p.ID), people.Put(person{ID: 100 + p.ID})); err != nil {
			t.Fatal(err)
		}
	}
	if rows != 10 {
		t.Errorf("the loop has seen %d rows", rows)
	}
	if n, err := query.Count(); n != 10 || err != nil {
		t.Errorf("then there are %d rows, %v", n, err)
	}
	if has, err := people.Has(0); has || err != nil {
		t.Errorf("a row that the loop deleted: %v, %v", has, err)
	}
}

// An attribute that the table does not know is an error, wherever it is named: reading
// all rows in silence is what nobody asked for.
func TestUnknownAttributes(t *testing.T) {
	db := testDB(t)
	s := Schema[person, int64]{
		Name: "people", Key: id, Indexes: []Index[person]{{Name: "city", On: []Column[person]{city}}},
		Attributes: []Column[person]{tag},
	}
	people, err := Open(t.Context(), db, s)
	if err != nil {
		t.Fatal(err)
	}
	twin := One("city", func(p person) string { return p.City })
	q := people.Query()
	for name, q := range map[string]Query[person]{
		"not declared": q.Where(age.Eq(3)),
		"made twice":   q.Where(twin.Eq("Oslo")),
		"in an order":  q.OrderBy(age),
		"twin order":   q.OrderBy(twin),
		"inside of Or": q.Where(Or(city.Eq("Oslo"), And(id.Eq(1), age.In(3)))),
		"no values":    q.Where(age.In()),
	} {
		_, first := q.First()
		_, count := q.Count()
		_, page := q.Page("", 1)
		_, explain := q.Explain()
		_, deleted := q.Delete()
		for _, err := range []error{first, count, page, explain, deleted} {
			if !errors.Is(err, ErrUnknownAttribute) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	_, err = q.Where(twin.Eq("Oslo")).Count()
	want := "query: table people: condition on city: unknown attribute: it was made twice, and the schema has the other one"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if _, err := q.Where(city.Eq("Oslo"), tag.Eq("a"), id.Eq(1)).OrderBy(id, city).Count(); err != nil {
		t.Error(err)
	}
	s.Attributes = append(s.Attributes, twin)
	_, err = Open(t.Context(), db, s)
	expectError(t, err, "table people: attributes: two attributes are called city")
}

// A query that fails with its update has changed nothing, and the transaction goes on.
func TestUpdateByQueryIsAllOrNothing(t *testing.T) {
	db := openDB(t, memfs.New())
	defer db.Close()
	people := openPeople(t, db, "email")
	for n := range int64(5) {
		if err := people.Put(person{ID: n, Email: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	err := db.Update(func(tx *lightning.Tx) error {
		n, err := people.In(tx).Query().Update(func(p *person) error { p.Email = "same"; return nil })
		if n != 0 || !errors.Is(err, ErrDuplicate) {
			t.Errorf("changed %d rows, %v", n, err)
		}
		n, err = people.In(tx).Query().Where(email.In("1", "3")).Delete()
		if n != 2 || err != nil {
			t.Errorf("deleted %d rows, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := people.Query().Where(email.Le("9")).Count(); n != 3 || err != nil {
		t.Errorf("left are %d rows, %v", n, err)
	}
	if _, err := people.Query().Update(nil); !errors.Is(err, lightning.ErrNilArgument) {
		t.Errorf("no function: %v", err)
	}
	tx, err := db.Begin(lightning.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := people.In(tx).Query().Delete(); !errors.Is(err, lightning.ErrTxReadOnly) {
		t.Errorf("in a read-only transaction: %v", err)
	}
}
