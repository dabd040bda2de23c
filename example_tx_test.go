package lightning_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func balance(tx *lightning.Tx, account string) (uint64, error) {
	b, err := tx.Get([]byte(account))
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

func setBalance(tx *lightning.Tx, account string, amount uint64) error {
	return tx.Put([]byte(account), binary.BigEndian.AppendUint64(nil, amount))
}

var errFunds = errors.New("not enough money")

// transfer moves money from one account to another, or does nothing.
func transfer(db *lightning.DB, from, to string, amount uint64) error {
	return db.Update(func(tx *lightning.Tx) error {
		has, err := balance(tx, from)
		if err != nil {
			return err
		}
		if has < amount {
			return errFunds
		}
		gets, err := balance(tx, to)
		if err != nil {
			return err
		}
		return errors.Join(setBalance(tx, from, has-amount), setBalance(tx, to, gets+amount))
	})
}

// A bank transfer: whatever happens at the same time, no money is made or lost.
func ExampleDB_Update() {
	db, err := lightning.Open("bank", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	_ = db.Update(func(tx *lightning.Tx) error {
		return errors.Join(setBalance(tx, "alice", 100), setBalance(tx, "bob", 5))
	})

	fmt.Println(transfer(db, "alice", "bob", 30))
	fmt.Println(transfer(db, "alice", "bob", 300))

	_ = db.View(func(tx *lightning.Tx) error {
		alice, _ := balance(tx, "alice")
		bob, _ := balance(tx, "bob")
		fmt.Println(alice, bob)
		return nil
	})
	// Output:
	// <nil>
	// not enough money
	// 70 35
}

// A queue: each job is taken once, in order, by whoever comes.
func ExampleTx_Scan() {
	db, err := lightning.Open("queue", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	_ = db.Update(func(tx *lightning.Tx) error {
		for i, job := range []string{"wash", "dry", "fold"} {
			key := fmt.Appendf(nil, "job/%08d", i)
			if err := tx.Put(key, []byte(job)); err != nil {
				return err
			}
		}
		return nil
	})

	take := func() (job string, err error) {
		err = db.Update(func(tx *lightning.Tx) error {
			job = ""
			o := lightning.ScanOptions{IterOptions: lightning.IterOptions{Prefix: []byte("job/")}}
			return tx.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
				for key, value := range rows {
					job = string(value)
					return tx.Delete(key)
				}
				return nil
			})
		})
		return job, err
	}
	for range 4 {
		job, err := take()
		fmt.Printf("%q %v\n", job, err)
	}
	// Output:
	// "wash" <nil>
	// "dry" <nil>
	// "fold" <nil>
	// "" <nil>
}

// A counter that many change: waiting in line costs less than conflicts do.
func ExampleTx_GetForUpdate() {
	db, err := lightning.Open("counter", &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	increment := func(tx *lightning.Tx) error {
		var n uint64
		b, err := tx.GetForUpdate([]byte("visits"))
		switch {
		case err == nil:
			n = binary.BigEndian.Uint64(b)
		case !errors.Is(err, lightning.ErrNotFound):
			return err
		}
		return tx.Put([]byte("visits"), binary.BigEndian.AppendUint64(nil, n+1))
	}
	done := make(chan error)
	for range 4 {
		go func() {
			var err error
			for range 25 {
				err = errors.Join(err, db.Update(increment))
			}
			done <- err
		}()
	}
	for range 4 {
		fmt.Println(<-done)
	}
	b, _ := db.Get([]byte("visits"))
	fmt.Println(binary.BigEndian.Uint64(b), "visits,", db.Metrics().Transactions.Conflicts, "conflicts")
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// 100 visits, 0 conflicts
}

// A secondary index that is never out of step with the records.
func ExampleTx_In() {
	db, err := lightning.Open("people", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	byCity, err := db.Keyspace(context.Background(), "by-city", nil)
	if err != nil {
		panic(err)
	}

	move := func(name, city string) error {
		return db.Update(func(tx *lightning.Tx) error {
			old, err := tx.Get([]byte(name))
			switch {
			case err == nil:
				if err := tx.In(byCity).Delete(append(append(old, 0), name...)); err != nil {
					return err
				}
			case !errors.Is(err, lightning.ErrNotFound):
				return err
			}
			if err := tx.Put([]byte(name), []byte(city)); err != nil {
				return err
			}
			return tx.In(byCity).Put([]byte(city+"\x00"+name), nil)
		})
	}
	fmt.Println(move("ada", "london"), move("emmy", "erlangen"), move("grace", "london"), move("emmy", "london"))

	_ = db.View(func(tx *lightning.Tx) error {
		o := lightning.ScanOptions{IterOptions: lightning.IterOptions{Prefix: []byte("london\x00")}}
		return tx.In(byCity).Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
			for key := range rows {
				fmt.Println(string(key[len("london\x00"):]))
			}
			return nil
		})
	})
	// Output:
	// <nil> <nil> <nil> <nil>
	// ada
	// emmy
	// grace
}

// A transaction reads many keys at once.
func ExampleTx_MultiGet() {
	db := memory()
	defer db.Close()
	_ = db.Put([]byte("a"), []byte("1"))
	_ = db.Put([]byte("b"), []byte("2"))
	err := db.Update(func(tx *lightning.Tx) error {
		var sum int
		err := tx.MultiGet([][]byte{[]byte("a"), []byte("b")}, func(_ int, value []byte, err error) error {
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(value))
			sum += n
			return err
		})
		if err != nil {
			return err
		}
		return tx.Put([]byte("sum"), []byte(strconv.Itoa(sum)))
	})
	sum, _ := db.Get([]byte("sum"))
	fmt.Println(string(sum), err)
	// Output: 3 <nil>
}

// A transaction gives a key that will soon expire another hour.
func ExampleTx_ExpiresAt() {
	db := memory()
	defer db.Close()
	_ = db.PutWithTTL([]byte("session"), []byte("alice"), time.Minute)
	err := db.Update(func(tx *lightning.Tx) error {
		at, err := tx.ExpiresAt([]byte("session"))
		if err != nil || time.Until(at) > 10*time.Minute {
			return err
		}
		value, err := tx.Get([]byte("session"))
		if err != nil {
			return err
		}
		return tx.PutWithTTL([]byte("session"), value, time.Hour)
	})
	at, _ := db.ExpiresAt([]byte("session"))
	fmt.Println(time.Until(at) > 50*time.Minute, err)
	// Output: true <nil>
}

// A session and its entry by user expire at the same instant: no reader sees one without
// the other.
func ExampleTx_PutUntil() {
	db := memory()
	defer db.Close()
	err := db.Update(func(tx *lightning.Tx) error {
		until := time.Now().Add(time.Hour)
		if err := tx.PutUntil([]byte("session/5f3a"), []byte("alice"), until); err != nil {
			return err
		}
		return tx.PutUntil([]byte("by-user/alice/5f3a"), nil, until)
	})
	one, _ := db.ExpiresAt([]byte("session/5f3a"))
	other, _ := db.ExpiresAt([]byte("by-user/alice/5f3a"))
	fmt.Println(one.Equal(other), err)
	// Output: true <nil>
}
