package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/property"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestAgainstModel does random things to a table and to a slice of records:
// transactions that change rows, commit or roll back; indexes that are declared,
// built step by step and dropped; analyses; opening again. Queries are run along
// every path that their plan has, usable at that moment: all of them must give
// what the slice gives. So the choice of the planner cannot change a result.
func TestAgainstModel(t *testing.T) {
	property.Check(t, func(t *property.T) {
		m := &model{fs: memfs.New(), rows: map[int64]person{}}
		m.open(t)
		m.fill(t)
		defer func() { _ = m.db.Close() }()
		actions := map[string]func(*property.T){
			"transaction": m.transaction,
			"queries":     m.queries,
			"analyze":     m.analyze,
			"build":       m.build,
			"open":        m.reopen,
		}
		names := property.SampledFrom(slices.Sorted(maps.Keys(actions)))
		for range property.Times(t, 0, 60) {
			actions[names.Draw(t, "action")](t)
		}
		m.view(t, func(tx *lightning.Tx) {
			if err := m.people.In(tx).Check(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

type model struct {
	fs     *memfs.FS
	db     *lightning.DB
	people *Table[person, int64]
	rows   map[int64]person
}

func (m *model) open(t *property.T) {
	var err error
	if m.db == nil {
		m.db, err = lightning.Open("db", &lightning.Options{
			FS: m.fs, Durability: lightning.DurabilityAsync, MemoryBudget: 8 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var declared []string
	for _, name := range allIndexes() {
		if property.IntRange(0, 2).Draw(t, "declare "+name) > 0 {
			declared = append(declared, name)
		}
	}
	for { // those that are there and not declared are dropped
		m.people, err = Open(context.Background(), m.db, personSchema(declared...))
		var differs *DefinitionError
		if !errors.As(err, &differs) {
			break
		}
		if err := DropIndex(context.Background(), m.db, "people", strings.TrimPrefix(differs.Part, "index ")); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fill begins with so many rows that most conditions leave some.
func (m *model) fill(t *property.T) {
	err := m.db.Update(func(tx *lightning.Tx) error {
		for n := range 60 {
			p := person{ID: int64(n), Email: fmt.Sprint("e", n), City: cities()[n%7], Age: n % 5}
			p.Tags = []string{"", "a", "ab", "b"}[min(n%3, n%5) : n%5]
			m.rows[p.ID] = p
			if err := m.people.In(tx).Put(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) reopen(t *property.T) {
	if property.Bool().Draw(t, "close") {
		if err := m.db.Close(); err != nil {
			t.Fatal(err)
		}
		m.db = nil
	}
	m.open(t)
}

func (m *model) view(t *property.T, fn func(tx *lightning.Tx)) {
	tx, err := m.db.Begin(lightning.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	fn(tx)
}

func (m *model) queries(t *property.T) {
	m.view(t, func(tx *lightning.Tx) {
		for range 8 {
			m.query(t, tx, m.rows)
		}
	})
}

func (m *model) analyze(t *property.T) {
	if err := m.people.Analyze(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// build goes on a few rows with one index.
func (m *model) build(t *property.T) {
	if len(m.people.indexes) == 0 {
		return
	}
	x := property.SampledFrom(m.people.indexes).Draw(t, "index")
	_, err := m.people.buildSome(context.Background(), x, property.IntRange(1, 8).Draw(t, "rows"))
	if errors.Is(err, ErrDuplicate) && x.unique {
		return // rows that were there before may be in the way of each other
	}
	if err != nil {
		t.Fatal(err)
	}
}

func genPerson(t *property.T) person {
	return person{
		ID:     int64(property.IntRange(-2, 70).Draw(t, "id")),
		Email:  fmt.Sprint("e", property.IntRange(0, 60).Draw(t, "email")),
		City:   genCity(t),
		Age:    property.IntRange(0, 4).Draw(t, "age"),
		Tags:   property.SliceOfN(property.SampledFrom([]string{"", "a", "ab", "b"}), 0, 3).Draw(t, "tags"),
		Phones: property.SliceOfN(property.SampledFrom([]string{"p", "q", "r", "s", "t"}), 0, 1).Draw(t, "phones"),
	}
}

func genCity(t *property.T) string {
	return property.SampledFrom(cities()).Draw(t, "city")
}

func cities() []string { return []string{"", "\x00", "\x01", "a", "ab", "a\u00ff", "b"} }

// duplicate says in which unique index a row would stand in another one's way.
// An index that is being built may not have seen the other row yet.
func (m *model) duplicate(rows map[int64]person, p person) (sure, possible bool) {
	for _, o := range rows {
		if o.ID == p.ID {
			continue
		}
		for i, x := range m.people.indexes {
			meets := x.name == "email" && o.Email == p.Email ||
				x.name == "phone" && slices.ContainsFunc(p.Phones, func(s string) bool { return slices.Contains(o.Phones, s) })
			if !meets {
				continue
			}
			possible = true
			if v := m.people.seen.Load(); v != nil && v.ready[i] {
				sure = true
			}
		}
	}
	return sure, possible
}

func (m *model) transaction(t *property.T) {
	tx, err := m.db.Begin(lightning.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := m.people.look(tx); err != nil {
		t.Fatal(err)
	}
	rows := map[int64]person{}
	for id, p := range m.rows {
		rows[id] = p
	}
	for range property.Times(t, 1, 30) {
		m.step(t, tx, rows)
	}
	m.query(t, tx, rows) // over what is not committed
	if property.IntRange(0, 3).Draw(t, "change by query") == 0 {
		m.changeByQuery(t, tx, rows)
		m.query(t, tx, rows)
	}
	if property.IntRange(0, 3).Draw(t, "commit") == 0 {
		return
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	m.rows = rows
}

// changeByQuery deletes or changes rows that a query finds; of the indexes that it may go
// along, some are moved in by the change.
func (m *model) changeByQuery(t *property.T, tx *lightning.Tx, rows map[int64]person) {
	q, want, ordered := m.genQuery(t, tx, rows)
	if limit := property.IntRange(0, 5).Draw(t, "limit"); ordered && limit > 0 {
		q, want = q.Limit(limit), want[:min(limit, len(want))]
	}
	var count int
	var err error
	switch property.IntRange(0, 2).Draw(t, "change") {
	case 0:
		count, err = q.Delete()
		for _, p := range want {
			delete(rows, p.ID)
		}
	case 1:
		count, err = q.Update(func(rec *person) error { rec.Age++; return nil })
		for _, p := range want {
			p.Age++
			rows[p.ID] = p
		}
	case 2:
		left := len(want)
		full := errors.New("full")
		count, err = q.Update(func(rec *person) error {
			if rec.City = "z"; left == 1 {
				return full
			}
			left--
			return nil
		})
		if len(want) > 0 && errors.Is(err, full) && count == 0 {
			return
		}
	}
	if err != nil || count != len(want) {
		t.Fatalf("%s: changed %d rows, not %d, %v", q.words(), count, len(want), err)
	}
}

func (m *model) step(t *property.T, tx *lightning.Tx, rows map[int64]person) {
	p := genPerson(t)
	_, exists := rows[p.ID]
	verb := property.SampledFrom([]string{"put", "put", "insert", "update", "delete"}).Draw(t, "verb")
	var err error
	switch verb {
	case "put":
		err = m.people.In(tx).Put(p)
	case "insert":
		if err = m.people.In(tx).Insert(p); exists != errors.Is(err, ErrDuplicate) && exists {
			t.Fatalf("insert of a row that exists: %v", err)
		}
	case "update":
		err = m.people.In(tx).Update(p.ID, func(rec *person) error { *rec = p; return nil })
		if exists == errors.Is(err, lightning.ErrNotFound) {
			t.Fatalf("row exists: %v, update: %v", exists, err)
		}
	case "delete":
		if err = m.people.In(tx).Delete(p.ID); err != nil {
			t.Fatal(err)
		}
		delete(rows, p.ID)
		return
	}
	sure, possible := m.duplicate(rows, p)
	switch {
	case errors.Is(err, lightning.ErrNotFound) && verb == "update":
	case err == nil && !sure:
		rows[p.ID] = p
	case errors.Is(err, ErrDuplicate) && (possible || verb == "insert" && exists):
	default:
		t.Fatalf("%s %+v: %v; duplicates: %v, %v", verb, p, err, sure, possible)
	}
}

// condition is a condition of a query and what it means.
type condition struct {
	Cond[person]
	holds func(p person) bool
}

// compare makes a condition on an attribute of the values of which value
// returns all.
func compare[V cmp.Ordered](
	t *property.T, a Attr[person, V], draw func(t *property.T) V, values func(p person) []V,
) condition {
	v := draw(t)
	some := func(holds func(x V) bool) func(p person) bool {
		return func(p person) bool { return slices.ContainsFunc(values(p), holds) }
	}
	switch property.IntRange(0, 8).Draw(t, "operator") {
	case 8:
		all := property.SliceOfN(property.Custom(draw), 0, 4).Draw(t, "values")
		return condition{a.In(all...), some(func(x V) bool { return slices.Contains(all, x) })}
	case 6:
		return condition{a.Lt(v), some(func(x V) bool { return x < v })}
	case 7:
		return condition{a.Le(v), some(func(x V) bool { return x <= v })}
	case 2:
		return condition{a.Gt(v), some(func(x V) bool { return x > v })}
	case 3:
		return condition{a.Ge(v), some(func(x V) bool { return x >= v })}
	case 4:
		w := draw(t)
		return condition{a.Between(v, w), some(func(x V) bool { return v <= x && x <= w })}
	case 5:
		return condition{a.Exists(), some(func(x V) bool { return true })}
	}
	return condition{a.Eq(v), some(func(x V) bool { return x == v })}
}

// genCondition draws a condition, sometimes one of which a part must hold.
func genCondition(t *property.T) condition {
	if property.IntRange(0, 4).Draw(t, "or") > 0 {
		return genSimple(t)
	}
	var conds []Cond[person]
	var either []func(p person) bool
	for range property.Times(t, 0, 3) {
		a, b := genSimple(t), genSimple(t)
		if property.Bool().Draw(t, "and") {
			conds = append(conds, And(a.Cond, b.Cond))
			either = append(either, func(p person) bool { return a.holds(p) && b.holds(p) })
			continue
		}
		conds = append(conds, Or(a.Cond, b.Cond))
		either = append(either, a.holds, b.holds)
	}
	return condition{Or(conds...), func(p person) bool {
		return slices.ContainsFunc(either, func(holds func(p person) bool) bool { return holds(p) })
	}}
}

func genSimple(t *property.T) condition {
	number := func(t *property.T) int { return property.IntRange(-1, 5).Draw(t, "number") }
	wide := func(t *property.T) int { return property.IntRange(-3, 71).Draw(t, "wide") }
	text := func(t *property.T) string { return property.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "text") }
	switch property.IntRange(0, 7).Draw(t, "attribute") {
	case 0:
		return compare(t, id, func(t *property.T) int64 { return int64(wide(t)) },
			func(p person) []int64 { return []int64{p.ID} })
	case 1:
		return compare(t, email, func(t *property.T) string { return fmt.Sprint("e", wide(t)) },
			func(p person) []string { return []string{p.Email} })
	case 2:
		return compare(t, city, genCity, func(p person) []string { return []string{p.City} })
	case 3:
		return compare(t, age, number, func(p person) []int { return []int{p.Age} })
	case 4:
		return compare(t, phone, func(t *property.T) string { return "q" }, func(p person) []string { return p.Phones })
	case 5:
		prefix := genCity(t)
		return condition{HasPrefix(city, prefix), func(p person) bool { return strings.HasPrefix(p.City, prefix) }}
	case 6:
		prefix := text(t)
		return condition{HasPrefix(tag, prefix), func(p person) bool {
			return slices.ContainsFunc(p.Tags, func(s string) bool { return strings.HasPrefix(s, prefix) })
		}}
	}
	return compare(t, tag, text, func(p person) []string { return p.Tags })
}

// genOrder draws an order and the comparison that it means.
func genOrder(t *property.T) (columns []Column[person], compare func(a, b person) int) {
	names := property.SliceOfN(property.SampledFrom([]string{"id", "email", "city", "age"}), 0, 3).Draw(t, "order")
	for _, name := range names {
		columns = append(columns, map[string]Column[person]{"id": id, "email": email, "city": city, "age": age}[name])
	}
	return columns, func(a, b person) int {
		for _, name := range names {
			c := map[string]int{
				"id": cmp.Compare(a.ID, b.ID), "email": cmp.Compare(a.Email, b.Email),
				"city": cmp.Compare(a.City, b.City), "age": cmp.Compare(a.Age, b.Age),
			}[name]
			if c != 0 {
				return c
			}
		}
		return cmp.Compare(a.ID, b.ID)
	}
}

// genQuery draws a query and all the rows that it means, in order.
func (m *model) genQuery(t *property.T, tx *lightning.Tx, rows map[int64]person) (q Query[person], want []person, ordered bool) {
	q = m.people.In(tx).Query()
	for _, p := range rows {
		want = append(want, p)
	}
	for range property.Times(t, 0, 2) {
		c := genCondition(t)
		q = q.Where(c.Cond)
		want = slices.DeleteFunc(want, func(p person) bool { return !c.holds(p) })
	}
	if property.IntRange(0, 3).Draw(t, "filter") == 0 {
		odd := func(p person) bool { return p.ID%2 != 0 }
		q = q.Filter(odd)
		want = slices.DeleteFunc(want, func(p person) bool { return !odd(p) })
	}
	columns, order := genOrder(t)
	q = q.OrderBy(columns...)
	ordered = len(columns) > 0
	if property.Bool().Draw(t, "reverse") {
		q = q.Reverse()
		forward := order
		order = func(a, b person) int { return forward(b, a) }
	}
	slices.SortFunc(want, order)
	if property.IntRange(0, 2).Draw(t, "after") == 0 {
		last := genPerson(t)
		if len(want) > 0 && property.Bool().Draw(t, "a row of the result") {
			last = property.SampledFrom(want).Draw(t, "last")
		}
		q, ordered = q.After(last), true
		want = slices.DeleteFunc(want, func(p person) bool { return order(p, last) <= 0 })
	}
	return q, want, ordered
}

// query runs a random query along every path and compares with the model.
func (m *model) query(t *property.T, tx *lightning.Tx, rows map[int64]person) {
	q, want, ordered := m.genQuery(t, tx, rows)
	if q.after == nil {
		m.pages(t, q, want, ordered)
	}
	limit := property.SampledFrom([]int{0, 0, 1, 3, 10}).Draw(t, "limit")
	offset := property.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(t, "offset")
	q = q.Limit(limit).Offset(offset)
	size := max(0, len(want)-offset)
	if limit > 0 {
		size = min(size, limit)
	}
	m.alongAllPaths(t, tx, q, func(got []person) string { return differ(got, want, ordered, size, offset) })
	bare := q
	bare.bare = true
	m.alongAllPaths(t, tx, bare, func(got []person) string {
		if len(got) != size {
			return fmt.Sprintf("counted %d rows, not %d", len(got), size)
		}
		return ""
	})
	if _, err := q.Explain(); err != nil {
		t.Fatal(err)
	}
	all, err := collect(q)
	if reason := differ(all, want, ordered, size, offset); err != nil || reason != "" {
		t.Fatalf("%s: %v, %s", q.words(), err, reason)
	}
	count, err := q.Count()
	if err != nil || count != size {
		t.Fatalf("%s: counted %d of %d rows, %v", q.words(), count, size, err)
	}
	exists, err := q.Exists()
	if err != nil || exists != (size > 0) {
		t.Fatalf("%s: exists: %v, %d rows, %v", q.words(), exists, size, err)
	}
}

// alongAllPaths runs a query along every path that is usable.
func (m *model) alongAllPaths(t *property.T, tx *lightning.Tx, q Query[person], wrong func(got []person) string) {
	prepared, v, err := q.prepared(tx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prepared.plan(v).paths {
		if p.unusable != "" {
			continue
		}
		var got []person
		err := prepared.walk(&p, func(_ []byte, rec person) error { got = append(got, rec); return nil })
		if err != nil && err != errStopped {
			t.Fatal(err)
		}
		if reason := wrong(got); reason != "" {
			t.Fatalf("%s through %s: %s\ngot %+v", prepared.words(), p.access(), reason, got)
		}
	}
}

// pages goes through all pages of a query.
func (m *model) pages(t *property.T, q Query[person], want []person, ordered bool) {
	if !ordered {
		slices.SortFunc(want, func(a, b person) int { return cmp.Compare(a.ID, b.ID) })
		if q.reverse {
			slices.Reverse(want)
		}
	}
	rows := property.IntRange(1, 20).Draw(t, "rows of a page")
	var got []person
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := q.Page(cursor, rows)
		if err != nil || len(page.Rows) > rows || len(page.Rows) < rows && page.Next != "" {
			t.Fatalf("%s: page of %d rows: %+v, %v", q.words(), rows, page, err)
		}
		got = append(got, page.Rows...)
		cursor = page.Next
	}
	if reason := differ(got, want, true, len(want), 0); reason != "" {
		t.Fatalf("%s: pages of %d: %s", q.words(), rows, reason)
	}
}

// differ says how a result is not one of all the rows that there could be.
func differ(got, all []person, ordered bool, size, offset int) string {
	if len(got) != size {
		return fmt.Sprintf("%d rows, not %d", len(got), size)
	}
	met := map[int64]bool{}
	for i, p := range got {
		at := i + offset
		if !ordered {
			at = slices.IndexFunc(all, func(o person) bool { return o.ID == p.ID })
		}
		if at < 0 || !p.equal(all[at]) || met[p.ID] {
			return fmt.Sprintf("row %d is wrong", i)
		}
		met[p.ID] = true
	}
	return ""
}
