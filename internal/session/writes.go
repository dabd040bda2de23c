package session

import (
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/spill"
	"github.com/lightningdb/lightning/internal/txn"
)

// batchRoomMax is for how large a batch there is room at first: some of the writes may be
// overwritten, or rolled back.
const batchRoomMax = 16 << 10

// ownWrites is what a transaction has written: in memory and, when that takes too
// much of it, in files. The zero ownWrites is empty.
//
// Going to files comes before a write, which is not done if it fails: the
// transaction is as it was, and may go on, or try again when there is space on the
// disk.
type ownWrites struct {
	writes txn.Writes
	spill  *spill.Spill // what of writes is in files; nil: nothing
}

// sizeBytes returns about how much memory toFiles would set free.
func (o *ownWrites) sizeBytes() int64 { return int64(o.writes.SizeBytes()) }

// toFiles moves what is in memory to files, which keep what those need who go
// back to some steps.
func (o *ownWrites) toFiles(engine store, steps []txn.Step) error {
	if o.spill == nil {
		o.spill = engine.newSpill()
	}
	return o.writes.Spill(o.spill, steps)
}

// batch returns what is in memory as the engine takes it.
func (o *ownWrites) batch(keyspaces []*Keyspace) (*batch.Batch, error) {
	b := new(batch.Batch)
	b.Grow(min(o.writes.RecordBytes(), batchRoomMax))
	for _, k := range keyspaces {
		b.Touch(k)
	}
	return b, o.writes.Replay(batchSink{b})
}

// drop gives all up, with the files.
func (o *ownWrites) drop() {
	if o.spill != nil {
		o.spill.Drop()
	}
	*o = ownWrites{}
}
