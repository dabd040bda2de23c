package table

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Queries of several goroutines over one transaction give all their rows, or say that
// they have met another one.
func TestQueriesShareATransaction(t *testing.T) {
	db := openDB(t, memfs.New())
	people := openPeople(t, db, "age")
	const count = 300
	err := db.Update(func(tx *lightning.Tx) error {
		for n := range int64(count) {
			if err := people.In(tx).Put(person{ID: n, Age: int(n % 7), Email: fmt.Sprint(n)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(lightning.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	query := people.In(tx).Query().Where(age.Ge(3))
	want, met := 0, make([]bool, 4)
	for n := range count {
		if n%7 >= 3 {
			want++
		}
	}
	var wg sync.WaitGroup
	for g := range met {
		wg.Go(func() {
			for range 20 {
				rows := 0
				var failed error
				for _, err := range query.All() {
					if err != nil {
						failed = err
						break
					}
					rows++
				}
				if failed == nil && rows != want || failed != nil && !errors.Is(failed, lightning.ErrConcurrentUse) {
					t.Errorf("%d rows instead of %d, %v", rows, want, failed)
				}
				met[g] = met[g] || failed != nil
			}
		})
	}
	wg.Wait()
	for _, met := range met {
		if met && !errors.Is(tx.Err(), lightning.ErrConcurrentUse) {
			t.Errorf("a query was refused, and the transaction says %v", tx.Err())
		}
	}
}
