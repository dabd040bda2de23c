// Package table keeps typed records in a lightning.DB, with secondary indexes
// that are never out of step with the records: a row and its index entries are
// changed by the same transaction.
//
//	var (
//		email = table.One("email", func(p Person) string { return p.Email })
//		city  = table.One("city", func(p Person) string { return p.City })
//		age   = table.One("age", func(p Person) int { return p.Age })
//	)
//
//	people, err := table.Open(ctx, db, table.Schema[Person, string]{
//		Name: "people",
//		Key:  email,
//		Indexes: []table.Index[Person]{
//			{Name: "by-city", On: []table.Column[Person]{city, age}},
//		},
//	})
//	err = people.Put(Person{Email: "ada@example.org", City: "London", Age: 36})
//	query := people.Query().Where(city.Eq("London"), age.Ge(30)).OrderBy(age)
//	for person, err := range query.All() {
//		...
//	}
//
// # Attributes
//
// An attribute is a named value that is computed from a record: One for
// exactly one value, Many for any number of them. Attributes make the primary
// key, the columns of indexes, the conditions of queries and their order. Their
// values are elements of package keyenc and compare as its elements do.
//
// A row has an entry in an index for each combination of the values of its
// columns. A row without a value in one of them has none: so an attribute made
// with Many, which gives a value for some records only, makes a partial index.
//
// # Transactions
//
// The verbs of Table make a transaction for each call. Those of Table.In work in one of
// the caller, strictly serializable, in which other tables and keys can change as well:
// see lightning.DB.Update. Reads of an index count as
// reads of its range, so two transactions that both saw nobody with an e-mail
// address cannot both add one, whether or not the index is unique.
//
// # Definitions
//
// What a table was declared as is kept in the database. Open compares, and
// refuses a declaration that contradicts it with a *DefinitionError. An index
// that is new is maintained by every write from then on; Build fills in the
// rows that were there before, while others go on writing, and until it is
// done no query uses the index. An index that is no longer declared is refused
// by Open until DropIndex removes it.
//
// # Thread-safety
//
// A Table is safe for concurrent use, and so are its queries. Rows, and their queries,
// belong to a transaction, which is used by one goroutine at a time.
package table
