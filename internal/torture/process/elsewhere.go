//go:build !linux

package process

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// cutter cuts the power of a file system, which only Linux can do.
type cutter struct{}

func openCutter(string) (cutter, error) { return cutter{}, errors.ErrUnsupported }

func (cutter) cut() error { return errors.ErrUnsupported }

func scatter(string, *rand.Rand) {}

func forget(string) {}

// limitDescriptors leaves them as they are: what takes them away takes Linux.
func limitDescriptors(n uint64) error {
	if n == 0 {
		return nil
	}
	return errors.ErrUnsupported
}

var errNeedsLinux = errors.New("skipped because it takes Linux")

// PowerCut cuts the power of file systems that hold a database. It takes Linux.
type PowerCut struct {
	Dir string // as on Linux
}

// Needs says why the suite cannot run here.
func (*PowerCut) Needs() error { return errNeedsLinux }

// Round returns the error of Needs.
func (p *PowerCut) Round(context.Context, uint64, *ledger.Tally) error { return p.Needs() }

// FullDisk takes away what a database needs. It takes Linux.
type FullDisk struct {
	Dir string // as on Linux
}

// Needs says why the suite cannot run here.
func (*FullDisk) Needs() error { return errNeedsLinux }

// Round returns the error of Needs.
func (f *FullDisk) Round(context.Context, uint64, *ledger.Tally) error { return f.Needs() }
