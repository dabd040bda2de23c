package store

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Refs reads the values that the records of a table have in blob tables, for one who walks over
// the table with an iterator of its Reader and goes on behind what is damaged. It is used by
// one goroutine.
type Refs struct{ walks blobWalks }

// Refs returns a reader of values of the table.
func (t *Table) Refs() *Refs {
	return &Refs{blobWalks{
		store: t.store, open: t.openBlob, o: sstable.IterOptions{NoFill: true, BulkBytes: blobBulkBytes},
	}}
}

// Value returns the record that one with a reference stands for. Its value is valid until the
// next call. What cannot be read is blamed on the key.
func (r *Refs) Value(rec *base.Record) (base.Record, error) {
	ref, err := base.DecodeBlobRef(rec.Value)
	if err != nil {
		return base.Record{}, blameKey(err, rec.Key)
	}
	value, err := r.walks.load(rec.Key, ref)
	if err != nil {
		if it := r.walks.iters[ref.File]; it != nil { // it does not go on after an error
			_ = it.Close()
			delete(r.walks.iters, ref.File)
		}
		return base.Record{}, blameKey(err, rec.Key)
	}
	return base.Record{Key: rec.Key, Trailer: base.MakeTrailer(rec.Trailer.Seq(), ref.Kind()), Value: value}, nil
}

// Close gives back what it holds.
func (r *Refs) Close() { r.walks.close() }
