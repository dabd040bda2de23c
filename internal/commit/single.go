package commit

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
)

// This file has the writes of one key or range, which need no batch object. Keys
// are prefix+key; the keyspace is nil for the default one.

// Set writes one key of a keyspace.
func (p *Pipeline) Set(k *keyspace.Info, prefix, key, value []byte, d Durability) error {
	r := p.singleOf(k, prefix, key, value)
	return p.commitSingle(r, d, r.own.Set(prefix, key, value))
}

// SetExpiring writes one key of a keyspace that counts as absent from expiry on.
func (p *Pipeline) SetExpiring(k *keyspace.Info, prefix, key, value []byte, expiry base.Instant, d Durability) error {
	r := p.singleOf(k, prefix, key, value)
	return p.commitSingle(r, d, r.own.SetExpiring(prefix, key, value, expiry))
}

// Merge applies an operand to one key of a keyspace.
func (p *Pipeline) Merge(k *keyspace.Info, prefix, key, operand []byte, d Durability) error {
	r := p.singleOf(k, prefix, key, operand)
	return p.commitSingle(r, d, r.own.Merge(prefix, key, operand))
}

// Delete removes one key of a keyspace.
func (p *Pipeline) Delete(k *keyspace.Info, prefix, key []byte, d Durability) error {
	r := p.single(k)
	return p.commitSingle(r, d, r.own.Delete(prefix, key))
}

// DeleteRange removes the internal keys in [lo, hi), all of one keyspace.
func (p *Pipeline) DeleteRange(k *keyspace.Info, lo, hi []byte, d Durability) error {
	r := p.single(k)
	return p.commitSingle(r, d, r.own.DeleteRange(lo, hi))
}

// single returns a request for one write, whose own batch is to be filled.
func (p *Pipeline) single(k *keyspace.Info) *Request {
	r := p.newRequest()
	r.own.Reset()
	r.own.Touch(k)
	return r
}

// singleOf is single for the write of a value.
func (p *Pipeline) singleOf(k *keyspace.Info, prefix, key, value []byte) *Request {
	r := p.single(k)
	if len(value) >= arenaFromBytes && p.env.Memory != nil {
		r.own.UseArena(p.env.Memory, len(prefix)+len(key), len(value))
	}
	return r
}

// commitSingle commits what single returned, unless filling it has failed.
func (p *Pipeline) commitSingle(r *Request, d Durability, err error) error {
	if err == nil {
		r.Batch, r.Durability = &r.own, d
		err = p.Measures.submit(p, r)
	}
	r.Batch, r.Decision, r.keyspace, r.ctx = nil, nil, nil, nil
	r.own.ShrinkTo(ownBatchMaxBytes)
	p.pool.Put(r)
	return err
}
