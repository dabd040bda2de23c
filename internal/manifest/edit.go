// Package manifest records which files make up the database.
//
// The truth is a State: the live tables by level, the live log segments, the
// keyspaces, and the counters. It changes only by Edits, each applied as a
// whole. A manifest file holds a snapshot of a State followed by the edits
// made since; the file CURRENT names the manifest in force.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/merge"
)

// NumLevels is the number of levels of the tree. Tables of level 0 may
// overlap; those of one other level never do.
const NumLevels = 7

// The limits of what an edit may name; they are checked when an edit is
// applied and when it is decoded.
const (
	// MaxKeyspaceNameBytes is the longest name of a keyspace.
	MaxKeyspaceNameBytes = 1 << 10

	// maxBoundBytes is the longest bound of a table: a key with its prefix,
	// or the successor of one.
	maxBoundBytes = base.MaxPrefixBytes + base.MaxKeyBytes + 1

	// maxFileNum leaves room to count on from every number.
	maxFileNum base.FileNum = 1<<63 - 1
)

// FileMeta describes one table. It is immutable once an Edit holds it, and
// shared by all versions that contain the table.
type FileMeta struct {
	Num                     base.FileNum
	SizeBytes               uint64
	Lo, Hi                  []byte // the half-open span of its keys and tombstones
	SmallestSeq, LargestSeq base.SeqNum
	Count                   uint64 // records
	Deletes                 uint64
	RangeDeletes            uint64
	DeletesLo, DeletesHi    []byte // the half-open span of the range deletes, if there are some
	RawBytes                uint64 // keys and values before compression
	EntryChecksum           uint64 // order-independent sum over the records
	Expiring                Expiring
	// SeqBase is what readers add to the sequence numbers in the file; those here
	// have it. A transaction that was too large for the log is written before its
	// place among the commits is known.
	SeqBase base.SeqNum
	// CoveredBytes estimates what the range deletes hide of the tables beneath, as these
	// were when the table was written.
	CoveredBytes uint64
	// Blobs are the blob tables that have values of its records, by number.
	Blobs []BlobUse
}

// BlobUse is what a table has in a blob table, which is in no level: it is part of the database
// as long as any table has something there.
type BlobUse struct {
	Num         base.FileNum
	StoredBytes uint64    // of the values
	Table       *FileMeta // whose number that is; the State has it
}

// Expiring says when the expiring records of a table will have expired.
type Expiring struct {
	Count uint64
	Mean  base.Instant // of the instants at which they expire
	Last  base.Instant
}

// LevelFile is a table and the level it belongs to.
type LevelFile struct {
	Level int
	Meta  *FileMeta
}

// LevelNum names a table in a level.
type LevelNum struct {
	Level int
	Num   base.FileNum
}

// LogSegment is a segment of the log: what identifies its file, and the size that
// this is known to have, durably.
type LogSegment struct {
	Num       base.FileNum
	SizeBytes int64
	Salt      uint32
}

// LogSize is the size that the file of a log segment is known to have, durably.
type LogSize struct {
	Num       base.FileNum
	SizeBytes int64
}

// Keyspace is a named part of the key space. Identifiers start at 1 and are
// never used again; 0 stands for the keyspace that always exists and is not
// listed.
type Keyspace struct {
	ID          uint64
	Name        string
	Compression uint8 // 0 is the default of the database, else 1 + the codec
	// TTLNS is after how many nanoseconds a value expires where the write does
	// not say; 0: never.
	TTLNS uint64
	// Merge is the name of the merge operator; empty: none.
	Merge string
	// BlobBytes is from which length on values are kept apart from their keys; 0: as the
	// database has it, BlobsNever: none is.
	BlobBytes uint64
}

// BlobsNever says that no value of a keyspace is kept apart.
const BlobsNever = 1

// DroppedKeyspace is a dropped keyspace that the history of changes may still
// mention. Its name may belong to another keyspace by now.
type DroppedKeyspace struct {
	ID      uint64
	Name    string
	LastSeq base.SeqNum // no later record belongs to it
}

// IngestCommit is a transaction that was committed by an edit of the manifest,
// past the log, as the log archive keeps it: what it wrote is in tables, which stay
// for those who read changes when compactions have taken them out of the tree. It
// is immutable once an Edit holds it.
type IngestCommit struct {
	First, Last base.SeqNum  // its sequence numbers
	At          base.Instant // when it was committed
	// Tables are disjoint and in the order of their keys.
	Tables []*FileMeta
}

// Edit is one atomic change of a State. Removals are applied before
// additions, so an edit may move a table between levels, or change a keyspace
// by dropping and adding the same identifier.
//
// The counters never go back: a value lower than the current one changes
// nothing, and so does zero.
type Edit struct {
	// NextFileNum is the lowest number that no file has had. Every number
	// that the edit adds raises it too.
	NextFileNum base.FileNum
	LastSeq     base.SeqNum
	// LogStart is the log position from which replay is needed.
	LogStart uint64
	// NextKeyspaceID is raised by AddKeyspaces too.
	NextKeyspaceID uint64
	// ClockHighWater is a time that readers may have seen: none may see an earlier
	// one again. Zero as long as nothing has ever expired.
	ClockHighWater base.Instant
	// IngestedSeq is the newest sequence number that was committed past the log,
	// by this manifest alone.
	IngestedSeq base.SeqNum

	AddLogs    []LogSegment // in the order of writing
	RemoveLogs []base.FileNum
	// GrowLogs are logs that have got larger. One that is not there any more, or
	// that is larger already, is left as it is.
	GrowLogs      []LogSize
	AddFiles      []LevelFile
	RemoveFiles   []LevelNum
	AddKeyspaces  []Keyspace
	DropKeyspaces []uint64
	AddDropped    []DroppedKeyspace
	ForgetDropped []uint64
	// AddIngests come in the order of their numbers, and behind those before.
	AddIngests []IngestCommit
	// AddBlobs are the blob tables of AddFiles and AddIngests that are new. Append finds them.
	AddBlobs []*FileMeta
	// ForgetIngests are the first sequence numbers of commits that the archive
	// keeps no more. One that is not there any more changes nothing.
	ForgetIngests []base.SeqNum
	// History, if not zero, is the new one: see State.
	History base.DBID
	// AddPending are commits past the log that recovery comes to: see State. They come in the
	// order of their numbers, and behind those before.
	AddPending []IngestCommit
}

func (m *FileMeta) validate() error {
	switch {
	case m.Num == 0 || m.Num > maxFileNum:
		return fmt.Errorf("table number %d is out of range", uint64(m.Num))
	case bytes.Compare(m.Lo, m.Hi) >= 0:
		return fmt.Errorf("table %s: span is empty", m.Num)
	case len(m.Lo) > maxBoundBytes || len(m.Hi) > maxBoundBytes:
		return fmt.Errorf("table %s: bound is too long", m.Num)
	case m.RangeDeletes > 0 && (bytes.Compare(m.Lo, m.DeletesLo) > 0 ||
		bytes.Compare(m.DeletesLo, m.DeletesHi) >= 0 || bytes.Compare(m.DeletesHi, m.Hi) > 0):
		return fmt.Errorf("table %s: span of its range deletes is not within its own", m.Num)
	case m.LargestSeq > base.SeqNumMax || m.SmallestSeq > m.LargestSeq:
		return fmt.Errorf("table %s: sequence numbers %d..%d are out of range",
			m.Num, m.SmallestSeq, m.LargestSeq)
	case m.SeqBase > m.SmallestSeq:
		return fmt.Errorf("table %s: sequence number %d is below its base %d",
			m.Num, m.SmallestSeq, m.SeqBase)
	case m.Expiring.Count > m.Count || m.Expiring.Mean < 0 || m.Expiring.Mean > m.Expiring.Last:
		return fmt.Errorf("table %s: %d of %d records expire, the last at %d",
			m.Num, m.Expiring.Count, m.Count, m.Expiring.Last)
	}
	for i, use := range m.Blobs {
		if use.Num == 0 || i > 0 && m.Blobs[i-1].Num >= use.Num {
			return fmt.Errorf("table %s: blob tables are not in order", m.Num)
		}
	}
	return nil
}

func (k *Keyspace) validate() error {
	switch {
	case k.ID == 0 || k.ID == 1<<64-1:
		return fmt.Errorf("keyspace identifier %d is out of range", k.ID)
	case k.Name == "":
		return errors.New("keyspace name is empty")
	case len(k.Name) > MaxKeyspaceNameBytes:
		return fmt.Errorf("keyspace name has %d bytes, more than %d", len(k.Name), MaxKeyspaceNameBytes)
	case k.Compression > 0 && !compress.Codec(k.Compression-1).Valid():
		return fmt.Errorf("keyspace %q: unknown compression %d", k.Name, k.Compression)
	case k.TTLNS > math.MaxInt64:
		return fmt.Errorf("keyspace %q: time to live is out of range", k.Name)
	case k.BlobBytes > math.MaxInt32:
		return fmt.Errorf("keyspace %q: length from which on values are kept apart is out of range", k.Name)
	case len(k.Merge) > merge.MaxNameBytes:
		return fmt.Errorf("keyspace %q: name of the merge operator is too long", k.Name)
	}
	return nil
}

func (k *DroppedKeyspace) validate() error {
	if k.LastSeq > base.SeqNumMax {
		return fmt.Errorf("dropped keyspace %d: sequence number %d is out of range", k.ID, k.LastSeq)
	}
	same := Keyspace{ID: k.ID, Name: k.Name}
	return same.validate()
}

func (c *IngestCommit) validate() error {
	switch {
	case c.First == 0 || c.First > c.Last || c.Last > base.SeqNumMax:
		return fmt.Errorf("sequence numbers %d..%d of an ingest commit are out of range", c.First, c.Last)
	case c.At < 0:
		return fmt.Errorf("ingest commit %d: time %d is out of range", c.First, c.At)
	case len(c.Tables) == 0:
		return fmt.Errorf("ingest commit %d has no tables", c.First)
	}
	for i, m := range c.Tables {
		if m == nil {
			return fmt.Errorf("ingest commit %d: a table has no description", c.First)
		}
		if err := m.validate(); err != nil {
			return err
		}
		if m.SmallestSeq < c.First || m.LargestSeq > c.Last {
			return fmt.Errorf("ingest commit %d..%d: table %s has sequence numbers %d..%d",
				c.First, c.Last, m.Num, m.SmallestSeq, m.LargestSeq)
		}
		if i > 0 && bytes.Compare(c.Tables[i-1].Hi, m.Lo) > 0 {
			return fmt.Errorf("ingest commit %d: table %s is out of order", c.First, m.Num)
		}
	}
	return nil
}

// validate checks everything about e that does not depend on the state it is
// applied to.
func (e *Edit) validate() error {
	if e.NextFileNum > maxFileNum+1 {
		return fmt.Errorf("next file number %d is out of range", uint64(e.NextFileNum))
	}
	if e.ClockHighWater < 0 {
		return fmt.Errorf("clock mark %d is out of range", e.ClockHighWater)
	}
	if e.LastSeq > base.SeqNumMax || e.IngestedSeq > base.SeqNumMax {
		return fmt.Errorf("last sequence number %d is out of range", max(e.LastSeq, e.IngestedSeq))
	}
	for _, l := range e.AddLogs {
		if l.Num == 0 || l.Num > maxFileNum {
			return fmt.Errorf("log number %d is out of range", uint64(l.Num))
		}
		if l.SizeBytes <= 0 {
			return fmt.Errorf("size %d of log %s is out of range", l.SizeBytes, l.Num)
		}
	}
	for _, l := range e.GrowLogs {
		if l.SizeBytes <= 0 {
			return fmt.Errorf("size %d of log %s is out of range", l.SizeBytes, l.Num)
		}
	}
	for i := range e.AddFiles {
		f := &e.AddFiles[i]
		if f.Level < 0 || f.Level >= NumLevels {
			return fmt.Errorf("level %d is out of range", f.Level)
		}
		if f.Meta == nil {
			return errors.New("added table has no description")
		}
		if err := f.Meta.validate(); err != nil {
			return err
		}
	}
	for _, f := range e.RemoveFiles {
		if f.Level < 0 || f.Level >= NumLevels {
			return fmt.Errorf("level %d is out of range", f.Level)
		}
	}
	for i := range e.AddKeyspaces {
		if err := e.AddKeyspaces[i].validate(); err != nil {
			return err
		}
	}
	for i := range e.AddDropped {
		if err := e.AddDropped[i].validate(); err != nil {
			return err
		}
	}
	for _, ingests := range [][]IngestCommit{e.AddIngests, e.AddPending} {
		for i := range ingests {
			if err := ingests[i].validate(); err != nil {
				return err
			}
		}
	}
	for _, m := range e.AddBlobs {
		if err := m.validate(); err != nil {
			return err
		}
		if len(m.Blobs) > 0 {
			return fmt.Errorf("blob table %s has blob tables", m.Num)
		}
	}
	return nil
}
