package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/internal/workload"
)

// Workload is one thing to measure.
type Workload struct {
	Name, What string
	run        func(*Runner, context.Context) (workload.Outcome, error)
	loads      bool // fills the database itself
	// deletesRanges says that a row is another one for an engine that cannot.
	deletesRanges bool
	// compresses says the same for one that cannot do that. The row is the last of its phase,
	// and ends with a closed database.
	compresses bool
}

// work is what a row of internal/workload does.
type work = func(*workload.Runner, context.Context) (workload.Outcome, error)

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
	order  workload.Order
	// Transactions says that only engines with transactions take part.
	Transactions bool
	// Tables says that only engines take part that take in tables written apart.
	Tables bool
	// Small says that the database is to be small: see engine.Config.
	Small bool
	// Caches says that caches take part too.
	Caches bool
	// Once says that repeats do not repeat it: it is long, and tells its own
	// spread.
	Once   bool
	Phases []Phase
}

// Groups lists all workloads.
func Groups() []Group {
	prepared := func(workloads ...Workload) []Phase {
		return []Phase{{prepare: (*Runner).prepare, Workloads: workloads}}
	}
	groups := []Group{
		{Name: "records", Phases: prepared(append([]Workload{
			load("load-random", "put all records in random order, one by one, until settled", 1),
		}, rows(workload.Rows())...)...)},
		loadGroup("batches", workload.Scattered, "load-batches", "put all records in random order, 1000 to a batch, until settled"),
		loadGroup("sequential", workload.Ascending, "load-sequential", "put all records in key order, 1000 to a batch, until settled"),
		bulkGroup("bulk-sorted", "load all records in key order, with what there is for it, until readable and synced", workload.BulkSorted),
		bulkGroup("bulk-unsorted", "the same in random order", workload.BulkUnsorted),
		bulkGroup("bulk-tables", "load tables that are written apart, in key order, until readable and synced", workload.BulkTables),
		{Name: "synced", adjust: synced, Phases: prepared(
			on("sync-put-1", "synced puts by 1 goroutine", workload.PutsBy(1)),
			on("sync-put-16", "synced puts by 16 goroutines", workload.PutsBy(16)),
			on("sync-put-64", "synced puts by 64 goroutines", workload.PutsBy(64)),
		)},
		{Name: "transactions", Transactions: true, Phases: prepared(rows(workload.TransactionRows())...)},
	}
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}} {
		groups = append(groups, valuesGroup(size.name, size.bytes))
	}
	groups = append(groups, cachesGroup(), Group{
		Name: "documents", Small: true,
		Phases: prepared(Workload{
			Name: "documents", What: "put JSON documents in key order, 1000 to a batch, until settled, compressed for size; the disk once it is closed",
			run:   func(r *Runner, ctx context.Context) (workload.Outcome, error) { return r.work.Documents(ctx) },
			loads: true, compresses: true,
		}),
	})
	groups = append(groups, deleteGroups()...)
	return append(groups, coldGroup(), openGroup(), Group{
		Name: "sustained", Once: true, Phases: prepared(
			on("sustained", "puts to random records at a fixed rate, for long", (*workload.Runner).Sustained),
		),
	})
}

// on is a workload on a database that is filled already.
func on(name, what string, fn work) Workload {
	return Workload{Name: name, What: what, run: func(r *Runner, ctx context.Context) (workload.Outcome, error) {
		return fn(&r.work, ctx)
	}}
}

func rows(all []workload.Row) (workloads []Workload) {
	for _, row := range all {
		workloads = append(workloads, on(row.Name, row.What, row.Run))
	}
	return workloads
}

// load is a workload that fills the database.
func load(name, what string, batch int) Workload {
	w := on(name, what, func(r *workload.Runner, ctx context.Context) (workload.Outcome, error) {
		return r.Load(ctx, batch)
	})
	w.loads = true
	return w
}

// cachesGroup compares with what keeps hot data in the memory of a process.
func cachesGroup() Group {
	return Group{
		Name: "caches", Caches: true,
		adjust: func(c *Config) { c.Records = min(c.Records, 1_000_000) },
		Phases: []Phase{{prepare: (*Runner).prepare, Workloads: rows(workload.CacheRows())}},
	}
}

// TakesPart reports whether an engine has what the group needs.
func (g *Group) TakesPart(e engine.Engine) bool {
	return (e.Transactions || !g.Transactions) && (e.Tables || !g.Tables) && (!e.Cache || g.Caches)
}

// deleteGroups have a database of their own for each row, because none can follow on
// another.
func deleteGroups() (groups []Group) {
	for _, row := range workload.DeleteRows() {
		w := on(row.Name, row.What, row.Run)
		w.deletesRanges = row.DeletesRanges
		groups = append(groups, Group{
			Name: row.Name, order: workload.Ascending,
			adjust: func(c *Config) { c.Records = min(c.Records, 1_000_000) },
			Phases: []Phase{{prepare: (*Runner).prepare, Workloads: []Workload{w}}},
		})
	}
	return groups
}

func loadGroup(group string, o workload.Order, name, what string) Group {
	return Group{Name: group, order: o, Phases: []Phase{{
		Workloads: []Workload{load(name, what, workload.BatchRecords)},
	}}}
}

// bulkGroup loads an empty database. Engines that have only commits for it sync them.
func bulkGroup(name, what string, how workload.Bulk) Group {
	w := on(name, what, workload.BulkLoadBy(how))
	w.loads = true
	return Group{
		Name: name, order: workload.Order(how != workload.BulkUnsorted), Tables: how == workload.BulkTables,
		adjust: func(c *Config) { c.Durability = engine.Sync },
		Phases: []Phase{{Workloads: []Workload{w}}},
	}
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
			on("get-"+name, "get random values of "+name, (*workload.Runner).GetUniform),
		}}},
	}
}

// coldValueBytes is the size of values of the database that is larger than
// memory.
const coldValueBytes = 400

func coldGroup() Group {
	return Group{
		Name: "cold",
		adjust: func(c *Config) {
			c.ValueBytes = coldValueBytes
			c.Records = c.ColdDataBytes / c.RecordBytes()
			c.MemoryBytes = c.ColdLimitBytes() / 2
		},
		Phases: []Phase{
			{prepare: (*Runner).prepare, always: true},
			{Cold: true, Workloads: []Workload{
				on("cold-get-1", "get random records of a database ten times the memory, 1 goroutine", workload.ColdGetsBy(1)),
				on("cold-get-32", "the same, 32 goroutines", workload.ColdGetsBy(32)),
				on("cold-scan", "read 100 rows from random records of it on", (*workload.Runner).ColdScans),
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
				{Name: "open-clean", What: "open a cleanly closed database and get one record", run: (*Runner).openAndGet},
			}},
			{prepare: (*Runner).putAgain, always: true, Killed: true},
			{closed: true, Workloads: []Workload{
				{Name: "open-killed", What: "the same after kill -9 while it was written", run: (*Runner).openAndGet},
			}},
		},
	}
}

// openAndGet measures opening up to the first answer.
func (r *Runner) openAndGet(context.Context) (workload.Outcome, error) {
	o := workload.Outcome{Unit: "opens", Operations: 1, Goroutines: 1}
	err := r.around(func() error {
		start := time.Now()
		if err := r.open(false, false); err != nil {
			return err
		}
		err := r.work.GetFirst()
		o.Elapsed = time.Since(start)
		return err
	})
	return o, err
}

func (r *Runner) prepare(ctx context.Context) error { return r.work.Prepare(ctx) }

// putAgain leaves the log of a filled database as full as it is.
func (r *Runner) putAgain(ctx context.Context) error { return r.work.PutAgain(ctx) }

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
	r.work.Order = g.order
	if phase > 0 {
		r.work.Adopt()
	}
	if !p.closed {
		if err := r.open(g.Transactions, g.Small); err != nil {
			return err
		}
	}
	todo := slices.DeleteFunc(slices.Clone(p.Workloads), func(w Workload) bool { return !slices.Contains(wanted, w.Name) })
	if p.prepare != nil && (len(todo) == 0 || !todo[0].loads) {
		r.work.Report("loading")
		if err := p.prepare(r, ctx); err != nil {
			return fmt.Errorf("prepare %s: %w", g.Name, err)
		}
	}
	for _, w := range todo {
		r.work.Report(w.Name)
		row, err := r.row(ctx, &w)
		if err != nil {
			return err
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}
