package iterate

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/merge"
)

// merger folds the operands of one key. Its memory is kept from row to row.
type merger struct {
	operators merge.Operators
	operands  [][]byte // newest first
	memory    []byte   // holds them
	base      []byte
}

// add keeps a copy of an operand that is older than those before.
func (m *merger) add(operand []byte) {
	at := len(m.memory)
	m.memory = append(m.memory, operand...) // earlier ones stay where they were
	m.operands = append(m.operands, m.memory[at:len(m.memory):len(m.memory)])
}

func (m *merger) reset() {
	if cap(m.memory) > heldValueBytes {
		m.memory = nil // a pooled merger does not keep much
	}
	clear(m.operands)
	m.operands, m.memory, m.base = m.operands[:0], m.memory[:0], m.base[:0]
}

// mergeFrom makes a row of the newest visible version of a key, a merge operand
// at which the source stands, and the older versions, down to the value or the
// delete that the operands were applied to. The row is held, and the source
// goes on past what it read.
func (v *UserIter) mergeFrom(rec *base.Record) bool {
	v.hold(rec)
	v.merger.reset()
	exists := false
	for rec != nil {
		operand, err := base.Decode(rec.Trailer, rec.Value)
		if err != nil {
			v.err = err
			break
		}
		v.merger.add(operand.Value)
		rec = v.olderThan(operand.Oldest)
		if rec == nil || !v.mask.empty() && v.mask.covering(rec.Key) > rec.Trailer.Seq() {
			break
		}
		if rec.Trailer.Kind() == base.KindMerge {
			continue
		}
		if exists = v.inspect(rec); exists {
			if v.late && !v.load(rec) {
				break
			}
			under, err := base.Decode(rec.Trailer, rec.Value)
			if err != nil {
				v.err = err // it is not here, because keys alone were asked for
				break
			}
			v.merger.base = append(v.merger.base, under.Value...)
		}
		break
	}
	if rec != nil {
		v.ahead = rec
	}
	if v.err == nil {
		v.err = v.sourceErr()
	}
	if v.err != nil {
		return v.stop(failed)
	}
	return v.fold(exists)
}

// olderThan lands on the next version of the held key that is older than seq. If
// there is none it returns nil, and ahead is where the source stands then.
func (v *UserIter) olderThan(seq base.SeqNum) *base.Record {
	rec := v.source.Next()
	for rec != nil && bytes.Equal(rec.Key, v.held.Key) {
		if rec.Trailer.Seq() < seq {
			return rec
		}
		rec = v.source.Next()
	}
	v.ahead = rec
	return nil
}

// fold makes the held key a row with what the operands make of the base. The
// source stands at ahead.
func (v *UserIter) fold(exists bool) bool {
	m := &v.merger
	var value []byte
	if exists {
		value = m.base
		if value == nil {
			value = []byte{} // empty, but there
		}
	}
	op := merge.For(m.operators, v.held.Key)
	v.held.Value, v.err = op.Fold(v.held.Value[:0], v.held.Key, value, m.operands)
	if v.err != nil {
		return v.stop(failed)
	}
	v.rec, v.position = &v.held, afterRow
	return true
}
