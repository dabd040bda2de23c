package badger

import (
	"bytes"

	"github.com/lightningdb/lightning"
)

// IteratorOptions bound an iterator.
type IteratorOptions struct {
	// PrefetchValues reads values with the keys. Without it an item reads its value when it is asked
	// for it: that is cheaper where most are not. In a transaction that writes all are read.
	PrefetchValues bool
	// Reverse makes Next go down.
	Reverse bool
	// Prefix leaves only keys that begin with it.
	Prefix []byte
}

// DefaultIteratorOptions are those of most loops.
var DefaultIteratorOptions = IteratorOptions{PrefetchValues: true}

// Iterator walks over keys in bytewise order. It shows what the transaction saw, and had written,
// when it was made, and must be closed before the transaction ends.
type Iterator struct {
	txn  *Txn
	opt  IteratorOptions
	it   *lightning.Iterator // nil: there is nothing, or err says why
	item Item
	on   bool // a row
	err  error
}

// NewIterator returns an iterator, which stands nowhere: Rewind and Seek move it.
func (txn *Txn) NewIterator(opt IteratorOptions) *Iterator {
	opt.PrefetchValues = opt.PrefetchValues || txn.update // which may write while it walks
	it := &Iterator{txn: txn, opt: opt}
	if it.err = txn.usable([]byte{0}); it.err == nil && txn.rows != nil {
		it.it, it.err = txn.rows.Iterator(lightning.IterOptions{Prefix: opt.Prefix, KeysOnly: !opt.PrefetchValues})
	}
	return it
}

// Rewind moves to the first key, in reverse to the last one.
func (it *Iterator) Rewind() { it.Seek(nil) }

// Seek moves to the first key that is at least key, in reverse to the last one that is at most key.
// An empty key rewinds.
func (it *Iterator) Seek(key []byte) {
	switch {
	case it.it == nil:
	case len(key) == 0 && it.opt.Reverse:
		it.land(it.it.Last())
	case len(key) == 0:
		it.land(it.it.First())
	case it.opt.Reverse:
		it.land(it.it.SeekLT(append(bytes.Clone(key), 0)))
	default:
		it.land(it.it.SeekGE(key))
	}
}

// Next moves to the next key, in reverse to the previous one.
func (it *Iterator) Next() {
	switch {
	case it.it == nil || !it.on:
	case it.opt.Reverse:
		it.land(it.it.Prev())
	default:
		it.land(it.it.Next())
	}
}

// land takes the row on which a move has landed.
func (it *Iterator) land(landed bool) {
	it.on = landed
	if !landed {
		if err := it.it.Err(); err != nil {
			it.err = err
		}
		return
	}
	it.item = Item{txn: it.txn, key: append(it.item.key[:0], it.it.Key()...)}
	if it.opt.PrefetchValues {
		it.err = it.item.set(bytes.Clone(it.it.Value()), it.it.ExpiresAt())
		it.on = it.err == nil
	}
}

// Valid reports whether the iterator stands on a key. Where it does not, Err tells an end from an
// error.
func (it *Iterator) Valid() bool { return it.on }

// ValidForPrefix reports whether it stands on a key that begins with prefix.
func (it *Iterator) ValidForPrefix(prefix []byte) bool {
	return it.on && bytes.HasPrefix(it.item.key, prefix)
}

// Item returns the item on which the iterator stands, nil if on none. It is valid until the iterator
// moves.
func (it *Iterator) Item() *Item {
	if !it.on {
		return nil
	}
	return &it.item
}

// Err returns what has ended the walk, nil if that was merely the end.
func (it *Iterator) Err() error { return it.err }

// Close gives the iterator up.
func (it *Iterator) Close() {
	if it.it != nil {
		if err := it.it.Close(); it.err == nil {
			it.err = err
		}
		it.it, it.on = nil, false
	}
}
