package table

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
)

func openNamed(t *testing.T, db *lightning.DB, name string, indexes ...string) (*Table[person, int64], error) {
	t.Helper()
	s := personSchema(indexes...)
	s.Name = name
	return Open(context.Background(), db, s)
}

// A table with an index that is half built gets another name, and its own back.
func TestRename(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	mustPut(t, db, people, person{ID: 1, Age: 1}, person{ID: 2, Age: 2}, person{ID: 3, Age: 3})
	if err := people.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	people = openPeople(t, db, "age", "email")
	if _, err := people.buildSome(t.Context(), people.indexes[1], 1); err != nil {
		t.Fatal(err)
	}
	old := people
	for _, step := range []struct{ from, to string }{{"people", "persons"}, {"persons", "folk"}, {"folk", "persons"}, {"persons", "people"}} {
		if err := Rename(t.Context(), db, step.from, step.to); err != nil {
			t.Fatal(err)
		}
		if _, err := old.Get(1); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "is called "+step.to+" now") {
			t.Errorf("%v: the old handle says %v", step, err)
		}
		if _, err := openNamed(t, db, step.from, "age", "email"); err == nil || !strings.Contains(err.Error(), "the table is called "+step.to+" now") {
			t.Errorf("%v: open says %v", step, err)
		}
		var err error
		if old, err = openNamed(t, db, step.to, "age", "email"); err != nil {
			t.Fatal(err)
		}
		sound(t, old, nil)
		if n, err := old.Query().Where(age.Ge(2)).Count(); n != 2 || err != nil || !old.counts.known.Load().Analyzed {
			t.Errorf("%v: %d rows, %v, statistics %v", step, n, err, old.counts.known.Load())
		}
	}
	if names := db.Keyspaces(); len(names) != 4 {
		t.Errorf("keyspaces %q", names)
	}
	mustPut(t, db, old, person{ID: 2, Email: "b"}, person{ID: 3, Email: "c"})
	sound(t, old, old.Build(t.Context(), nil))
	if used := indexesUsed(t, db, old); len(used) != 2 {
		t.Errorf("%q are used", used)
	}
}

// A table that was dropped after it got another name leaves nothing, and can be made anew.
func TestRenameAndDrop(t *testing.T) {
	db := testDB(t)
	mustPut(t, db, openPeople(t, db, "age"), person{ID: 1})
	if err := errors.Join(Rename(t.Context(), db, "people", "folk"), Drop(t.Context(), db, "folk")); err != nil {
		t.Fatal(err)
	}
	if names := db.Keyspaces(); len(names) != 1 {
		t.Errorf("keyspaces %q are left", names)
	}
	folk, err := openNamed(t, db, "folk", "age")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := folk.Query().Count(); n != 0 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	sound(t, folk, folk.Put(person{ID: 2}))
}

func TestRenameThatCannotBe(t *testing.T) {
	db := testDB(t)
	openPeople(t, db)
	if _, err := openNamed(t, db, "other"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to, reason string
	}{
		{"people", "a b", "must have 1 to 200 letters"},
		{"people", "other", "is or was that of another table"},
		{"people", "people", "is or was that of another table"},
		{"none", "new", "not found"},
	} {
		if err := Rename(t.Context(), db, c.from, c.to); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%v: got %v", c, err)
		}
	}
}
