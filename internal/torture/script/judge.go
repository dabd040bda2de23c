package script

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/model"
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
	if err := s.checkChanges(found); err != nil {
		return fmt.Errorf("after recovery: %w", err)
	}
	if err := s.judgeCopy(allowed); err != nil {
		return err
	}
	if err := s.judgeBackups(allowed); err != nil {
		return fmt.Errorf("the backups: %w", err)
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
	if err := s.checkChanges(again); err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	if want := after.Apply(found); !again.EqualRows(want) {
		return fmt.Errorf("%w: the second open shows %v, not %v", ErrState, again, want)
	}
	return s.Close()
}

// keepsAll is the bound of a log archive that a test never reaches.
const keepsAll = 1 << 30

// checkChanges reads all changes that are there. They must join, but for gaps
// that are told and are no damage, and reach to the newest write. Where everything is
// kept there is no gap, and the changes come to what the database holds.
func (s *Session) checkChanges(found model.State) error {
	m := s.DB.Metrics()
	next, newest := m.LogArchive.OldestSeq, m.VisibleSeq
	keeps := s.Options.LogArchive.SizeBytes >= keepsAll
	var replica model.State
	for next <= newest {
		for batch, err := range s.DB.Changes(context.Background(), next) {
			var gap *lightning.GapError
			switch {
			case errors.Is(err, lightning.ErrCorrupted):
				return fmt.Errorf("changes from %d: %w", next, err)
			case errors.As(err, &gap) && gap.From == next && gap.Oldest > next && !keeps:
				next = gap.Oldest
			case err != nil:
				return fmt.Errorf("changes from %d: %w", next, err)
			case batch.First != next:
				return fmt.Errorf("%w: changes %d..%d come where %d was next",
					ErrState, batch.First, batch.Last, next)
			default:
				next = batch.Last + 1
				replica = follow(replica, batch)
				if err := batch.Err(); err != nil {
					return fmt.Errorf("changes %d..%d: %w", batch.First, batch.Last, err)
				}
			}
			if next > newest {
				break
			}
		}
	}
	if keeps && !replica.EqualRows(found) {
		return fmt.Errorf("%w: the changes come to %v, and there is %v", ErrState, replica, found)
	}
	return nil
}

// follow returns what the changes of a batch make of a state, which is copied once for
// each run of changes to one keyspace.
func follow(s model.State, batch *lightning.ChangeBatch) model.State {
	next, stop := iter.Pull(batch.All())
	defer stop()
	for c, more := next(); more; {
		space := c.Keyspace
		if c.Kind == lightning.ChangeDropKeyspace {
			s = s.Without(space)
			c, more = next()
			continue
		}
		s = s.With(space, s.Space(space).Change(func(rows map[string]string) {
			for more && c.Keyspace == space && c.Kind != lightning.ChangeDropKeyspace {
				changeRows(rows, &c)
				c, more = next()
			}
		}))
	}
	return s
}

// changeRows does a change to the rows of its keyspace, of which the operator appends.
// What expires at all has done so before or will after the tests.
func changeRows(rows map[string]string, c *lightning.Change) {
	key := string(c.Key)
	switch c.Kind {
	case lightning.ChangePut:
		rows[key] = string(c.Value)
		if !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(clock.System.Now()) {
			delete(rows, key)
		}
	case lightning.ChangeMerge:
		rows[key] += string(c.Value)
	case lightning.ChangeDelete:
		delete(rows, key)
	case lightning.ChangeDeleteRange:
		maps.DeleteFunc(rows, func(k, _ string) bool {
			return k >= key && (c.End == nil || k < string(c.End))
		})
	}
}
