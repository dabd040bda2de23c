package workload

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

func small() Config {
	return Config{
		Records: 3001, ValueBytes: 40, Goroutines: 2, WarmUp: time.Millisecond, Time: 10 * time.Millisecond,
		LoadLimit: time.Minute, SustainedTime: time.Second, SustainedRate: 5000,
	}
}

// allRows are the rows of the room.
func allRows() []Row {
	rows := Rows()
	last := len(rows) - 1 // which leaves records out
	return slices.Concat(rows[:last], TransactionRows(), IteratorRows(), rows[last:])
}

// onLightning returns a runner on a new database.
func onLightning(t *testing.T, c Config) *Runner {
	t.Helper()
	db, err := lightning.Open(t.TempDir(), &lightning.Options{MemoryBudget: 16 << 20, Durability: lightning.DurabilityAsync})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Runner{Config: c, Store: On(db)}
}

func TestAllRows(t *testing.T) {
	r := onLightning(t, small())
	check := func(name string, o Outcome, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if o.Operations == 0 || o.Elapsed <= 0 || o.Unit == "" || o.Goroutines == 0 {
			t.Errorf("%s: %+v", name, o)
		}
		if (o.Latency == nil) != (o.Of == "") || o.Latency == nil && name != "full-scan" && name != "settle" {
			t.Errorf("%s: latencies of %q", name, o.Of)
		}
	}
	o, err := r.Fill(t.Context(), 64)
	check("fill", o, err)
	if o.Operations != r.Config.Records || o.Settling != 0 {
		t.Errorf("filled %d records and settled for %v", o.Operations, o.Settling)
	}
	o, err = r.Settle(t.Context())
	check("settle", o, err)
	if err := r.GetFirst(); err != nil {
		t.Error(err)
	}
	for _, row := range allRows() {
		around := 0
		r.Around = func(measured func() error) error {
			around++
			return measured()
		}
		o, err := row.Run(r, t.Context())
		check(row.Name, o, err)
		if around != 1 {
			t.Errorf("%s: measured %d times", row.Name, around)
		}
	}
}

// Values that have no room for a version can be read and written all the same;
// only transactions need versions.
func TestShortValues(t *testing.T) {
	c := small()
	for _, c.ValueBytes = range []int{0, 13} {
		r := &Runner{Config: c, Store: newMemory()}
		if err := r.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, row := range Rows() {
			if _, err := row.Run(r, t.Context()); err != nil {
				t.Errorf("%d bytes: %s: %v", c.ValueBytes, row.Name, err)
			}
		}
		for _, row := range TransactionRows() {
			if _, err := row.Run(r, t.Context()); !errors.Is(err, errNoVersions) {
				t.Errorf("%d bytes: %s: %v", c.ValueBytes, row.Name, err)
			}
		}
	}
}

// plain hides all that a session can do beside what every session can.
type plain struct{ Store }

func (p plain) Session() (Session, error) {
	s, err := p.Store.Session()
	return struct{ Session }{s}, err
}

func TestRowsNeedWhatADatabaseHas(t *testing.T) {
	r := &Runner{Config: small(), Store: plain{newMemory()}}
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := TransactionRows()[0].Run(r, t.Context()); !errors.Is(err, errNoTransactions) {
		t.Error(err)
	}
	if _, err := IteratorRows()[0].Run(r, t.Context()); !errors.Is(err, errNoIterators) {
		t.Error(err)
	}
}

func TestCancelledRowsStop(t *testing.T) {
	r := &Runner{Config: small(), Store: newMemory()}
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range allRows() {
		if _, err := row.Run(r, ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s went on: %v", row.Name, err)
		}
	}
	if _, err := r.Fill(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("fill went on: %v", err)
	}
}

// A load that is cut short still leaves all records there.
func TestLoadIsCutShort(t *testing.T) {
	c := small()
	c.Records, c.LoadLimit = 100_000, 10*time.Millisecond
	r := onLightning(t, c)
	o, err := r.Load(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if o.Operations >= c.Records || len(o.Notes) != 1 || o.Settling != 0 {
		t.Errorf("%d operations, notes %q, %v of settling", o.Operations, o.Notes, o.Settling)
	}
	if o, err = r.fullScan(t.Context()); err != nil || o.Operations != c.Records {
		t.Errorf("%d records: %v", o.Operations, err)
	}
}

// liar answers wrongly in one way.
type liar struct {
	Store
	session func(Session) Session
}

func (l liar) Session() (Session, error) {
	s, err := l.Store.Session()
	return l.session(s), err
}

type liarSession struct {
	Session
	get  func(s Session, dst, key []byte) ([]byte, bool, error)
	scan func(s Session, lo []byte, limit int, fn func(k, v []byte) error) error
	del  func(s Session, key []byte) error
}

func (l liarSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	if l.get == nil {
		return l.Session.AppendGet(dst, key)
	}
	return l.get(l.Session, dst, key)
}

func (l liarSession) Scan(lo []byte, limit int, fn func(k, v []byte) error) error {
	if l.scan == nil {
		return l.Session.Scan(lo, limit, fn)
	}
	return l.scan(l.Session, lo, limit, fn)
}

func (l liarSession) Delete(key []byte) error {
	if l.del == nil {
		return l.Session.Delete(key)
	}
	return l.del(l.Session, key)
}

// A database that returns wrong data fails the run.
func TestWrongAnswersFailTheRun(t *testing.T) {
	var absent [KeyBytes]byte
	Scattered.MakeKey(&absent, absentFrom)
	value := make([]byte, small().ValueBytes)
	MakeValue(value, absent[:], 1)
	for name, c := range map[string]struct {
		lie     liarSession
		seenBy  []string
		missing []string // rows that cannot see it
	}{
		"the truth": {missing: []string{"get-uniform", "scan-100", "full-scan", "ycsb-e", "delete-half",
			"queue", "window", "delete-head", "delete-ranges"}},
		"nothing is found": {
			lie: liarSession{get: func(_ Session, dst, _ []byte) ([]byte, bool, error) {
				return dst, false, nil
			}},
			seenBy: []string{"get-uniform", "get-zipf", "ycsb-a", "ycsb-d", "read-while-writing"},
		},
		"another key's value": {
			lie: liarSession{get: func(_ Session, dst, _ []byte) ([]byte, bool, error) {
				return append(dst, value...), true, nil
			}},
			seenBy: []string{"get-uniform", "get-absent", "ycsb-f"}, missing: []string{"scan-100"},
		},
		"a row is left out": {
			lie: liarSession{scan: func(s Session, lo []byte, limit int, fn func(k, v []byte) error) error {
				count := 0
				return s.Scan(lo, limit, func(k, v []byte) error {
					if count++; count == 2 {
						return nil
					}
					return fn(k, v)
				})
			}},
			seenBy: []string{"scan-100", "full-scan", "window"}, missing: []string{"get-uniform"},
		},
		"rows begin too late": {
			lie: liarSession{scan: func(s Session, lo []byte, limit int, fn func(k, v []byte) error) error {
				return s.Scan(append(bytes.Clone(lo), 0), limit, fn)
			}},
			seenBy: []string{"scan-100", "ycsb-e"},
		},
		"rows too many": {
			lie: liarSession{scan: func(s Session, lo []byte, limit int, fn func(k, v []byte) error) error {
				return s.Scan(lo, limit+1, fn)
			}},
			seenBy: []string{"scan-100", "ycsb-e"},
		},
		"deletes do nothing": {
			lie:    liarSession{del: func(Session, []byte) error { return nil }},
			seenBy: []string{"delete-half", "queue", "delete-head"}, missing: []string{"full-scan"},
		},
	} {
		run := func(row string) error {
			r := &Runner{Config: small(), Store: liar{newMemory(), func(s Session) Session {
				lie := c.lie
				lie.Session = s
				return lie
			}}}
			r.Order = Order(isDeleteRow(row))
			if err := r.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows := slices.Concat(Rows(), DeleteRows())
			_, err := rows[slices.IndexFunc(rows, func(r Row) bool { return r.Name == row })].Run(r, t.Context())
			return err
		}
		for _, row := range c.seenBy {
			if err := run(row); !errors.As(err, new(WrongAnswer)) {
				t.Errorf("%s: %s did not see it: %v", name, row, err)
			}
		}
		for _, row := range c.missing {
			if err := run(row); err != nil {
				t.Errorf("%s: %s: %v", name, row, err)
			}
		}
	}
}
