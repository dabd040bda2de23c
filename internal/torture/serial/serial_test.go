package serial

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs/memfs"
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
	t.Logf("%d transactions, %d crashes", tally.Count(ledger.Operations), tally.Count(ledger.States))
	if tally.Count(ledger.Operations) == 0 || tally.Count(ledger.States) == 0 {
		t.Error("nothing was done")
	}
}

// What began or ended while the picture of the disk was taken may be in it.
func TestSurvivors(t *testing.T) {
	l := life{cut: 10, after: 14, picture: memfs.New(), done: []*transaction{
		tx(0, 1, 9, committed), tx(0, 8, 11, committed), tx(1, 13, 16, committed), tx(1, 17, 18, committed),
		tx(2, 12, 13, refused),
	}}
	var got []outcome
	for _, s := range l.survivors() {
		got = append(got, s.outcome)
		if s.outcome == unknown && s.end != 14 {
			t.Errorf("%v ends in the next life", s)
		}
	}
	if want := []outcome{committed, unknown, unknown, refused}; !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
}

// tx makes a transaction of a hand-written history.
func tx(client int, begin, end int64, o outcome, ops ...op) *transaction {
	return &transaction{client: client, begin: begin, end: end, outcome: o, ops: ops}
}

func TestJudge(t *testing.T) {
	add := func(key int, number uint64, seen ...uint64) op { return op{key, seen, number} }
	look := func(key int, seen ...uint64) op { return op{key: key, seen: seen} }
	for name, c := range map[string]struct {
		history []*transaction
		final   [][]uint64
		says    string // "" if it is all right
	}{
		"nothing": {nil, [][]uint64{nil, nil}, ""},
		"in order": {[]*transaction{
			tx(0, 1, 2, committed, add(0, 1)), tx(1, 3, 4, committed, look(0, 1), add(0, 2, 1), look(0, 1, 2)),
		}, [][]uint64{{1, 2}}, ""},
		"beside one another, the later one first": {[]*transaction{
			tx(0, 1, 4, committed, add(0, 1, 2)), tx(1, 2, 5, committed, add(0, 2)),
		}, [][]uint64{{2, 1}}, ""},
		"unknown, and not there": {[]*transaction{
			tx(0, 1, 2, unknown, add(0, 1)), tx(1, 3, 4, committed, look(0)),
		}, [][]uint64{nil}, ""},
		"unknown, and there": {[]*transaction{
			tx(0, 1, 2, unknown, add(0, 1)), tx(1, 3, 4, committed, look(0, 1)),
		}, [][]uint64{{1}}, ""},
		"unknown, and half there": {[]*transaction{
			tx(0, 1, 2, unknown, add(0, 1), add(1, 2)),
		}, [][]uint64{{1}, nil}, "lost write"},
		"lost": {[]*transaction{tx(0, 1, 2, committed, add(0, 1))}, [][]uint64{nil}, "lost write"},
		"aborted write": {[]*transaction{
			tx(0, 1, 2, refused, add(0, 1)),
		}, [][]uint64{{1}}, "aborted write"},
		"aborted read": {[]*transaction{
			tx(0, 1, 2, refused, add(0, 1)), tx(1, 3, 4, committed, look(0, 1)),
		}, [][]uint64{nil}, "was read as [1]"},
		"intermediate read": {[]*transaction{
			tx(0, 1, 4, committed, add(0, 1), add(0, 2, 1)), tx(1, 2, 3, committed, look(0, 1)),
		}, [][]uint64{{1, 2}}, "intermediate read"},
		"blind to its own write": {[]*transaction{
			tx(0, 1, 4, committed, add(0, 1), look(0)),
		}, [][]uint64{{1}}, "after the transaction appended"},
		"written twice": {[]*transaction{tx(0, 1, 2, committed, add(0, 1))}, [][]uint64{{1, 1}}, "there twice"},
		"lost update": {[]*transaction{
			tx(0, 1, 4, committed, add(0, 1)), tx(1, 2, 5, committed, look(0), add(0, 2)),
		}, [][]uint64{{1, 2}}, "G-single"},
		"dirty write": {[]*transaction{
			tx(0, 1, 4, committed, add(0, 1), add(1, 2, 4)), tx(1, 2, 5, committed, add(0, 3, 1), add(1, 4)),
		}, [][]uint64{{1, 3}, {4, 2}}, "G0"},
		"write skew": {[]*transaction{
			tx(0, 1, 4, committed, look(0), add(1, 1)), tx(1, 2, 5, committed, look(1), add(0, 2)),
		}, [][]uint64{{2}, {1}}, "G2"},
		"read skew": {[]*transaction{
			tx(0, 1, 6, committed, look(0), look(1, 2)), tx(1, 2, 5, committed, add(0, 1), add(1, 2)),
		}, [][]uint64{{1}, {2}}, "G-single"},
		"stale read": {[]*transaction{
			tx(0, 1, 2, committed, add(0, 1)), tx(1, 3, 4, committed, look(0)),
		}, [][]uint64{{1}}, "against real time"},
	} {
		err := judge(c.history, c.final)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, not %q", name, err, c.says)
		}
	}
}
