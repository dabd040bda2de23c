package tables

import (
	"context"
	"strings"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/table"
)

// row is what the model keeps of a row of the table, in every version of its schema.
type row struct {
	ID         int
	Nick, City string
}

// The records of the two versions: what was called town is called city, and a field is
// computed.
type (
	record0 struct {
		ID         int
		Nick, Town string
	}
	record1 struct {
		ID                int
		Nick, City, Shout string
	}
)

// book is the table by one version of its schema. It is used by one goroutine at a time.
type book interface {
	put(tx *lightning.Tx, r row) error
	insert(tx *lightning.Tx, r row) error
	putFor(tx *lightning.Tx, r row, ttl time.Duration) error
	touch(tx *lightning.Tx, id int, ttl time.Duration) error
	remove(tx *lightning.Tx, id int) error
	expiresAt(tx *lightning.Tx, id int) (time.Time, error)
	// move brings all rows in a city to another one, drop removes them.
	move(tx *lightning.Tx, from, to string) (int, error)
	drop(tx *lightning.Tx, city string) (int, error)
	// all returns the rows, and of them those whose nick is in a range, by two indexes.
	all(tx *lightning.Tx) ([]row, error)
	in(tx *lightning.Tx, city, nick string) ([]row, error)
	check(tx *lightning.Tx) error
	// finish builds all indexes and migrates all rows.
	build() error
	migrate() error
}

// edition is a book of records of type R.
type edition[R any] struct {
	*table.Table[R, int]
	city, nick table.Attr[R, string]
	write      func(r row) R
	read       func(rec R) row
	settle     func(rec *R, city string)
}

// names are those that the table has in turn.
var names = [2]string{"book", "tome"}

// extra is an index that comes and goes.
const extra = "extra"

// openBook opens the table by a name and a version of its schema, with the index extra or
// without.
func openBook(db *lightning.DB, name string, version int, withExtra bool) (book, error) {
	if version == 0 {
		return openEdition(db, edition[record0]{
			city:   table.One("town", func(r record0) string { return r.Town }),
			nick:   table.One("nick", func(r record0) string { return r.Nick }),
			write:  func(r row) record0 { return record0{r.ID, r.Nick, r.City} },
			read:   func(r record0) row { return row{r.ID, r.Nick, r.Town} },
			settle: func(r *record0, city string) { r.Town = city },
		}, table.Schema[record0, int]{Name: name, Key: table.One("id", func(r record0) int { return r.ID })}, "town", withExtra)
	}
	make1 := func(id int, nick, city string) record1 { return record1{id, nick, city, strings.ToUpper(nick)} }
	return openEdition(db, edition[record1]{
		city:   table.One("city", func(r record1) string { return r.City }),
		nick:   table.One("nick", func(r record1) string { return r.Nick }),
		write:  func(r row) record1 { return make1(r.ID, r.Nick, r.City) },
		read:   func(r record1) row { return row{r.ID, strings.ToLower(r.Shout), r.City} },
		settle: func(r *record1, city string) { r.City = city },
	}, table.Schema[record1, int]{
		Name: name, Key: table.One("id", func(r record1) int { return r.ID }), Version: 1,
		Migrations: []table.Migration{{
			RenamedAttributes: map[string]string{"town": "city"}, RenamedIndexes: map[string]string{"town": "city"},
			Upgrade: table.UpgradeOf(nil, nil, func(r record0) (record1, error) { return make1(r.ID, r.Nick, r.Town), nil }),
		}},
	}, "city", withExtra)
}

func openEdition[R any](
	db *lightning.DB, e edition[R], s table.Schema[R, int], cityIndex string, withExtra bool,
) (book, error) {
	s.Expiry = &table.Expiry[R]{Keep: true}
	s.Indexes = []table.Index[R]{
		{Name: cityIndex, On: []table.Column[R]{e.city}},
		{Name: "nick", Unique: true, On: []table.Column[R]{e.nick}},
	}
	if withExtra {
		s.Indexes = append(s.Indexes, table.Index[R]{Name: extra, On: []table.Column[R]{e.nick, e.city}})
	}
	var err error
	if e.Table, err = table.Open(context.Background(), db, s); err != nil {
		return nil, err
	}
	return e, nil
}

func (e edition[R]) put(tx *lightning.Tx, r row) error    { return e.In(tx).Put(e.write(r)) }
func (e edition[R]) insert(tx *lightning.Tx, r row) error { return e.In(tx).Insert(e.write(r)) }
func (e edition[R]) putFor(tx *lightning.Tx, r row, ttl time.Duration) error {
	return e.In(tx).PutWithTTL(e.write(r), ttl)
}
func (e edition[R]) touch(tx *lightning.Tx, id int, ttl time.Duration) error {
	return e.In(tx).Touch(id, ttl)
}
func (e edition[R]) remove(tx *lightning.Tx, id int) error { return e.In(tx).Delete(id) }
func (e edition[R]) expiresAt(tx *lightning.Tx, id int) (time.Time, error) {
	return e.In(tx).ExpiresAt(id)
}
func (e edition[R]) move(tx *lightning.Tx, from, to string) (int, error) {
	return e.In(tx).Query().Where(e.city.Eq(from)).Update(func(rec *R) error { e.settle(rec, to); return nil })
}
func (e edition[R]) drop(tx *lightning.Tx, city string) (int, error) {
	return e.In(tx).Query().Where(e.city.Eq(city)).Delete()
}
func (e edition[R]) all(tx *lightning.Tx) ([]row, error) { return e.collect(e.In(tx).Query()) }
func (e edition[R]) in(tx *lightning.Tx, city, nick string) ([]row, error) {
	return e.collect(e.In(tx).Query().Where(e.city.Eq(city), e.nick.Ge(nick)))
}
func (e edition[R]) check(tx *lightning.Tx) error { return e.In(tx).Check() }
func (e edition[R]) build() error                 { return e.Build(context.Background(), nil) }
func (e edition[R]) migrate() error               { return e.Migrate(context.Background(), nil) }

func (e edition[R]) collect(q table.Query[R]) (found []row, err error) {
	for rec, err := range q.All() {
		if err != nil {
			return nil, err
		}
		found = append(found, e.read(rec))
	}
	return found, nil
}
