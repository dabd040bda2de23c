package manifest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// State is everything the manifest knows. It is immutable: each edit makes a
// new one. Safe for concurrent use.
type State struct {
	DBID           base.DBID
	NextFileNum    base.FileNum
	LastSeq        base.SeqNum
	Logs           []LogSegment      // in the order of writing
	Keyspaces      []Keyspace        // by identifier
	Dropped        []DroppedKeyspace // by identifier
	NextKeyspaceID uint64
	LogStart       uint64 // log position from which replay is needed
	ClockHighWater base.Instant
	IngestedSeq    base.SeqNum
	Ingests        []IngestCommit // that the archive keeps, by number
	Version        *Version
}

// newState returns the state that every database starts from.
func newState(id base.DBID) *State {
	return &State{DBID: id, NextFileNum: 1, NextKeyspaceID: 1, Version: &Version{}}
}

// apply returns the state that e makes of s; s does not change.
func (s *State) apply(e *Edit) (*State, error) {
	version, err := s.Version.Apply(e)
	if err != nil {
		return nil, err
	}
	next := *s
	next.Version = version
	next.NextFileNum = max(next.NextFileNum, e.NextFileNum)
	next.LastSeq = max(next.LastSeq, e.LastSeq)
	next.LogStart = max(next.LogStart, e.LogStart)
	next.ClockHighWater = max(next.ClockHighWater, e.ClockHighWater)
	next.IngestedSeq = max(next.IngestedSeq, e.IngestedSeq)
	for _, f := range e.AddFiles {
		next.NextFileNum = max(next.NextFileNum, f.Meta.Num+1)
	}
	if err := next.applyLogs(e); err != nil {
		return nil, err
	}
	if err := next.applyKeyspaces(e); err != nil {
		return nil, err
	}
	if err := next.applyDropped(e); err != nil {
		return nil, err
	}
	if err := next.applyIngests(e); err != nil {
		return nil, err
	}
	return &next, nil
}

func (s *State) applyLogs(e *Edit) error {
	if len(e.AddLogs) == 0 && len(e.RemoveLogs) == 0 && len(e.GrowLogs) == 0 {
		return nil
	}
	logs := slices.Clone(s.Logs)
	for _, n := range e.RemoveLogs {
		i := indexLog(logs, n)
		if i < 0 {
			return fmt.Errorf("removed log %s is not there", n)
		}
		logs = slices.Delete(logs, i, i+1)
	}
	for _, l := range e.AddLogs {
		if indexLog(logs, l.Num) >= 0 {
			return fmt.Errorf("log %s is already listed", l.Num)
		}
		logs = append(logs, l)
		s.NextFileNum = max(s.NextFileNum, l.Num+1)
	}
	for _, l := range e.GrowLogs {
		if i := indexLog(logs, l.Num); i >= 0 {
			logs[i].SizeBytes = max(logs[i].SizeBytes, l.SizeBytes)
		}
	}
	s.Logs = logs
	return nil
}

func indexLog(logs []LogSegment, n base.FileNum) int {
	return slices.IndexFunc(logs, func(l LogSegment) bool { return l.Num == n })
}

func (s *State) applyKeyspaces(e *Edit) error {
	fresh := s.NextKeyspaceID
	s.NextKeyspaceID = max(s.NextKeyspaceID, e.NextKeyspaceID)
	if len(e.AddKeyspaces) == 0 && len(e.DropKeyspaces) == 0 {
		return nil
	}
	gone := make(map[uint64]bool, len(e.DropKeyspaces))
	for _, id := range e.DropKeyspaces {
		gone[id] = true
	}
	all := make([]Keyspace, 0, len(s.Keyspaces)+len(e.AddKeyspaces))
	names, ids := map[string]bool{}, map[uint64]bool{}
	for _, k := range s.Keyspaces {
		if !gone[k.ID] {
			all = append(all, k)
			names[k.Name], ids[k.ID] = true, true
		}
	}
	if len(s.Keyspaces)-len(all) != len(e.DropKeyspaces) {
		return fmt.Errorf("of the dropped keyspaces %v one is not there", e.DropKeyspaces)
	}
	for _, k := range e.AddKeyspaces {
		if k.ID < fresh && !gone[k.ID] {
			return fmt.Errorf("keyspace identifier %d was used before", k.ID)
		}
		if names[k.Name] || ids[k.ID] {
			return fmt.Errorf("keyspace %d %q is already listed", k.ID, k.Name)
		}
		all = append(all, k)
		names[k.Name], ids[k.ID] = true, true
		s.NextKeyspaceID = max(s.NextKeyspaceID, k.ID+1)
	}
	slices.SortFunc(all, func(a, b Keyspace) int { return cmp.Compare(a.ID, b.ID) })
	s.Keyspaces = all
	return nil
}

func (s *State) applyDropped(e *Edit) error {
	if len(e.AddDropped) == 0 && len(e.ForgetDropped) == 0 {
		return nil
	}
	all := slices.Clone(s.Dropped)
	for _, id := range e.ForgetDropped {
		i := slices.IndexFunc(all, func(k DroppedKeyspace) bool { return k.ID == id })
		if i < 0 {
			return fmt.Errorf("forgotten keyspace %d is not there", id)
		}
		all = slices.Delete(all, i, i+1)
	}
	for _, k := range e.AddDropped {
		live := slices.ContainsFunc(s.Keyspaces, func(o Keyspace) bool { return o.ID == k.ID })
		twice := slices.ContainsFunc(all, func(o DroppedKeyspace) bool { return o.ID == k.ID })
		if live || twice || k.ID >= s.NextKeyspaceID {
			return fmt.Errorf("keyspace %d %q was not dropped just now", k.ID, k.Name)
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b DroppedKeyspace) int { return cmp.Compare(a.ID, b.ID) })
	s.Dropped = all
	return nil
}

func (s *State) applyIngests(e *Edit) error {
	if len(e.AddIngests) == 0 && len(e.ForgetIngests) == 0 {
		return nil
	}
	kept := slices.DeleteFunc(slices.Clone(s.Ingests), func(c IngestCommit) bool {
		return slices.Contains(e.ForgetIngests, c.First)
	})
	for _, c := range e.AddIngests {
		if n := len(kept); n > 0 && kept[n-1].Last >= c.First {
			return fmt.Errorf("ingest commit %d follows %d..%d", c.First, kept[n-1].First, kept[n-1].Last)
		}
		kept = append(kept, c)
		for _, m := range c.Tables {
			s.NextFileNum = max(s.NextFileNum, m.Num+1)
		}
	}
	s.Ingests = kept
	return nil
}

// snapshot returns the edit that makes s of a new state.
func (s *State) snapshot() *Edit {
	e := &Edit{
		NextFileNum:    s.NextFileNum,
		LastSeq:        s.LastSeq,
		LogStart:       s.LogStart,
		NextKeyspaceID: s.NextKeyspaceID,
		ClockHighWater: s.ClockHighWater,
		IngestedSeq:    s.IngestedSeq,
		AddLogs:        s.Logs,
		AddKeyspaces:   s.Keyspaces,
		AddDropped:     s.Dropped,
		AddIngests:     s.Ingests,
	}
	for level, files := range s.Version.Levels {
		for _, f := range files {
			e.AddFiles = append(e.AddFiles, LevelFile{Level: level, Meta: f})
		}
	}
	return e
}
