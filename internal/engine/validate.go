package engine

import (
	"bytes"
	"errors"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
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

// Check is what must still hold for a batch to be committed: nothing in Reads,
// which are frozen, was changed after Since. The snapshot of that sequence
// number is open.
type Check struct {
	Since base.SeqNum
	Reads *txn.Reads
}

// CommitChecked is Commit for a batch that is written only if the check holds;
// otherwise it returns a *txn.ConflictError, and nothing is written.
func (db *DB) CommitChecked(b *Batch, d Durability, c *Check) error {
	if b.Len() == 0 {
		return db.writable()
	}
	r := db.pipeline.newRequest()
	r.batch, r.durability, r.check = b, d, c
	err := db.submit(r)
	r.batch, r.check = nil, nil
	db.pipeline.pool.Put(r)
	db.counters.transaction(err)
	return err
}

// transaction counts a transaction that came to its commit.
func (c *counters) transaction(err error) {
	switch {
	case err == nil:
		c.txCommits.Add(1)
	case errors.Is(err, txn.ErrConflict):
		c.txConflicts.Add(1)
	}
}

// validate says whether a request of the group may be committed behind those
// ahead of it. Only the leader calls it.
func (db *DB) validate(r *request, ahead []*request) error {
	c := r.check
	if c == nil {
		return nil
	}
	for _, other := range ahead {
		if err := c.against(other.batch); err != nil {
			return err
		}
	}
	return db.Holds(c)
}

// Holds returns a *txn.ConflictError if a check does not hold for what is
// visible now. A key that was there and has expired since is gone for others
// already.
func (db *DB) Holds(c *Check) error {
	if key, expiry := c.Reads.FirstExpiry(); expiry != 0 && expiry <= db.timeline.now() {
		return &txn.ConflictError{Key: key}
	}
	if base.SeqNum(db.visible.Load()) == c.Since {
		return nil
	}
	g := db.epochs.Enter()
	defer g.Exit()
	if db.closed.Load() {
		return base.ErrClosed
	}
	h := db.historySince(c.Since)
	for _, key := range c.Reads.Points() {
		changed, err := h.changed(key)
		if err != nil {
			return err
		}
		if changed {
			return &txn.ConflictError{Key: key}
		}
	}
	for _, s := range c.Reads.Spans() {
		changed, err := h.changedWithin(s)
		if err != nil {
			return err
		}
		if changed {
			return &txn.ConflictError{Key: s.Lo, End: s.Hi}
		}
	}
	return nil
}

// against reports a write of a batch to something that was read.
func (c *Check) against(b *Batch) error {
	r := batchReader{rest: b.buf}
	for {
		ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if r.kind == base.KindRangeDelete {
			if s, ok := c.Reads.Overlap(r.key, r.value); ok {
				return &txn.ConflictError{Key: s.Lo, End: s.Hi}
			}
		} else if c.Reads.Covers(r.key) {
			return &txn.ConflictError{Key: bytes.Clone(r.key)}
		}
	}
}

// history is what was written after a sequence number. Its user is in an epoch
// guard.
type history struct {
	db    *DB
	since base.SeqNum
	// memories have something newer, the newest first; tree is nil if it has
	// nothing newer.
	memories []*memory
	tree     *tree
}

func (db *DB) historySince(since base.SeqNum) history {
	rs, _ := db.view()
	h := history{db: db, since: since, memories: make([]*memory, 1, 8)}
	h.memories[0] = rs.mem
	for _, m := range rs.imms {
		if m.lastSeq <= since {
			return h // and so is everything below
		}
		h.memories = append(h.memories, m)
	}
	if base.SeqNum(db.flushedSeq.Load()) > since {
		h.tree = rs.tree
	}
	return h
}

// changed says whether the newest write to a key, or a range delete over it, is
// in the history.
func (h *history) changed(key []byte) (bool, error) {
	for _, m := range h.memories {
		if coveringSeq(m.rangeDeletes(), key, base.SeqNumMax) > h.since {
			return true, nil
		}
		if tr, _, ok := m.get(key, base.SeqNumMax); ok {
			return tr.Seq() > h.since, nil
		}
	}
	if h.tree == nil {
		return false, nil
	}
	deletes, err := h.db.rangeDeletesOf(h.tree)
	if err != nil || coveringSeq(deletes, key, base.SeqNumMax) > h.since {
		return err == nil, err
	}
	tr, _, found, err := h.db.getFromTree(h.tree, key, base.Hash(key), base.SeqNumMax)
	return found && tr.Seq() > h.since, err
}

// changedWithin says whether anything in an interval is in the history.
func (h *history) changedWithin(s txn.Span) (bool, error) {
	for _, m := range h.memories {
		if h.deletedWithin(m.rangeDeletes(), s) {
			return true, nil
		}
		if changed, err := h.newerRecord(m.newIter(), s); changed || err != nil {
			return changed, err
		}
	}
	if h.tree == nil {
		return false, nil
	}
	deletes, err := h.db.rangeDeletesOf(h.tree)
	if err != nil || h.deletedWithin(deletes, s) {
		return err == nil, err
	}
	for _, tables := range h.tree.levels {
		for _, tab := range tables {
			if tab.meta.LargestSeq <= h.since || !overlaps(tab.meta, s.Lo, s.Hi) {
				continue
			}
			r, err := h.db.openTable(tab)
			if err != nil {
				return false, err
			}
			if changed, err := h.newerRecord(r.NewIter(sstable.IterOptions{}), s); changed || err != nil {
				return changed, err
			}
		}
	}
	return false, nil
}

// newerRecord says whether a source has a record of the history in the
// interval. It closes the source.
func (h *history) newerRecord(it base.Iterator, s txn.Span) (changed bool, err error) {
	for rec := it.SeekGE(s.Lo); rec != nil && bytes.Compare(rec.Key, s.Hi) < 0; rec = it.Next() {
		if rec.Trailer.Seq() > h.since {
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

// deletedWithin says whether a range delete of the history reaches into the
// interval.
func (h *history) deletedWithin(l *rangedel.List, s txn.Span) bool {
	fragments := l.Fragments()
	i := sort.Search(len(fragments), func(i int) bool { return bytes.Compare(fragments[i].Hi, s.Lo) > 0 })
	for ; i < len(fragments) && bytes.Compare(fragments[i].Lo, s.Hi) < 0; i++ {
		if fragments[i].Seqs[0] > h.since {
			return true
		}
	}
	return false
}
