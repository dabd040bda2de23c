package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/cities"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// cityValue is what the tour stores of a city.
type cityValue struct {
	Name       string     `json:"name"`
	Population int64      `json:"population"`
	At         [2]float64 `json:"at"` // latitude and longitude, to about 100 m
}

func cityJSON(city cities.City) []byte {
	at := [2]float64{math.Round(city.Latitude*1000) / 1000, math.Round(city.Longitude*1000) / 1000}
	return cityValue{city.Name, city.Population, at}.encode()
}

func (v cityValue) encode() []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		// Only a coordinate that is no number could do this; the data has none.
		return nil
	}
	return encoded
}

// appendPopulationKey appends the key of a city in the keyspace
// "by-population": big-endian numbers sort like the numbers.
func appendPopulationKey(dst []byte, population int64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(population)), key...)
}

// The city the tour looks at.
const exampleKey = "IS/Reykjavík/3413829"

// randomGets is how many reads the tour measures.
const randomGets = 200_000

func (t *tour) get() error {
	err := t.heading("Get", "One key, and then "+console.Count(randomGets)+" random ones.")
	if err != nil {
		return err
	}
	if err := t.command("get %s", exampleKey); err != nil {
		return err
	}
	start := time.Now()
	value, err := t.db.Get([]byte(exampleKey))
	elapsed := time.Since(start)
	if err != nil {
		return err
	}
	if err := t.result(elapsed, string(value)); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	start = time.Now()
	for range randomGets {
		key := t.keys[random.IntN(len(t.keys))]
		if value, err = t.db.AppendGet(value[:0], key); err != nil {
			return fmt.Errorf("get %q: %w", key, err)
		}
	}
	elapsed = time.Since(start)
	return t.result(elapsed, console.Count(randomGets)+" random gets, one after the other: "+
		console.Rate(randomGets, elapsed))
}

func (t *tour) put() error {
	err := t.heading("Put and delete",
		"A put returns when the write is on stable storage: power may fail then. (There",
		"are two faster settings, for data that may be lost in a crash.)")
	if err != nil {
		return err
	}
	key := []byte("IS/Lightning Bay/0")
	value := cityValue{"Lightning Bay", 42, [2]float64{64.2, -22.1}}.encode()
	put := func() error { return t.db.Put(key, value) }
	if err := t.timed(fmt.Sprintf("put %s", key), string(value), put); err != nil {
		return err
	}
	found, err := t.db.Get(key)
	if err != nil {
		return err
	}
	if err := expect(bytes.Equal(found, value), "got %q after put %q", found, value); err != nil {
		return err
	}
	remove := func() error { return t.db.Delete(key) }
	if err := t.timed(fmt.Sprintf("delete %s", key), "deleted", remove); err != nil {
		return err
	}
	start := time.Now()
	_, err = t.db.Get(key)
	elapsed := time.Since(start)
	if err := expect(errors.Is(err, lightning.ErrNotFound), "a deleted key gave %v", err); err != nil {
		return err
	}
	if err := t.command("get %s", key); err != nil {
		return err
	}
	return t.result(elapsed, "not found")
}

// timed prints a command, runs it, and prints its outcome and time.
func (t *tour) timed(command, outcome string, fn func() error) error {
	if err := t.command("%s", command); err != nil {
		return err
	}
	start := time.Now()
	if err := fn(); err != nil {
		return err
	}
	return t.result(time.Since(start), outcome)
}

func (t *tour) scanPrefix() error {
	err := t.heading("Scan a prefix", "Keys are in order, so everything that begins alike is together.")
	if err != nil {
		return err
	}
	for _, prefix := range []string{"JP/Ky", "FR/Saint-"} {
		if err := t.scanOnePrefix(prefix); err != nil {
			return err
		}
	}
	return nil
}

// shownRows is how many rows of a scan the tour prints.
const shownRows = 4

func (t *tour) scanOnePrefix(prefix string) (err error) {
	if err := t.command("scan --prefix %s", prefix); err != nil {
		return err
	}
	start := time.Now()
	it, err := t.db.Iterator(lightning.IterOptions{Prefix: []byte(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var shown []string
	count := 0
	for ok := it.First(); ok; ok = it.Next() {
		if count < shownRows {
			shown = append(shown, string(it.Key()))
		}
		count++
	}
	elapsed := time.Since(start)
	if err := it.Err(); err != nil {
		return err
	}
	for _, key := range shown {
		if err := t.show(key); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s in all", console.Count(int64(count)))
	if count > len(shown) {
		text = "… " + text
	}
	return t.result(elapsed, text)
}

func (t *tour) scanRange() error {
	err := t.heading("Scan a range, both ways",
		"Forwards through Denmark from the letter S, and then backwards from the end of",
		"the keyspace by population: the largest cities.")
	if err != nil {
		return err
	}
	if err := t.command("scan --from DK/S --to DK/T --limit %d", shownRows); err != nil {
		return err
	}
	start := time.Now()
	it, err := t.db.Iterator(lightning.IterOptions{Lower: []byte("DK/S"), Upper: []byte("DK/T")})
	if err != nil {
		return err
	}
	keys, _ := scanRows(it, it.First(), it.Next, shownRows)
	elapsed := time.Since(start)
	if err := it.Close(); err != nil {
		return err
	}
	if err := expect(len(keys) == shownRows, "%d cities in the range", len(keys)); err != nil {
		return err
	}
	if err := t.rows(elapsed, keys); err != nil {
		return err
	}
	return t.largest()
}

// largest prints the largest cities.
func (t *tour) largest() error {
	if err := t.command("scan --keyspace by-population --reverse --limit %d", shownRows); err != nil {
		return err
	}
	start := time.Now()
	it, err := t.byPopulation.Iterator(lightning.IterOptions{})
	if err != nil {
		return err
	}
	keys, names := scanRows(it, it.Last(), it.Prev, shownRows)
	elapsed := time.Since(start)
	if err := it.Close(); err != nil {
		return err
	}
	for i, key := range keys {
		population := int64(binary.BigEndian.Uint64(key))
		keys[i] = []byte(console.Left(string(names[i]), 16) + console.Right(console.Count(population), 11))
	}
	return t.rows(elapsed, keys)
}

// rows prints lines, the last with the time they took.
func (t *tour) rows(elapsed time.Duration, lines [][]byte) error {
	for _, line := range lines[:len(lines)-1] {
		if err := t.show(string(line)); err != nil {
			return err
		}
	}
	return t.result(elapsed, string(lines[len(lines)-1]))
}

func (t *tour) snapshot() (err error) {
	err = t.heading("Snapshot",
		"A snapshot is the database as it was. Taking one copies nothing, and writers",
		"do not wait for it.")
	if err != nil {
		return err
	}
	if err := t.command("snapshot"); err != nil {
		return err
	}
	start := time.Now()
	snapshot, err := t.db.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if err := t.result(time.Since(start), "taken"); err != nil {
		return err
	}
	key := []byte(exampleKey)
	before, err := t.db.Get(key)
	if err != nil {
		return err
	}
	after := cityValue{"Reykjavík", 200_000, [2]float64{64.135, -21.895}}.encode()
	put := func() error { return t.db.Put(key, after) }
	if err := t.timed("put "+exampleKey, string(after), put); err != nil {
		return err
	}
	now, err := t.db.Get(key)
	if err != nil {
		return err
	}
	then, err := snapshot.Get(key)
	if err != nil {
		return err
	}
	asExpected := bytes.Equal(now, after) && bytes.Equal(then, before)
	if err := expect(asExpected, "now %q, then %q", now, then); err != nil {
		return err
	}
	if err := t.show("now   " + string(now)); err != nil {
		return err
	}
	if err := t.show("then  " + string(then)); err != nil {
		return err
	}
	return t.timed("put "+exampleKey, "put back", func() error { return t.db.Put(key, before) })
}

func (t *tour) batch() error {
	err := t.heading("Batch",
		"A batch happens as a whole or not at all. This one gives every city of Italy",
		"one more inhabitant.")
	if err != nil {
		return err
	}
	batch := t.db.NewBatch()
	before, err := t.inhabitants("IT/", func(key []byte, city cityValue) error {
		city.Population++
		return batch.Put(key, city.encode())
	})
	if err != nil {
		return err
	}
	changes := int64(batch.Len())
	unchanged, err := t.inhabitants("IT/", nil)
	if err != nil {
		return err
	}
	if err := expect(unchanged == before, "a batch was visible before its commit"); err != nil {
		return err
	}
	if err := t.show(fmt.Sprintf("before: %s inhabitants", console.Count(before))); err != nil {
		return err
	}
	command := fmt.Sprintf("commit a batch of %s puts", console.Count(changes))
	err = t.timed(command, "committed and synced", batch.Commit)
	if err != nil {
		return err
	}
	after, err := t.inhabitants("IT/", nil)
	if err != nil {
		return err
	}
	if err := expect(after == before+changes, "%d inhabitants, not %d", after, before+changes); err != nil {
		return err
	}
	return t.show(fmt.Sprintf("after:  %s inhabitants", console.Count(after)))
}

// inhabitants sums up the population of the cities with a prefix and shows
// each to visit, if that is not nil.
func (t *tour) inhabitants(
	prefix string, visit func(key []byte, city cityValue) error,
) (sum int64, err error) {
	it, err := t.db.Iterator(lightning.IterOptions{Prefix: []byte(prefix)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		var city cityValue
		if err := json.Unmarshal(it.Value(), &city); err != nil {
			return 0, fmt.Errorf("value of %q: %w", it.Key(), err)
		}
		sum += city.Population
		if visit == nil {
			continue
		}
		if err := visit(it.Key(), city); err != nil {
			return 0, err
		}
	}
	return sum, it.Err()
}
