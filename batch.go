package lightning

import (
	"context"
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/inuse"
)

// Batch is a list of writes that take effect together: after a crash all of
// them are there or none, and no reader sees a part of them. Later writes of a
// batch win over earlier ones. A batch may have up to MaxBatchBytes; it need
// not fit in a memtable. Its own memory is not part of Options.MemoryBudget
// until it is committed.
//
// A Batch is used by one goroutine at a time. A call that comes while another one is
// in one does nothing; what can return an error returns ErrConcurrentUse, and so does
// Commit from then on, until Reset. After Commit it can be committed again, which
// writes the same once more, or emptied with Reset and reused. It comes from
// DB.NewBatch or Keyspace.NewBatch: the zero Batch is empty, and as one of a database
// that was closed.
type Batch struct {
	shared *sharedBatch
	space  *space
}

// sharedBatch is what all views of a batch have in common.
type sharedBatch struct {
	inUse  inuse.Word
	writes batch.Batch
}

func newBatch(s *space) *Batch { return &Batch{shared: new(sharedBatch), space: s} }

// begin begins a change of the writes, which end ends.
func (b *Batch) begin() (*batch.Batch, error) { return &b.shared.writes, b.shared.inUse.Begin() }

// end ends a change that has come to err.
func (b *Batch) end(err error) error {
	if err == nil {
		b.shared.writes.Touch(b.space.info)
	}
	b.shared.inUse.Leave()
	return err
}

// In returns a view of the batch that writes to the keyspace k. All views of a
// batch are the same batch: any of them commits or resets it. Writes through a
// keyspace of another database fail with ErrForeignKeyspace.
func (b *Batch) In(k *Keyspace) *Batch {
	s := b.space.orNone().in(k)
	return &Batch{shared: b.shared, space: &s}
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
func (b *Batch) All() iter.Seq[BatchOp] { return lentOps(b.space.orNone().lender, b.all()) }

func (b *Batch) all() iter.Seq[BatchOp] {
	return func(yield func(BatchOp) bool) {
		if b.Len() == 0 {
			return
		}
		var encoded []byte
		if b.shared.inUse.Enter() {
			encoded = b.shared.writes.Bytes()
			b.shared.inUse.Leave()
		}
		names := b.space.engine.Registry().Name
		for c := range feed.ChangesOf(encoded, names) {
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
	if err := b.space.orNone().check(key); err != nil {
		return err
	}
	if err := b.space.checkValue(key, value); err != nil {
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
	if err := b.space.orNone().check(key); err != nil {
		return err
	}
	if err := b.space.checkTTL(ttl); err != nil {
		return err
	}
	if err := b.space.checkValue(key, value); err != nil {
		return err
	}
	expiry, err := b.space.expiry(ttl)
	if err != nil {
		return err
	}
	return b.put(key, value, expiry)
}

// PutUntil adds a write of value to key that expires at an instant, as ExpiresAt of a
// key, an iterator or a Change tells it; the zero time: never, also in a keyspace
// whose keys do where the write does not say. It is for copies of records: where the
// instant has passed the key is absent from then on.
func (b *Batch) PutUntil(key, value []byte, expiresAt time.Time) error {
	if err := b.space.orNone().check(key); err != nil {
		return err
	}
	expiry, err := b.space.expiryAt(expiresAt)
	if err != nil {
		return err
	}
	if err := b.space.checkValue(key, value); err != nil {
		return err
	}
	return b.put(key, value, expiry)
}

// put adds a write that expires, unless expiry is 0.
func (b *Batch) put(key, value []byte, expiry base.Instant) error {
	writes, err := b.begin()
	if err != nil {
		return err
	}
	if expiry == 0 {
		return b.end(writes.Set(b.space.prefix, key, value))
	}
	return b.end(writes.SetExpiring(b.space.prefix, key, value, expiry))
}

// Merge adds the application of an operand to key, as Keyspace.Merge does.
func (b *Batch) Merge(key, operand []byte) error {
	if err := b.space.orNone().checkOperand(key, operand); err != nil {
		return err
	}
	writes, err := b.begin()
	if err != nil {
		return err
	}
	return b.end(writes.Merge(b.space.prefix, key, operand))
}

// Delete adds a deletion of key.
func (b *Batch) Delete(key []byte) error {
	if err := b.space.orNone().check(key); err != nil {
		return err
	}
	writes, err := b.begin()
	if err != nil {
		return err
	}
	return b.end(writes.Delete(b.space.prefix, key))
}

// DeleteRange adds a deletion of the keys in [lo, hi); nil for a bound means
// that there is none. It removes what earlier writes of the batch put there,
// and not what later ones do.
func (b *Batch) DeleteRange(lo, hi []byte) error {
	first, end, empty, err := b.space.orNone().span(lo, hi)
	if err != nil || empty {
		return err
	}
	writes, err := b.begin()
	if err != nil {
		return err
	}
	return b.end(writes.DeleteRange(first, end))
}

// Len returns the number of writes in the batch.
func (b *Batch) Len() int { return b.count((*batch.Batch).Len) }

// SizeBytes returns how many bytes the batch takes in the log.
func (b *Batch) SizeBytes() int { return b.count((*batch.Batch).SizeBytes) }

// count returns a figure of the batch; 0 while another goroutine is in.
func (b *Batch) count(figure func(writes *batch.Batch) int) int {
	if b.shared == nil || !b.shared.inUse.Enter() {
		return 0
	}
	defer b.shared.inUse.Leave()
	return figure(&b.shared.writes)
}

// Reset empties the batch and keeps its memory for reuse.
func (b *Batch) Reset() {
	if b.shared == nil || !b.shared.inUse.Enter() {
		return // as Commit says
	}
	defer b.shared.inUse.Leave()
	b.shared.writes.Reset()
	b.shared.inUse.Forgive()
}

// Commit writes the batch with the database's durability.
func (b *Batch) Commit() error {
	s := b.space.orNone()
	return b.commit(s.waits(), s.durability)
}

// CommitWith writes the batch with a durability of its own.
func (b *Batch) CommitWith(d Durability) error {
	return b.CommitContext(b.space.orNone().waits(), d)
}

// CommitContext is CommitWith for those who do not want to wait for as long as the
// disk or other commits make them. If ctx ends while the commit stands in line, or waits
// for room in memory that background work has to make, nothing is written, and the error is
// the cause of ctx; from then on the outcome is waited for. Plain writes have
// DB.WithContext, and transactions TxOptions.Context.
func (b *Batch) CommitContext(ctx context.Context, d Durability) error {
	if d > DurabilityAsync {
		return &OptionError{Field: "Durability", Value: d.String(), Rule: "DurabilitySync, DurabilityBuffered or DurabilityAsync"}
	}
	if ctx == nil {
		return errNilContext
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return b.commit(ctx, d.engine())
}

func (b *Batch) commit(ctx context.Context, d commit.Durability) error {
	if b.space.orNone().engine == nil { // that of a database that was never opened
		return ErrClosed
	}
	if err := b.shared.inUse.Begin(); err != nil {
		return err
	}
	defer b.shared.inUse.Leave()
	if err := b.shared.inUse.Err(); err != nil {
		return err
	}
	return b.space.engine.Commit(ctx, &b.shared.writes, d)
}
