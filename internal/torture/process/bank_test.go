package process

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

func TestBankSurvivesKills(t *testing.T) {
	b := &Bank{Dir: t.TempDir()}
	if err := b.Needs(); err != nil {
		t.Skip(err)
	}
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	var tally ledger.Tally
	for range rounds {
		if err := b.Round(context.Background(), rand.Uint64(), &tally); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d transfers", tally.Count(ledger.Kills), tally.Count(ledger.Operations))
	if tally.Count(ledger.Kills) == 0 || tally.Count(ledger.Operations) == 0 {
		t.Error("nothing happened")
	}
}
