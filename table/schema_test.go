package table

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestSchemasThatCannotBe(t *testing.T) {
	db := testDB(t)
	otherAge := One("age", func(p person) int { return -p.Age })
	channel := One("channel", func(p person) chan int { return nil })
	nameless := One("", func(p person) int { return 0 })
	var zero Attr[person, int]
	index := func(name string, on ...Column[person]) []Index[person] { return []Index[person]{{Name: name, On: on}} }
	for want, s := range map[string]Schema[person, int64]{
		"table a b: name: " + nameRule:                    {Name: "a b", Key: id},
		"table a: primary key: a column is the zero Attr": {Name: "a"},
		"table a: primary key: must be made with One":     {Name: "a", Key: Many("id", func(p person) []int64 { return nil })},
		"table a: index /: name " + nameRule:              {Name: "a", Key: id, Indexes: index("/", age)},
		"table a: index x: has no columns":                {Name: "a", Key: id, Indexes: index("x")},
		"table a: index x: is declared twice":             {Name: "a", Key: id, Indexes: append(index("x", age), index("x", city)...)},
		"table a: index x: a column is the zero Attr":     {Name: "a", Key: id, Indexes: index("x", age, zero)},
		"table a: index y: a column is the zero Attr":     {Name: "a", Key: id, Indexes: index("y", nil)},
		"table a: index x: an attribute has no name":      {Name: "a", Key: id, Indexes: index("x", nameless)},
		"table a: index x: two attributes are called age": {Name: "a", Key: id, Indexes: index("x", age, otherAge)},
		"table a: index x: the values of attribute channel are of a type that has no encoding": {
			Name: "a", Key: id, Indexes: index("x", channel),
		},
	} {
		_, err := Open(context.Background(), db, s)
		if err == nil || err.Error() != want || !errors.As(err, new(*DefinitionError)) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if names := db.Keyspaces(); len(names) > 0 {
		t.Errorf("keyspaces %q were made", names)
	}
}

// upper is another codec.
type upper struct{ JSON[person] }

func (upper) Name() string { return "upper" }

// A declaration that contradicts the catalogue is refused, and says how.
func TestDefinitionsThatDiffer(t *testing.T) {
	db := testDB(t)
	base := personSchema("email", "city-age")
	openPeople(t, db, "email", "city-age")
	text := One("id", func(p person) string { return p.Email })
	_, err := Open(context.Background(), db, Schema[person, string]{Name: "people", Key: text, Indexes: base.Indexes})
	expectError(t, err, "table people: primary key: was id (integer) and is declared as id (string)")

	changed := base
	changed.Codec = upper{}
	_, err = Open(context.Background(), db, changed)
	expectError(t, err, "table people: codec: was json and is declared as upper")

	changed = base
	changed.Indexes = slices.Clone(base.Indexes)
	changed.Indexes[0].Unique = false
	_, err = Open(context.Background(), db, changed)
	expectError(t, err, "table people: index email: was unique on email (string) and is declared as on email (string)")

	changed.Indexes = slices.Clone(base.Indexes)
	changed.Indexes[1].On = []Column[person]{age, city}
	_, err = Open(context.Background(), db, changed)
	expectError(t, err, "table people: index city-age: was on city (string), age (integer) "+
		"and is declared as on age (integer), city (string)")

	changed.Attributes = nil
	changed.Indexes = slices.Clone(base.Indexes)
	changed.Indexes[0].On = []Column[person]{Many("email", func(p person) []string { return nil })}
	_, err = Open(context.Background(), db, changed)
	expectError(t, err, "table people: index email: was unique on email (string) "+
		"and is declared as unique on email (many of string)")

	changed.Indexes = base.Indexes[:1]
	_, err = Open(context.Background(), db, changed)
	expectError(t, err, "table people: index city-age: is in the database and not declared; DropIndex removes it")

	// What was refused has changed nothing.
	people := openPeople(t, db, "city-age", "email")
	mustPut(t, db, people, person{ID: 1})
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want || !errors.As(err, new(*DefinitionError)) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestDropIndexAndMakeItAgain(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age", "email")
	mustPut(t, db, people, person{ID: 1, Age: 5})
	reader, err := db.Begin(lightning.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	if err := DropIndex(context.Background(), db, "people", "age"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"age", "nothing"} {
		if err := DropIndex(context.Background(), db, "people", name); !errors.Is(err, lightning.ErrNotFound) {
			t.Errorf("drop index %s: %v", name, err)
		}
	}
	err = db.Update(func(tx *lightning.Tx) error { return people.In(tx).Put(person{ID: 2}) })
	if !errors.Is(err, ErrStale) {
		t.Errorf("a handle with an index that was dropped: %v", err)
	}
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.Where(age.Eq(5)) }, 1)

	// The new index of the name is not taken for the old one by a transaction
	// that is older than both.
	people = openPeople(t, db, "age", "email")
	if err := people.Build(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all, err := collect(people.In(reader).Query().Where(age.Eq(5)))
	if len(all) != 1 || err != nil {
		t.Errorf("an old reader got %v, %v", all, err)
	}
	check(t, db, people)
}

func TestDropTable(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age", "email")
	mustPut(t, db, people, person{ID: 1, Age: 5})
	openPeople(t, db, "age", "email", "city-age") // has progress
	other, err := Open(context.Background(), db, Schema[person, int64]{Name: "people2", Key: id})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, other, person{ID: 9})
	if err := Drop(context.Background(), db, "people"); err != nil {
		t.Fatal(err)
	}
	if err := Drop(context.Background(), db, "people"); !errors.Is(err, lightning.ErrNotFound) {
		t.Errorf("dropped again: %v", err)
	}
	err = db.View(func(tx *lightning.Tx) error {
		_, err := people.In(tx).Get(1)
		return err
	})
	if !errors.Is(err, ErrStale) {
		t.Errorf("a handle to a table that was dropped: %v", err)
	}
	if names := db.Keyspaces(); !slices.Equal(names, []string{catalogue.Name, "table/people2/1"}) {
		t.Errorf("keyspaces %q are left", names)
	}
	people = openPeople(t, db, "city-age") // with another definition
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q })
	expectIDs(t, db, other, func(q Query[person]) Query[person] { return q }, 9)
	if used := indexesUsed(t, db, people); !slices.Equal(used, []string{"city-age"}) {
		t.Errorf("%q are used", used)
	}
}

func TestReadOnlyDatabase(t *testing.T) {
	fs := memfs.New()
	db := openDB(t, fs)
	people := openPeople(t, db, "age")
	mustPut(t, db, people, person{ID: 1, Age: 5})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := lightning.Open("db", &lightning.Options{FS: fs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	people = openPeople(t, db, "age")
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.Where(age.Eq(5)) }, 1)
	if _, err := Open(context.Background(), db, personSchema("age", "email")); !errors.Is(err, lightning.ErrReadOnly) {
		t.Errorf("a new index: %v", err)
	}
}

// kinds are stored: they must not change.
func TestKinds(t *testing.T) {
	type flag bool
	type small uint8
	for _, c := range []struct{ got, want string }{
		{kind[flag](), "bool"}, {kind[small](), "integer"}, {kind[time.Duration](), "integer"},
		{kind[float32](), "float"}, {kind[json.Number](), "string"}, {kind[json.RawMessage](), "bytes"},
		{kind[time.Time](), "time"}, {kind[[16]byte](), "uuid"}, {kind[keyenc.UUID](), "uuid"},
		{kind[keyenc.Tuple](), "tuple"}, {kind[keyenc.Descending](), "any"}, {kind[any](), "any"},
		{kind[point](), "any"}, {kind[[]int](), ""}, {kind[[15]byte](), ""}, {kind[*int](), ""},
		{kind[struct{}](), ""}, {kind[[]any](), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func kind[V any]() string {
	name, _ := encoderOf[V]()
	return name
}
