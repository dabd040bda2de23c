package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// This file is about databases that were restored from a backup and the log that was archived
// behind it. A commit past the log has its place between two groups of that log, and is older
// than the tables that the replay of the later one will make. So it is noted as pending, and
// recovery makes it part of the tree when the replay has come to it. An edit that brings the
// tree past its numbers ends it.

// applyPending takes off what the tree has by now, and adds what is new.
func (s *State) applyPending(e *Edit) error {
	if len(s.Pending) == 0 && len(e.AddPending) == 0 {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(s.Pending), func(c IngestCommit) bool { return c.First <= s.LastSeq })
	newest := s.LastSeq
	if n := len(left); n > 0 {
		newest = left[n-1].Last
	}
	for _, c := range e.AddPending {
		if c.First <= newest {
			return fmt.Errorf("pending commit %d is not behind %d", c.First, newest)
		}
		newest = c.Last
		left = append(left, c)
		for _, m := range c.Tables {
			s.NextFileNum = max(s.NextFileNum, m.Num+1)
		}
	}
	s.Pending = left
	return nil
}

// PendingTables returns the tables of the pending commits, and the blob tables in which these
// have values, by number.
func (s *State) PendingTables() []*FileMeta {
	files := map[base.FileNum]*FileMeta{}
	for f := range tables(&Version{}, s.Pending...) {
		files[f.Num] = f
		for _, use := range f.Blobs {
			files[use.Num] = use.Table
		}
	}
	return slices.SortedFunc(maps.Values(files), func(a, b *FileMeta) int { return cmp.Compare(a.Num, b.Num) })
}

// Fork returns the state of a copy that goes its own way under a history of its own, and has
// commits pending that s does not have.
func (s *State) Fork(history base.DBID, pending []IngestCommit) (*State, error) {
	e := &Edit{History: history, AddPending: pending}
	if err := e.validate(); err != nil {
		return nil, err
	}
	e.findBlobs(s)
	return s.apply(e)
}

// EncodeIngest returns a commit past the log with all that is known of its tables.
func EncodeIngest(c *IngestCommit) []byte {
	e := &Edit{AddPending: []IngestCommit{*c}}
	e.findBlobs(newState(base.DBID{}))
	return appendEdit(nil, e)
}

// DecodeIngest reads what EncodeIngest wrote.
func DecodeIngest(encoded []byte) (IngestCommit, error) {
	e, err := decodeEdit(encoded)
	if err != nil {
		return IngestCommit{}, err
	}
	if len(e.AddPending) != 1 {
		return IngestCommit{}, errors.New("not one commit past the log")
	}
	only := &Edit{AddPending: e.AddPending, AddBlobs: e.AddBlobs}
	s, err := newState(base.DBID{}).apply(only)
	if err != nil {
		return IngestCommit{}, err
	}
	return s.Pending[0], nil
}
