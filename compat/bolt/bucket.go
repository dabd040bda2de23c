package bolt

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/lightningdb/lightning"
)

// Bucket is a sorted collection of keys, each with a value or a bucket. It is valid as long as its
// transaction, and until it is deleted.
type Bucket struct {
	tx     *Tx
	number number
	parent number // where its own row is, for the sequence; the root has none
	name   []byte // there
}

// Tx returns the transaction of the bucket.
func (b *Bucket) Tx() *Tx { return b.tx }

// Writable reports whether the bucket may be written to.
func (b *Bucket) Writable() bool { return b.tx.writable }

// Cursor returns a cursor over the bucket. It is valid as long as the transaction.
func (b *Bucket) Cursor() *Cursor { return &Cursor{bucket: b} }

// entry returns what is under a key, false if nothing is.
func (b *Bucket) entry(key []byte) (entry, bool, error) {
	row, err := b.tx.get(rowKey(b.number, key))
	if row == nil || err != nil {
		return entry{}, false, err
	}
	e, err := decodeEntry(row)
	return e, err == nil, err
}

// usable says why the bucket cannot be written to.
func (b *Bucket) usable() error {
	if err := b.tx.usable(true); err != nil {
		return err
	}
	if b.tx.gone[b.number] {
		return ErrBucketNotFound
	}
	return nil
}

// look is entry for verbs that have no error to return.
func (b *Bucket) look(key []byte) (entry, bool) {
	if b.tx.ended || len(key) > MaxKeySize {
		return entry{}, false
	}
	e, found, err := b.entry(key)
	b.tx.note(err)
	return e, found
}

// Get returns the value of a key, in a slice of the caller's own; nil if there is none, or a
// bucket.
func (b *Bucket) Get(key []byte) []byte {
	e, _ := b.look(key)
	return e.value
}

// Put sets the value of a key.
func (b *Bucket) Put(key, value []byte) error {
	if err := b.usable(); err != nil {
		return err
	}
	switch {
	case len(key) == 0:
		return ErrKeyRequired
	case len(key) > MaxKeySize:
		return ErrKeyTooLarge
	case int64(len(value)) > MaxValueSize:
		return ErrValueTooLarge
	case b.number == rootNumber:
		return ErrIncompatibleValue // the root has buckets alone
	}
	e, found, err := b.entry(key)
	if err != nil {
		return err
	}
	if found && e.isBucket() {
		return ErrIncompatibleValue
	}
	return b.tx.put(rowKey(b.number, key), encodeValue(value))
}

// Delete removes a key with its value. A key that is not there is no error.
func (b *Bucket) Delete(key []byte) error {
	if err := b.usable(); err != nil {
		return err
	}
	if len(key) > MaxKeySize {
		return nil // there is none
	}
	e, found, err := b.entry(key)
	switch {
	case err != nil || !found:
		return err
	case e.isBucket():
		return ErrIncompatibleValue
	}
	return b.tx.remove(rowKey(b.number, key))
}

// Bucket returns a bucket in the bucket, nil if there is none.
func (b *Bucket) Bucket(name []byte) *Bucket {
	e, found := b.look(name)
	if !found || !e.isBucket() {
		return nil
	}
	return b.child(name, e.child)
}

func (b *Bucket) child(name []byte, n number) *Bucket {
	return &Bucket{tx: b.tx, number: n, parent: b.number, name: bytes.Clone(name)}
}

// CreateBucket makes a bucket in the bucket.
func (b *Bucket) CreateBucket(name []byte) (*Bucket, error) {
	e, found, err := b.writableEntry(name)
	switch {
	case err != nil:
		return nil, err
	case found && e.isBucket():
		return nil, ErrBucketExists
	case found:
		return nil, ErrIncompatibleValue
	}
	n, err := b.tx.nextNumber()
	if err != nil {
		return nil, err
	}
	if err := b.link(name, n, 0); err != nil {
		return nil, err
	}
	return b.child(name, n), nil
}

// CreateBucketIfNotExists returns a bucket in the bucket, making it if there is none.
func (b *Bucket) CreateBucketIfNotExists(name []byte) (*Bucket, error) {
	e, found, err := b.writableEntry(name)
	switch {
	case err != nil:
		return nil, err
	case found && e.isBucket():
		return b.child(name, e.child), nil
	}
	return b.CreateBucket(name)
}

// writableEntry returns what is under the name of a bucket that is to be written.
func (b *Bucket) writableEntry(name []byte) (entry, bool, error) {
	if err := b.usable(); err != nil {
		return entry{}, false, err
	}
	switch {
	case len(name) == 0:
		return entry{}, false, ErrBucketNameRequired
	case len(name) > MaxKeySize:
		return entry{}, false, ErrKeyTooLarge
	}
	return b.entry(name)
}

// link and unlink make a bucket part of the bucket, and take it out.
func (b *Bucket) link(name []byte, child number, sequence uint64) error {
	if err := b.tx.put(childKey(b.number, name), encodeNumber(child)); err != nil {
		return err
	}
	return b.tx.put(rowKey(b.number, name), encodeBucket(child, sequence))
}

func (b *Bucket) unlink(name []byte) error {
	if err := b.tx.remove(childKey(b.number, name)); err != nil {
		return err
	}
	return b.tx.remove(rowKey(b.number, name))
}

// DeleteBucket removes a bucket of the bucket with all in it.
func (b *Bucket) DeleteBucket(name []byte) error {
	e, err := b.existing(name)
	if err != nil {
		return err
	}
	if err := b.unlink(name); err != nil {
		return err
	}
	return b.tx.removeAll(e.child)
}

// existing returns the bucket under a name that is to be written.
func (b *Bucket) existing(name []byte) (entry, error) {
	if err := b.usable(); err != nil {
		return entry{}, err
	}
	if len(name) > MaxKeySize {
		return entry{}, ErrBucketNotFound
	}
	e, found, err := b.entry(name)
	switch {
	case err != nil:
		return e, err
	case !found:
		return e, ErrBucketNotFound
	case !e.isBucket():
		return e, ErrIncompatibleValue
	}
	return e, nil
}

// family returns a bucket and those within, in time that grows with their number.
func (tx *Tx) family(bucket number) (within []number, err error) {
	within = []number{bucket}
	for i := 0; i < len(within); i++ {
		err := tx.rows.Scan(lightning.ScanOptions{IterOptions: lightning.IterOptions{Prefix: childKey(within[i], nil)}},
			func(rows iter.Seq2[[]byte, []byte]) error {
				for _, row := range rows {
					n, err := decodeNumber(row)
					if err != nil {
						return err
					}
					within = append(within, n)
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return within, nil
}

// removeAll removes the rows of a bucket and of those within.
func (tx *Tx) removeAll(bucket number) error {
	within, err := tx.family(bucket)
	if err != nil {
		return err
	}
	for _, n := range within {
		if tx.gone == nil {
			tx.gone = map[number]bool{}
		}
		tx.gone[n] = true
		tx.writes++
		for _, key := range [][]byte{rowKey(n, nil), childKey(n, nil)} {
			if err := tx.rows.DeleteRange(key, keyOf(key[0], n+1, nil)); err != nil {
				return err
			}
		}
	}
	return nil
}

// MoveBucket moves a bucket of the bucket into another one of the same transaction, which must not be
// within it.
func (b *Bucket) MoveBucket(name []byte, dst *Bucket) error {
	e, err := b.existing(name)
	switch {
	case err != nil:
		return err
	case b.tx.db != dst.tx.db || b.tx != dst.tx:
		return ErrDifferentDB
	case b.number == dst.number:
		return ErrSameBuckets
	}
	_, found, err := dst.writableEntry(name)
	switch {
	case err != nil:
		return err
	case found:
		if taken, _, _ := dst.entry(name); taken.isBucket() {
			return ErrBucketExists
		}
		return ErrIncompatibleValue
	}
	within, err := b.tx.family(e.child)
	if err != nil {
		return err
	}
	if slices.Contains(within, dst.number) {
		return fmt.Errorf("move %q into itself: %w", name, ErrSameBuckets)
	}
	if err := b.unlink(name); err != nil {
		return err
	}
	return dst.link(name, e.child, e.sequence)
}

// Sequence returns the number that NextSequence has returned last.
func (b *Bucket) Sequence() uint64 {
	if b.number == rootNumber {
		return 0
	}
	e, _ := b.own()
	return e.sequence
}

// own returns the bucket's own row, false if it was deleted or moved: the sequence belongs to who
// has it by its new name then.
func (b *Bucket) own() (entry, bool) {
	e, found := (&Bucket{tx: b.tx, number: b.parent}).look(b.name)
	if !found || e.child != b.number {
		return entry{}, false
	}
	return e, true
}

// SetSequence sets the number.
func (b *Bucket) SetSequence(v uint64) error {
	if err := b.tx.usable(true); err != nil {
		return err
	}
	if b.number == rootNumber {
		return ErrIncompatibleValue // it has no row
	}
	if _, found := b.own(); !found {
		return ErrBucketNotFound
	}
	return b.tx.put(rowKey(b.parent, b.name), encodeBucket(b.number, v))
}

// NextSequence returns the next number, beginning with 1.
func (b *Bucket) NextSequence() (uint64, error) {
	if err := b.tx.usable(true); err != nil {
		return 0, err
	}
	next := b.Sequence() + 1
	return next, b.SetSequence(next)
}

// ForEach calls fn with each key and value, in order, until it returns an error; the value of a
// bucket is nil. What fn writes to the bucket shows behind the key that it was called with.
func (b *Bucket) ForEach(fn func(k, v []byte) error) error {
	if err := b.tx.usable(false); err != nil {
		return err
	}
	c := b.Cursor()
	defer c.close()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return b.tx.failure
}

// ForEachBucket calls fn with the name of each bucket in the bucket, in order, until it returns an
// error.
func (b *Bucket) ForEachBucket(fn func(name []byte) error) error {
	if err := b.tx.usable(false); err != nil {
		return err
	}
	if b.tx.rows == nil {
		return nil
	}
	var names [][]byte // fn may write
	err := b.tx.rows.Scan(lightning.ScanOptions{IterOptions: lightning.IterOptions{Prefix: childKey(b.number, nil), KeysOnly: true}},
		func(rows iter.Seq2[[]byte, []byte]) error {
			for key := range rows {
				names = append(names, bytes.Clone(key[prefixBytes:]))
			}
			return nil
		})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

// BucketStats counts what is in a bucket.
type BucketStats struct {
	KeyN    int // keys in it and in all buckets within, buckets among them
	BucketN int // buckets, itself among them
}

// Stats counts what is in the bucket, by walking over it.
func (b *Bucket) Stats() BucketStats {
	s := BucketStats{BucketN: 1}
	_ = b.ForEach(func(k, v []byte) error { // the transaction remembers why it ended
		s.KeyN++
		if v != nil {
			return nil
		}
		if child := b.Bucket(k); child != nil {
			within := child.Stats()
			s.KeyN += within.KeyN
			s.BucketN += within.BucketN
		}
		return nil
	})
	return s
}

// BucketStructure describes a bucket.
type BucketStructure struct {
	Name     string            `json:"name"`
	KeyN     int               `json:"keyN"` // without buckets
	Children []BucketStructure `json:"buckets,omitempty"`
}

// Inspect describes the bucket and those within, by walking over them. The root is called "root".
func (b *Bucket) Inspect() BucketStructure {
	s := BucketStructure{Name: string(b.name)}
	if b.number == rootNumber {
		s.Name = "root"
	}
	_ = b.ForEach(func(k, v []byte) error { // the transaction remembers why it ended
		if v != nil {
			s.KeyN++
		} else if child := b.Bucket(k); child != nil {
			s.Children = append(s.Children, child.Inspect())
		}
		return nil
	})
	return s
}
