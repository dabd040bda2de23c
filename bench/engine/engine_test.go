package engine

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/workload"
	"go.uber.org/goleak"
)

// TestEngines asks of every engine that is built in what the interface
// promises, under both durabilities.
func TestEngines(t *testing.T) {
	checks := []struct {
		name string
		run  func(*testing.T, *opened)
	}{
		{"records", checkRecords},
		{"scan", checkScan},
		{"ranges", checkRanges},
		{"reuse", checkReuse},
		{"sizes", checkSizes},
		{"sessions", checkSessions},
		{"reopen", checkReopen},
		{"bulkSorted", checkBulk(workload.BulkSorted)},
		{"bulkUnsorted", checkBulk(workload.BulkUnsorted)},
		{"bulkTables", checkBulk(workload.BulkTables)},
	}
	for _, name := range Names() {
		e, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if e.Cache {
			continue // see TestCaches
		}
		for _, durability := range []Durability{Async, Sync} {
			for _, c := range checks {
				t.Run(fmt.Sprintf("%s/%s/%s", name, durability, c.name), func(t *testing.T) {
					o := &opened{t: t, engine: e, config: Config{
						Dir:         t.TempDir(),
						Durability:  durability,
						MemoryBytes: 64 << 20,
						DataBytes:   16 << 20,
					}}
					o.open()
					c.run(t, o)
					o.close()
				})
			}
		}
	}
}

// opened is a database with a session of the test's own.
type opened struct {
	t      *testing.T
	engine Engine
	config Config
	db     DB
	Session
}

func (o *opened) open() {
	o.t.Helper()
	var err error
	if o.db, err = o.engine.Open(o.config); err != nil {
		o.t.Fatal(err)
	}
	if o.Session, err = o.db.Session(); err != nil {
		o.t.Fatal(err)
	}
}

func (o *opened) close() {
	o.t.Helper()
	if err := errors.Join(o.Session.Close(), o.db.Close()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *opened) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// wantGet reads behind a prefix, which must be kept in every case.
func (o *opened) wantGet(key string, want []byte) {
	o.t.Helper()
	value, found, err := o.AppendGet([]byte("prefix"), []byte(key))
	o.must(err)
	if !found {
		o.t.Fatalf("%q: not found", key)
	}
	if !bytes.Equal(value, append([]byte("prefix"), want...)) {
		o.t.Fatalf("%q: got %d bytes %.40q, want the prefix and %d bytes %.40q",
			key, len(value), value, len(want), want)
	}
}

func (o *opened) wantAbsent(key string) {
	o.t.Helper()
	value, found, err := o.AppendGet([]byte("prefix"), []byte(key))
	o.must(err)
	if found || string(value) != "prefix" {
		o.t.Fatalf("%q: got %q, found %t; want the prefix alone, absent", key, value, found)
	}
}

func (o *opened) wantScan(lo string, limit int, want ...string) {
	o.t.Helper()
	var got []string
	o.must(o.Scan([]byte(lo), limit, func(key, value []byte) error {
		got = append(got, fmt.Sprintf("%s=%s", key, value))
		return nil
	}))
	if !slices.Equal(got, want) {
		o.t.Fatalf("scan from %q, at most %d: got %q, want %q", lo, limit, got, want)
	}
}

func checkRecords(t *testing.T, o *opened) {
	o.wantAbsent("a")
	o.must(o.Put([]byte("a"), []byte("1")))
	o.wantGet("a", []byte("1"))
	o.must(o.Put([]byte("a"), []byte("2, which is longer")))
	o.wantGet("a", []byte("2, which is longer"))
	o.must(o.PutBatch([]Record{
		{Key: []byte("c"), Value: []byte("3")}, {Key: []byte("b"), Value: []byte("4")}, {Key: []byte("a"), Value: []byte("5")},
	}))
	o.wantScan("a", 9, "a=5", "b=4", "c=3")
	o.must(o.Put([]byte("c"), []byte("7")))
	o.must(o.PutBatch([]Record{{Key: []byte("d"), Value: []byte("6")}}))
	o.wantScan("a", 9, "a=5", "b=4", "c=7", "d=6") // and not the batch before once more
	o.must(o.Delete([]byte("b")))
	o.must(o.Delete([]byte("never there")))
	o.wantAbsent("b")
	o.wantAbsent("bb")
	o.wantScan("a", 9, "a=5", "c=7", "d=6")
	o.must(o.db.Settle(t.Context()))
	o.wantScan("a", 9, "a=5", "c=7", "d=6")
	o.wantAbsent("b")
	// What is returned without space to append to is a slice of its own.
	value, found, err := o.AppendGet(nil, []byte("a"))
	o.must(err)
	if !found || string(value) != "5" {
		t.Fatalf("got %q, found %t", value, found)
	}
}

func checkScan(t *testing.T, o *opened) {
	const n = 1000 // more than any engine's rows of a step
	o.wantScan("", 9)
	o.must(o.db.Settle(t.Context())) // of nothing
	var records []Record
	for i := range n {
		key := fmt.Appendf(nil, "%04d", (i*337)%n)
		records = append(records, Record{Key: key, Value: append([]byte("v"), key...)})
	}
	o.must(o.PutBatch(records))
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%04d=v%04d", i, i))
	}
	o.wantScan("0", n+1, all...)
	o.wantScan("0", n, all...)
	o.wantScan("0", n-1, all[:n-1]...)
	for _, limit := range []int{1, 10, 255, 256, 257, 512, 513} {
		o.wantScan("0100", limit, all[100:100+limit]...)
	}
	o.wantScan("0998", 10, all[998:]...)
	o.wantScan("09985", 10, all[999])
	o.wantScan("1", 10)
	o.wantScan("0", 0)

	enough, calls := errors.New("enough"), 0
	err := o.Scan([]byte("0"), n, func(_, _ []byte) error {
		if calls++; calls == 300 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 300 {
		t.Fatalf("after %d calls: %v", calls, err)
	}
	o.wantScan("0100", 2, all[100:102]...) // the session is as good as new
	o.must(o.Put([]byte("0101"), []byte("new")))
	o.wantScan("0100", 2, all[100], "0101=new")
}

func checkRanges(t *testing.T, o *opened) {
	var records []Record
	for i := range 2000 {
		records = append(records, Record{Key: fmt.Appendf(nil, "%04d", i), Value: []byte("v")})
	}
	o.must(o.PutBatch(records))
	o.must(o.db.Settle(t.Context()))
	o.must(o.DeleteRange([]byte("0001"), []byte("0999")))
	o.wantScan("", 3, "0000=v", "0999=v", "1000=v")
	o.must(o.DeleteRange([]byte("0001"), []byte("0999"))) // nothing is there
	o.must(o.DeleteRange([]byte("1000"), []byte("1000x")))
	o.must(o.DeleteRange([]byte("1999"), []byte("3")))
	o.must(o.PutBatch([]Record{{Key: []byte("0500"), Value: []byte("new")}}))
	o.wantScan("", 4, "0000=v", "0500=new", "0999=v", "1001=v")
	o.wantScan("1998", 4, "1998=v")
	o.wantAbsent("0998")
	o.close()
	o.open()
	o.must(o.db.Settle(t.Context()))
	o.wantScan("", 4, "0000=v", "0500=new", "0999=v", "1001=v")
}

// checkReuse overwrites what it passed in.
func checkReuse(_ *testing.T, o *opened) {
	key, value := []byte("k1"), []byte("v1")
	o.must(o.Put(key, value))
	copy(key, "xx")
	copy(value, "xx")
	o.wantScan("", 9, "k1=v1")

	copy(key, "k2")
	copy(value, "v2")
	batch := []Record{{Key: key, Value: value}, {Key: []byte("k3"), Value: []byte("v3")}}
	o.must(o.PutBatch(batch))
	copy(key, "xx")
	copy(value, "xx")
	copy(batch[1].Key, "xx")
	o.wantScan("", 9, "k1=v1", "k2=v2", "k3=v3")

	copy(key, "k1")
	o.must(o.Delete(key))
	copy(key, "k2")
	o.wantScan("", 9, "k2=v2", "k3=v3")
	o.must(o.Scan(key, 9, func(k, _ []byte) error {
		copy(key, "zz")
		return nil
	}))
	o.must(o.db.Settle(o.t.Context()))
	o.wantScan("", 9, "k2=v2", "k3=v3")
}

func checkSizes(t *testing.T, o *opened) {
	values := map[string][]byte{}
	for _, size := range []int{0, 1, 1 << 10, 1<<20 - 1, 1 << 20} {
		values[fmt.Sprint(size)] = bytes.Repeat([]byte{byte(size>>10 + size%5)}, size)
	}
	for key, value := range values {
		o.must(o.Put([]byte(key), value))
	}
	var batch []Record // with two just below 1 MiB, too much for one transaction of Badger
	for key, value := range values {
		batch = append(batch, Record{Key: []byte("batch " + key), Value: value},
			Record{Key: []byte("again " + key), Value: value})
	}
	o.must(o.PutBatch(batch))
	check := func() {
		t.Helper()
		for key, value := range values {
			o.wantGet(key, value)
			o.wantGet("batch "+key, value)
			o.wantGet("again "+key, value)
		}
		rows := 0
		o.must(o.Scan(nil, 99, func(key, value []byte) error {
			rows++
			if want := values[string(key[bytes.IndexByte(key, ' ')+1:])]; !bytes.Equal(value, want) {
				t.Errorf("scan: %q has %d bytes %.40q, want %d", key, len(value), value, len(want))
			}
			return nil
		}))
		if rows != 3*len(values) {
			t.Fatalf("scan: %d rows, want %d", rows, 3*len(values))
		}
	}
	check()
	o.must(o.db.Settle(t.Context()))
	check()
}

// checkSessions lets writers and readers work side by side. A batch is seen
// whole or not at all by what reads it later, and nobody may fail for another.
func checkSessions(t *testing.T, o *opened) {
	rounds := 50
	if o.config.Durability == Sync {
		rounds = 10
	}
	var wg sync.WaitGroup
	for g := range 4 {
		s, err := o.db.Session()
		o.must(err)
		wg.Go(func() {
			work := writeRounds
			if g >= 2 {
				work = readRounds
			}
			if err := errors.Join(work(s, g, rounds), s.Close()); err != nil {
				t.Errorf("goroutine %d: %v", g, err)
			}
		})
	}
	wg.Wait()
	for g := range 2 {
		for i := range rounds {
			key := fmt.Sprintf("%d-%03d", g, i)
			o.wantGet(key, []byte(key))
			o.wantGet(key+"-batch", []byte(key))
			o.wantAbsent(key + "-gone")
		}
	}
}

func writeRounds(s Session, g, rounds int) error {
	for i := range rounds {
		key := fmt.Sprintf("%d-%03d", g, i)
		err := errors.Join(
			s.Put([]byte(key), []byte(key)),
			s.PutBatch([]Record{
				{Key: []byte(key + "-batch"), Value: []byte(key)}, {Key: []byte(key + "-gone"), Value: []byte(key)},
			}),
			s.Delete([]byte(key+"-gone")),
		)
		if err != nil {
			return err
		}
		value, found, err := s.AppendGet(nil, []byte(key))
		if err != nil || !found || string(value) != key {
			return fmt.Errorf("own write %q: got %q, found %t: %w", key, value, found, err)
		}
	}
	return nil
}

func readRounds(s Session, g, rounds int) error {
	var dst []byte
	for i := range 4 * rounds {
		key := fmt.Sprintf("%d-%03d", g-2, i%rounds)
		value, found, err := s.AppendGet(dst[:0], []byte(key))
		if err != nil || found && string(value) != key {
			return fmt.Errorf("get %q: got %q: %w", key, value, err)
		}
		dst = value
		var last []byte
		err = s.Scan([]byte(key), 20, func(k, v []byte) error {
			if !strings.HasPrefix(string(k), string(v)) || bytes.Compare(last, k) >= 0 {
				return fmt.Errorf("scan: %q with %q after %q", k, v, last)
			}
			last = append(last[:0], k...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkReopen(t *testing.T, o *opened) {
	o.must(o.Put([]byte("a"), []byte("1")))
	o.must(o.PutBatch([]Record{{Key: []byte("b"), Value: []byte("2")}, {Key: []byte("c"), Value: []byte("3")}}))
	o.must(o.Delete([]byte("a")))
	o.close()
	o.open()
	o.wantScan("", 9, "b=2", "c=3")
	o.must(o.db.Settle(t.Context()))
	o.must(o.Put([]byte("a"), []byte("4")))
	o.close()
	o.open()
	o.wantScan("", 9, "a=4", "b=2", "c=3")
}

// checkBulk loads a database at once, which then has the records, also when it is opened again.
// Engines without tables of their own are not asked for them.
func checkBulk(how Bulk) func(*testing.T, *opened) {
	return func(t *testing.T, o *opened) {
		loader, ok := o.db.(workload.Loader)
		if !ok || how == workload.BulkTables && !o.engine.Tables {
			return
		}
		load, err := loader.BulkLoad(how)
		o.must(err)
		if load == nil {
			return
		}
		var records []Record
		var rows []string
		for i := range 5000 {
			key := fmt.Sprintf("%05d", i)
			value := bytes.Repeat([]byte(key), 1+i%9)
			records = append(records, Record{Key: []byte(key), Value: value})
			rows = append(rows, fmt.Sprintf("%s=%s", key, value))
		}
		if how == workload.BulkUnsorted {
			slices.Reverse(records)
		}
		for part := range slices.Chunk(records, 1999) {
			o.must(load.Add(part))
		}
		o.must(load.Commit())
		o.must(load.Close())
		for range 2 {
			o.wantGet("00000", []byte("00000"))
			o.wantGet("04999", bytes.Repeat([]byte("04999"), 1+4999%9))
			o.wantAbsent("05000")
			o.wantScan("04990", 20, rows[4990:]...)
			o.must(o.db.Settle(t.Context()))
			o.close()
			o.open()
		}
		if left, err := filepath.Glob(o.config.Dir + ".*"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestNames(t *testing.T) {
	names := Names()
	for _, want := range []string{"badger", "bbolt", "goleveldb", "pebble", "sqlite"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is missing from %q", want, names)
		}
	}
	if names[0] != "lightning" || !slices.IsSorted(names[1:]) {
		t.Errorf("%q: want Lightning DB first, the others in order", names)
	}
}

func TestDescriptions(t *testing.T) {
	for _, name := range Names() {
		e, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if e.Package == "" || e.Tuning == "" || e.Memory == "" {
			t.Errorf("%s: package %q, tuning %q, memory %q", name, e.Package, e.Tuning, e.Memory)
		}
		_, library := optional[name]
		if library != (e.Version != nil) {
			t.Errorf("%s: a C library tells its version at run time, a Go module does not", name)
		}
		if e.Version != nil && strings.Count(e.Version(), ".") != 2 {
			t.Errorf("%s: version %q", name, e.Version())
		}
	}
}

func TestLookupErrors(t *testing.T) {
	_, err := Lookup("oracle")
	if err == nil || !strings.Contains(err.Error(), `"oracle"`) ||
		!strings.Contains(err.Error(), "lightning, badger") {
		t.Errorf("unknown: %v", err)
	}
	for name := range optional {
		_, err := Lookup(name)
		if slices.Contains(Names(), name) {
			if err != nil {
				t.Errorf("%s is built in: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "-tags "+name) {
			t.Errorf("%s, which is not built in: %v", name, err)
		}
	}
}

// TestLightningLeavesNothing finds goroutines that outlive the database.
func TestLightningLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	e, err := Lookup("lightning")
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{t: t, engine: e, config: Config{
		Dir: t.TempDir(), Durability: Async, MemoryBytes: 64 << 20, DataBytes: 1 << 20,
	}}
	o.open()
	o.must(o.Put([]byte("a"), []byte("1")))
	o.must(o.db.Settle(t.Context()))
	o.close()
}
