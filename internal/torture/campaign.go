package torture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// Campaign runs rounds of suites until its time is over. Round k of every suite,
// counted from 0, has the seed Seed+k: so any round can be repeated as round 0 of
// a campaign of one suite and one round. Suites mix their seeds themselves.
//
// A round that fails does not end the campaign, and a panic is a failure. A round
// that hangs is a failure too, but it cannot be stopped, so the campaign ends.
// What a round did before the campaign was interrupted counts for nothing.
//
// One goroutine, that of Run, chooses rounds, writes the ledger and calls Failed
// and Progress; each round has a goroutine.
type Campaign struct {
	Suites  []Suite
	Seed    uint64
	For     time.Duration // after which no round begins; 0: no limit
	Rounds  int64         // of each suite; 0: no limit
	Workers int           // rounds at the same time
	Hang    time.Duration // a round that takes so long hangs
	Program string        // its version, for the ledger

	Ledger   io.Writer // may be nil
	Failed   func(Failure)
	Progress func(Summary) // after each round, and every progressInterval
}

// progressInterval is how long Progress is not called at most.
const progressInterval = 500 * time.Millisecond

// Failure is a round that failed.
type Failure struct {
	Suite   string
	Seed    uint64
	Elapsed time.Duration
	Err     error
	Stacks  string // of all goroutines, when the round hangs
}

// Summary is what a campaign did up to now.
type Summary struct {
	Elapsed  time.Duration
	Suites   []SuiteSummary // as in the campaign
	Complete bool           // the campaign has ended, and did all that it was told to
}

// SuiteSummary is what the rounds of a suite did.
type SuiteSummary struct {
	Name string
	ledger.Totals
}

// Totals adds up all suites.
func (s Summary) Totals() ledger.Totals {
	var all ledger.Totals
	for _, suite := range s.Suites {
		all.Merge(suite.Totals)
	}
	return all
}

// ErrHang says that a round hung, which ended the campaign.
var ErrHang = errors.New("a round hangs")

// Run runs the campaign, until it is done or ctx ends. Rounds that fail are told
// in the summary; the error is about the campaign itself.
func (c *Campaign) Run(ctx context.Context) (Summary, error) {
	if len(c.Suites) == 0 || c.Workers < 1 || c.Hang <= 0 || c.For < 0 || c.Rounds < 0 {
		return Summary{}, fmt.Errorf("impossible campaign of %d suites, %d workers, %d rounds, %v, %v to a hang",
			len(c.Suites), c.Workers, c.Rounds, c.For, c.Hang)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{
		Campaign: c, cancel: cancel, start: clock.System.Now(),
		ended: make(chan *round, c.Workers), // so that a round that hung can end
		hung:  make(chan *round), tick: make(chan struct{}), done: make(chan struct{}),
	}
	defer close(r.done)
	for _, s := range c.Suites {
		r.suites = append(r.suites, &contender{Suite: s})
	}
	r.write(ledger.Entry{Campaign: r.header()})
	r.tickLater()
	r.loop(ctx)
	r.ticker.Stop()
	summary := r.summary()
	summary.Complete = !r.stopped && !r.cut
	r.write(ledger.Entry{End: r.end(summary)})
	return summary, r.err
}

// run is a campaign under way.
type run struct {
	*Campaign
	cancel  context.CancelFunc
	start   time.Time
	suites  []*contender
	running int
	stopped bool  // by a hang or a ledger that cannot be written
	cut     bool  // a round was not begun, or not finished, because the campaign had to end
	err     error // why it stopped

	ended, hung chan *round
	tick        chan struct{}
	ticker      clock.Timer
	done        chan struct{} // closed when nobody listens to the others any more
}

func (r *run) loop(ctx context.Context) {
	for {
		next := r.next()
		for ; next != nil && r.running < r.Workers && ctx.Err() == nil; next = r.next() {
			r.launch(ctx, next)
		}
		if r.running == 0 {
			r.cut = r.cut || next != nil
			return
		}
		select {
		case ended := <-r.ended:
			r.finish(ctx, ended)
		case hanging := <-r.hung:
			r.hang(hanging)
		case <-r.tick:
			r.tickLater()
		}
		if r.Progress != nil {
			r.Progress(r.summary())
		}
	}
}

// next returns the suite that shall have the next round: the one that has had
// the least time, so that suites of long rounds and of short ones get the same.
// It returns nil when there shall be no more rounds.
func (r *run) next() *contender {
	now := clock.System.Now()
	if r.For > 0 && now.Sub(r.start) >= r.For {
		return nil
	}
	var next *contender
	for _, s := range r.suites {
		if r.Rounds > 0 && s.begun >= r.Rounds {
			continue
		}
		if next == nil || cmp.Or(cmp.Compare(s.charge(now), next.charge(now)), cmp.Compare(s.begun, next.begun)) < 0 {
			next = s
		}
	}
	return next
}

// launch begins a round of a suite.
func (r *run) launch(ctx context.Context, s *contender) {
	b := &round{suite: s, seed: r.Seed + uint64(s.begun), start: clock.System.Now()}
	s.begun++
	s.running = append(s.running, b)
	r.running++
	b.watchdog = clock.System.AfterFunc(r.Hang, func() {
		select {
		case r.hung <- b:
		case <-r.done:
		}
	})
	go func() { r.ended <- b.attempt(ctx) }()
}

// remove takes a round from those that run. It reports whether it was there: a
// round may end after it was found hanging, and the other way round.
func (r *run) remove(b *round) bool {
	at := slices.Index(b.suite.running, b)
	if at < 0 {
		return false
	}
	b.suite.running = slices.Delete(b.suite.running, at, at+1)
	r.running--
	b.watchdog.Stop()
	return true
}

// finish enters a round that has ended.
func (r *run) finish(ctx context.Context, b *round) {
	if !r.remove(b) {
		return
	}
	if ctx.Err() != nil && (b.err == nil || errors.Is(b.err, context.Canceled)) {
		r.cut = true
		return
	}
	r.enter(b, b.end.Sub(b.start), b.err, "")
}

// hang enters a round that does not end, and ends the campaign.
func (r *run) hang(b *round) {
	if !r.remove(b) {
		return
	}
	err := fmt.Errorf("%w: it has not ended after %v", ErrHang, r.Hang)
	r.enter(b, r.Hang, err, stacks())
	r.stop(fmt.Errorf("%w: suite %s, seed %d", ErrHang, b.suite.Name, b.seed))
}

// stop begins no more rounds. Those that run are told to end.
func (r *run) stop(err error) {
	if !r.stopped {
		r.stopped, r.err = true, err
		r.cancel()
	}
}

// enter adds a round to the totals and the ledger.
func (r *run) enter(b *round, elapsed time.Duration, err error, stacks string) {
	s := b.suite
	line := &ledger.Round{
		Suite: s.Name, Seed: b.seed, MS: elapsed.Milliseconds(), Counts: b.tally.Counts(),
	}
	if err != nil {
		line.Error = withoutPaths(err.Error())
	}
	s.used += elapsed
	s.totals.Add(line)
	r.write(ledger.Entry{Round: line})
	if err != nil && r.Failed != nil {
		r.Failed(Failure{Suite: s.Name, Seed: b.seed, Elapsed: elapsed, Err: err, Stacks: stacks})
	}
}

// withoutPaths takes from a text where this machine has its temporary files.
func withoutPaths(text string) string {
	dir := strings.TrimRight(os.TempDir(), `/\`)
	if dir == "" {
		return text
	}
	return strings.ReplaceAll(text, dir, "TMPDIR")
}

// write writes a line of the ledger. A campaign that cannot be entered stops.
func (r *run) write(e ledger.Entry) {
	if r.Ledger == nil {
		return
	}
	if err := ledger.Write(r.Ledger, e); err != nil {
		r.stop(fmt.Errorf("write to the ledger: %w", err))
		r.Ledger = nil
	}
}

func (r *run) header() *ledger.Campaign {
	c := &ledger.Campaign{
		Version: ledger.Version, Program: r.Program, Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Seed: r.Seed, Workers: r.Workers,
		Started: r.start.UTC().Truncate(time.Second),
	}
	for _, s := range r.suites {
		c.Suites = append(c.Suites, s.Name)
	}
	return c
}

func (r *run) end(s Summary) *ledger.End {
	e := &ledger.End{Complete: s.Complete, MS: s.Elapsed.Milliseconds(), Suites: map[string]ledger.Totals{}}
	for _, suite := range s.Suites {
		e.Suites[suite.Name] = suite.Totals
		e.Failed += suite.Failed
	}
	return e
}

func (r *run) summary() Summary {
	s := Summary{Elapsed: clock.System.Now().Sub(r.start)}
	for _, c := range r.suites {
		s.Suites = append(s.Suites, SuiteSummary{c.Name, c.totals.Clone()})
	}
	return s
}

func (r *run) tickLater() {
	r.ticker = clock.System.AfterFunc(progressInterval, func() {
		select {
		case r.tick <- struct{}{}:
		case <-r.done:
		}
	})
}
