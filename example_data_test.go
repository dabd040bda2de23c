package lightning_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A session store: every session lives for half an hour, and each use of it
// begins that time anew.
func ExampleKeyspace_PutWithTTL() {
	db, err := lightning.Open("site", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	sessions, err := db.Keyspace(context.Background(), "sessions", &lightning.KeyspaceOptions{TTL: 30 * time.Minute})
	if err != nil {
		panic(err)
	}
	use := func(id string) (user string, err error) {
		err = db.Update(func(tx *lightning.Tx) error {
			in := tx.In(sessions)
			value, err := in.Get([]byte(id))
			if err != nil {
				return err // also when it has expired
			}
			user = string(value)
			return in.Put([]byte(id), value) // for another half hour
		})
		return user, err
	}

	_ = sessions.Put([]byte("s1"), []byte("alice"))
	_ = sessions.PutWithTTL([]byte("s2"), []byte("bob"), time.Nanosecond)
	_ = sessions.PutWithTTL([]byte("api"), []byte("robot"), lightning.Forever)

	fmt.Println(use("s1"))
	_, err = use("s2")
	fmt.Println(errors.Is(err, lightning.ErrNotFound))
	at, _ := sessions.ExpiresAt([]byte("s1"))
	fmt.Println(time.Until(at) > 29*time.Minute)
	at, _ = sessions.ExpiresAt([]byte("api"))
	fmt.Println(at.IsZero())
	// Output:
	// alice <nil>
	// true
	// true
	// true
}

// Counters that any number of writers count up without reading them first.
func ExampleKeyspace_Merge() {
	db, err := lightning.Open("site", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	hits, err := db.Keyspace(context.Background(), "hits", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	if err != nil {
		panic(err)
	}
	one := binary.LittleEndian.AppendUint64(nil, 1)
	for range 1000 {
		_ = hits.Merge([]byte("/index.html"), one)
	}
	n, err := hits.Get([]byte("/index.html"))
	fmt.Println(binary.LittleEndian.Uint64(n), err)
	// Output: 1000 <nil>
}

// A time series: keys are the name of a sensor and the time, so that the readings
// of a sensor stand one after the other, and the newest is found from the end.
// Readings go after a year.
func Example_timeSeries() {
	db, err := lightning.Open("weather", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	readings, err := db.Keyspace(context.Background(), "readings", &lightning.KeyspaceOptions{TTL: 365 * 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	key := func(tuple ...any) []byte {
		k, err := keyenc.Append(nil, tuple...)
		if err != nil {
			panic(err)
		}
		return k
	}
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	b := readings.NewBatch()
	for i, degrees := range []string{"20.5", "21.0", "21.7", "21.2"} {
		_ = b.Put(key("roof", noon.Add(time.Duration(i)*time.Hour)), []byte(degrees))
		_ = b.Put(key("cellar", noon.Add(time.Duration(i)*time.Hour)), []byte("12.0"))
	}
	if err := b.Commit(); err != nil {
		panic(err)
	}

	// The roof between one and three o'clock, and its newest reading.
	hours := lightning.ScanOptions{IterOptions: lightning.IterOptions{
		Lower: key("roof", noon.Add(time.Hour)),
		Upper: key("roof", noon.Add(3*time.Hour)),
	}}
	err = readings.Scan(hours, func(rows iter.Seq2[[]byte, []byte]) error {
		for _, degrees := range rows {
			fmt.Println(string(degrees))
		}
		return nil
	})
	newest, err2 := readings.Iterator(lightning.IterOptions{Prefix: key("roof")})
	if err2 == nil && newest.Last() {
		fmt.Println("newest", string(newest.Value()))
	}
	fmt.Println(errors.Join(err, err2, newest.Close()))
	// Output:
	// 21.0
	// 21.7
	// newest 21.2
	// <nil>
}
