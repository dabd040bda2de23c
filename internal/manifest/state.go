package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
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
	// History tells apart copies of a database that go their own ways, in which the same
	// sequence number means different writes: each restored one and each checkpoint has a new one.
	// Zero is that of the first database.
	History base.DBID
	// Pending are commits past the log that are not part of the tree yet, by number: the log has
	// what comes before them. Recovery installs each when it has come so far, so there are none
	// but in a database that was restored and not opened since.
	Pending []IngestCommit
	Version *Version
	Blobs   map[base.FileNum]*FileMeta // the blob tables; nobody writes into it

	// Of what Load has read, for Open: the number of the manifest, and those of all that
	// are in the directory.
	num   base.FileNum
	found []base.FileNum
}

// newState returns the state that every database starts from.
func newState(id base.DBID) *State {
	return &State{DBID: id, NextFileNum: 1, NextKeyspaceID: 1, Version: &Version{}}
}

// apply returns the state that e makes of s; s does not change.
func (s *State) apply(e *Edit) (*State, error) {
	blobs, err := s.joinBlobs(e)
	if err != nil {
		return nil, err
	}
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
	if e.History != (base.DBID{}) {
		next.History = e.History
	}
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
	if err := next.applyPending(e); err != nil {
		return nil, err
	}
	if len(e.AddFiles)+len(e.RemoveFiles)+len(e.AddIngests)+len(e.ForgetIngests)+len(e.AddPending) > 0 {
		next.keepBlobs(blobs)
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
	gone := ascending(e.DropKeyspaces)
	for i := range e.AddKeyspaces {
		k := &e.AddKeyspaces[i]
		if _, changed := slices.BinarySearch(gone, k.ID); k.ID < fresh && !changed {
			return fmt.Errorf("keyspace identifier %d was used before", k.ID)
		}
		s.NextKeyspaceID = max(s.NextKeyspaceID, k.ID+1)
	}
	all, err := edited(s.Keyspaces, gone, e.AddKeyspaces)
	if err == nil {
		err = checkNames(all, e.AddKeyspaces)
	}
	if err != nil {
		return err
	}
	s.Keyspaces = all
	return nil
}

// checkNames looks whether a keyspace that was added has its name to itself.
func checkNames(all, added []Keyspace) error {
	ids := make(map[string]uint64, len(added))
	for i := range added {
		ids[added[i].Name] = added[i].ID
	}
	if len(ids) == len(all) {
		return nil
	}
	for i := range all {
		if id, again := ids[all[i].Name]; again && id != all[i].ID {
			return fmt.Errorf("keyspaces %d and %d have the name %q", all[i].ID, id, all[i].Name)
		}
	}
	return nil
}

func (s *State) applyDropped(e *Edit) error {
	if len(e.AddDropped) == 0 && len(e.ForgetDropped) == 0 {
		return nil
	}
	for i := range e.AddDropped {
		k := &e.AddDropped[i]
		if _, live := slices.BinarySearchFunc(s.Keyspaces, k.ID, compareID); live || k.ID >= s.NextKeyspaceID {
			return fmt.Errorf("keyspace %d %q was not dropped just now", k.ID, k.Name)
		}
	}
	all, err := edited(s.Dropped, ascending(e.ForgetDropped), e.AddDropped)
	if err != nil {
		return fmt.Errorf("dropped keyspaces: %w", err)
	}
	s.Dropped = all
	return nil
}

// numbered is what has an identifier.
type numbered interface{ id() uint64 }

func (k Keyspace) id() uint64        { return k.ID }
func (k DroppedKeyspace) id() uint64 { return k.ID }

func compareID[T numbered](a T, id uint64) int { return cmp.Compare(a.id(), id) }

// edited returns a list that is in the order of identifiers without those of gone,
// which are in order, and with what was added, in linear time if that is in order.
func edited[T numbered](list []T, gone []uint64, added []T) ([]T, error) {
	byID := func(a, b T) int { return cmp.Compare(a.id(), b.id()) }
	if !slices.IsSortedFunc(added, byID) {
		added = slices.SortedFunc(slices.Values(added), byID)
	}
	all := make([]T, 0, len(list)+len(added))
	for _, k := range list {
		if len(gone) > 0 && gone[0] == k.id() {
			gone = gone[1:]
			continue
		}
		for len(added) > 0 && added[0].id() < k.id() {
			all, added = append(all, added[0]), added[1:]
		}
		all = append(all, k)
	}
	all = append(all, added...)
	if len(gone) > 0 {
		return nil, fmt.Errorf("keyspace %d that goes is not there", gone[0])
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].id() == all[i].id() {
			return nil, fmt.Errorf("keyspace %d is already listed", all[i].id())
		}
	}
	return all, nil
}

// ascending returns identifiers in their order.
func ascending(ids []uint64) []uint64 {
	if slices.IsSorted(ids) {
		return ids
	}
	return slices.Sorted(slices.Values(ids))
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

// Copy makes the manifest of a copy of the database, in a directory without one: of the
// same state, but for the log, which is in other files there, the commits past the log that
// its archive keeps, and the time that readers may have seen. It is durable then, its name
// included. A crash on the way leaves a directory that is damaged to those who open it, if
// anything but an empty database was to be there.
func (s *State) Copy(fsys vfs.FS, dir string, logs []LogSegment, ingests []IngestCommit, seen base.Instant) error {
	copied := *s
	copied.num, copied.found = 0, nil
	copied.Logs, copied.Ingests = logs, ingests
	copied.ClockHighWater = max(s.ClockHighWater, seen)
	copied.keepBlobs(s.Blobs)
	l, err := start(fsys, dir, &copied)
	if err != nil {
		return err
	}
	return l.Close()
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
		History:        s.History,
		AddPending:     s.Pending,
		AddBlobs:       slices.SortedFunc(maps.Values(s.Blobs), func(a, b *FileMeta) int { return cmp.Compare(a.Num, b.Num) }),
	}
	for level, files := range s.Version.Levels {
		for _, f := range files {
			e.AddFiles = append(e.AddFiles, LevelFile{Level: level, Meta: f})
		}
	}
	return e
}
