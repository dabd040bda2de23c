package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/suite"
	"github.com/lightningdb/lightning/internal/workload"
)

// options is what the arguments say.
type options struct {
	list, compare, report bool
	files                 []string // for compare and report

	config    suite.Config
	repeats   int
	engines   []string
	workloads []string
	dir, out  string
}

const usage = `Bench compares Lightning DB with other embedded databases.

  go run . -quick              everything on little data, in under three minutes
  go run . -full               the publication run: hours, and a quiet machine
  go run . -compare OLD NEW    two result.json; exits with 1 if NEW is worse
  go run . -report FILE...     write the reports again, of several results as one
  go run . -list               engines and workloads

Without -quick and -full it is -full with whatever the flags below say. LMDB and
RocksDB need build tags: go run -tags lmdb,rocksdb . -list

`

// The two sizes of a run.
func quick() suite.Config {
	return suite.Config{
		Config: workload.Config{
			Records: 50_000, ValueBytes: 100, Goroutines: 2,
			WarmUp: 20 * time.Millisecond, Time: 150 * time.Millisecond, LoadLimit: 1500 * time.Millisecond,
			SustainedTime: 2 * time.Second, SustainedRate: 10_000,
		},
		Durability: engine.Async, MemoryBytes: 256 << 20, LargeDataBytes: 16 << 20, ColdDataBytes: 64 << 20,
	}
}

func full() suite.Config {
	return suite.Config{
		Config: workload.Config{
			Records: 5_000_000, ValueBytes: 100, Goroutines: 2,
			WarmUp: time.Second, Time: 3 * time.Second, LoadLimit: 90 * time.Second,
			SustainedTime: 10 * time.Minute, SustainedRate: 20_000,
		},
		Durability: engine.Async, MemoryBytes: 2 << 30, LargeDataBytes: 512 << 20, ColdDataBytes: 2560 << 20,
	}
}

// parse reads the arguments. Complaints of the flag package go to stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	var engines, workloads, durability string
	var isQuick, isFull bool
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.BoolVar(&isQuick, "quick", false, "little data, one repeat")
	f.BoolVar(&isFull, "full", false, "the publication run")
	f.BoolVar(&o.compare, "compare", false, "compare two result files")
	f.BoolVar(&o.report, "report", false, "write reports of result files")
	f.BoolVar(&o.list, "list", false, "list engines and workloads")
	f.StringVar(&engines, "engines", "", "engines, separated by commas (default all that are built in)")
	f.StringVar(&workloads, "workloads", "", "workloads, separated by commas (default all)")
	f.StringVar(&o.dir, "dir", "", "an empty or new directory for the databases (default a temporary one)")
	f.StringVar(&o.out, "out", "results", "directory for result.json, report.txt, report.md, report.html and summary.svg")
	f.StringVar(&durability, "durability", "", "async or sync (default async; the sync-put rows are always synced)")
	set := overrides(f, o)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w (-help lists the flags)", err)
	}
	o.files = f.Args()
	o.config, o.repeats = full(), 3
	if isQuick {
		o.config, o.repeats = quick(), 1
	}
	set()
	if durability != "" {
		o.config.Durability = engine.Durability(durability)
	}
	o.engines, o.workloads = splitList(engines), splitList(workloads)
	if isQuick && isFull {
		return nil, errors.New("-quick and -full exclude each other")
	}
	return o, o.complete()
}

// overrides defines the flags that change one number each of the chosen size,
// and returns what applies those that were given.
func overrides(f *flag.FlagSet, o *options) (set func()) {
	type override struct {
		given *int64
		apply func(int64)
	}
	var all []override
	number := func(name, what string, apply func(int64)) {
		all = append(all, override{f.Int64(name, 0, what+" (default depends on the size of the run)"), apply})
	}
	span := func(name, what string, field func() *time.Duration) {
		given := new(int64)
		f.Func(name, what+", such as 3s (default depends on the size of the run)", func(s string) error {
			d, err := time.ParseDuration(s)
			if err == nil && d <= 0 {
				err = errors.New("must be positive")
			}
			*given = int64(d)
			return err
		})
		all = append(all, override{given, func(n int64) { *field() = time.Duration(n) }})
	}
	c := &o.config
	number("records", "number of records", func(n int64) { c.Records = n })
	number("value", "bytes of a value", func(n int64) { c.ValueBytes = int(n) })
	number("goroutines", "goroutines of workloads that do not say", func(n int64) { c.Goroutines = int(n) })
	number("memory", "MiB for caches and write buffers", func(n int64) { c.MemoryBytes = n << 20 })
	number("repeats", "how often everything is done; the sustained load only once", func(n int64) { o.repeats = int(n) })
	number("rate", "puts per second of the sustained load", func(n int64) { c.SustainedRate = int(n) })
	span("time", "time of each timed workload", func() *time.Duration { return &c.Time })
	span("warm-up", "warm-up before it", func() *time.Duration { return &c.WarmUp })
	span("load-limit", "time after which a load is cut short", func() *time.Duration { return &c.LoadLimit })
	span("sustained", "time of the sustained load", func() *time.Duration { return &c.SustainedTime })
	return func() {
		for _, v := range all {
			if *v.given != 0 {
				v.apply(*v.given)
			}
		}
	}
}

// complete fills in what was left out and reports what makes no sense.
func (o *options) complete() error {
	switch {
	case o.list:
		return nil
	case o.compare && len(o.files) != 2:
		return errors.New("-compare takes two files: OLD NEW")
	case o.report && len(o.files) == 0:
		return errors.New("-report takes one file or more")
	case o.compare || o.report:
		return nil
	case len(o.files) > 0:
		return fmt.Errorf("unexpected argument %q", o.files[0])
	}
	if len(o.engines) == 0 {
		o.engines = engine.Names()
	}
	for _, name := range o.engines {
		if _, err := engine.Lookup(name); err != nil {
			return err
		}
	}
	if len(o.workloads) == 0 {
		o.workloads = suite.Names()
	}
	if err := suite.Check(o.workloads); err != nil {
		return err
	}
	if o.repeats < 1 {
		return errors.New("-repeats must be at least 1")
	}
	return o.config.Validate()
}
