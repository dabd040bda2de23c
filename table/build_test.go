package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// indexesUsed returns the indexes that the planner may use for a query that has
// a condition for each.
func indexesUsed(t *testing.T, db *lightning.DB, people *Table[person, int64]) []string {
	t.Helper()
	var used []string
	err := db.View(func(tx *lightning.Tx) error {
		conds := []Cond[person]{email.Eq(""), city.Eq(""), age.Eq(0), tag.Eq(""), phone.Eq("")}
		plan, err := people.In(tx).Query().Where(conds...).Explain()
		if err != nil {
			return err
		}
		for _, c := range plan.Candidates {
			if name, ok := cutIndex(c.Access); ok && c.Unusable == "" {
				used = append(used, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(used)
	return used
}

func cutIndex(access string) (string, bool) {
	const before = "index "
	if len(access) < len(before) || access[:len(before)] != before || strings.Contains(access, " and ") {
		return "", false
	}
	return access[len(before):], true
}

func TestBuild(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "age")
	for n := range int64(2500) {
		mustPut(t, db, people, person{
			ID: n, Email: fmt.Sprint(n), City: fmt.Sprint(n % 10), Age: int(n % 50), Tags: []string{"a", fmt.Sprint(n % 3)},
		})
	}
	before := people
	people = openPeople(t, db, "age", "email", "tag-city")
	if used := indexesUsed(t, db, people); !slices.Equal(used, []string{"age"}) {
		t.Errorf("before the build %q are used", used)
	}
	// Whoever does not know of the index cannot change rows any more.
	err := db.Update(func(tx *lightning.Tx) error { return before.In(tx).Put(person{ID: 1}) })
	if !errors.Is(err, ErrStale) {
		t.Errorf("a handle that does not know the index: %v", err)
	}
	var reports []BuildProgress
	if err := people.Build(context.Background(), func(p BuildProgress) { reports = append(reports, p) }); err != nil {
		t.Fatal(err)
	}
	want := []BuildProgress{
		{"email", 1000}, {"email", 2000}, {"email", 2500},
		{"tag-city", 1000}, {"tag-city", 2000}, {"tag-city", 2500},
	}
	if !slices.Equal(reports, want) {
		t.Errorf("got %v, want %v", reports, want)
	}
	if used := indexesUsed(t, db, people); !slices.Equal(used, []string{"age", "email", "tag-city"}) {
		t.Errorf("after the build %q are used", used)
	}
	check(t, db, people)
	if entries := people.now().Indexes[people.indexes[2].id].Entries; entries != 5000 {
		t.Errorf("%d entries were counted, not 5000", entries)
	}
	if err := people.Build(context.Background(), func(BuildProgress) { t.Error("built again") }); err != nil {
		t.Fatal(err)
	}
}

// Writers add, change and delete rows while indexes are built, with rows that
// move from before the builder to behind it and back. In the end every row has
// its entries.
func TestBuildBesideWriters(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db)
	for n := range int64(1200) {
		mustPut(t, db, people, person{ID: n, Email: fmt.Sprint(n), City: fmt.Sprint(n % 10)})
	}
	people = openPeople(t, db, "email", "city-age", "tag-city", "phone")
	var stop atomic.Bool
	var writers sync.WaitGroup
	for w := range uint64(3) {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(w, 1))
			for !stop.Load() {
				err := db.Update(func(tx *lightning.Tx) error {
					for range 5 {
						if err := change(tx, people, rng); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	err := people.Build(context.Background(), nil)
	stop.Store(true)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if used := indexesUsed(t, db, people); len(used) != 4 {
		t.Errorf("%q are used", used)
	}
	check(t, db, people)
}

// change does one thing to a random row. E-mail addresses go with the row, so
// that they stay unique.
func change(tx *lightning.Tx, people *Table[person, int64], rng *rand.Rand) error {
	key := rng.Int64N(1400)
	p := person{
		ID: key, Email: fmt.Sprint(key), City: fmt.Sprint(rng.IntN(10)), Age: rng.IntN(5),
		Tags: []string{fmt.Sprint(rng.IntN(5)), fmt.Sprint(rng.IntN(5))},
	}
	if rng.IntN(2) == 0 {
		p.Phones = []string{fmt.Sprint(key)}
		p.Email += "+"
	}
	if rng.IntN(4) == 0 {
		return people.In(tx).Delete(key)
	}
	return people.In(tx).Put(p)
}

// An old transaction that does not know of an index cannot slip a row past it.
func TestTransactionsOlderThanAnIndex(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db)
	mustPut(t, db, people, person{ID: 1, Age: 1})
	old, err := db.Begin(lightning.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := people.In(old).Put(person{ID: 2, Age: 1}); err != nil {
		t.Fatal(err)
	}
	older, err := db.Begin(lightning.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := db.Begin(lightning.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	people = openPeople(t, db, "age")
	if err := people.Build(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	mustPut(t, db, people, person{ID: 4, Age: 1})
	if err := people.In(older).Put(person{ID: 3, Age: 1}); err != nil {
		t.Fatal(err)
	}
	for _, tx := range []*lightning.Tx{old, older} {
		if err := tx.Commit(); !errors.Is(err, lightning.ErrConflict) {
			t.Errorf("an old transaction got %v", err)
		}
	}
	// One that began before the index was ready does not see it as ready.
	all, err := collect(people.In(reader).Query().Where(age.Eq(1)))
	if got := ids(all); err != nil || !slices.Equal(got, []int64{1}) {
		t.Errorf("an old reader got %d, %v", got, err)
	}
	expectIDs(t, db, people, func(q Query[person]) Query[person] { return q.Where(age.Eq(1)).OrderBy(id) }, 1, 4)
	check(t, db, people)
}

func TestBuildFindsDuplicates(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db)
	for n := range int64(1500) {
		mustPut(t, db, people, person{ID: n, Email: fmt.Sprint(n % 1400)})
	}
	people = openPeople(t, db, "email")
	for range 2 { // it is found again
		err := people.Build(context.Background(), nil)
		var duplicate *DuplicateError
		if !errors.As(err, &duplicate) {
			t.Fatalf("got %v", err)
		}
		want := `table people: unique index email: ("0") is in row (0), not to be in row (1400)`
		if duplicate.Error() != want {
			t.Errorf("got %q, want %q", duplicate, want)
		}
		if used := indexesUsed(t, db, people); len(used) > 0 {
			t.Errorf("%q are used", used)
		}
	}
	// Either of the two rows may give way, also the one that has the entry.
	err := db.Update(func(tx *lightning.Tx) error {
		for n := range int64(100) {
			at := n + n%2*1400
			if err := people.In(tx).Update(at, func(p *person) error { p.Email += "+"; return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := people.Build(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	check(t, db, people)
	if used := indexesUsed(t, db, people); !slices.Equal(used, []string{"email"}) {
		t.Errorf("%q are used", used)
	}
}

// A build can be stopped, and goes on where it was, also in a later process.
func TestBuildResumes(t *testing.T) {
	fs := memfs.New()
	db := openDB(t, fs)
	people := openPeople(t, db)
	for n := range int64(3500) {
		mustPut(t, db, people, person{ID: n, Age: int(n)})
	}
	people = openPeople(t, db, "age")
	ctx, cancel := context.WithCancel(context.Background())
	err := people.Build(ctx, func(p BuildProgress) {
		if p.Rows >= 2000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, fs)
	defer db.Close()
	people = openPeople(t, db, "age")
	if used := indexesUsed(t, db, people); len(used) > 0 {
		t.Errorf("%q are used", used)
	}
	var reports []BuildProgress
	if err := people.Build(context.Background(), func(p BuildProgress) { reports = append(reports, p) }); err != nil {
		t.Fatal(err)
	}
	if want := []BuildProgress{{"age", 3000}, {"age", 3500}}; !slices.Equal(reports, want) {
		t.Errorf("got %v, want %v", reports, want)
	}
	check(t, db, people)
}

// TestCrashes cuts the power before every so many operations of the file system
// while a table is made, filled, gets an index, loses one and is built. Whatever
// is found then can be opened, is in step, and can be finished.
func TestCrashes(t *testing.T) {
	run := func(fs *memfs.FS) error {
		db, err := lightning.Open("db", &lightning.Options{FS: fs, MemoryBudget: 8 << 20})
		if err != nil {
			return err
		}
		defer db.Close()
		people, err := Open(context.Background(), db, personSchema("age", "phone"))
		if err != nil {
			return err
		}
		for n := range int64(10) {
			err := db.Update(func(tx *lightning.Tx) error {
				return people.In(tx).Put(person{ID: n, Age: int(n), Email: fmt.Sprint(n)})
			})
			if err != nil {
				return err
			}
		}
		if err := DropIndex(context.Background(), db, "people", "phone"); err != nil {
			return err
		}
		if people, err = Open(context.Background(), db, personSchema("age", "email")); err != nil {
			return err
		}
		for range 5 {
			if _, err := people.buildSome(context.Background(), people.indexes[1], 3); err != nil {
				return err
			}
		}
		return nil
	}
	whole := memfs.New()
	if err := run(whole); err != nil {
		t.Fatal(err)
	}
	cut := errors.New("power cut")
	finished := 0
	for at := int64(1); at < whole.Ops(); at++ {
		fs := memfs.New()
		var ops atomic.Int64
		fs.SetHook(func(vfs.Op) error {
			if ops.Add(1) >= at {
				return cut
			}
			return nil
		})
		_ = run(fs) // fails where it is cut
		fs = fs.Crash(memfs.CrashOptions{Seed: uint64(at), Keep: memfs.Policy(at % 3)})
		if finishAfterCrash(t, fs, at) {
			finished++
		}
	}
	if finished == 0 {
		t.Error("no crash left a table with an index to build")
	}
}

// finishAfterCrash opens what a crash has left, under the old or the new
// schema, and reports whether an index was left to build.
func finishAfterCrash(t *testing.T, fs *memfs.FS, at int64) (unfinished bool) {
	t.Helper()
	db, err := lightning.Open("db", &lightning.Options{FS: fs, MemoryBudget: 8 << 20})
	if err != nil {
		t.Fatalf("crash at %d: %v", at, err)
	}
	defer db.Close()
	people, err := Open(context.Background(), db, personSchema("age", "email"))
	if errors.As(err, new(*DefinitionError)) { // the index was not dropped yet
		if err := DropIndex(context.Background(), db, "people", "phone"); err != nil {
			t.Fatalf("crash at %d: %v", at, err)
		}
		people, err = Open(context.Background(), db, personSchema("age", "email"))
	}
	if err != nil {
		t.Fatalf("crash at %d: %v", at, err)
	}
	check(t, db, people)
	unfinished = len(indexesUsed(t, db, people)) < 2
	if err := people.Build(context.Background(), nil); err != nil {
		t.Fatalf("crash at %d: %v", at, err)
	}
	check(t, db, people)
	if used := indexesUsed(t, db, people); len(used) != 2 {
		t.Errorf("crash at %d: %q are used", at, used)
	}
	if names := db.Keyspaces(); len(names) != 4 { // the catalogue, rows, two indexes
		t.Errorf("crash at %d: keyspaces %q are left", at, names)
	}
	return unfinished
}

// disturbed is the codec JSON that calls a function once it decodes a row.
type disturbed struct {
	JSON[person]
	once func()
}

func (d *disturbed) Decode(data []byte) (person, error) {
	if once := d.once; once != nil {
		d.once = nil
		once()
	}
	return d.JSON.Decode(data)
}

// A builder that meets a change of a row that it has read looks at a quarter of
// the rows, and goes on from there at twice as many each time. It once began
// with a thousand rows for each transaction: beside busy writers most of what it
// did was thrown away.
//
// The writer of a unique index that is being built removes no entry that is not
// there: only what the builder has read tells it that it is wrong.
func TestBuilderMakesWayForWriters(t *testing.T) {
	db := testDB(t)
	codec := &disturbed{}
	schema := personSchema()
	schema.Codec = codec
	people, err := Open(context.Background(), db, schema)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(2000) {
		mustPut(t, db, people, person{ID: n, Email: fmt.Sprint(n)})
	}
	schema = personSchema("email")
	schema.Codec = codec
	if people, err = Open(context.Background(), db, schema); err != nil {
		t.Fatal(err)
	}
	codec.once = func() { mustPut(t, db, people, person{ID: 500, Email: "new"}) }
	var rows []uint64
	if err := people.Build(t.Context(), func(p BuildProgress) { rows = append(rows, p.Rows) }); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{250, 750, 1750, 2000}; !slices.Equal(rows, want) {
		t.Errorf("got %d, want %d", rows, want)
	}
	check(t, db, people)
}
