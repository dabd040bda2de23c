package table_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/table"
	"github.com/lightningdb/lightning/vfs/memfs"
)

type Person struct {
	Email     string
	City      string
	Age       int
	Languages []string
}

// The attributes of a person, each made once.
var (
	email    = table.One("email", func(p Person) string { return p.Email })
	city     = table.One("city", func(p Person) string { return p.City })
	age      = table.One("age", func(p Person) int { return p.Age })
	language = table.Many("language", func(p Person) []string { return p.Languages })
)

func peopleSchema() table.Schema[Person, string] {
	return table.Schema[Person, string]{
		Name: "people",
		Key:  email,
		Indexes: []table.Index[Person]{
			{Name: "city-age", On: []table.Column[Person]{city, age}},
			{Name: "language", On: []table.Column[Person]{language}},
		},
	}
}

func openPeople() (*lightning.DB, *table.Table[Person, string]) {
	db, err := lightning.Open("people", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	people, err := table.Open(context.Background(), db, peopleSchema())
	if err != nil {
		panic(err)
	}
	err = db.Update(func(tx *lightning.Tx) error {
		return errors.Join(
			people.In(tx).Put(Person{"ada@example.org", "London", 36, []string{"English", "French"}}),
			people.In(tx).Put(Person{"emmy@example.org", "Erlangen", 53, []string{"German", "English"}}),
			people.In(tx).Put(Person{"alan@example.org", "London", 41, nil}),
			people.In(tx).Put(Person{"mary@example.org", "London", 72, []string{"English"}}),
		)
	})
	if err != nil {
		panic(err)
	}
	return db, people
}

func Example() {
	db, people := openPeople()
	defer db.Close()

	query := people.Query().Where(city.Eq("London"), age.Ge(40)).OrderBy(age).Reverse()
	for person, err := range query.All() {
		if err != nil {
			panic(err)
		}
		fmt.Println(person.Email, person.Age)
	}
	// Output:
	// mary@example.org 72
	// alan@example.org 41
}

// An attribute with many values makes an index with an entry for each.
func ExampleMany() {
	db, people := openPeople()
	defer db.Close()

	err := db.View(func(tx *lightning.Tx) error {
		for person, err := range people.In(tx).Query().Where(language.Eq("English")).OrderBy(email).All() {
			if err != nil {
				return err
			}
			fmt.Println(person.Email)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// ada@example.org
	// emmy@example.org
	// mary@example.org
	// <nil>
}

// Rows of all tables, and other keys, change together in one transaction.
func ExampleTable_Update() {
	db, people := openPeople()
	defer db.Close()

	birthday := func(email string) error {
		return db.Update(func(tx *lightning.Tx) error {
			err := people.In(tx).Update(email, func(p *Person) error {
				p.Age++
				return nil
			})
			if err != nil {
				return err
			}
			return tx.Put([]byte("last birthday"), []byte(email))
		})
	}
	fmt.Println(birthday("ada@example.org"))
	fmt.Println(birthday("bob@example.org"))

	_ = db.View(func(tx *lightning.Tx) error {
		ada, err := people.In(tx).Get("ada@example.org")
		fmt.Println(ada.Age, err)
		return nil
	})
	last, err := db.Get([]byte("last birthday"))
	fmt.Println(string(last), err)
	// Output:
	// <nil>
	// not found
	// 37 <nil>
	// ada@example.org <nil>
}

// Single rows are read and written without a transaction.
func ExampleTable() {
	db, people := openPeople()
	defer db.Close()

	fmt.Println(people.Insert(Person{Email: "bob@example.org", City: "Oslo", Age: 25}))
	fmt.Println(people.Update("bob@example.org", func(p *Person) error { p.Age++; return nil }))
	bob, err := people.Get("bob@example.org")
	fmt.Println(bob.Age, err)
	fmt.Println(people.Delete("bob@example.org"))
	fmt.Println(people.Has("bob@example.org"))
	// Output:
	// <nil>
	// <nil>
	// 26 <nil>
	// <nil>
	// false <nil>
}

// Pages of two rows, as a server would give them one by one.
func ExampleQuery_Page() {
	db, people := openPeople()
	defer db.Close()

	for cursor, more := "", true; more; more = cursor != "" {
		page, err := people.Query().OrderBy(age).Page(cursor, 2)
		if err != nil {
			panic(err)
		}
		fmt.Println(page.Rows[0].Age, page.Rows[1].Age)
		cursor = page.Next
	}
	// Output:
	// 36 41
	// 53 72
}

// One of several conditions holds.
func ExampleOr() {
	db, people := openPeople()
	defer db.Close()

	query := people.Query().Where(table.Or(
		city.In("Erlangen", "Oslo"),
		table.And(language.Eq("English"), age.Gt(50)),
	))
	fmt.Println(query.Count())
	n, err := query.Delete()
	fmt.Println(n, err)
	fmt.Println(people.Query().Count())
	// Output:
	// 2 <nil>
	// 2 <nil>
	// 2 <nil>
}

// An index is added to a table that has rows: it is built while others go on.
func ExampleTable_Build() {
	db, _ := openPeople()
	defer db.Close()

	schema := peopleSchema()
	schema.Indexes = append(schema.Indexes, table.Index[Person]{
		Name: "age", Unique: true, On: []table.Column[Person]{age},
	})
	people, err := table.Open(context.Background(), db, schema)
	if err != nil {
		panic(err)
	}
	err = people.Build(context.Background(), func(p table.BuildProgress) {
		fmt.Println("index", p.Index, "has seen", p.Rows, "rows")
	})
	fmt.Println(err)

	err = db.Update(func(tx *lightning.Tx) error {
		return people.In(tx).Put(Person{Email: "bob@example.org", Age: 41})
	})
	fmt.Println(errors.Is(err, table.ErrDuplicate))
	fmt.Println(err)
	// Output:
	// index age has seen 4 rows
	// <nil>
	// true
	// table people: unique index age: (41) is in row ("alan@example.org"), not to be in row ("bob@example.org")
}

// Explain says which index a query uses, and why.
func ExampleQuery_Explain() {
	db, people := openPeople()
	defer db.Close()

	_ = db.View(func(tx *lightning.Tx) error {
		plan, err := people.In(tx).Query().Where(city.Eq("London"), age.Between(30, 40)).Explain()
		fmt.Print(plan)
		return err
	})
	// Output:
	// people where city = "London" and age >= 30 and <= 40: about 10 of 1000 rows
	// uses index city-age: cost 34.0, the next best 1001.0
	//   index city-age with city = "London" and age >= 30 and <= 40: reads 10, cost 34.0
	//   all rows: reads 1000, checks city = "London" and age >= 30 and <= 40, cost 1001.0
	//   index language: not usable, lacks rows without language
}

// Sessions end an hour after they were last written, with their index entries.
func ExampleExpiry() {
	db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	type Session struct{ Token, User string }
	token := table.One("token", func(s Session) string { return s.Token })
	user := table.One("user", func(s Session) string { return s.User })
	sessions, err := table.Open(context.Background(), db, table.Schema[Session, string]{
		Name: "sessions", Key: token,
		Indexes: []table.Index[Session]{{Name: "user", On: []table.Column[Session]{user}}},
		Expiry:  &table.Expiry[Session]{TTL: time.Hour},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(sessions.Put(Session{"t1", "ada"}))
	fmt.Println(sessions.PutWithTTL(Session{"t2", "ada"}, time.Minute)) // this one is over sooner
	fmt.Println(sessions.Touch("t1", 24*time.Hour))
	at, err := sessions.ExpiresAt("t1")
	fmt.Println(time.Until(at) > 23*time.Hour, err)
	fmt.Println(sessions.Query().Where(user.Eq("ada")).Count())
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// true <nil>
	// 2 <nil>
}

// A name is split in two. Rows that were written before are read in the new form at once.
func ExampleMigration() {
	db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	ctx := context.Background()

	type Author0 struct{ ID, Name string } // as it was
	old, err := table.Open(ctx, db, table.Schema[Author0, string]{
		Name: "authors", Key: table.One("id", func(a Author0) string { return a.ID }),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(old.Put(Author0{"al", "Ada Lovelace"}))

	type Author struct{ ID, First, Last string }
	authors, err := table.Open(ctx, db, table.Schema[Author, string]{
		Name: "authors", Key: table.One("id", func(a Author) string { return a.ID }), Version: 1,
		Migrations: []table.Migration{{
			From: 0,
			Upgrade: table.UpgradeOf(nil, nil, func(a Author0) (Author, error) {
				first, last, _ := strings.Cut(a.Name, " ")
				return Author{a.ID, first, last}, nil
			}),
		}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(authors.Get("al"))
	_, err = old.Get("al")
	fmt.Println(errors.Is(err, table.ErrStale))
	err = authors.Migrate(ctx, func(p table.MigrateProgress) { fmt.Println(p.Rows, "row, version", p.Version) })
	fmt.Println(err)
	// Output:
	// <nil>
	// {al Ada Lovelace} <nil>
	// true
	// 1 row, version 1
	// <nil>
}

// A table gets another name. Who opens it by the old one is told.
func ExampleRename() {
	db, _ := openPeople()
	defer db.Close()

	fmt.Println(table.Rename(context.Background(), db, "people", "authors"))
	_, err := table.Open(context.Background(), db, peopleSchema())
	fmt.Println(err)
	schema := peopleSchema()
	schema.Name = "authors"
	authors, err := table.Open(context.Background(), db, schema)
	if err != nil {
		panic(err)
	}
	fmt.Println(authors.Query().Count())
	// Output:
	// <nil>
	// table people: name: the table is called authors now
	// 4 <nil>
}
