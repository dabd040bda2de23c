package torture

import (
	"context"
	"os"

	"github.com/lightningdb/lightning/internal/torture/crash"
	"github.com/lightningdb/lightning/internal/torture/damage"
	"github.com/lightningdb/lightning/internal/torture/fault"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/linear"
	"github.com/lightningdb/lightning/internal/torture/metamorph"
	"github.com/lightningdb/lightning/internal/torture/process"
	"github.com/lightningdb/lightning/internal/torture/serial"
	"github.com/lightningdb/lightning/internal/torture/tables"
)

// Suite is one way of tormenting the database.
type Suite struct {
	Name  string
	About string       // in one line
	Needs func() error // says why the suite cannot run here; nil where it always can
	// Round is one bounded piece of work, of a few seconds at most, all of which
	// follows from the seed. It adds what it did to the tally. It returns an
	// error that tells what went wrong, and nil early when ctx ends. Several
	// goroutines may call it.
	Round func(ctx context.Context, seed uint64, tally *ledger.Tally) error
}

// Suites returns all suites.
func Suites() []Suite {
	var kill process.Kill
	var bank process.Bank
	var cut process.PowerCut
	var full process.FullDisk
	return []Suite{
		{
			Name:  "crash",
			About: "power cuts at every operation of an in-memory disk, three deep in recoveries",
			Round: crash.Round,
		},
		{
			Name:  "fault",
			About: "operations of the disk that fail, once or for good, or are slow",
			Round: fault.Round,
		},
		{
			Name:  "damage",
			About: "bits, sectors and files that are changed, lost or exchanged",
			Round: damage.Round,
		},
		{
			Name:  "metamorph",
			About: "one history under many settings, which must give one answer",
			Round: metamorph.Suite{Dir: os.TempDir()}.Round,
		},
		{
			Name:  "linear",
			About: "what goroutines saw, with faults, crashes and an end in between",
			Round: linear.Round,
		},
		{
			Name:  "serial",
			About: "transactions through crashes, which one order must explain",
			Round: serial.Round,
		},
		{
			Name:  "tables",
			About: "tables and queues through power cuts, rows against index entries and a model",
			Round: tables.Round,
		},
		{
			Name:  "kill",
			About: "processes killed at random moments and between any two steps to the disk",
			Needs: kill.Needs, Round: kill.Round,
		},
		{
			Name:  "bank",
			About: "processes killed while their transactions move money",
			Needs: bank.Needs, Round: bank.Round,
		},
		{
			Name:  "power-cut",
			About: "power cuts of a mounted ext4, by the kernel",
			Needs: cut.Needs, Round: cut.Round,
		},
		{
			Name:  "full-disk",
			About: "real disks that are full, without inodes, read-only or forbidden",
			Needs: full.Needs, Round: full.Round,
		},
	}
}
