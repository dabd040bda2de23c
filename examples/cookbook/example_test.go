package cookbook

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/queue"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func memory() *lightning.DB {
	db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
	check(err)
	return db
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func ExampleUseSession() {
	db := memory()
	defer db.Close()
	sessions, err := OpenSessions(context.Background(), db)
	check(err)
	check(sessions.Put([]byte("token"), []byte("ada")))
	check(sessions.PutWithTTL([]byte("old"), []byte("bob"), time.Nanosecond))

	fmt.Println(UseSession(sessions, []byte("token")))
	_, err = UseSession(sessions, []byte("old"))
	fmt.Println(err)
	check(sessions.Delete([]byte("token"))) // a logout
	_, err = UseSession(sessions, []byte("token"))
	fmt.Println(err)
	// Output:
	// ada <nil>
	// not found
	// not found
}

func ExampleOrder() {
	db := memory()
	defer db.Close()
	ctx, stop := context.WithCancel(context.Background())
	bills, err := queue.Open(ctx, db, "bills", nil)
	check(err)
	written := db.Watch(ctx, lightning.WatchOptions{Prefix: []byte("bill/")})

	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			if err := Bill(ctx, db, bills); !errors.Is(err, context.Canceled) {
				log.Panic(err)
			}
		})
	}
	for n := range 20 {
		check(Order(db, bills, fmt.Sprintf("%02d", n)))
	}
	left := 20
	for _, err := range written {
		check(err)
		if left--; left == 0 {
			break
		}
	}
	stop()
	workers.Wait()
	n, err := db.Count(context.Background(), []byte("bill/"), []byte("bill0"))
	fmt.Println(n, err)
	// Output: 20 <nil>
}

func ExampleCounters() {
	db := memory()
	defer db.Close()
	counters, err := OpenCounters(context.Background(), db)
	check(err)
	var visitors sync.WaitGroup
	for range 8 {
		visitors.Go(func() {
			for range 100 {
				check(counters.Add("/index.html", 1))
			}
		})
	}
	visitors.Wait()
	fmt.Println(counters.Value("/index.html"))
	fmt.Println(counters.Value("/nowhere.html"))
	// Output:
	// 800 <nil>
	// 0 <nil>
}

func ExampleLeaderboard() {
	db := memory()
	defer db.Close()
	board, err := OpenLeaderboard(context.Background(), db)
	check(err)
	for player, score := range map[string]int64{"ada": 300, "bob": -5, "cleo": 120, "dan": 120} {
		check(board.Set(player, score))
	}
	fmt.Println(board.Top(3))
	check(board.Set("bob", 200))
	fmt.Println(board.Top(3))
	fmt.Println(board.Rank(context.Background(), "dan"))
	// Output:
	// [ada cleo dan] <nil>
	// [ada bob cleo] <nil>
	// 4 <nil>
}

func ExampleSeries() {
	db := memory()
	defer db.Close()
	series, err := OpenSeries(context.Background(), db)
	check(err)
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for hour, degrees := range []float64{20.5, 21, 21.75, 21.25} {
		at := noon.Add(time.Duration(hour) * time.Hour)
		check(series.Add("roof", Reading{at, degrees}))
		check(series.Add("cellar", Reading{at, 12}))
	}
	show := func(r Reading) error {
		fmt.Println(r.At.Format("15:04"), r.Value)
		return nil
	}
	check(series.Between("roof", noon.Add(time.Hour), noon.Add(3*time.Hour), show))
	check(series.Forget("roof", noon.Add(3*time.Hour)))
	check(series.Between("roof", noon, noon.Add(24*time.Hour), show))
	// Output:
	// 14:00 21.75
	// 13:00 21
	// 15:00 21.25
}

func ExampleSearch() {
	db := memory()
	defer db.Close()
	search, err := OpenSearch(context.Background(), db)
	check(err)
	check(search.Put("1", "Green tea from Uji"))
	check(search.Put("2", "Black tea, smoked"))
	check(search.Put("3", "A green cup"))

	fmt.Println(search.Find("te"))
	fmt.Println(search.Find("GRE tea"))
	check(search.Put("1", "White tea"))
	fmt.Println(search.Find("gre"))
	// Output:
	// [1 2] <nil>
	// [1] <nil>
	// [3] <nil>
}

func ExampleOutbox() {
	db := memory()
	defer db.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	outbox, err := OpenOutbox(ctx, db)
	check(err)
	place := func(order string, cancel error) error {
		return db.Update(func(tx *lightning.Tx) error {
			if err := tx.Put([]byte("order/"+order), []byte("placed")); err != nil {
				return err
			}
			return errors.Join(outbox.Add(tx, []byte(order+" was placed")), cancel)
		})
	}
	check(place("1", nil))
	fmt.Println(place("2", errors.New("no such article")))

	err = outbox.Relay(ctx, func(id, event []byte) error {
		fmt.Printf("%s\n", event)
		if strings.HasPrefix(string(event), "1") {
			check(place("3", nil)) // while it is at work
		} else {
			stop()
		}
		return nil
	})
	fmt.Println(err)
	n, err := outbox.events.Count(context.Background(), nil, nil)
	fmt.Println(n, err)
	// Output:
	// no such article
	// 1 was placed
	// 3 was placed
	// context canceled
	// 0 <nil>
}

func ExampleCache() {
	db := memory()
	defer db.Close()
	loads := 0
	cache, err := OpenCache(context.Background(), db, func(_ context.Context, key string) ([]byte, error) {
		loads++
		return fmt.Appendf(nil, "%s, loaded %d", key, loads), nil
	})
	check(err)
	for range 2 {
		value, err := cache.Get(context.Background(), "weather")
		fmt.Printf("%s %v\n", value, err)
	}
	check(cache.Forget("weather"))
	value, err := cache.Get(context.Background(), "weather")
	fmt.Printf("%s %v\n", value, err)
	// Output:
	// weather, loaded 1 <nil>
	// weather, loaded 1 <nil>
	// weather, loaded 2 <nil>
}

func ExampleUsers() {
	db := memory()
	defer db.Close()
	users, err := OpenUsers(context.Background(), db)
	check(err)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs { // all want the same
		all.Go(func() { errs[i] = users.SetAddress(fmt.Sprint(i), "ada@example.org") })
	}
	all.Wait()
	won := slices.Index(errs, nil)
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, ErrTaken) })
	fmt.Println(len(errs), "user has it")

	check(users.SetAddress(fmt.Sprint(won), "countess@example.org"))
	fmt.Println(users.SetAddress("9", "ada@example.org"))
	fmt.Println(users.SetAddress("9", "countess@example.org"))
	// Output:
	// 1 user has it
	// <nil>
	// the address is another user's
}

func ExampleClaim() {
	db := memory()
	defer db.Close()
	names, err := db.Keyspace(context.Background(), "names", nil)
	check(err)
	fmt.Println(Claim(names, "ada", "user 1"))
	fmt.Println(Claim(names, "ada", "user 2"))
	// Output:
	// true <nil>
	// false <nil>
}
