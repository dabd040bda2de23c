package table_test

import (
	"context"
	"errors"
	"fmt"

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
			people.Put(tx, Person{"ada@example.org", "London", 36, []string{"English", "French"}}),
			people.Put(tx, Person{"emmy@example.org", "Erlangen", 53, []string{"German", "English"}}),
			people.Put(tx, Person{"alan@example.org", "London", 41, nil}),
			people.Put(tx, Person{"mary@example.org", "London", 72, []string{"English"}}),
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

	err := db.View(func(tx *lightning.Tx) error {
		query := people.Query(tx).Where(city.Eq("London"), age.Ge(40)).OrderBy(age).Reverse()
		for person, err := range query.All() {
			if err != nil {
				return err
			}
			fmt.Println(person.Email, person.Age)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// mary@example.org 72
	// alan@example.org 41
	// <nil>
}

// An attribute with many values makes an index with an entry for each.
func ExampleMany() {
	db, people := openPeople()
	defer db.Close()

	err := db.View(func(tx *lightning.Tx) error {
		for person, err := range people.Query(tx).Where(language.Eq("English")).OrderBy(email).All() {
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
			err := people.Update(tx, email, func(p *Person) error {
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
		ada, err := people.Get(tx, "ada@example.org")
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
		return people.Put(tx, Person{Email: "bob@example.org", Age: 41})
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
		plan, err := people.Query(tx).Where(city.Eq("London"), age.Between(30, 40)).Explain()
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
