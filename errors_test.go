package lightning_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning"
)

// An error is found under its public name wherever it stands in what was
// returned, and Corruptions finds all damage, in joined errors too.
func TestErrorsKeepWhatTheySay(t *testing.T) {
	damage := &lightning.CorruptionError{File: "a.sst", Offset: 5, Kind: "data block", Err: errors.New("rot")}
	more := &lightning.CorruptionError{File: "b.sst", Offset: -1, Kind: "missing file", Err: errors.New("gone")}
	gap := &lightning.GapError{From: 3, Oldest: 9, Err: damage}
	for _, c := range []struct {
		err      error
		matches  []error
		not      error
		damaged  int
		sentence string
	}{
		{fmt.Errorf("get: %w", damage), []error{lightning.ErrCorrupted}, lightning.ErrGap, 1,
			"get: corruption in a.sst: data block at offset 5: rot"},
		{fmt.Errorf("open: %w", errors.Join(more, damage)), []error{lightning.ErrCorrupted}, lightning.ErrMerge, 2,
			"open: corruption in b.sst: missing file: gone\ncorruption in a.sst: data block at offset 5: rot"},
		{gap, []error{lightning.ErrGap, lightning.ErrCorrupted}, lightning.ErrConflict, 1,
			"changes are not there any more: wanted 3, the next that is there is 9: " +
				"corruption in a.sst: data block at offset 5: rot"},
		{&lightning.GapError{From: 3, Oldest: 9}, []error{lightning.ErrGap}, lightning.ErrCorrupted, 0,
			"changes are not there any more: wanted 3, the next that is there is 9"},
		{&lightning.ConflictError{Key: []byte("k")}, []error{lightning.ErrConflict}, lightning.ErrCorrupted, 0,
			`transaction conflict: key "k" was changed by a later commit`},
		{&lightning.MergeError{Operator: "o", Key: []byte("k"), Err: lightning.ErrNoSpace},
			[]error{lightning.ErrMerge, lightning.ErrNoSpace}, lightning.ErrConflict, 0,
			`merge "o" into key "k": ` + lightning.ErrNoSpace.Error()},
		{&lightning.UnknownOperatorError{Operator: "o", Keyspace: "s"}, []error{lightning.ErrUnknownOperator},
			lightning.ErrMerge, 0, `merge operator "o" of keyspace "s" is not registered`},
		{&lightning.FormatError{File: "c", Version: 9, Known: 1}, nil, lightning.ErrCorrupted, 0,
			"c has format version 9; this program reads versions up to 1"},
	} {
		for _, target := range c.matches {
			wantErr(t, c.err, target)
		}
		if errors.Is(c.err, c.not) {
			t.Errorf("%v matches %v", c.err, c.not)
		}
		if n := len(lightning.Corruptions(c.err)); n != c.damaged {
			t.Errorf("%v: %d pieces of damage, want %d", c.err, n, c.damaged)
		}
		if c.err.Error() != c.sentence {
			t.Errorf("says %q, want %q", c.err, c.sentence)
		}
	}
	if lightning.Corruptions(nil) != nil {
		t.Error("no error tells of damage")
	}
}
