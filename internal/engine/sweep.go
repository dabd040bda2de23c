package engine

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
)

// takeSweep returns a job that takes little space and brings some, for a full disk, if
// there is one.
func (c *compactor) takeSweep() *compact.Job {
	if !c.reserve.Full() {
		c.swept = nil
		return nil
	}
	return c.take(func(v *manifest.Version, l compact.Limits) *compact.Job {
		return compact.PickSweep(v, l, func(f *manifest.FileMeta, newest base.SeqNum) bool {
			return c.swept[f.Num] >= newest
		})
	})
}

// noteSwept keeps a table from being swept again before there are more deletes.
func (c *compactor) noteSwept(num base.FileNum, newest base.SeqNum) {
	if c.swept == nil {
		c.swept = map[base.FileNum]base.SeqNum{}
	}
	c.swept[num] = newest
}

// sweeping returns what of a table is not swept away.
func (c *compactor) sweeping(table store.Records, tree *store.Tree, snapshots []base.SeqNum) store.Records {
	return &sweeping{Records: table, tree: tree, snapshots: snapshots, epochs: &c.reads.Epochs}
}

// sweeping yields the records of one table that somebody may see: those that have a
// newer version in the tree, or are under a range tombstone, and that no snapshot
// sees either, are left out. The newer version stays where it is.
type sweeping struct {
	store.Records
	tree      *store.Tree
	snapshots []base.SeqNum
	epochs    *epoch.Domain
	err       error
}

func (s *sweeping) First() *base.Record { return s.visible(s.Records.First()) }

func (s *sweeping) SeekGE(key []byte) *base.Record { return s.visible(s.Records.SeekGE(key)) }

func (s *sweeping) Next() *base.Record { return s.visible(s.Records.Next()) }

func (s *sweeping) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.Records.Err()
}

// visible returns rec, or the next one that is not hidden.
func (s *sweeping) visible(rec *base.Record) *base.Record {
	for rec != nil && s.hidden(rec) {
		rec = s.Records.Next()
	}
	if s.err != nil {
		return nil
	}
	return rec
}

func (s *sweeping) hidden(rec *base.Record) bool {
	seq := rec.Trailer.Seq()
	g := s.epochs.Enter()
	defer g.Exit()
	covering, err := s.tree.Covering(rec.Key, base.SeqNumMax)
	if err != nil {
		s.err = err
		return false
	}
	if covering > seq && !seenBetween(s.snapshots, seq, covering) {
		return true
	}
	l := store.Lookup{Key: rec.Key, Hash: base.Hash(rec.Key), Seq: base.SeqNumMax}
	newest, _, found, err := s.tree.Get(&l, base.SeqNumMax)
	if err != nil {
		s.err = err
		return false
	}
	return found && newest.Seq() > seq && newest.Kind() != base.KindMerge &&
		!seenBetween(s.snapshots, seq, newest.Seq())
}
