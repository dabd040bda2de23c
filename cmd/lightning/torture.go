package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/torture"
)

// errRoundsFailed says that the database did what it must not do. It has an exit
// code of its own.
var errRoundsFailed = errors.New("failed")

// tortureHang is how long a round may take. Rounds are made to take seconds, on
// slow machines too. The help tells it.
const tortureHang = 2 * time.Minute

// tortureFlags say what is run, and for how long.
type tortureFlags struct {
	all     []torture.Suite // that there are
	time    time.Duration
	rounds  int64
	seed    uint64
	suites  []string
	workers int
	ledger  string
	list    bool
	format  *choice[outputFormat]
}

func newTortureCommand(suites []torture.Suite) *cobra.Command {
	flags := tortureFlags{all: suites}
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Try to make the database lose data, and keep the books of it",
		Long: `Torture runs the suites that try to make Lightning DB lose or invent data: at
every fault the database must keep what it has promised, or say what is wrong.
--list shows the suites. The time is shared out evenly among them.

A suite works in rounds, and a round follows from a number, its seed: round k of
every suite, counted from 0, has the seed SEED+k. A round that fails is printed,
and the campaign goes on. It can be repeated:

    lightning torture --suite SUITE --seed N --rounds 1

Each round becomes a line of the ledger, with its seed and what it did: crash
states, faults, failures. A ledger that exists is added to, never overwritten;
'lightning torture report' adds ledgers up.

What is needed: most suites work in memory. Those that kill processes and fill
disks use the directory for temporary files (TMPDIR); those that cut the power
of a file system need Linux and root. Without --suite, what cannot run here is
left out, and said. A round that takes more than two minutes hangs: then the stacks of
all goroutines are printed, and the campaign ends. Ctrl-C ends it as well, with
the sums of the rounds that have ended.

Exit codes: 0 success, 1 a round failed, 2 wrong usage, 3 any other error.`,
		Example: `  lightning torture --for 1h
  lightning torture --suite crash --seed 17 --rounds 1
  lightning torture report torture.jsonl`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	cmd.Flags().DurationVar(&flags.time, "for", 10*time.Minute,
		"how long; with --rounds there is no limit of time unless given")
	cmd.Flags().Int64VarP(&flags.rounds, "rounds", "n", 0, "how many rounds of each suite")
	cmd.Flags().Lookup("rounds").DefValue = "no limit"
	cmd.Flags().Uint64Var(&flags.seed, "seed", 0, "seed of the first round of each suite")
	cmd.Flags().Lookup("seed").DefValue = "random"
	cmd.Flags().StringSliceVarP(&flags.suites, "suite", "s", nil, "run only these suites, joined by commas")
	cmd.Flags().IntVar(&flags.workers, "workers", runtime.GOMAXPROCS(0), "rounds at the same time")
	cmd.Flags().Lookup("workers").DefValue = "one a processor"
	cmd.Flags().StringVar(&flags.ledger, "ledger", "torture.jsonl", "add to this ledger; '' keeps none")
	cmd.Flags().BoolVar(&flags.list, "list", false, "list the suites, and what keeps them from running here")
	flags.format = addFormat(cmd, formatTable, formatJSON)
	cmd.AddCommand(newTortureReportCommand())
	return cmd
}

func (f *tortureFlags) run(cmd *cobra.Command) error {
	if f.list && f.format.value == formatJSON {
		return f.printListJSON(cmd.OutOrStdout())
	}
	if f.list {
		return f.printList(cmd.OutOrStdout())
	}
	if err := f.complete(cmd.Flags().Changed); err != nil {
		return err
	}
	suites, left, err := f.chosen()
	if err != nil {
		return err
	}
	c := torture.Campaign{
		Suites: suites, Seed: f.seed, For: f.time, Rounds: f.rounds, Workers: f.workers,
		Hang: tortureHang, Program: buildVersion(),
	}
	if f.ledger == "" {
		return f.campaign(cmd.Context(), &c, left, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	file, err := openLedger(f.ledger)
	if err != nil {
		return err
	}
	c.Ledger = file
	err = f.campaign(cmd.Context(), &c, left, cmd.OutOrStdout(), cmd.ErrOrStderr())
	return errors.Join(err, file.Close())
}

// complete checks the flags and gives values to those that have none.
func (f *tortureFlags) complete(given func(flag string) bool) error {
	if given("for") && f.time <= 0 {
		return usagef("--for must be more than 0")
	}
	if given("rounds") && f.rounds < 1 {
		return usagef("--rounds must be at least 1")
	}
	if f.workers < 1 {
		return usagef("--workers must be at least 1")
	}
	if given("rounds") && !given("for") {
		f.time = 0
	}
	if !given("seed") {
		f.seed = rand.Uint64N(1 << 32) // short enough to be typed
	}
	if given("suite") && len(f.suites) == 0 {
		return usagef("--suite is empty")
	}
	return nil
}

// chosen returns the suites to run, and a line for each that is left out because
// it cannot run here. One that was asked for by name is not left out.
func (f *tortureFlags) chosen() (suites []torture.Suite, left []string, err error) {
	for _, name := range f.suites {
		if !slices.ContainsFunc(f.all, func(s torture.Suite) bool { return s.Name == name }) {
			return nil, nil, usagef("no suite %q: there are %s", name, strings.Join(f.names(), ", "))
		}
	}
	for _, s := range f.all {
		if len(f.suites) > 0 && !slices.Contains(f.suites, s.Name) {
			continue
		}
		obstacle := obstacleTo(s)
		switch {
		case obstacle == nil:
			suites = append(suites, s)
		case len(f.suites) > 0:
			return nil, nil, fmt.Errorf("suite %s cannot run here: %w", s.Name, obstacle)
		default:
			left = append(left, fmt.Sprintf("left out: %s: %v", s.Name, obstacle))
		}
	}
	if len(suites) == 0 {
		return nil, nil, fmt.Errorf("no suite can run here; %s", strings.Join(left, "; "))
	}
	return suites, left, nil
}

func (f *tortureFlags) names() []string {
	var names []string
	for _, s := range f.all {
		names = append(names, s.Name)
	}
	return names
}

// obstacleTo says why a suite cannot run here.
func obstacleTo(s torture.Suite) error {
	if s.Needs == nil {
		return nil
	}
	return s.Needs()
}

func (f *tortureFlags) printList(out io.Writer) error {
	columns := 0
	for _, s := range f.all {
		columns = max(columns, len(s.Name))
	}
	blanks := console.Left("", columns+2)
	for _, s := range f.all {
		text := below(s.Name, blanks, s.About, console.LineWidth(out))
		if obstacle := obstacleTo(s); obstacle != nil {
			text += below("", blanks, "cannot run here: "+obstacle.Error(), console.LineWidth(out))
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	return nil
}

// below is a name and behind it a text, which goes on below itself where it is
// longer than the line.
func below(name, blanks, text string, width int) string {
	filled := console.Fill(blanks+text, len(blanks), width)
	return console.Left(name, len(blanks)) + filled[len(blanks):] + "\n"
}

// campaign runs the suites, and prints failures as they come and the sums at the
// end. Nothing may be lost because nobody reads the output, so a failure to print
// ends the campaign.
func (f *tortureFlags) campaign(ctx context.Context, c *torture.Campaign, left []string, out, errOut io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	progress := newTortureProgress(errOut, c)
	var told tortureOutput = tortureText{out, console.StyleFor(out), f}
	if f.format.value == formatJSON {
		told = tortureJSON{out, f}
	}
	say := func(tell func() error) {
		progress.clear()
		if err := tell(); err != nil {
			cancel(err)
		}
	}
	say(func() error { return told.intro(c, left) })
	c.Failed = func(failure torture.Failure) { say(func() error { return told.failure(failure) }) }
	c.Progress = progress.update
	summary, err := c.Run(ctx)
	say(func() error { return told.summary(c, summary) })
	cause := context.Cause(ctx)
	totals := summary.Totals()
	switch {
	case err != nil && !errors.Is(err, torture.ErrHang):
		return err
	case totals.Failed > 0:
		return fmt.Errorf("%s of %s %w", console.Count(totals.Failed), console.CountOf(totals.Rounds, "round"), errRoundsFailed)
	case errors.Is(cause, context.Canceled):
		return errInterrupted
	}
	return cause
}
