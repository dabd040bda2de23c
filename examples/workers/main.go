// Command workers sends letters from a queue with eight workers: some at the first attempt, some
// after a few, some never, some before others, some later. It prints how fast that was and how many
// transactions were in conflict, and with --compare the same for a queue as one writes it first.
//
// What it shows of Lightning DB: package queue, jobs that end in the transaction of the worker, and
// why the head of a queue is a bad place to meet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lightningdb/lightning"
)

const usage = `Workers puts letters into a queue and has workers send them.

    go run ./examples/workers --db letters.db
    go run ./examples/workers --db letters.db --compare
    go run ./examples/workers --db letters.db --letters 0    # go on after an interrupt

An interrupt lets each worker finish what it is at; the rest stays in the queue.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "workers:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	dir        string
	letters    int
	workers    int
	producers  int
	takes      time.Duration // to send a letter
	compare    bool
	durability lightning.Durability
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("workers", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.dir, "db", "letters.db", "the `directory` of the database")
	flags.IntVar(&o.letters, "letters", 2000, "how many letters to write")
	flags.IntVar(&o.workers, "workers", 8, "how many workers send them")
	flags.IntVar(&o.producers, "producers", 2, "how many write letters")
	flags.DurationVar(&o.takes, "takes", time.Millisecond, "how long it takes to send a letter")
	flags.BoolVar(&o.compare, "compare", false, "first do the same with a queue whose workers take the first row")
	levels := []lightning.Durability{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync}
	flags.Func("durability", "what a commit waits for, its `level`: sync, buffered or async (default sync)", func(name string) error {
		i := slices.IndexFunc(levels, func(d lightning.Durability) bool { return d.String() == name })
		if i < 0 {
			return errors.New("it is sync, buffered or async")
		}
		o.durability = levels[i]
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, usage)
			flags.SetOutput(out)
			flags.PrintDefaults()
		}
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("there are no arguments but flags: %q", flags.Arg(0))
	case o.workers < 1 || o.producers < 1:
		return o, errors.New("--workers and --producers must be at least 1")
	case o.letters < 0 || o.takes < 0:
		return o, errors.New("--letters and --takes must not be negative")
	}
	return o, nil
}

// run does what the command line says, until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	db, err := lightning.Open(o.dir, &lightning.Options{Durability: o.durability})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fmt.Fprintf(out, "%-14s %8s %10s %10s %10s %13s %10s\n", "", "letters", "sendings", "time", "letters/s", "transactions", "conflicts")
	if o.compare {
		n, err := openNaive(ctx, db, o.takes)
		if err != nil {
			return err
		}
		if err := measure(ctx, db, o, out, "first row", n); err != nil {
			return err
		}
	}
	p, err := openPost(ctx, db, o.takes)
	if err != nil {
		return err
	}
	if err := measure(ctx, db, o, out, "package queue", p); err != nil {
		return err
	}
	return p.report(out)
}

// office is one of the two queues.
type office interface {
	write(ctx context.Context, first, end int) error
	work(ctx context.Context, workers int) (*tally, error)
}

// measure has letters written by some goroutines, sent by workers, and prints what that took. The
// workers begin when the letters are there, so that they have all to do at once.
func measure(ctx context.Context, db *lightning.DB, o options, out io.Writer, name string, q office) error {
	if err := produce(ctx, o, q); err != nil {
		return err
	}
	before, began := db.Metrics().Transactions, time.Now()
	did, err := q.work(ctx, o.workers)
	took, after := time.Since(began), db.Metrics().Transactions
	rate := lightning.TransactionMetrics{Commits: after.Commits - before.Commits, Conflicts: after.Conflicts - before.Conflicts}
	done := did.done.Load()
	fmt.Fprintf(out, "%-14s %8d %10d %10v %10.0f %13d %9.1f%%\n",
		name, done, did.sendings.Load(), took.Round(time.Millisecond), float64(done)/took.Seconds(),
		rate.Commits+rate.Conflicts, 100*rate.AbortRate())
	return err
}

// produce writes all letters, a share in each goroutine.
func produce(ctx context.Context, o options, q office) error {
	errs := make([]error, o.producers)
	var all sync.WaitGroup
	for i := range o.producers {
		all.Go(func() {
			errs[i] = q.write(ctx, o.letters*i/o.producers, o.letters*(i+1)/o.producers)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// report prints what has become of the letters of all runs.
func (p *post) report(out io.Writer) error {
	counts, err := p.letters.Counts()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d letters wait, %d were given up, of this and earlier runs\n", waiting(counts), counts.Dead)
	if lost := p.tally.lost.Load(); lost > 0 {
		fmt.Fprintf(out, "%d jobs took too long and went to other workers\n", lost)
	}
	reasons := map[string]int{}
	for dead, err := range p.letters.Dead() {
		if err != nil {
			return err
		}
		reasons[fmt.Sprintf("after %d attempts: %s", dead.Failures, dead.Reason)]++
	}
	lines := make([]string, 0, len(reasons))
	for reason, n := range reasons {
		lines = append(lines, fmt.Sprintf("%8d %s\n", n, reason))
	}
	slices.Sort(lines)
	_, err = io.WriteString(out, strings.Join(lines, ""))
	return err
}
