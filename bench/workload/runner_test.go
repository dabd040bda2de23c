package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
)

func small() Config {
	return Config{
		Records: 3001, ValueBytes: 40, Goroutines: 2, Durability: engine.Async, MemoryBytes: 16 << 20,
		WarmUp: time.Millisecond, Time: 10 * time.Millisecond, LoadLimit: time.Minute,
		LargeDataBytes: 8 << 20, ColdDataBytes: 1 << 20, SustainedTime: time.Second, SustainedRate: 5000,
	}
}

// runGroup runs all phases of a group in this process.
func runGroup(t *testing.T, e engine.Engine, g Group, wanted []string) (rows []result.Row, err error) {
	t.Helper()
	dir := t.TempDir()
	for i := range g.Phases {
		if !g.Phases[i].Wanted(wanted) {
			continue
		}
		r := New(e, dir, g.Configure(small()), func(string) {})
		err = r.RunPhase(t.Context(), &g, i, wanted, func(row result.Row) error {
			rows = append(rows, row)
			return nil
		})
		if err := errors.Join(err, r.Close()); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func TestAllWorkloads(t *testing.T) {
	e, err := engine.Lookup("lightning")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range Groups() {
		rows, err := runGroup(t, e, g, Names())
		if err != nil {
			t.Fatalf("%s: %v", g.Name, err)
		}
		for _, row := range rows {
			names = append(names, row.Workload)
			if row.Operations == 0 || row.Seconds <= 0 || row.Unit == "" || row.Goroutines == 0 ||
				row.Durability == "" || row.Engine != "lightning" || row.CPUSeconds < 0 {
				t.Errorf("%+v", row)
			}
			if row.Latency == nil && row.Unit != "opens" && row.Workload != "full-scan" {
				t.Errorf("%s: no latencies", row.Workload)
			}
		}
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("rows of %v, not of %v", names, Names())
	}
}

// A load that is cut short still leaves all records there.
func TestLoadIsCutShort(t *testing.T) {
	e, _ := engine.Lookup("lightning")
	c := small()
	c.Records, c.LoadLimit = 300_000, 10*time.Millisecond
	r := New(e, t.TempDir(), c, func(string) {})
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	row, err := r.load(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if row.Operations >= c.Records || len(row.Notes) != 1 || row.SettleSeconds != 0 {
		t.Errorf("%d operations, notes %q, %v s of settling", row.Operations, row.Notes, row.SettleSeconds)
	}
	if row, err = r.fullScan(t.Context()); err != nil || row.Operations != c.Records {
		t.Errorf("%d records: %v", row.Operations, err)
	}
}

// liar answers wrongly in one way.
type liar struct {
	engine.DB
	session func(engine.Session) engine.Session
}

func (l liar) Session() (engine.Session, error) {
	s, err := l.DB.Session()
	return l.session(s), err
}

type liarSession struct {
	engine.Session
	get  func(s engine.Session, dst, key []byte) ([]byte, bool, error)
	scan func(s engine.Session, lo []byte, limit int, fn func(k, v []byte) error) error
	del  func(s engine.Session, key []byte) error
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

// An engine that returns wrong data fails the run.
func TestWrongAnswersFailTheRun(t *testing.T) {
	var absent [KeyBytes]byte
	scattered.makeKey(&absent, absentFrom)
	value := make([]byte, small().ValueBytes)
	makeValue(value, absent[:], 1)
	for name, c := range map[string]struct {
		lie     liarSession
		seenBy  []string
		missing []string // workloads that cannot see it
	}{
		"the truth": {missing: []string{"get-uniform", "scan-100", "full-scan", "ycsb-e", "delete-half"}},
		"nothing is found": {
			lie: liarSession{get: func(_ engine.Session, dst, _ []byte) ([]byte, bool, error) {
				return dst, false, nil
			}},
			seenBy: []string{"get-uniform", "get-zipf", "ycsb-a", "ycsb-d", "read-while-writing"},
		},
		"another key's value": {
			lie: liarSession{get: func(_ engine.Session, dst, _ []byte) ([]byte, bool, error) {
				return append(dst, value...), true, nil
			}},
			seenBy: []string{"get-uniform", "get-absent", "ycsb-f"}, missing: []string{"scan-100"},
		},
		"a row is left out": {
			lie: liarSession{scan: func(s engine.Session, lo []byte, limit int, fn func(k, v []byte) error) error {
				count := 0
				return s.Scan(lo, limit, func(k, v []byte) error {
					if count++; count == 2 {
						return nil
					}
					return fn(k, v)
				})
			}},
			seenBy: []string{"scan-100", "full-scan"}, missing: []string{"get-uniform"},
		},
		"rows begin too late": {
			lie: liarSession{scan: func(s engine.Session, lo []byte, limit int, fn func(k, v []byte) error) error {
				return s.Scan(append(bytes.Clone(lo), 0), limit, fn)
			}},
			seenBy: []string{"scan-100", "ycsb-e"},
		},
		"rows too many": {
			lie: liarSession{scan: func(s engine.Session, lo []byte, limit int, fn func(k, v []byte) error) error {
				return s.Scan(lo, limit+1, fn)
			}},
			seenBy: []string{"scan-100", "ycsb-e"},
		},
		"deletes do nothing": {
			lie:    liarSession{del: func(engine.Session, []byte) error { return nil }},
			seenBy: []string{"delete-half"}, missing: []string{"full-scan"},
		},
	} {
		e, _ := engine.Lookup("lightning")
		honest := e.Open
		e.Open = func(config engine.Config) (engine.DB, error) {
			db, err := honest(config)
			return liar{db, func(s engine.Session) engine.Session {
				lie := c.lie
				lie.Session = s
				return lie
			}}, err
		}
		group := Groups()[0]
		for _, w := range c.seenBy {
			if _, err := runGroup(t, e, group, []string{w}); !errors.As(err, new(wrongAnswer)) {
				t.Errorf("%s: %s did not see it: %v", name, w, err)
			}
		}
		for _, w := range c.missing {
			if _, err := runGroup(t, e, group, []string{w}); err != nil {
				t.Errorf("%s: %s: %v", name, w, err)
			}
		}
	}
}

// A stall shows in the latency of all operations that were due meanwhile.
func TestPacedCountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{latency: measure.NewHistogram()}
		err := paced(t.Context(), 1000, time.Second, w, func() error {
			if w.operations == 100 {
				time.Sleep(200 * time.Millisecond)
			}
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := w.latency.Latency("every put")
		// The stalled one and the 200 behind it: a fifth waits 1 to 200 ms.
		if w.operations < 999 || l.Max < int64(199*time.Millisecond) {
			t.Errorf("%d operations, longest %v", w.operations, time.Duration(l.Max))
		}
		if p99 := time.Duration(l.P99); p99 < 185*time.Millisecond || p99 > 195*time.Millisecond {
			t.Errorf("p99 is %v", p99)
		}
		if l.P50 > int64(time.Millisecond) {
			t.Errorf("p50 is %v", time.Duration(l.P50))
		}
	})
}

// An engine that is too slow for the rate is not waited for.
func TestPacedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{latency: measure.NewHistogram()}
		start := time.Now()
		err := paced(t.Context(), 1000, time.Second, w, func() error {
			time.Sleep(10 * time.Millisecond)
			return nil
		}, nil)
		if took := time.Since(start); err != nil || took > 1100*time.Millisecond || w.operations > 101 {
			t.Errorf("%d operations in %v: %v", w.operations, took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := paced(ctx, 1, time.Hour, w, func() error { return nil }, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestTimeline(t *testing.T) {
	line := newTimeline(2)
	for index := range 2 {
		c := recorder{line: line, histogram: measure.NewHistogram()}
		c.record(100*time.Millisecond, time.Millisecond)
		c.record(3500*time.Millisecond, time.Duration(index+1)*time.Second) // the seconds between are empty
		c.flush()
	}
	var got []string
	for _, p := range line.points {
		got = append(got, fmt.Sprint(p.Second, " ", p.Operations, " ", time.Duration(p.Max).Round(10*time.Millisecond)))
	}
	want := []string{"1 2 0s", "2 0 0s", "3 0 0s", "4 2 2s"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

// Inserts become readable in order, whoever finishes first.
func TestInsertsAreAcknowledgedInOrder(t *testing.T) {
	r := New(engine.Engine{}, "", small(), nil)
	r.records = 10
	ins := r.newInserts()
	for _, step := range []struct{ number, done int64 }{{11, 10}, {13, 10}, {10, 12}, {12, 14}, {14, 15}} {
		ins.acknowledge(step.number)
		if done := ins.done.Load(); done != step.done {
			t.Errorf("after %d: %d, not %d", step.number, done, step.done)
		}
	}
}

func TestValidate(t *testing.T) {
	c := small()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Records = 10 },
		func(c *Config) { c.ValueBytes = 3 },
		func(c *Config) { c.Goroutines = 0 },
		func(c *Config) { c.MemoryBytes = 1 },
		func(c *Config) { c.SustainedRate = 1 },
		func(c *Config) { c.SustainedTime = 0 },
		func(c *Config) { c.Durability = "never" },
	} {
		c := small()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("accepted %+v", c)
		}
	}
	if err := Check([]string{"get-hot", "nonsense"}); err == nil {
		t.Error("nonsense is no workload")
	}
}
