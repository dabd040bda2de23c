package view

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/txn"
)

// This file validates transactions: optimistic concurrency control with
// backward validation (Kung and Robinson, 1981). The leader of a commit looks,
// for everything that a transaction has read, whether something newer than its
// snapshot is there: in the members of the group that go before it, which are
// not applied yet, and in the tree. It looks at the data itself, not at a
// history of commits: so writers pay nothing while there are no transactions,
// nothing is forgotten, and a conflict is never a mere collision.
//
// What it finds is exact because the transaction's snapshot is open until the
// commit is decided: compactions keep all sequence numbers above it. A key that
// was absent in the snapshot, and came and went since, may have left no trace;
// then nothing that was read is different.

// ReadSet is what must still be so for a batch to be committed: nothing in Reads,
// which are frozen, was changed after Since. The snapshot of that sequence
// number is open.
type ReadSet struct {
	Since base.SeqNum
	Reads *txn.Reads
	// Of is that snapshot, which may expire; nil: it does not.
	Of *Snapshot
}

// Validate returns a *txn.ConflictError if something that was read has changed in
// what is visible now. A key that was there and has expired since is gone for others
// already.
func (r *Reader) Validate(c *ReadSet) error {
	if key, expiry := c.Reads.FirstExpiry(); expiry != 0 && expiry <= r.cfg.Timeline.Now() {
		return &txn.ConflictError{Key: bytes.Clone(key)}
	}
	if base.SeqNum(r.visible.Load()) == c.Since {
		return nil
	}
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return base.ErrClosed
	}
	w := r.writesSince(c.Since)
	for _, key := range c.Reads.Points() {
		changed, err := w.changed(key)
		if err != nil {
			return err
		}
		if changed {
			return &txn.ConflictError{Key: bytes.Clone(key)}
		}
	}
	for _, s := range c.Reads.Spans() {
		changed, err := w.changedWithin(s)
		if err != nil {
			return err
		}
		if changed {
			return &txn.ConflictError{Key: bytes.Clone(s.Lo), End: bytes.Clone(s.Hi)}
		}
	}
	if c.Of != nil {
		return c.Of.Usable() // after all was looked at: what one that expires saw is dropped later
	}
	return nil
}

// Against reports a write of a batch, which is not applied yet, to something that
// was read.
func (c *ReadSet) Against(b *batch.Batch) error {
	r := batch.NewReader(b.Bytes())
	for {
		ok, err := r.Next()
		if err != nil || !ok {
			return err
		}
		if r.Kind == base.KindRangeDelete {
			if s, ok := c.Reads.Overlap(r.Key, r.Value); ok {
				return &txn.ConflictError{Key: bytes.Clone(s.Lo), End: bytes.Clone(s.Hi)}
			}
		} else if c.Reads.Covers(r.Key) {
			return &txn.ConflictError{Key: bytes.Clone(r.Key)}
		}
	}
}

// writesSince is what was written after a sequence number. Its user is in an epoch
// guard.
type writesSince struct {
	since base.SeqNum
	// newest is what is visible: the range deletes of the group of commits at hand, if
	// this is not its leader, are still being put in place.
	newest base.SeqNum
	// memories have something newer, the newest first; tree is nil if it has
	// nothing newer.
	memories []*Flushable
	tree     *store.Tree
}

func (r *Reader) writesSince(since base.SeqNum) writesSince {
	s, newest := r.now()
	w := writesSince{since: since, newest: newest, memories: make([]*Flushable, 1, 8)}
	w.memories[0] = s.Mem
	for _, m := range s.Immutables {
		if m.LastSeq <= since {
			return w // and so is everything below
		}
		w.memories = append(w.memories, m)
	}
	if r.FlushedSeq() > since {
		w.tree = s.Tree
	}
	return w
}

// changed says whether the newest write to a key, or a range delete over it, is
// among them.
func (w *writesSince) changed(key []byte) (bool, error) {
	for _, m := range w.memories {
		if m.Covering(key, w.newest) > w.since {
			return true, nil
		}
		if tr, _, ok := m.Get(key, base.SeqNumMax); ok {
			return tr.Seq() > w.since, nil
		}
	}
	if w.tree == nil {
		return false, nil
	}
	l := store.Lookup{Key: key, Hash: base.Hash(key), Seq: base.SeqNumMax}
	tr, _, found, err := w.tree.Get(&l, base.SeqNumMax)
	return err == nil && (l.Covering > w.since || found && tr.Seq() > w.since), err
}

// changedWithin says whether anything in an interval is among them.
func (w *writesSince) changedWithin(s txn.Span) (bool, error) {
	for _, m := range w.memories {
		if deleted, err := w.deletedWithin(m, s); deleted || err != nil {
			return deleted, err
		}
		if changed, err := w.newerRecord(m.NewIter(), s); changed || err != nil {
			return changed, err
		}
	}
	if w.tree == nil {
		return false, nil
	}
	deletes := w.tree.AppendDeletes(nil, s.Lo, s.Hi)
	for i := range deletes {
		if deleted, err := w.deletedWithin(&deletes[i], s); deleted || err != nil {
			return deleted, err
		}
	}
	for _, tables := range w.tree.Levels {
		for _, tab := range tables {
			if tab.Meta.LargestSeq <= w.since || !tab.Overlaps(s.Lo, s.Hi) {
				continue
			}
			r, err := tab.Reader()
			if err != nil {
				return false, err
			}
			if changed, err := w.newerRecord(r.NewIter(sstable.IterOptions{}), s); changed || err != nil {
				return changed, err
			}
		}
	}
	return false, nil
}

// newerRecord says whether a source has a record of them in the
// interval. It closes the source.
func (w *writesSince) newerRecord(it base.Iterator, s txn.Span) (changed bool, err error) {
	for rec := it.SeekGE(s.Lo); rec != nil && bytes.Compare(rec.Key, s.Hi) < 0; rec = it.Next() {
		if rec.Trailer.Seq() > w.since {
			changed = true
			break
		}
	}
	err = it.Err()
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	return changed, err
}

// deletedWithin says whether a range delete of them reaches into the
// interval.
func (w *writesSince) deletedWithin(source rangedel.Source, s txn.Span) (bool, error) {
	var from []byte // a copy: the bounds of a piece are the source's
	for at := s.Lo; ; at = from {
		p, err := source.Around(at, w.newest)
		if err != nil || p.Seq > w.since {
			return err == nil, err
		}
		if p.Hi == nil || bytes.Compare(p.Hi, s.Hi) >= 0 {
			return false, nil
		}
		from = append(from[:0], p.Hi...)
	}
}
