package table

import (
	"context"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning"
)

const benchRows = 20000

// benchTable returns a table of benchRows rows, 20 in each city.
func benchTable(b *testing.B, indexes ...string) (*lightning.DB, *Table[person, int64]) {
	b.Helper()
	db := testDB(b)
	people := openPeople(b, db, indexes...)
	var all []person
	for n := range int64(benchRows) {
		all = append(all, benchPerson(n))
		if len(all) == 1000 {
			mustPut(b, db, people, all...)
			all = all[:0]
		}
	}
	if err := people.Analyze(b.Context()); err != nil {
		b.Fatal(err)
	}
	return db, people
}

func benchPerson(n int64) person {
	return person{
		ID: n, Email: fmt.Sprintf("person%d@example.org", n), City: fmt.Sprint("city", n%1000), Age: int(n % 90),
	}
}

// BenchmarkPut replaces rows, each in a transaction of its own; half of the
// indexes change.
func BenchmarkPut(b *testing.B) {
	for _, indexes := range [][]string{nil, {"email", "age"}, allIndexes()} {
		b.Run(fmt.Sprint("indexes=", len(indexes)), func(b *testing.B) {
			db, people := benchTable(b, indexes...)
			b.ReportAllocs()
			for n := int64(0); b.Loop(); n++ {
				p := benchPerson(n % benchRows)
				p.Age = int(n % 89)
				if err := db.Update(func(tx *lightning.Tx) error { return people.In(tx).Put(p) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	db, people := benchTable(b)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		err := db.View(func(tx *lightning.Tx) error {
			_, err := people.In(tx).Get(n * 7919 % benchRows)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	db, people := benchTable(b, "email", "city-age", "age")
	for _, c := range []struct {
		name  string
		rows  int
		query func(q Query[person], n int64) Query[person]
	}{
		{"primary", 1, func(q Query[person], n int64) Query[person] { return q.Where(id.Eq(n)) }},
		{"unique", 1, func(q Query[person], n int64) Query[person] {
			return q.Where(email.Eq(fmt.Sprintf("person%d@example.org", n)))
		}},
		{"equal", 20, func(q Query[person], n int64) Query[person] {
			return q.Where(city.Eq(fmt.Sprint("city", n%1000)))
		}},
		{"top10", 10, func(q Query[person], n int64) Query[person] { return q.OrderBy(age).Limit(10) }},
		{"scan", benchRows, func(q Query[person], n int64) Query[person] { return q }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for n := int64(0); b.Loop(); n++ {
				err := db.View(func(tx *lightning.Tx) error {
					rows := 0
					for _, err := range c.query(people.In(tx).Query(), n*7919%benchRows).All() {
						if err != nil {
							return err
						}
						rows++
					}
					if rows != c.rows {
						b.Fatalf("%d rows", rows)
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPage reads a page of 20 rows from the middle of an order that an index gives;
// BenchmarkCount counts 20 rows that it does not read.
func BenchmarkPage(b *testing.B) {
	_, people := benchTable(b, "city-age")
	query := people.Query().Where(city.In("city1", "city2")).OrderBy(city, age)
	first, err := query.Page("", 10)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if page, err := query.Page(first.Next, 20); err != nil || len(page.Rows) != 20 {
			b.Fatal(page, err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	_, people := benchTable(b, "city-age")
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		if rows, err := people.Query().Where(city.Eq(fmt.Sprint("city", n%1000))).Count(); err != nil || rows != 20 {
			b.Fatal(rows, err)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	db, people := benchTable(b, allIndexes()...)
	b.ReportAllocs()
	err := db.View(func(tx *lightning.Tx) error {
		q := people.In(tx).Query().Where(city.Eq("city7"), age.Ge(5)).OrderBy(age)
		for b.Loop() {
			if _, err := q.Explain(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBuild builds an index; a row is an operation.
func BenchmarkBuild(b *testing.B) {
	db, people := benchTable(b)
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		people = openPeople(b, db, "city-age")
		if err := people.Build(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
		if err := DropIndex(context.Background(), db, "people", "city-age"); err != nil {
			b.Fatal(err)
		}
		rows += benchRows
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}
