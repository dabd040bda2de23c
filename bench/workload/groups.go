package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/result"
)

// run is a workload of a Runner.
type run func(*Runner, context.Context) (result.Row, error)

// Workload is one thing to measure.
type Workload struct {
	Name, What string
	run        run
	loads      bool // fills the database itself
}

// Phase is a part of a group that has a process of its own, on the database
// that the phase before has left.
type Phase struct {
	// prepare gets the database ready for the workloads; nil if the first of
	// them does.
	prepare   func(*Runner, context.Context) error
	Workloads []Workload
	// Cold says that the page cache is dropped before, and that the process
	// may use no more memory than ColdLimitBytes of the configuration.
	Cold bool
	// Killed says that the process is killed at its end.
	Killed bool
	closed bool // the database is not opened before the workloads
	always bool // runs even if none of its workloads is wanted
}

// Group is a list of workloads that follow one another on one database.
type Group struct {
	Name   string
	adjust func(*Config) // nil: the configuration as it is
	order  order
	// Transactions says that only engines with transactions take part.
	Transactions bool
	// Once says that repeats do not repeat it: it is long, and tells its own
	// spread.
	Once   bool
	Phases []Phase
}

// Groups lists all workloads.
func Groups() []Group {
	groups := []Group{
		{Name: "records", Phases: []Phase{{prepare: (*Runner).prepare, Workloads: recordWorkloads()}}},
		loadGroup("batches", scattered, "load-batches", "put all records in random order, 1000 to a batch, until settled"),
		loadGroup("sequential", ascending, "load-sequential", "put all records in key order, 1000 to a batch, until settled"),
		{Name: "synced", adjust: synced, Phases: []Phase{{prepare: (*Runner).prepare, Workloads: []Workload{
			timed("sync-put-1", "synced puts by 1 goroutine", putsBy(1)),
			timed("sync-put-16", "synced puts by 16 goroutines", putsBy(16)),
			timed("sync-put-64", "synced puts by 64 goroutines", putsBy(64)),
		}}}},
	}
	groups = append(groups, Group{Name: "transactions", Transactions: true, Phases: []Phase{{
		prepare: (*Runner).prepare, Workloads: []Workload{
			timed("tx-read-4", "transactions that read 4 random records", (*Runner).txReadOnly),
			timed("tx-update-4", "transactions that read and write 4 random records", (*Runner).txLowContention),
			timed("tx-update-4-hot", "the same on 16 records for which all contend", (*Runner).txHighContention),
			timed("tx-scan-insert", "transactions that read 20 rows and insert a record", (*Runner).txScanInsert),
		},
	}}})
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}} {
		groups = append(groups, valuesGroup(size.name, size.bytes))
	}
	return append(groups, coldGroup(), openGroup(), Group{
		Name: "sustained", Once: true, Phases: []Phase{{prepare: (*Runner).prepare, Workloads: []Workload{
			timed("sustained", "puts to random records at a fixed rate, for long", (*Runner).sustained),
		}}},
	})
}

func recordWorkloads() []Workload {
	return []Workload{
		load("load-random", "put all records in random order, one by one, until settled", 1),
		timed("get-uniform", "get random records", (*Runner).getUniform),
		timed("get-zipf", "get records, popular ones more often (zipf 0.99)", (*Runner).getZipf),
		timed("get-hot", "get random ones of 10,000 records", (*Runner).getHot),
		timed("get-absent", "get random keys that are not there", (*Runner).getMissing),
		timed("scan-100", "read 100 rows from a random record on", (*Runner).scan100),
		timed("full-scan", "read all records once, by 1 goroutine", (*Runner).fullScan),
		timed("get-uniform-1", "get random records, 1 goroutine", getsBy(1)),
		timed("get-uniform-8", "get random records, 8 goroutines", getsBy(8)),
		timed("get-uniform-64", "get random records, 64 goroutines", getsBy(64)),
		timed("ycsb-c", "YCSB C: 100 % reads, zipf", (*Runner).ycsbC),
		timed("ycsb-b", "YCSB B: 95 % reads, 5 % updates, zipf", (*Runner).ycsbB),
		timed("ycsb-a", "YCSB A: 50 % reads, 50 % updates, zipf", (*Runner).ycsbA),
		timed("ycsb-f", "YCSB F: 50 % reads, 50 % read-modify-write, zipf", (*Runner).ycsbF),
		timed("ycsb-d", "YCSB D: 95 % reads of the latest, 5 % inserts", (*Runner).ycsbD),
		timed("ycsb-e", "YCSB E: 95 % scans of 1 to 100 rows, 5 % inserts, zipf", (*Runner).ycsbE),
		timed("read-while-writing", "get random records beside a writer of 10,000 puts/s", (*Runner).readWhileWriting),
		timed("put-1", "put random records again, 1 goroutine", putsBy(1)),
		timed("put-8", "put random records again, 8 goroutines", putsBy(8)),
		timed("put-64", "put random records again, 64 goroutines", putsBy(64)),
		timed("overwrite", "put all records again, one by one, until settled", (*Runner).overwrite),
		timed("delete-half", "delete every other record, one by one, until settled", (*Runner).deleteHalf),
	}
}

// timed is a workload on a database that is filled already.
func timed(name, what string, fn run) Workload { return Workload{Name: name, What: what, run: fn} }

// load is a workload that fills the database.
func load(name, what string, batch int) Workload {
	return Workload{Name: name, What: what, loads: true,
		run: func(r *Runner, ctx context.Context) (result.Row, error) { return r.load(ctx, batch) }}
}

func loadGroup(group string, o order, name, what string) Group {
	return Group{Name: group, order: o, Phases: []Phase{{
		Workloads: []Workload{load(name, what, batchRecords)},
	}}}
}

// synced makes every commit wait for the device, on a small database.
func synced(c *Config) {
	c.Records = min(c.Records, 100_000)
	c.Durability = engine.Sync
}

func valuesGroup(name string, valueBytes int) Group {
	return Group{
		Name: "values-" + name,
		adjust: func(c *Config) {
			c.ValueBytes = valueBytes
			c.Records = max(c.LargeDataBytes/int64(valueBytes), 8)
		},
		Phases: []Phase{{prepare: (*Runner).prepare, Workloads: []Workload{
			load("put-"+name, "put values of "+name+" in random order, until settled", 1),
			timed("get-"+name, "get random values of "+name, (*Runner).getUniform),
		}}},
	}
}

// coldValueBytes is the size of values of the database that is larger than
// memory.
const coldValueBytes = 400

func coldGroup() Group {
	coldGets := func(goroutines int) run {
		return func(r *Runner, ctx context.Context) (result.Row, error) {
			return r.run(ctx, timedWorkload{
				unit: "gets", of: "every get", goroutines: goroutines, sample: 1, cold: true,
				op: func(w *worker) (int64, error) { return 1, r.get(w, r.uniform(w)) },
			})
		}
	}
	return Group{
		Name: "cold",
		adjust: func(c *Config) {
			c.ValueBytes = coldValueBytes
			c.Records = c.ColdDataBytes / (KeyBytes + coldValueBytes)
			c.MemoryBytes = c.ColdLimitBytes() / 2
		},
		Phases: []Phase{
			{prepare: (*Runner).prepare, always: true},
			{Cold: true, Workloads: []Workload{
				timed("cold-get-1", "get random records of a database ten times the memory, 1 goroutine", coldGets(1)),
				timed("cold-get-32", "the same, 32 goroutines", coldGets(32)),
				timed("cold-scan", "read 100 rows from random records of it on", (*Runner).coldScan),
			}},
		},
	}
}

func openGroup() Group {
	return Group{
		Name:   "open",
		adjust: func(c *Config) { c.Records /= 2 },
		Phases: []Phase{
			{prepare: (*Runner).prepare, always: true},
			{closed: true, Workloads: []Workload{
				timed("open-clean", "open a cleanly closed database and get one record", (*Runner).openAndGet),
			}},
			{prepare: (*Runner).putAgain, always: true, Killed: true},
			{closed: true, Workloads: []Workload{
				timed("open-killed", "the same after kill -9 while it was written", (*Runner).openAndGet),
			}},
		},
	}
}

// openAndGet measures opening up to the first answer.
func (r *Runner) openAndGet(context.Context) (result.Row, error) {
	row := result.Row{Unit: "opens", Goroutines: 1}
	err := r.measured(&row, func() error {
		if err := r.open(); err != nil {
			return err
		}
		s, err := r.db.Session()
		if err != nil {
			return err
		}
		defer s.Close()
		row.Operations = 1
		return r.get(&worker{Session: s}, 0)
	})
	return row, err
}

// putAgain overwrites a part of the records, one by one, and leaves the log as
// full as it is then.
func (r *Runner) putAgain(ctx context.Context) error {
	r.adopt()
	_, err := r.parallel(ctx, r.config.Goroutines, func(ctx context.Context, w *worker) error {
		return w.until(ctx, r.config.Time, 1, func() (int64, error) { return 1, r.put(w, r.uniform(w)) })
	})
	return err
}

// Wanted says whether the phase has one of the workloads, or is needed for
// another phase.
func (p *Phase) Wanted(workloads []string) bool {
	return p.always || slices.ContainsFunc(p.Workloads, func(w Workload) bool { return slices.Contains(workloads, w.Name) })
}

// Wanted returns whether the group has one of the workloads.
func (g *Group) Wanted(workloads []string) bool {
	for _, w := range g.names() {
		if slices.Contains(workloads, w) {
			return true
		}
	}
	return false
}

func (g *Group) names() (names []string) {
	for _, p := range g.Phases {
		for _, w := range p.Workloads {
			names = append(names, w.Name)
		}
	}
	return names
}

// Configure returns the configuration that holds for the group.
func (g *Group) Configure(c Config) Config {
	if g.adjust != nil {
		g.adjust(&c)
	}
	return c
}

// FindGroup returns a group by name.
func FindGroup(name string) (Group, error) {
	for _, g := range Groups() {
		if g.Name == name {
			return g, nil
		}
	}
	return Group{}, fmt.Errorf("no group of workloads %q", name)
}

// Names returns all workloads in the order in which they run.
func Names() (names []string) {
	for _, g := range Groups() {
		names = append(names, g.names()...)
	}
	return names
}

// Check reports the first name that is no workload.
func Check(workloads []string) error {
	all := Names()
	for _, w := range workloads {
		if !slices.Contains(all, w) {
			return fmt.Errorf("no workload %q; there are %s", w, strings.Join(all, ", "))
		}
	}
	return nil
}

// RunPhase runs those workloads of a phase that are wanted and passes on each
// row as soon as it is there. The database is left open for Close.
func (r *Runner) RunPhase(
	ctx context.Context, g *Group, phase int, wanted []string, emit func(result.Row) error,
) error {
	p := &g.Phases[phase]
	r.order, r.transactional = g.order, g.Transactions
	if phase > 0 {
		r.adopt()
	}
	if !p.closed {
		if err := r.open(); err != nil {
			return err
		}
	}
	todo := slices.DeleteFunc(slices.Clone(p.Workloads), func(w Workload) bool { return !slices.Contains(wanted, w.Name) })
	if p.prepare != nil && (len(todo) == 0 || !todo[0].loads) {
		r.report("loading")
		if err := p.prepare(r, ctx); err != nil {
			return fmt.Errorf("prepare %s: %w", g.Name, err)
		}
	}
	for _, w := range todo {
		r.report(w.Name)
		row, err := w.run(r, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		row.Workload, row.Engine, row.Durability = w.Name, r.engine.Name, string(r.config.Durability)
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}
