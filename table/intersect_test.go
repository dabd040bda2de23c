package table

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lightningdb/lightning"
)

// tagged opens a table in which one row in every[0] has a given city, one in every[1] a
// given age and one in every[2] a given tag, which have nothing to do with one another.
func tagged(t testing.TB, rows int64, every ...int64) (*lightning.DB, *Table[person, int64]) {
	t.Helper()
	db := testDB(t)
	people := openPeople(t, db, "city-age", "age", "tag-city")
	var all []person
	for n := range rows {
		p := person{ID: n, City: "c" + fmt.Sprint(n%every[0]), Age: int(n / every[0] % every[1])}
		p.Tags = []string{"t" + fmt.Sprint(n/every[0]/every[1]%every[2])}
		if all = append(all, p); len(all) == 1000 || n == rows-1 {
			mustPut(t, db, people, all...)
			all = all[:0]
		}
	}
	if err := people.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, people
}

func accessOf(t *testing.T, q Query[person]) string {
	t.Helper()
	plan, err := q.Explain()
	if err != nil {
		t.Fatal(err)
	}
	return plan.Candidates[0].Access
}

// The planner intersects indexes where each leaves many rows and all leave few.
func TestIntersectionsPay(t *testing.T) {
	_, people := tagged(t, 4000, 10, 10, 10)
	both := people.Query().Where(city.Eq("c1"), tag.Eq("t1"))
	for _, c := range []struct {
		query  Query[person]
		access string
	}{
		{both, "index tag-city"}, // which bounds both
		{people.Query().Where(age.Eq(3), tag.Eq("t1")), "index age and index tag-city"},
		{people.Query().Where(age.Eq(3), city.Eq("c1"), tag.Eq("t1")), "index city-age and index tag-city"},
		{people.Query().Where(age.Eq(3), tag.Eq("t1")).Limit(1), "index age"},
		{people.Query().Where(age.Le(9), tag.Eq("t1")), "index tag-city"}, // all ages
		{people.Query().Where(id.Eq(7), age.Eq(3), tag.Eq("t1")), "primary key"},
		{people.Query().Where(age.Eq(3), tag.Eq("t1")).OrderBy(id), "index age and index tag-city"},
	} {
		if got := accessOf(t, c.query); got != c.access {
			plan, _ := c.query.Explain()
			t.Errorf("not %s:\n%s", c.access, plan)
		}
	}
	q := people.Query().Where(age.Eq(3), tag.Eq("t1")).OrderBy(id)
	all, err := collect(q.Reverse().Limit(3))
	if got := ids(all); !slices.Equal(got, []int64{3139, 3138, 3137}) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if n, err := q.Count(); n != 40 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// Primary keys that do not fit in memory are no reason to fail: another path is taken.
func TestIntersectionWithoutMemory(t *testing.T) {
	defer func(old int) { queryBytesMax = old }(queryBytesMax)
	_, people := tagged(t, 1000, 5, 5, 5)
	q := people.Query().Where(age.Eq(3), tag.Eq("t1"))
	if access := accessOf(t, q); access != "index age and index tag-city" {
		t.Fatal(access)
	}
	queryBytesMax = 100
	for _, q := range []Query[person]{q, q.OrderBy(id), q.Reverse()} {
		all, err := collect(q)
		if len(all) != 40 || err != nil {
			t.Errorf("got %d rows, %v", len(all), err)
		}
	}
}

// A loop that deletes what is still to come does not meet it; entries without a row, in a
// query that sees one moment, are damage.
func TestIntersectionOfRowsThatGo(t *testing.T) {
	db, people := tagged(t, 1000, 5, 5, 5)
	want := 0
	err := db.Update(func(tx *lightning.Tx) error {
		rows := people.In(tx)
		for p, err := range rows.Query().Where(age.Eq(3), tag.Eq("t1")).All() {
			if err != nil {
				return err
			}
			if want++; want == 1 {
				if _, err := rows.Query().Where(id.Gt(p.ID + 2)).Delete(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if want != 3 || err != nil {
		t.Fatalf("%d rows, %v", want, err)
	}
	left, err := people.Query().Where(age.Eq(3), tag.Eq("t1")).First()
	if err != nil {
		t.Fatal(err)
	}
	primary, err := people.primary(left.ID)
	if err == nil {
		err = people.rows.Delete(primary)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = collect(people.Query().Where(age.Eq(3), tag.Eq("t1")))
	if !errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkIntersect finds rows by two conditions, of which one row in so many meets each,
// along the first index alone and along both.
func BenchmarkIntersect(b *testing.B) {
	for _, every := range []int64{3, 10, 50, 300} {
		db, people := tagged(b, benchRows, 1, every, every)
		for _, intersect := range []bool{false, true} {
			b.Run(fmt.Sprintf("every=%d/intersect=%t", every, intersect), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					benchPath(b, db, people.Query().Where(age.Eq(1), tag.Eq("t1")), intersect)
				}
			})
		}
	}
}

// benchPath runs a query along the cheapest path that intersects indexes, or does not.
func benchPath(b *testing.B, db *lightning.DB, q Query[person], intersect bool) {
	err := db.View(func(tx *lightning.Tx) error {
		prepared, v, err := q.prepared(tx)
		if err != nil {
			return err
		}
		plan := prepared.plan(v)
		at := slices.IndexFunc(plan.paths, func(p path[person]) bool { return p.meets != nil == intersect })
		return prepared.walk(&plan.paths[at], func([]byte, person) error { return nil })
	})
	if err != nil {
		b.Fatal(err)
	}
}
