package script

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
)

// Judge opens what a crash left behind, compares what it holds with what is
// allowed, and sees whether it takes a write, keeps it over a clean close, and
// opens again. allowed is asked after the database was read.
func Judge(fs vfs.FS, o lightning.Options, allowed func() Allowed) error {
	o.FS = fs
	s := NewSession(o)
	if err := s.Open(); err != nil {
		return err
	}
	defer s.Close()
	found, err := s.Read()
	if err != nil {
		return err
	}
	if err := allowed().Check(found); err != nil {
		return err
	}
	if err := s.checkChanges(); err != nil {
		return fmt.Errorf("after recovery: %w", err)
	}
	after := Op{Key: Data{Text: "after"}, Value: Data{Text: "crash"}, Wait: WaitFor(lightning.DurabilitySync)}
	if err := s.Run(&after, NewHistory(found)); err != nil {
		return fmt.Errorf("after recovery: %w", err)
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("after recovery: %w", err)
	}
	if err := s.Open(); err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	again, err := s.Read()
	if err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	if err := s.checkChanges(); err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	if want := after.Apply(found); !again.EqualRows(want) {
		return fmt.Errorf("%w: the second open shows %v, not %v", ErrState, again, want)
	}
	return s.Close()
}

// checkChanges reads all changes that are there. They must join, but for gaps
// that are told and are no damage, and reach to the newest write.
func (s *Session) checkChanges() error {
	m := s.DB.Metrics()
	next, newest := m.LogArchive.OldestSeq, m.VisibleSeq
	for next <= newest {
		for batch, err := range s.DB.Changes(context.Background(), next) {
			var gap *lightning.GapError
			switch {
			case errors.Is(err, lightning.ErrCorrupted):
				return fmt.Errorf("changes from %d: %w", next, err)
			case errors.As(err, &gap) && gap.From == next && gap.Oldest > next:
				next = gap.Oldest
			case err != nil:
				return fmt.Errorf("changes from %d: %w", next, err)
			case batch.First != next:
				return fmt.Errorf("%w: changes %d..%d come where %d was next",
					ErrState, batch.First, batch.Last, next)
			default:
				next = batch.Last + 1
			}
			if next > newest {
				break
			}
		}
	}
	return nil
}
