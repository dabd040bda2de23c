package tables

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/queue"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func TestRounds(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 12
	}
	var tally ledger.Tally
	first := rand.Uint64N(1 << 40)
	for n := range uint64(rounds) {
		if err := Round(context.Background(), first+n, &tally); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d steps, %d crashes", tally.Count(ledger.Operations), tally.Count(ledger.States))
	if tally.Count(ledger.Operations) == 0 || tally.Count(ledger.States) <= int64(rounds) {
		t.Error("nothing was done")
	}
}

// A judge that lets everything pass would be of no use: each of these differs from what was
// found in one thing.
func TestHolds(t *testing.T) {
	one, two := queue.ID{1}, queue.ID{2}
	found := found{
		state: state{
			map[int]row{1: {1, "a", "c0"}}, map[int]bool{1: true}, map[queue.ID]message{one: {dead, 2}},
		},
		counts: queue.Counts{Delayed: 1, Leased: 1, Dead: 1},
	}
	same := state{
		maps.Clone(found.rows), map[int]bool{1: true, 7: false},
		map[queue.ID]message{one: {dead, 2}, two: {ready, 0}, {3}: {leased, 0}},
	}
	if !found.holds(&same) {
		t.Error("it is the same")
	}
	for name, change := range map[string]func(s *state){
		"a row":         func(s *state) { delete(s.rows, 1) },
		"another city":  func(s *state) { s.rows[1] = row{1, "a", "c1"} },
		"no expiry":     func(s *state) { s.expiring[1] = false },
		"a letter less": func(s *state) { delete(s.messages, one) },
		"a message":     func(s *state) { delete(s.messages, two) },
		"a claim":       func(s *state) { s.messages[two] = message{leased, 0} },
	} {
		other := same.clone()
		if change(other); found.holds(other) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
