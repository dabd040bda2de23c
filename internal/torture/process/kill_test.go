package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

func TestMain(m *testing.M) {
	Child()
	os.Exit(m.Run())
}

func TestKill(t *testing.T) {
	suite := &Kill{Dir: t.TempDir()}
	if err := suite.Needs(); err != nil {
		t.Skip(err)
	}
	testRounds(t, 3, suite.Round, ledger.Kills, killsPerRound)
}

// testRounds runs some rounds, or one in a short run of the tests. Each must do
// something, and one thing at least so often.
func testRounds(
	t *testing.T, rounds uint64, round func(context.Context, uint64, *ledger.Tally) error,
	what string, least int64,
) {
	t.Helper()
	if testing.Short() {
		rounds = 1
	}
	for seed := range rounds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			var tally ledger.Tally
			if err := round(t.Context(), seed, &tally); err != nil {
				t.Fatal(err)
			}
			if tally.Count(what) < least || tally.Count(ledger.Operations) == 0 {
				t.Errorf("a round did %v", tally.Counts())
			}
		})
	}
}

// livesToReach is in how many lives of a database every failpoint is passed.
const livesToReach = 4

// TestEveryFailpointKills kills a child at each failpoint, and judges what is
// left. A name that nothing in the engine matches any more would make the
// others look well tested.
func TestEveryFailpointKills(t *testing.T) {
	if err := (&Kill{}).Needs(); err != nil {
		t.Skip(err)
	}
	last := moments
	if testing.Short() {
		last = Midway
	}
	for i, point := range Failpoints() {
		t.Run(point.Name, func(t *testing.T) {
			t.Parallel()
			for moment := range last {
				killAt(t, point, moment, uint64(i))
			}
		})
	}
}

func killAt(t *testing.T, point Failpoint, moment Moment, seed uint64) {
	t.Helper()
	r := newTestRound(t, seed, lossOfProcess)
	for range livesToReach {
		j := r.job()
		j.Count, j.Close = 100, true
		j.Failpoint, j.Moment, j.Nth = point.Name, moment, 1
		e, err := runChild(t.Context(), j, (&end{oracle: r.oracle, job: j}).hear)
		if err == nil && e.exitCode == exitFailed {
			err = fmt.Errorf("the child failed: %s", e.said)
		}
		if err == nil {
			err = r.judge(t.Context())
		}
		if err != nil {
			t.Fatalf("%v the %s: %v", moment, point.Name, err)
		}
		if e.sprung {
			return
		}
	}
	t.Errorf("%v the %s: nobody came there in %d lives", moment, point.Name, livesToReach)
}

func newTestRound(t *testing.T, seed uint64, l loss) *round {
	t.Helper()
	return &round{
		dir: filepath.Join(t.TempDir(), "db"), seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), tally: new(ledger.Tally),
		oracle: newOracle(seed, 2, l),
	}
}

// TestKillSeesEarlyAcknowledgement lets children acknowledge before they
// commit.
func TestKillSeesEarlyAcknowledgement(t *testing.T) {
	suite := &Kill{Dir: t.TempDir(), lie: lieAckFirst}
	if err := suite.Needs(); err != nil {
		t.Skip(err)
	}
	expectCaught(t, func(seed uint64) error { return suite.Round(t.Context(), seed, new(ledger.Tally)) })
}

// roundsToCatch is in how many rounds a lie must be seen.
const roundsToCatch = 20

func expectCaught(t *testing.T, round func(seed uint64) error) {
	t.Helper()
	for seed := range uint64(roundsToCatch) {
		err := round(seed)
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "must be there") {
			t.Fatalf("the lie was seen, but as this: %v", err)
		}
		t.Logf("round %d: %v", seed, err)
		return
	}
	t.Errorf("children lied through %d rounds, and nobody saw it", roundsToCatch)
}

// TestChildEndsWithItsParent closes the child's standard input, as the end of
// its parent would.
func TestChildEndsWithItsParent(t *testing.T) {
	if err := (&Kill{}).Needs(); err != nil {
		t.Skip(err)
	}
	r := newTestRound(t, 1, lossOfProcess)
	j := r.job()
	j.OpenOnly = true
	e, err := runChild(t.Context(), j, func(c *running, m message) error {
		if m.kind == saysDone {
			return c.stdin.Close()
		}
		return nil
	})
	if e == nil || e.exitCode != exitOrphaned {
		t.Errorf("the child ended so: %+v, %v", e, err)
	}
}
