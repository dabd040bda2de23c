package table

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files")

// TestExplain compares plans with testdata/explain.txt, before and after the
// table was counted.
func TestExplain(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, allIndexes()...)
	var all []person
	for n := range int64(2000) {
		p := person{ID: n, Email: fmt.Sprint("e", n), City: fmt.Sprint("c", n%20), Age: int(n % 100)}
		if n%10 == 0 {
			p.Tags = []string{"vip", fmt.Sprint("t", n%7)}
		}
		all = append(all, p)
	}
	mustPut(t, db, people, all...)
	var text strings.Builder
	err := db.View(func(tx *lightning.Tx) error {
		q := people.In(tx).Query()
		nobody := func(person) bool { return false }
		return explain(&text, []Query[person]{
			q,
			q.Where(id.Eq(7)),
			q.Where(id.Between(100, 199)).OrderBy(age),
			q.Where(email.Eq("e7"), age.Lt(50)),
			q.Where(city.Eq("c3"), age.Ge(90)),
			q.Where(city.Eq("c3")).OrderBy(age).Reverse().Limit(5),
			q.Where(city.Eq("c3")).OrderBy(city, age),
			q.Where(HasPrefix(city, "c1")).Filter(nobody),
			q.OrderBy(age).Limit(10),
			q.OrderBy(email, id),
			q.Where(tag.Eq("vip"), city.Eq("c0")),
			q.Where(tag.Exists()),
			q.Where(age.Gt(5), age.Lt(3)),
			q.Where(age.Le(98)),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := people.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(&text, "== after Analyze ==\n\n")
	people = openPeople(t, db, allIndexes()...) // what was stored is what is used
	err = db.View(func(tx *lightning.Tx) error {
		q := people.In(tx).Query()
		return explain(&text, []Query[person]{
			q.Where(id.Between(100, 199)).OrderBy(age),
			q.Where(city.Eq("c3"), age.Ge(90)),
			q.Where(HasPrefix(city, "c1")),
			q.OrderBy(age).Limit(10),
			q.OrderBy(age),
			q.Where(tag.Eq("vip"), city.Eq("c0")),
			q.Where(tag.Exists()),
			q.Where(age.Le(98)),
			q.Where(age.Gt(98), city.Gt("c15")),
			q.Where(city.In("c3", "c4"), age.Ge(90)).OrderBy(city, age).After(person{City: "c3", Age: 95}).Limit(5),
			q.Where(Or(email.Eq("e7"), And(city.Eq("c3"), age.Eq(63)))).Offset(1),
			q.Where(Or(email.Eq("e7"), phone.Exists(), city.Gt("c"))),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "explain.txt")
	if *rewrite {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got (go test -rewrite accepts it):\n%s", text.String())
	}
}

// Statistics are exact after Analyze, kept as rows change, and there when the
// table is opened again.
func TestStatistics(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "city-age", "tag-city", "email")
	var all []person
	for n := range int64(3000) {
		all = append(all, person{
			ID: n, Email: fmt.Sprint(n), City: fmt.Sprint(n % 10), Age: int(n % 100),
			Tags: []string{"a", fmt.Sprint(n % 2)},
		})
	}
	mustPut(t, db, people, all...)
	expectCounts := func(name string, s *catalogue.Statistics, rows int64, entries ...int64) {
		t.Helper()
		if s.Rows != rows {
			t.Errorf("%s: %d rows, want %d", name, s.Rows, rows)
		}
		for i, want := range entries {
			if got := s.Indexes[people.indexes[i].id].Entries; got != want {
				t.Errorf("%s: %d entries in %s, want %d", name, got, people.indexes[i].name, want)
			}
		}
	}
	order := []int64{3000, 3000, 6000} // email, city-age, tag-city: the order of the schema
	expectCounts("after writing", people.now(), 3000, order...)
	people = openPeople(t, db, "city-age", "tag-city", "email")
	if rows := people.now().Rows; rows < 2000 || rows > 3000 {
		t.Errorf("%d rows were stored by the way", rows)
	}
	if err := people.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectCounts("analyzed", people.now(), 3000, order...)
	for name, want := range map[string]string{
		"email": "[3000]", "city-age": "[10 100]", "tag-city": "[3 20]",
	} {
		for _, x := range people.indexes {
			s := people.now().Indexes[x.id]
			if got := fmt.Sprint(s.Distinct); x.name == name && got != want {
				t.Errorf("%s: %s values, want %s", name, got, want)
			}
			if len(s.Samples) < samplesMax/4 || len(s.Samples) >= samplesMax {
				t.Errorf("%s: %d samples", x.name, len(s.Samples))
			}
		}
	}
	err := db.Update(func(tx *lightning.Tx) error {
		for n := range int64(500) {
			if err := people.In(tx).Delete(n); err != nil {
				return err
			}
		}
		return people.In(tx).Put(person{ID: 4000})
	})
	if err != nil {
		t.Fatal(err)
	}
	expectCounts("changed", people.now(), 2501, 2501, 2501, 5000)
	people.fold()
	expectCounts("folded", people.now(), 2501, 2501, 2501, 5000)
	people = openPeople(t, db, "city-age", "tag-city", "email")
	expectCounts("opened again", people.now(), 2501, 2501, 2501, 5000)
}

// Estimates are near the truth for values that are spread evenly and for a few
// that are frequent.
func TestEstimates(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "city-age", "age", "email")
	var all []person
	for n := range int64(4000) {
		p := person{ID: n, Email: fmt.Sprint(n), City: fmt.Sprint("c", n), Age: int(n)}
		if n%2 == 0 {
			p.City = "everywhere"
		}
		all = append(all, p)
	}
	mustPut(t, db, people, all...)
	if err := people.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cond       Cond[person]
		least, max int64
	}{
		{age.Between(1000, 1999), 900, 1100},
		{age.Ge(3000), 900, 1100},
		{age.Lt(1), 0, 50},
		{age.Gt(9999), 0, 50},
		{city.Eq("everywhere"), 1800, 2200},
		{city.Eq("c77"), 1, 10},
		{email.Eq("77"), 1, 1},
		{id.Eq(7), 1, 1},
		{id.Lt(2000), 1900, 2100},
		{age.Between(5, 4), 0, 0},
	} {
		err := db.View(func(tx *lightning.Tx) error {
			plan, err := people.In(tx).Query().Where(c.cond).Explain()
			if err == nil && (plan.ResultRows < c.least || plan.ResultRows > c.max) {
				t.Errorf("%s: %d rows, want %d to %d", c.cond.text, plan.ResultRows, c.least, c.max)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// explain writes the plans of queries.
func explain(text *strings.Builder, queries []Query[person]) error {
	for _, q := range queries {
		plan, err := q.Explain()
		if err != nil {
			return err
		}
		fmt.Fprintln(text, plan)
	}
	return nil
}
