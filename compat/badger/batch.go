package badger

import "github.com/lightningdb/lightning"

// WriteBatch writes many entries, in as many commits as it takes, without reading anything, so that
// it meets no conflict. Later entries win over earlier ones.
type WriteBatch struct {
	db *DB

	turn  chan struct{} // has who is in, also while it commits: others wait for that in any case
	batch *lightning.Batch
	err   error
	ended bool
}

// batchBytes is the size at which a part is committed.
const batchBytes = 4 << 20

// NewWriteBatch returns an empty batch.
func (db *DB) NewWriteBatch() *WriteBatch {
	wb := &WriteBatch{db: db, err: db.writable(), turn: make(chan struct{}, 1)}
	if wb.err == nil {
		wb.batch = db.space.NewBatch()
	}
	return wb
}

// Set writes a key.
func (wb *WriteBatch) Set(key, value []byte) error { return wb.SetEntry(NewEntry(key, value)) }

// SetEntry writes an entry, which is copied.
func (wb *WriteBatch) SetEntry(e *Entry) error {
	return wb.add(e.Key, func() error {
		ttl, forever, expired := e.ttl()
		switch {
		case expired:
			return wb.batch.Delete(e.Key)
		case forever:
			return wb.batch.Put(e.Key, e.row())
		}
		return wb.batch.PutWithTTL(e.Key, e.row(), ttl)
	})
}

// Delete removes a key.
func (wb *WriteBatch) Delete(key []byte) error {
	return wb.add(key, func() error { return wb.batch.Delete(key) })
}

// add adds a write. After an error nothing more is written.
func (wb *WriteBatch) add(key []byte, write func() error) error {
	wb.turn <- struct{}{}
	defer func() { <-wb.turn }()
	switch {
	case len(key) == 0:
		return ErrEmptyKey
	case wb.err != nil:
		return wb.err
	case wb.ended:
		return ErrInvalidRequest
	}
	if wb.err = write(); wb.err == nil && wb.batch.SizeBytes() >= batchBytes {
		wb.commit()
	}
	return wb.err
}

// commit commits what there is. Its caller has the turn.
func (wb *WriteBatch) commit() {
	if wb.batch.Len() > 0 {
		wb.err = wb.batch.Commit()
		wb.batch.Reset()
	}
}

// Flush commits what is left, and ends the batch. It returns the first error of all of it.
func (wb *WriteBatch) Flush() error {
	wb.turn <- struct{}{}
	defer func() { <-wb.turn }()
	if wb.err == nil && !wb.ended {
		wb.commit()
	}
	wb.ended = true
	return wb.err
}

// Cancel drops what was not committed yet, and ends the batch. It can be deferred.
func (wb *WriteBatch) Cancel() {
	wb.turn <- struct{}{}
	defer func() { <-wb.turn }()
	wb.ended = true
}

// Error returns the first error.
func (wb *WriteBatch) Error() error {
	wb.turn <- struct{}{}
	defer func() { <-wb.turn }()
	return wb.err
}
