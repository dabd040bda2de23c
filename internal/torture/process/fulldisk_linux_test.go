package process

import (
	"testing"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// TestFullDisk runs each shortage once.
func TestFullDisk(t *testing.T) {
	suite := &FullDisk{Dir: t.TempDir()}
	if err := suite.Needs(); err != nil {
		t.Skip(err)
	}
	for i, s := range shortages() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var tally ledger.Tally
			if err := suite.Round(t.Context(), uint64(i), &tally); err != nil {
				t.Fatal(err)
			}
			if tally.Count(ledger.Faults) != 1 {
				t.Errorf("the round did %v", tally.Counts())
			}
		})
	}
}
