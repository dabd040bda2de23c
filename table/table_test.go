package table

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// person is the record of the tests.
type person struct {
	ID     int64
	Email  string
	City   string
	Age    int
	Tags   []string `json:",omitempty"`
	Phones []string `json:",omitempty"`
}

func (p person) equal(o person) bool {
	return p.ID == o.ID && p.Email == o.Email && p.City == o.City && p.Age == o.Age &&
		slices.Equal(p.Tags, o.Tags) && slices.Equal(p.Phones, o.Phones)
}

var (
	id    = One("id", func(p person) int64 { return p.ID })
	email = One("email", func(p person) string { return p.Email })
	city  = One("city", func(p person) string { return p.City })
	age   = One("age", func(p person) int { return p.Age })
	tag   = Many("tag", func(p person) []string { return p.Tags })
	phone = Many("phone", func(p person) []string { return p.Phones })
)

// personIndexes are all the indexes that the tests use.
func personIndexes() []Index[person] {
	return []Index[person]{
		{Name: "email", Unique: true, On: []Column[person]{email}},
		{Name: "city-age", On: []Column[person]{city, age}},
		{Name: "age", On: []Column[person]{age}},
		{Name: "tag-city", On: []Column[person]{tag, city}},
		{Name: "city-tag", On: []Column[person]{city, tag}},
		{Name: "phone", Unique: true, On: []Column[person]{phone}},
	}
}

func personSchema(indexes ...string) Schema[person, int64] {
	s := Schema[person, int64]{
		Name: "people", Key: id, Attributes: []Column[person]{email, city, age, tag, phone},
	}
	for _, x := range personIndexes() {
		if slices.Contains(indexes, x.Name) {
			s.Indexes = append(s.Indexes, x)
		}
	}
	return s
}

func allIndexes() []string {
	return []string{"email", "city-age", "age", "tag-city", "city-tag", "phone"}
}

func openDB(t testing.TB, fs vfs.FS) *lightning.DB {
	t.Helper()
	db, err := lightning.Open("db", &lightning.Options{
		FS: fs, Durability: lightning.DurabilityAsync, MemoryBudget: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// testDB returns an empty database that is closed at the end of the test.
func testDB(t testing.TB) *lightning.DB {
	t.Helper()
	db := openDB(t, memfs.New())
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openPeople(t testing.TB, db *lightning.DB, indexes ...string) *Table[person, int64] {
	t.Helper()
	people, err := Open(context.Background(), db, personSchema(indexes...))
	if err != nil {
		t.Fatal(err)
	}
	return people
}

func mustPut(t testing.TB, db *lightning.DB, people *Table[person, int64], all ...person) {
	t.Helper()
	err := db.Update(func(tx *lightning.Tx) error {
		for _, p := range all {
			if err := people.In(tx).Put(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func collect(q Query[person]) (all []person, err error) {
	for p, err := range q.All() {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func ids(all []person) []int64 {
	var out []int64
	for _, p := range all {
		out = append(out, p.ID)
	}
	return out
}

// expectIDs runs a query in a transaction of its own.
func expectIDs(
	t *testing.T, db *lightning.DB, people *Table[person, int64],
	build func(q Query[person]) Query[person], want ...int64,
) {
	t.Helper()
	err := db.View(func(tx *lightning.Tx) error {
		all, err := collect(build(people.In(tx).Query()))
		if got := ids(all); !slices.Equal(got, want) {
			t.Errorf("got %d, want %d", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, db *lightning.DB, people *Table[person, int64]) {
	t.Helper()
	if err := people.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestRowsAndIndexesChangeTogether(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, allIndexes()...)
	mustPut(t, db, people,
		person{ID: 1, Email: "a", City: "Oslo", Age: 30, Tags: []string{"x", "y", "x"}},
		person{ID: 2, Email: "b", City: "Oslo", Age: 20},
		person{ID: 3, Email: "c", City: "Rome", Age: 30, Tags: []string{"y"}},
	)
	inOslo := func(q Query[person]) Query[person] { return q.Where(city.Eq("Oslo")).OrderBy(age) }
	tagged := func(q Query[person]) Query[person] { return q.Where(tag.Eq("y")).OrderBy(id) }
	expectIDs(t, db, people, inOslo, 2, 1)
	expectIDs(t, db, people, tagged, 1, 3)

	mustPut(t, db, people, person{ID: 2, Email: "b", City: "Rome", Age: 20, Tags: []string{"y"}})
	expectIDs(t, db, people, inOslo, 1)
	expectIDs(t, db, people, tagged, 1, 2, 3)

	if err := db.Update(func(tx *lightning.Tx) error { return people.In(tx).Delete(1) }); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, db, people, inOslo)
	expectIDs(t, db, people, tagged, 2, 3)
	check(t, db, people)
}

func TestUpdate(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age", "email")
	mustPut(t, db, people, person{ID: 1, Email: "a", Age: 30}, person{ID: 2, Email: "b"})
	failed := errors.New("no")
	for _, c := range []struct {
		id   int64
		fn   func(p *person) error
		want error
	}{
		{1, func(p *person) error { p.Age++; return nil }, nil},
		{9, func(p *person) error { return nil }, lightning.ErrNotFound},
		{1, func(p *person) error { p.Age = 99; return failed }, failed},
		{1, func(p *person) error { p.ID = 7; return nil }, ErrKeyChanged},
		{1, func(p *person) error { p.Email = "b"; return nil }, ErrDuplicate},
	} {
		err := db.Update(func(tx *lightning.Tx) error {
			err := people.In(tx).Update(c.id, c.fn)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			return nil // commits what was written
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.Where(age.Eq(31)) }, 1)
	check(t, db, people)
}

// A violation leaves the transaction as it was: the row that was refused is in
// no index, and the transaction can commit the rest.
func TestDuplicatesAreRefusedWhole(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age", "email", "phone")
	mustPut(t, db, people, person{ID: 1, Email: "a", Age: 1, Phones: []string{"p", "q"}})
	err := db.Update(func(tx *lightning.Tx) error {
		var duplicate *DuplicateError
		err := people.In(tx).Put(person{ID: 2, Email: "b", Age: 2, Phones: []string{"o", "q"}})
		if !errors.As(err, &duplicate) || duplicate.Index != "phone" || duplicate.Table != "people" {
			t.Errorf("unexpected %v", err)
		} else {
			want := `table people: unique index phone: ("q") is in row (1), not to be in row (2)`
			if err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		}
		if err := people.In(tx).Insert(person{ID: 1, Email: "c"}); !errors.Is(err, ErrDuplicate) ||
			err.Error() != "table people: row (1) exists" {
			t.Errorf("unexpected %v", err)
		}
		// One that stays with its own row is no violation; what another row
		// has given up in the same transaction is free.
		if err := people.In(tx).Put(person{ID: 1, Email: "a", Age: 7, Phones: []string{"q"}}); err != nil {
			t.Error(err)
		}
		return people.In(tx).Insert(person{ID: 3, Email: "b", Age: 3, Phones: []string{"p"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.OrderBy(age) }, 3, 1)
	check(t, db, people)
}

// A write that fails in its middle, at a key that is too large, is rolled back.
func TestFailedWriteIsTakenBack(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "email", "city-age")
	mustPut(t, db, people, person{ID: 1, Email: "a", City: "Oslo"})
	long := string(make([]byte, lightning.MaxKeyBytes))
	err := db.Update(func(tx *lightning.Tx) error {
		err := people.In(tx).Put(person{ID: 1, Email: "b", City: long})
		if !errors.Is(err, lightning.ErrKeyTooLarge) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.Where(email.Eq("a")) }, 1)
	check(t, db, people)
}

// lossy is a codec that replaces bytes that are not UTF-8, as package encoding/json
// does.
type lossy struct{ JSON[person] }

func (lossy) Append(dst []byte, p person) ([]byte, error) {
	text, err := json.Marshal(p)
	return append(dst, text...), err
}

// The indexes follow what is stored, not what was given: they once held an entry that
// no change of the row took away.
func TestIndexesHoldWhatIsStored(t *testing.T) {
	db := testDB(t)
	schema := personSchema("city-age")
	schema.Codec = lossy{}
	people, err := Open(context.Background(), db, schema)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, people, person{ID: 1, City: "a\xff"})
	check(t, db, people)
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.Where(city.Eq("a\ufffd")) }, 1)
	if err := db.Update(func(tx *lightning.Tx) error { return people.In(tx).Delete(1) }); err != nil {
		t.Fatal(err)
	}
	check(t, db, people)
}

// A row was stored under another primary key than its record had, with U+FFFD in the
// place of what is not UTF-8, and not found under its own.
func TestRowsKeepTheirKeys(t *testing.T) {
	db := testDB(t)
	byEmail := Schema[person, string]{Name: "people", Key: email}
	people, err := Open(context.Background(), db, byEmail)
	if err != nil {
		t.Fatal(err)
	}
	byEmail.Name, byEmail.Codec = "lossy", lossy{}
	lossyPeople, err := Open(context.Background(), db, byEmail)
	if err != nil {
		t.Fatal(err)
	}
	bad := person{Email: "a\xff"}
	for name, c := range map[string]struct {
		write func(tx *lightning.Tx) error
		want  error
	}{
		"put":             {func(tx *lightning.Tx) error { return people.In(tx).Put(bad) }, ErrNotUTF8},
		"insert":          {func(tx *lightning.Tx) error { return people.In(tx).Insert(bad) }, ErrNotUTF8},
		"another text":    {func(tx *lightning.Tx) error { return people.In(tx).Put(person{Email: "b", City: "\xff"}) }, ErrNotUTF8},
		"text in a list":  {func(tx *lightning.Tx) error { return people.In(tx).Put(person{Email: "b", Tags: []string{"\xff"}}) }, ErrNotUTF8},
		"another codec":   {func(tx *lightning.Tx) error { return lossyPeople.In(tx).Put(bad) }, ErrLostKey},
		"the replacement": {func(tx *lightning.Tx) error { return people.In(tx).Put(person{Email: "\ufffd", City: `\ufffd`}) }, nil},
	} {
		err := db.Update(c.write)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "table ") {
			t.Errorf("%s: %q does not name the table", name, err)
		}
	}
	err = db.View(func(tx *lightning.Tx) error {
		all, err := collect(people.In(tx).Query())
		if len(all) != 1 || all[0].City != `\ufffd` {
			t.Errorf("stored: %+v", all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a record writes for itself as JSON is its own, also an escape.
func TestJSONEscapesOfRecords(t *testing.T) {
	type raw struct{ Text json.RawMessage }
	codec := JSON[raw]{}
	data, err := codec.Append(nil, raw{json.RawMessage(`"\ufffd"`)})
	if err != nil || string(data) != `{"Text":"\ufffd"}` {
		t.Errorf("%s, %v", data, err)
	}
}

// Two transactions that both saw nobody with an e-mail address do not both add
// one, whatever the index; nor do two that saw no row in a range.
func TestPhantomsAreCaught(t *testing.T) {
	for _, c := range []struct {
		name    string
		indexes []string
		cond    Cond[person]
	}{
		{"unique index", []string{"email"}, email.Eq("x")},
		{"prefix of an index", []string{"city-age"}, city.Eq("Oslo")},
		{"range of an index", []string{"age"}, age.Between(10, 20)},
		{"index of many", []string{"tag-city"}, tag.Eq("t")},
		{"primary key", nil, id.Between(0, 99)},
		{"all rows", nil, email.Eq("x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := testDB(t)
			people := openPeople(t, db, c.indexes...)
			mustPut(t, db, people, person{ID: -1, Email: "other", City: "Rome", Age: 99, Tags: []string{"u"}})
			begin := func(id int64) *lightning.Tx {
				tx, err := db.Begin(lightning.TxOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := people.In(tx).Query().Where(c.cond).First(); !errors.Is(err, lightning.ErrNotFound) {
					t.Fatalf("got %v", err)
				}
				p := person{ID: id, Email: "x", City: "Oslo", Age: 15, Tags: []string{"t"}}
				if err := people.In(tx).Put(p); err != nil {
					t.Fatal(err)
				}
				return tx
			}
			first, second := begin(1), begin(2)
			if err := first.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := second.Commit(); !errors.Is(err, lightning.ErrConflict) {
				t.Errorf("the second one got %v", err)
			}
		})
	}
}

// Changes of other rows are no conflicts: neither the definition nor the
// statistics are a place where all writers meet.
func TestWritersOfOtherRowsDoNotConflict(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "email", "city-age")
	var open []*lightning.Tx
	for n := range int64(3) {
		tx, err := db.Begin(lightning.TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(2000) { // enough to have the statistics stored
			p := person{ID: n*10000 + i, Email: string(keyenc.Format(catalogue.Key(n, i))), City: "Oslo"}
			if err := people.In(tx).Put(p); err != nil {
				t.Fatal(err)
			}
		}
		open = append(open, tx)
	}
	for _, tx := range open {
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
	if rows := people.counts.known.Load().Rows; rows < 2000 {
		t.Errorf("%d rows were stored", rows)
	}
}

func TestTransactionsThatMustNotWrite(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	mustPut(t, db, people, person{ID: 1, Age: 1})
	for _, c := range []struct {
		options lightning.TxOptions
		want    error
	}{
		{lightning.TxOptions{ReadOnly: true}, lightning.ErrReadOnly},
		{lightning.TxOptions{Isolation: lightning.SnapshotIsolation}, ErrIsolation},
	} {
		tx, err := db.Begin(c.options)
		if err != nil {
			t.Fatal(err)
		}
		if err := people.In(tx).Put(person{ID: 2}); !errors.Is(err, c.want) {
			t.Errorf("Put: got %v, want %v", err, c.want)
		}
		if err := people.In(tx).Delete(1); !errors.Is(err, c.want) {
			t.Errorf("Delete: got %v, want %v", err, c.want)
		}
		if p, err := people.In(tx).Get(1); err != nil || p.Age != 1 {
			t.Errorf("Get: got %v, %v", p, err)
		}
		tx.Rollback()
		if _, err := people.In(tx).Get(1); !errors.Is(err, lightning.ErrTxEnded) {
			t.Errorf("after the end: %v", err)
		}
		if _, err := collect(people.In(tx).Query()); !errors.Is(err, lightning.ErrTxEnded) {
			t.Errorf("after the end: %v", err)
		}
	}
	other := testDB(t)
	err := other.Update(func(tx *lightning.Tx) error { return people.In(tx).Put(person{ID: 3}) })
	if !errors.Is(err, lightning.ErrForeignKeyspace) {
		t.Errorf("in another database: %v", err)
	}
}

// point is a composite key by way of Element.
type point struct{ X, Y int }

func (p point) KeyElement() any { return keyenc.Tuple{p.X, p.Y} }

func TestCompositeKeys(t *testing.T) {
	type dot struct {
		At    point
		Color string
	}
	at := One("at", func(d dot) point { return d.At })
	place := One("place", func(d dot) keyenc.Tuple { return keyenc.Tuple{d.Color, d.At.Y} })
	db := testDB(t)
	dots, err := Open(context.Background(), db, Schema[dot, point]{
		Name: "dots", Key: at,
		Indexes: []Index[dot]{{Name: "place", On: []Column[dot]{place}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *lightning.Tx) error {
		for _, d := range []dot{{point{1, 2}, "red"}, {point{1, -2}, "blue"}, {point{-300, 5}, "red"}} {
			if err := dots.In(tx).Put(d); err != nil {
				return err
			}
		}
		d, err := dots.In(tx).Get(point{1, -2})
		if err != nil || d.Color != "blue" {
			t.Errorf("got %v, %v", d, err)
		}
		var got []point
		for d, err := range dots.In(tx).Query().Where(HasPrefix(place, keyenc.Tuple{"red"})).OrderBy(at).All() {
			if err != nil {
				return err
			}
			got = append(got, d.At)
		}
		if want := []point{{-300, 5}, {1, 2}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The transaction may change rows while a query runs over them.
func TestChangesInsideTheLoop(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age", "tag-city")
	for n := range int64(10) {
		mustPut(t, db, people, person{ID: n, Age: int(n), Tags: []string{"a", "b"}})
	}
	err := db.Update(func(tx *lightning.Tx) error {
		var seen []int64
		for p, err := range people.In(tx).Query().Where(age.Ge(0)).OrderBy(age).All() {
			if err != nil {
				return err
			}
			seen = append(seen, p.ID)
			p.Age += 100 // would be met again further on
			if err := errors.Join(people.In(tx).Put(p), people.In(tx).Delete(p.ID+5)); err != nil {
				return err
			}
		}
		if want := []int64{0, 1, 2, 3, 4}; !slices.Equal(seen, want) {
			t.Errorf("got %d, want %d", seen, want)
		}
		all, err := collect(people.In(tx).Query().Where(tag.Exists()))
		if len(all) != 5 {
			t.Errorf("got %d rows with tags", len(all))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	check(t, db, people)
}

// A row that a change moves from one range of the index to the next, which the query comes to
// later, was met.
func TestChangesAcrossRanges(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	for n := range int64(6) {
		mustPut(t, db, people, person{ID: n, Age: 1 + int(n)})
	}
	count, err := people.Query().Where(age.In(2, 3, 4)).Update(func(p *person) error {
		p.Age++
		return nil
	})
	if err != nil || count != 3 {
		t.Errorf("%d rows were changed, %v", count, err)
	}
	for id, want := range []int{1, 3, 4, 5, 5, 6} {
		if p, err := people.Get(int64(id)); err != nil || p.Age != want {
			t.Errorf("%d is %d, %v; want %d", id, p.Age, err, want)
		}
	}
	check(t, db, people)
}

func TestQueriesThatCannotBe(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	var zero Attr[person, int]
	var any = One("any", func(p person) any { return nil })
	err := db.View(func(tx *lightning.Tx) error {
		for name, q := range map[string]Query[person]{
			"order by many": people.In(tx).Query().OrderBy(tag),
			"order by zero": people.In(tx).Query().OrderBy(zero),
			"zero":          people.In(tx).Query().Where(zero.Eq(1)),
			"zero exists":   people.In(tx).Query().Where(zero.Exists()),
			"no condition":  people.In(tx).Query().Where(Cond[person]{}),
			"no encoding":   people.In(tx).Query().Where(any.Eq(make(chan int))),
		} {
			if _, err := collect(q); err == nil {
				t.Errorf("%s: no error", name)
			}
			if _, err := q.Explain(); err == nil {
				t.Errorf("%s: no error from Explain", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A query that would sort too much takes a path that does not sort, or fails.
func TestQueryMemoryIsBounded(t *testing.T) {
	defer func(old int) { queryBytesMax = old }(queryBytesMax)
	queryBytesMax = 1000
	db := testDB(t)
	people := openPeople(t, db, "age", "tag-city")
	for n := range int64(100) {
		mustPut(t, db, people, person{ID: n, Email: "e", Age: int(n % 7), Tags: []string{"a", "b"}})
	}
	err := db.View(func(tx *lightning.Tx) error {
		for _, c := range []struct {
			name, first string // the path that is tried first
			q           Query[person]
			rows        int
			want        error
		}{
			{"no index gives it", "all rows", people.In(tx).Query().OrderBy(email), 0, ErrQueryMemory},
			{"a limit helps", "all rows", people.In(tx).Query().OrderBy(email).Limit(3), 3, nil},
			{"an index gives it", "all rows", people.In(tx).Query().OrderBy(age), 100, nil},
			{"twice each", "index tag-city", people.In(tx).Query().Where(tag.Exists()), 0, ErrQueryMemory},
			{"unsorted", "all rows", people.In(tx).Query().Where(tag.Exists()), 100, nil},
		} {
			q, v, err := c.q.prepared(tx)
			if err != nil {
				return err
			}
			p := q.plan(v)
			at := slices.IndexFunc(p.paths, func(p path[person]) bool { return p.access() == c.first })
			p.paths[0], p.paths[at] = p.paths[at], p.paths[0]
			rows := 0
			err = q.run(p, func([]byte, person) error { rows++; return nil })
			if err == errStopped {
				err = nil
			}
			if c.want == nil && rows != c.rows || !errors.Is(err, c.want) {
				t.Errorf("%s: got %d rows, %v", c.name, rows, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Check, and a query, see rows and indexes that were written past the table.
func TestCheckFindsWhatIsOutOfStep(t *testing.T) {
	for name, damage := range map[string]func(people *Table[person, int64]) error{
		"row without entry": func(people *Table[person, int64]) error {
			return people.indexes[0].keyspace.DeleteRange(nil, nil)
		},
		"entry without row": func(people *Table[person, int64]) error {
			return people.rows.Delete(catalogue.Key(1))
		},
		"changed row": func(people *Table[person, int64]) error {
			return people.rows.Put(catalogue.Key(1), []byte(`{"ID":1,"Age":6}`))
		},
		"moved row": func(people *Table[person, int64]) error {
			return people.rows.Put(catalogue.Key(1), []byte(`{"ID":2,"Age":5}`))
		},
		"malformed entry": func(people *Table[person, int64]) error {
			return people.indexes[0].keyspace.Put(catalogue.Key(5, 1), []byte{9})
		},
	} {
		db := testDB(t)
		people := openPeople(t, db, "age")
		mustPut(t, db, people, person{ID: 1, Age: 5})
		check(t, db, people)
		if err := damage(people); err != nil {
			t.Fatal(err)
		}
		if err := people.Check(); !errors.Is(err, lightning.ErrCorrupted) {
			t.Errorf("%s: got %v", name, err)
		}
		if name == "entry without row" || name == "malformed entry" {
			err := db.View(func(tx *lightning.Tx) error {
				_, err := collect(people.In(tx).Query().Where(age.Eq(5)))
				return err
			})
			if !errors.Is(err, lightning.ErrCorrupted) {
				t.Errorf("%s: the query got %v", name, err)
			}
		}
	}
}

// What is not there is an error that says so.
func TestZeroTables(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "city-age")
	var none Table[person, int64]
	var noTx *lightning.Tx
	first := func(q Query[person]) error {
		_, err := q.First()
		return err
	}
	get := func(t *Table[person, int64], tx *lightning.Tx) error {
		_, err := t.In(tx).Get(1)
		return err
	}
	err := db.Update(func(tx *lightning.Tx) error {
		mustBe := func(want error, answers ...error) {
			t.Helper()
			for i, err := range answers {
				if !errors.Is(err, want) {
					t.Errorf("answer %d: got %v, want %v", i, err, want)
				}
			}
		}
		_, explainErr := none.In(tx).Query().Explain()
		change := func(*person) error { return nil }
		mustBe(lightning.ErrClosed, none.In(tx).Put(person{}), none.In(tx).Insert(person{}), get(&none, tx), none.In(tx).Update(1, change),
			none.In(tx).Delete(1), none.In(tx).Check(), none.Analyze(t.Context()), none.Build(t.Context(), nil), explainErr,
			first(none.In(tx).Query()), first(none.In(tx).Query().Filter(nil)), first(Query[person]{}), people.In(new(lightning.Tx)).Put(person{}),
			get(people, new(lightning.Tx)))
		_, openErr := Open(context.Background(), nil, personSchema())
		_, aloneErr := none.Get(1)
		_, hasErr := none.Has(1)
		_, countErr := none.Query().Count()
		_, pageErr := none.Query().Page("", 1)
		_, deleteErr := none.Query().Delete()
		mustBe(lightning.ErrClosed, aloneErr, hasErr, countErr, pageErr, deleteErr, none.Put(person{}), none.Check(), first(none.Query()),
			Rows[person, int64]{}.Put(person{}), Rows[person, int64]{}.Check(), first(Rows[person, int64]{}.Query()))
		mustBe(lightning.ErrClosed, openErr, Drop(context.Background(), nil, "people"), DropIndex(context.Background(), nil, "people", "city-age"))
		mustBe(lightning.ErrNilArgument, people.In(noTx).Put(person{}), people.In(noTx).Insert(person{}), get(people, noTx),
			people.In(noTx).Update(1, change), people.In(tx).Update(1, nil), people.In(noTx).Delete(1), people.In(noTx).Check(),
			first(people.In(noTx).Query()), first(people.In(tx).Query().Filter(nil)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
