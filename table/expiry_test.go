package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// inBubble runs a test with a database in a bubble in which time passes when all wait.
func inBubble(t *testing.T, test func(t *testing.T, db *lightning.DB)) {
	synctest.Test(t, func(t *testing.T) {
		db := openDB(t, memfs.New())
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, db)
	})
}

// pass lets time pass in a bubble.
func pass(d time.Duration) { time.Sleep(d) }

func openExpiring(t testing.TB, db *lightning.DB, e *Expiry[person], indexes ...string) *Table[person, int64] {
	t.Helper()
	s := personSchema(indexes...)
	s.Expiry = e
	people, err := Open(context.Background(), db, s)
	if err != nil {
		t.Fatal(err)
	}
	return people
}

// sound fails the test for an error, or if rows and entries differ.
func sound(t testing.TB, people *Table[person, int64], err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := people.Check(); err != nil {
		t.Fatal(err)
	}
}

// waysTo returns queries for a row, one along each index and two that need none.
func waysTo(q Query[person], p person) map[string]Query[person] {
	return map[string]Query[person]{
		"key": q.Where(id.Eq(p.ID)), "all": q,
		"email": q.Where(email.Eq(p.Email)), "city-age": q.Where(city.Eq(p.City), age.Eq(p.Age)),
		"tag-city": q.Where(tag.Eq(p.Tags[0])), "phone": q.Where(phone.Eq(p.Phones[0])),
		"either": q.Where(Or(email.Eq(p.Email), city.Eq(p.City))),
	}
}

// A row and all of its entries are there until the last nanosecond, and gone at the next.
func TestRowsExpireAtOneInstant(t *testing.T) {
	inBubble(t, func(t *testing.T, db *lightning.DB) {
		people := openExpiring(t, db, &Expiry[person]{TTL: time.Minute}, allIndexes()...)
		ada := person{ID: 1, Email: "ada", City: "London", Age: 36, Tags: []string{"a", "b"}, Phones: []string{"1"}}
		other := ada
		other.ID = 2
		sound(t, people, people.Put(ada))
		pass(time.Minute - time.Nanosecond)
		for way, q := range waysTo(people.Query(), ada) {
			if n, err := q.Count(); n != 1 || err != nil {
				t.Errorf("just before, %s: %d rows, %v", way, n, err)
			}
		}
		if err := people.Put(other); !errors.Is(err, ErrDuplicate) {
			t.Errorf("just before: got %v", err)
		}
		before, err := db.Begin(lightning.TxOptions{ReadOnly: true})
		sound(t, people, err)
		defer before.Rollback()
		pass(time.Nanosecond)
		for way, q := range waysTo(people.Query(), ada) {
			all, err := collect(q)
			n, countErr := q.Count()
			if len(all) != 0 || n != 0 || errors.Join(err, countErr) != nil {
				t.Errorf("%s: got %v, %d, %v, %v", way, all, n, err, countErr)
			}
		}
		if _, err := people.Get(1); !errors.Is(err, lightning.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if err := people.Update(1, func(*person) error { return nil }); !errors.Is(err, lightning.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		sound(t, people, people.Insert(other)) // its unique values are free
		for way, q := range waysTo(people.In(before).Query(), ada) {
			if got, err := q.First(); got.ID != 1 || err != nil {
				t.Errorf("in a transaction from before, %s: %v, %v", way, got, err)
			}
		}
		if err := people.In(before).Check(); err != nil {
			t.Error(err)
		}
		sound(t, people, people.Insert(person{ID: 1, City: "Rome"})) // and its key is
	})
}

func TestLifetimes(t *testing.T) {
	inBubble(t, func(t *testing.T, db *lightning.DB) {
		start := time.Now()
		at := func(p person) time.Time {
			if p.Age == 0 {
				return time.Time{}
			}
			return start.Add(time.Duration(p.Age) * time.Hour)
		}
		extending := openExpiring(t, db, &Expiry[person]{TTL: time.Minute, At: at}, "email", "age")
		keeping := openExpiring(t, db, &Expiry[person]{TTL: time.Minute, At: at, Keep: true}, "email", "age")
		expect := func(what string, want time.Duration) {
			t.Helper()
			got, err := extending.ExpiresAt(1)
			sound(t, extending, err)
			if want == 0 && !got.IsZero() || want > 0 && got.Sub(start) != want {
				t.Errorf("%s: expires %v after the start, not %v", what, got.Sub(start), want)
			}
		}
		grow := func(by int) func(p *person) error {
			return func(p *person) error { p.Email += "x"; p.Age += by; return nil }
		}
		sound(t, extending, extending.Put(person{ID: 1, Email: "a"}))
		expect("put", time.Minute)
		pass(time.Second)
		sound(t, keeping, keeping.Update(1, grow(0)))
		expect("updated and kept", time.Minute)
		sound(t, keeping, keeping.Put(person{ID: 1, Email: "b"}))
		expect("replaced and kept", time.Minute)
		sound(t, extending, extending.Update(1, grow(0)))
		expect("updated", time.Minute+time.Second)
		sound(t, extending, extending.PutWithTTL(person{ID: 1, Email: "c"}, time.Hour))
		expect("put for an hour", time.Hour+time.Second)
		n, err := keeping.Query().Where(email.Eq("c")).Update(grow(0))
		sound(t, keeping, err)
		expect("updated by a query", time.Hour+time.Second)
		sound(t, keeping, keeping.Update(1, grow(3)))
		expect("what the row says", 3*time.Hour)
		sound(t, keeping, keeping.Touch(1, lightning.Forever))
		expect("touched for ever", 0)
		sound(t, keeping, keeping.Touch(1, time.Second))
		expect("touched", 2*time.Second)
		sound(t, extending, extending.Put(person{ID: 1, Age: -1})) // has passed
		if has, err := extending.Has(1); has || err != nil || n != 1 {
			t.Errorf("got %v, %v, %d", has, err, n)
		}
	})
}

func TestLifetimesThatCannotBe(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "email")
	if err := people.PutWithTTL(person{ID: 1}, time.Hour); !errors.Is(err, ErrNoExpiry) {
		t.Errorf("got %v", err)
	}
	s := personSchema("email")
	s.Expiry = &Expiry[person]{TTL: -1}
	if _, err := Open(t.Context(), db, s); !errors.As(err, new(*DefinitionError)) {
		t.Errorf("got %v", err)
	}
	expiring := openExpiring(t, db, &Expiry[person]{}, "email")
	for _, ttl := range []time.Duration{0, -1} {
		if err := expiring.PutWithTTL(person{ID: 1}, ttl); !errors.Is(err, lightning.ErrTTL) {
			t.Errorf("%v: got %v", ttl, err)
		}
	}
	if err := expiring.Touch(1, time.Hour); !errors.Is(err, lightning.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	// A handle that declares no expiry knows that rows may have one.
	sound(t, expiring, expiring.PutWithTTL(person{ID: 1, Email: "a"}, time.Hour))
	sound(t, people, people.Put(person{ID: 1, Email: "a"}))
	if at, err := people.ExpiresAt(1); !at.IsZero() || err != nil {
		t.Errorf("got %v, %v", at, err)
	}
	sound(t, expiring, (&Table[person, int64]{core: expiring.core, key: expiring.key}).Delete(1))
}

// A transaction that began before a row expired, and changes it afterwards, meets one that
// has taken the row's unique value since. It is in conflict, whoever commits first.
func TestExpiredValueIsTakenMeanwhile(t *testing.T) {
	for name, late := range map[string]func(rows Rows[person, int64]) error{
		"extends": func(rows Rows[person, int64]) error { return rows.Put(person{ID: 1, Email: "ada"}) },
		"touches": func(rows Rows[person, int64]) error { return rows.Touch(1, time.Hour) },
		"leaves":  func(rows Rows[person, int64]) error { return rows.Put(person{ID: 1, Email: "other"}) },
		"deletes": func(rows Rows[person, int64]) error { return rows.Delete(1) },
	} {
		for _, lateFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(name, lateFirst), func(t *testing.T) {
				inBubble(t, func(t *testing.T, db *lightning.DB) {
					people := openExpiring(t, db, &Expiry[person]{TTL: time.Minute}, "email", "age")
					sound(t, people, people.Put(person{ID: 1, Email: "ada"}))
					old, err := db.Begin(lightning.TxOptions{})
					sound(t, people, err)
					pass(time.Minute)
					new, err := db.Begin(lightning.TxOptions{})
					sound(t, people, err)
					sound(t, people, late(people.In(old)))
					sound(t, people, people.In(new).Insert(person{ID: 2, Email: "ada"}))
					if !lateFirst {
						sound(t, people, new.Commit())
					}
					if err := old.Commit(); !errors.Is(err, lightning.ErrConflict) {
						t.Errorf("got %v", err)
					}
					if lateFirst {
						sound(t, people, new.Commit())
					}
					if p, err := people.Query().Where(email.Eq("ada")).First(); p.ID != 2 || err != nil {
						t.Errorf("got %v, %v", p, err)
					}
					sound(t, people, nil)
				})
			})
		}
	}
}

// Random rows live for random times, in a table whose indexes are built meanwhile. What a
// model says is there, is there; and rows and entries never differ.
func TestExpiryAgainstModel(t *testing.T) {
	inBubble(t, func(t *testing.T, db *lightning.DB) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		until := map[int64]time.Time{}
		people := openExpiring(t, db, &Expiry[person]{TTL: 10 * time.Second, Keep: rng.IntN(2) == 0}, "email")
		for step := range 150 {
			if step == 50 || step == 100 {
				people = openExpiring(t, db, people.expiry, allIndexes()[:step/25]...)
			}
			p := person{ID: rng.Int64N(8), Email: fmt.Sprint(rng.IntN(8)), City: fmt.Sprint(rng.IntN(3)), Tags: []string{"a", "b"}[rng.IntN(3)%2:]}
			ttl := time.Duration(1+rng.IntN(20)) * time.Second
			var err error
			switch rng.IntN(6) {
			case 0:
				err = people.Delete(p.ID)
			case 1:
				err = people.Touch(p.ID, ttl)
			case 2:
				err = people.PutWithTTL(p, ttl)
			case 3:
				_, err = people.buildSome(t.Context(), people.indexes[rng.IntN(len(people.indexes))], 2)
			default:
				err = people.Put(p)
			}
			if err != nil && !errors.Is(err, ErrDuplicate) && !errors.Is(err, lightning.ErrNotFound) {
				t.Fatal(err)
			}
			at, err := people.ExpiresAt(p.ID)
			if delete(until, p.ID); err == nil {
				until[p.ID] = at
			}
			pass(time.Duration(rng.IntN(4)) * time.Second)
			for id, at := range until {
				if !at.After(time.Now()) {
					delete(until, id)
				}
			}
			n, err := people.Query().Count()
			if sound(t, people, err); n != len(until) {
				t.Fatalf("step %d: %d rows, and should be %v", step, n, until)
			}
		}
		sound(t, people, people.Build(t.Context(), nil))
	})
}

// While a unique index is being built, a row that lives on does not take the entry of
// another row that has the same value.
func TestTouchBesideBuildOfUniqueIndex(t *testing.T) {
	db := testDB(t)
	people := openExpiring(t, db, &Expiry[person]{TTL: time.Hour})
	mustPut(t, db, people, person{ID: 1, Email: "same"}, person{ID: 2, Email: "same"})
	people = openExpiring(t, db, people.expiry, "email")
	if _, err := people.buildSome(t.Context(), people.indexes[0], 1); err != nil {
		t.Fatal(err)
	}
	sound(t, people, people.Touch(2, time.Minute))
	var duplicate *DuplicateError
	if err := people.Build(t.Context(), nil); !errors.As(err, &duplicate) || !slices.Equal(duplicate.New, []byte{0x22}) {
		t.Fatalf("got %v", err)
	}
	sound(t, people, people.Delete(2))
	sound(t, people, people.Build(t.Context(), nil))
	if p, err := people.Query().Where(email.Eq("same")).First(); p.ID != 1 || err != nil {
		t.Errorf("got %v, %v", p, err)
	}
}
