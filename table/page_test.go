package table

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/position"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Pages go on where the last one ended, whatever happens to rows between them, and after
// the database was closed.
func TestPagesGoOn(t *testing.T) {
	fs := memfs.New()
	db := openDB(t, fs)
	people := openPeople(t, db, "city-age")
	for n := range int64(10) {
		mustPut(t, db, people, person{ID: n, City: "Oslo", Age: int(n) * 10})
	}
	page, err := people.Query().Where(city.Eq("Oslo")).OrderBy(age).Page("", 4)
	if err != nil || len(page.Rows) != 4 || page.Next == "" {
		t.Fatalf("got %+v, %v", page, err)
	}
	// The row that ended the page goes, one comes before it, one behind.
	mustPut(t, db, people, person{ID: 11, City: "Oslo", Age: 5}, person{ID: 12, City: "Oslo", Age: 35})
	if err := people.Delete(3); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, fs)
	defer db.Close()
	people = openPeople(t, db, "city-age")
	query := people.Query().Where(city.Eq("Oslo")).OrderBy(age)
	page, err = query.Page(page.Next, 7)
	if got := ids(page.Rows); err != nil || fmt.Sprint(got) != "[12 4 5 6 7 8 9]" || page.Next != "" {
		t.Errorf("got %d, next %q, %v", got, page.Next, err)
	}
	if _, err := query.Page("", 0); err == nil {
		t.Error("a page without rows")
	}
}

// A page through an index reads what it gives, however far from the beginning it is.
func TestFarPagesReadLittle(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "city-age")
	var all []person
	for n := range int64(2000) {
		all = append(all, person{ID: n, City: "Oslo", Age: int(n % 100)})
	}
	mustPut(t, db, people, all...)
	for _, reverse := range []bool{false, true} {
		decoded := 0
		query := people.Query().Where(city.Eq("Oslo")).OrderBy(age).Filter(func(person) bool { decoded++; return true })
		last := person{ID: 1490, Age: 90}
		if reverse {
			query, last = query.Reverse(), person{ID: 510, Age: 10}
		}
		rows, err := collect(query.After(last).Limit(10))
		if err != nil || len(rows) != 10 || decoded > 11 {
			t.Errorf("reverse %v: %d rows of %d, %v", reverse, len(rows), decoded, err)
		}
	}
}

// What is no cursor of a query is refused.
func TestCursorsOfOthers(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db)
	mustPut(t, db, people, person{ID: 1}, person{ID: 2})
	others, err := Open(t.Context(), db, Schema[person, int64]{Name: "others", Key: id, Attributes: []Column[person]{age}})
	if err != nil {
		t.Fatal(err)
	}
	query := people.Query().OrderBy(age)
	page, err := query.Page("", 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"reverse":      pageError(query.Reverse(), page.Next),
		"other order":  pageError(people.Query(), page.Next),
		"longer order": pageError(query.OrderBy(city), page.Next),
		"other table":  pageError(others.Query().OrderBy(age), page.Next),
		"no cursor":    pageError(query, "hello"),
		"cut off":      pageError(query, page.Next[:len(page.Next)-1]),
		"longer":       pageError(query, page.Next+"AAAA"),
		"too long":     pageError(query, strings.Repeat("A", position.CursorMaxBytes+1)),
	} {
		if !errors.Is(err, ErrCursor) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := pageError(query, page.Next); err != nil {
		t.Error(err)
	}
}

func pageError(q Query[person], cursor string) error {
	_, err := q.Page(cursor, 1)
	return err
}

// FuzzCursor reads arbitrary text as a cursor: nothing panics, and what is accepted is
// what is written.
func FuzzCursor(f *testing.F) {
	q := &Query[person]{core: &core[person]{name: "people", key: id.attribute}, order: []*attribute[person]{city.attribute}}
	p, err := q.positionOf(person{ID: 300, City: "Oslo"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Cursor(q.orderSum()), []byte{})
	f.Add("", p.Key)
	f.Add("AQ", catalogue.Key("", 1, 2))
	f.Fuzz(func(t *testing.T, cursor string, key []byte) {
		if p, err := q.decodeCursor(cursor); err == nil && p.Cursor(q.orderSum()) != cursor {
			t.Errorf("%q is decoded as %+v, which is %q", cursor, p, p.Cursor(q.orderSum()))
		}
		p, err := q.decodeCursor((&position.Position{Key: key}).Cursor(q.orderSum()))
		if err == nil && (string(p.Key) != string(key) || len(p.Elements) != 1) {
			t.Errorf("%x is decoded as %+v", key, p)
		}
		if err != nil && !errors.Is(err, ErrCursor) {
			t.Errorf("unexpected %v", err)
		}
	})
}

// The cursor that docs/format/table.md shows.
func TestGoldenCursor(t *testing.T) {
	q := &Query[person]{core: &core[person]{name: "people", key: id.attribute}, order: []*attribute[person]{city.attribute}}
	p, err := q.positionOf(person{ID: 300, City: "Oslo"})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Cursor(q.orderSum()); got != "AUdk-MBsT3NsbwBZASxmiBjl" {
		t.Errorf("got %q", got)
	}
}

// Offset leaves rows out of what there would be, with and without an order or a limit.
func TestOffset(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	for n := range int64(10) {
		mustPut(t, db, people, person{ID: n, Age: int(9 - n)})
	}
	err := db.View(func(tx *lightning.Tx) error {
		q := people.In(tx).Query().OrderBy(age)
		for _, c := range []struct {
			q    Query[person]
			want string
		}{
			{q.Offset(8), "[1 0]"},
			{q.Offset(2).Limit(2), "[7 6]"},
			{q.Offset(100), "[]"},
			{q.Offset(-3).Limit(1), "[9]"},
			{q.Reverse().Offset(9), "[9]"},
		} {
			if all, err := collect(c.q); err != nil || fmt.Sprint(ids(all)) != c.want {
				t.Errorf("got %d, %v, want %s", ids(all), err, c.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
