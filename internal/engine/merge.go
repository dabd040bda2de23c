package engine

import (
	"errors"
	"fmt"
	"maps"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/merge"
)

// ErrUnknownOperator is matched by every *UnknownOperatorError.
var ErrUnknownOperator = errors.New("merge operator is not registered")

// UnknownOperatorError says that a keyspace needs a merge operator that the
// options do not have: its data cannot be read without.
type UnknownOperatorError struct{ Operator, Keyspace string }

func (e *UnknownOperatorError) Error() string {
	return fmt.Sprintf("merge operator %q of keyspace %q is not registered", e.Operator, e.Keyspace)
}

// Is makes errors.Is(err, ErrUnknownOperator) true.
func (e *UnknownOperatorError) Is(target error) bool { return target == ErrUnknownOperator }

// findOperators looks up the operators of all keyspaces of a state.
func (db *DB) findOperators(list []manifest.Keyspace) error {
	var missing []error
	for _, k := range list {
		if k.Merge != "" && db.opts.Operators[k.Merge] == nil {
			missing = append(missing, &UnknownOperatorError{Operator: k.Merge, Keyspace: k.Name})
			continue
		}
		db.addOperator(k)
	}
	return errors.Join(missing...)
}

// addOperator makes the operator of a keyspace known to readers. It stays known
// when the keyspace is dropped: its records go later. Calls do not overlap.
func (db *DB) addOperator(k manifest.Keyspace) {
	if k.Merge == "" {
		return
	}
	next := map[uint64]*merge.Operator{}
	if now := db.operators.Load(); now != nil {
		next = maps.Clone(*now)
	}
	next[k.ID] = db.opts.Operators[k.Merge]
	db.operators.Store(&next)
}

// MergeOperator returns the operator of the keyspace that an internal key
// belongs to; nil if it has none.
func (db *DB) MergeOperator(key []byte) *merge.Operator {
	known := db.operators.Load()
	if known == nil {
		return nil
	}
	id, _ := splitPrefix(key)
	return (*known)[id]
}

// Merge applies an operand to one key of a keyspace.
func (db *DB) Merge(k *KeyspaceInfo, prefix, key, operand []byte, d Durability) error {
	r := db.newSingle(k)
	err := r.own.Merge(prefix, key, operand)
	return db.submitSingle(r, d, err)
}

// addOperand puts an operand, in its stored form, into the memtable: where it
// can, as what it makes together with the version that is there, so that a counter
// which is counted up a million times is read as fast as any key. That version
// stays for the snapshots that see it. The new one must not be longer than the
// operand, for which there is room. What the log holds is the operand, so a replay
// comes to the same.
func (db *DB) addOperand(mem *memtable.Table, key, stored []byte, seq base.SeqNum) error {
	kind, value := base.KindMerge, stored
	tr, under, found := mem.Get(key, base.SeqNumMax)
	if found && coveringSeq(mem.RangeDeletes(), key, base.SeqNumMax) <= tr.Seq() {
		if joined, out := db.joinOperand(key, tr, under, stored, seq); joined.Valid() && len(out) <= len(stored) {
			kind, value = joined, out
		}
	}
	return mem.Add(key, base.MakeTrailer(seq, kind), value)
}

// beginJoins keeps new snapshots out until the function that it returns is called.
func (db *DB) beginJoins() (end func()) {
	db.joins.Lock()
	db.mu.Lock()
	db.pipeline.joinFloor = db.fields.snapshots.newest()
	db.mu.Unlock()
	return db.joins.Unlock
}

// joinOperand returns the kind and stored value of what an operand and the
// version under it are together; the kind is not valid if they are to stay apart.
// The value is in memory of the pipeline.
func (db *DB) joinOperand(key []byte, tr base.Trailer, under, stored []byte, seq base.SeqNum) (base.Kind, []byte) {
	op := db.MergeOperator(key)
	out := &db.pipeline.merged
	operand := stored[base.ReachBytes:]
	var err error
	switch tr.Kind() {
	case base.KindSet:
		if *out, err = op.Fold((*out)[:0], key, under, [][]byte{operand}); err == nil {
			return base.KindSet, *out
		}
	case base.KindMerge:
		oldest, older, ok := base.SplitOperand(tr.Seq(), under)
		if !ok || tr.Seq() <= db.pipeline.joinFloor {
			break
		}
		if *out, ok = op.Join(base.AppendReach((*out)[:0], oldest, seq), [][]byte{operand, older}); ok {
			return base.KindMerge, *out
		}
	}
	return 0, nil
}
