package bolt

import (
	"bytes"

	"github.com/lightningdb/lightning"
)

// Cursor walks over what a bucket has, in both directions, in bytewise order. The value of a bucket
// is nil. A key of nil says that there is nothing more: the cursor stays on the last row, or the
// first, as with bbolt.
//
// It has an iterator, which shows what there was when it was made; once the transaction has written
// something, the next move makes a new one and seeks the row on which the cursor stands.
type Cursor struct {
	bucket *Bucket
	it     *lightning.Iterator // nil: none yet
	writes uint64              // of the transaction when it was made
	key    []byte              // of the row; nil: it stands on none
	behind bool                // Seek has found nothing: it stands behind the last row
	// deleted says that the iterator still shows rows that the cursor has deleted, none of them
	// ahead.
	deleted bool
	listed  bool // among the cursors of the transaction
}

// Bucket returns the bucket of the cursor.
func (c *Cursor) Bucket() *Bucket { return c.bucket }

// First moves to the first row.
func (c *Cursor) First() (key, value []byte) {
	return c.land(c.ready() && c.it.First())
}

// Last moves to the last row.
func (c *Cursor) Last() (key, value []byte) {
	return c.land(c.ready() && c.it.Last())
}

// Seek moves to the first row whose key is at least seek.
func (c *Cursor) Seek(seek []byte) (key, value []byte) {
	key, value = c.land(c.ready() && c.it.SeekGE(rowKey(c.bucket.number, seek)))
	if key == nil {
		c.key, c.behind = nil, true
	}
	return key, value
}

// Next moves to the next row.
func (c *Cursor) Next() (key, value []byte) {
	if c.key == nil || c.bucket.tx.ended {
		return nil, nil
	}
	if c.current() && bytes.Equal(c.it.Key(), rowKey(c.bucket.number, c.key)) {
		return c.land(c.it.Next())
	}
	at := rowKey(c.bucket.number, c.key)
	if !c.ready() || !c.it.SeekGE(at) {
		return c.land(false)
	}
	if bytes.Equal(c.it.Key(), at) {
		return c.land(c.it.Next())
	}
	return c.land(true)
}

// Prev moves to the previous row.
func (c *Cursor) Prev() (key, value []byte) {
	switch {
	case c.bucket.tx.ended:
		return nil, nil
	case c.behind:
		return c.Last()
	case c.key == nil:
		return nil, nil
	}
	at := rowKey(c.bucket.number, c.key)
	if c.current() && !c.deleted && bytes.Equal(c.it.Key(), at) {
		return c.land(c.it.Prev())
	}
	return c.land(c.ready() && c.it.SeekLT(at))
}

// Delete removes the row on which the cursor stands.
func (c *Cursor) Delete() error {
	tx := c.bucket.tx
	if err := tx.usable(true); err != nil {
		return err
	}
	if c.key == nil {
		return nil
	}
	current := c.current()
	if err := c.bucket.Delete(c.key); err != nil {
		return err
	}
	if current {
		c.writes, c.deleted = tx.writes, true // what the iterator shows ahead is still so
	}
	return nil
}

// current reports whether the iterator shows what there is now.
func (c *Cursor) current() bool { return c.it != nil && c.writes == c.bucket.tx.writes }

// ready has the iterator show what there is now, and reports whether it does.
func (c *Cursor) ready() bool {
	tx := c.bucket.tx
	if tx.ended || tx.rows == nil {
		return false
	}
	if c.current() && !c.deleted && c.it.Err() == nil {
		return true
	}
	c.close()
	it, err := tx.rows.Iterator(lightning.IterOptions{Prefix: rowKey(c.bucket.number, nil)})
	if err != nil {
		tx.note(err)
		return false
	}
	c.it, c.writes, c.deleted = it, tx.writes, false
	if !c.listed {
		c.listed = true
		tx.cursors = append(tx.cursors, c)
	}
	return true
}

// land returns the row on which a move has landed. Where there was none, the cursor stays where it
// was.
func (c *Cursor) land(landed bool) (key, value []byte) {
	c.behind = false
	if !landed {
		if c.it != nil {
			c.bucket.tx.note(c.it.Err())
		}
		return nil, nil
	}
	e, err := decodeEntry(c.it.Value())
	if err != nil {
		c.bucket.tx.note(err)
		return nil, nil
	}
	c.key = bytes.Clone(c.it.Key()[prefixBytes:])
	if e.isBucket() {
		return bytes.Clone(c.key), nil
	}
	return bytes.Clone(c.key), append([]byte{}, e.value...)
}

// close gives the iterator up.
func (c *Cursor) close() {
	if c.it != nil {
		c.bucket.tx.note(c.it.Close())
		c.it = nil
	}
}
