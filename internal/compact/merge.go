package compact

import (
	"bytes"
	"context"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/merge"
)

// mergeRun is the operands of one key in one stripe, and what they were applied
// to. Between two snapshots nobody can tell them apart, so they become one
// record: the value if what is under them is known, or else one operand where
// the operator can join them. What an operator fails on is kept as it is: the
// error is for who reads it.
//
// Operands that the memtable has joined stand for older ones, which are of the
// same stripe and are left out here, so that in tables each stands for itself.
type mergeRun struct {
	trailers []base.Trailer // newest first
	operands [][]byte
	oldest   base.SeqNum // that the operands stand for
	memory   []byte
	known    bool         // nothing under the operands is hidden from this run
	base     *base.Record // a copy; nil: there is none
	out      []byte
}

func (m *mergeRun) reset() {
	clear(m.operands)
	m.trailers, m.operands, m.memory = m.trailers[:0], m.operands[:0], m.memory[:0]
	m.known, m.base = false, nil
}

// add takes an operand, unless a newer one stands for it.
func (m *mergeRun) add(rec *base.Record) error {
	seq := rec.Trailer.Seq()
	if len(m.trailers) > 0 && seq >= m.oldest {
		return nil
	}
	operand, err := base.Decode(rec.Trailer, rec.Value)
	if err != nil {
		return err
	}
	m.trailers, m.oldest = append(m.trailers, rec.Trailer), operand.Oldest
	m.operands = append(m.operands, m.copy(operand.Value))
	return nil
}

func (m *mergeRun) copy(b []byte) []byte {
	at := len(m.memory)
	m.memory = append(m.memory, b...) // earlier ones stay where they were
	return m.memory[at:len(m.memory):len(m.memory)]
}

// merge handles the operand rec, the newest version of its key in its stripe,
// and the others of that stripe. It returns the record to go on with, which is
// nil at the end.
func (r *runner) merge(ctx context.Context, it Source, rec *base.Record, stripe int) (*base.Record, error) {
	m := &r.merging
	m.reset()
	for !m.known {
		if err := m.add(rec); err != nil {
			return nil, err
		}
		rec = it.Next()
		if rec == nil || !bytes.Equal(rec.Key, r.key) || stripeOf(r.cfg.Snapshots, rec.Trailer.Seq()) != stripe {
			break
		}
		if m.known = r.hidden(rec, stripe); m.known {
			break // the rest of the stripe is passed over, being older
		}
		if err := r.count(ctx); err != nil {
			return nil, err
		}
		if m.known = rec.Trailer.Kind() != base.KindMerge; m.known {
			under, err := inline(r.cfg.Blobs, rec)
			if err != nil {
				return nil, err
			}
			m.base = &base.Record{Key: r.key, Trailer: under.Trailer, Value: m.copy(under.Value)}
			rec = it.Next()
		}
	}
	if err := it.Err(); rec == nil && err != nil {
		return nil, err
	}
	m.known = m.known || r.cfg.Bottom && stripe == 0
	return rec, r.writeMerged(stripe)
}

// writeMerged writes what a run of operands comes to.
func (r *runner) writeMerged(stripe int) error {
	m := &r.merging
	op := merge.For(r.cfg.Operators, r.key)
	newest := m.trailers[0]
	switch {
	case m.known && (m.base == nil || m.base.Trailer.Kind() != base.KindSetExpiring):
		var value []byte
		if m.base != nil && m.base.Trailer.Kind() == base.KindSet {
			value = append([]byte{}, m.base.Value...) // not nil, also if empty
		}
		out, err := op.Fold(m.out[:0], r.key, value, m.operands)
		if err == nil {
			m.out = out
			return r.put(r.key, base.MakeTrailer(newest.Seq(), base.KindSet), out, stripe)
		}
	case !m.known && len(m.operands) > 1:
		if out, ok := op.Join(base.AppendReach(m.out[:0], 0, 0), m.operands); ok {
			m.out = out
			return r.put(r.key, newest, out, stripe)
		}
	}
	for i, operand := range m.operands {
		m.out = append(base.AppendReach(m.out[:0], 0, 0), operand...)
		if err := r.put(r.key, m.trailers[i], m.out, stripe); err != nil {
			return err
		}
	}
	if m.base == nil {
		return nil
	}
	return r.put(r.key, m.base.Trailer, m.base.Value, stripe)
}
