package lightning

import (
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/feed"
)

// Batch is a list of writes that take effect together: after a crash all of
// them are there or none, and no reader sees a part of them. Later writes of a
// batch win over earlier ones. A batch may have up to MaxBatchBytes; it need
// not fit in a memtable. Its own memory is not part of Options.MemoryBudget
// until it is committed.
//
// A Batch is used by one goroutine at a time. After Commit it can be committed
// again, which writes the same once more, or emptied with Reset and reused.
type Batch struct {
	inner *batch.Batch
	space *space
}

func newBatch(s *space) *Batch { return &Batch{inner: new(batch.Batch), space: s} }

// In returns a view of the batch that writes to the keyspace k. All views of a
// batch are the same batch: any of them commits or resets it. Writes through a
// keyspace of another database fail with ErrForeignKeyspace.
func (b *Batch) In(k *Keyspace) *Batch {
	s := b.space.in(k)
	return &Batch{inner: b.inner, space: &s}
}

// BatchOp is one operation of a batch. Its slices are those of the batch: see
// Batch.All.
type BatchOp struct {
	// Kind is ChangePut, ChangeDelete, ChangeDeleteRange or ChangeMerge.
	Kind ChangeKind
	// Keyspace is the name of the keyspace; empty for the default one, and for one
	// that was dropped since.
	Keyspace string
	Key      []byte
	End      []byte    // of a ChangeDeleteRange; nil: up to the end of the keyspace
	Value    []byte    // of a ChangePut, or the operand of a ChangeMerge
	Expires  time.Time // when a ChangePut ends; the zero time: never
}

// All returns the operations of the batch, of all its keyspaces, in the order in
// which they were added. The batch must not be changed meanwhile. The slices of an
// operation belong to the batch: they are valid for one turn of the loop, and must
// not be written to.
func (b *Batch) All() iter.Seq[BatchOp] { return lentOps(b.space.lender, b.all()) }

func (b *Batch) all() iter.Seq[BatchOp] {
	return func(yield func(BatchOp) bool) {
		names := b.space.engine.Registry().Name
		for c := range feed.ChangesOf(b.inner.Bytes(), names) {
			op := BatchOp{
				Kind: ChangeKind(c.Kind), Keyspace: c.Keyspace, Key: c.Key, End: c.End, Value: c.Value,
				Expires: asTime(c.Expiry),
			}
			if !yield(op) {
				return
			}
		}
	}
}

// Put adds a write of value to key. Both are copied. On an error the batch is
// as it was.
func (b *Batch) Put(key, value []byte) error {
	if err := b.space.check(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	expiry, err := b.space.defaultExpiry()
	if err != nil {
		return err
	}
	return b.put(key, value, expiry)
}

// PutWithTTL adds a write of value to key, as DB.PutWithTTL does. The time runs
// from this call.
func (b *Batch) PutWithTTL(key, value []byte, ttl time.Duration) error {
	if err := b.space.check(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	if err := b.space.checkTTL(ttl); err != nil {
		return err
	}
	expiry, err := b.space.expiry(ttl)
	if err != nil {
		return err
	}
	return b.put(key, value, expiry)
}

// put adds a write that expires, unless expiry is 0.
func (b *Batch) put(key, value []byte, expiry base.Instant) (err error) {
	if expiry == 0 {
		err = b.inner.Set(b.space.prefix, key, value)
	} else {
		err = b.inner.SetExpiring(b.space.prefix, key, value, expiry)
	}
	if err == nil {
		b.inner.Touch(b.space.info)
	}
	return err
}

// Merge adds the application of an operand to key, as Keyspace.Merge does.
func (b *Batch) Merge(key, operand []byte) error {
	if err := b.space.checkOperand(key, operand); err != nil {
		return err
	}
	if err := b.inner.Merge(b.space.prefix, key, operand); err != nil {
		return err
	}
	b.inner.Touch(b.space.info)
	return nil
}

// Delete adds a deletion of key.
func (b *Batch) Delete(key []byte) error {
	if err := b.space.check(key); err != nil {
		return err
	}
	b.inner.Touch(b.space.info)
	return b.inner.Delete(b.space.prefix, key)
}

// DeleteRange adds a deletion of the keys in [lo, hi); nil for a bound means
// that there is none. It removes what earlier writes of the batch put there,
// and not what later ones do.
func (b *Batch) DeleteRange(lo, hi []byte) error {
	first, end, empty, err := b.space.span(lo, hi)
	if err != nil || empty {
		return err
	}
	b.inner.Touch(b.space.info)
	return b.inner.DeleteRange(first, end)
}

// Len returns the number of writes in the batch.
func (b *Batch) Len() int { return b.inner.Len() }

// SizeBytes returns how many bytes the batch takes in the log.
func (b *Batch) SizeBytes() int { return b.inner.SizeBytes() }

// Reset empties the batch and keeps its memory for reuse.
func (b *Batch) Reset() { b.inner.Reset() }

// Commit writes the batch with the database's durability.
func (b *Batch) Commit() error { return b.commit(b.space.durability) }

// CommitWith writes the batch with a durability of its own.
func (b *Batch) CommitWith(d Durability) error {
	if d > DurabilityAsync {
		return &OptionError{Field: "Durability", Value: d.String(), Rule: "DurabilitySync, DurabilityBuffered or DurabilityAsync"}
	}
	return b.commit(d.engine())
}

func (b *Batch) commit(d commit.Durability) error {
	if b.space.engine == nil { // that of a database that was never opened
		return ErrClosed
	}
	return b.space.engine.Commit(b.inner, d)
}
