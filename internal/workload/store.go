package workload

import "context"

// The few verbs of a database that workloads need, so that every database does
// the same work. What an adapter owes for durability and memory is for those to
// say who compare databases with it.

// Store is an open database. It may be used by several goroutines.
type Store interface {
	// Session returns a handle for one goroutine. It is closed before the
	// database is.
	Session() (Session, error)
	// Settle writes out what is buffered and compacts everything, where the
	// database has such a thing; otherwise it returns at once.
	Settle(ctx context.Context) error
}

// Record is a key with its value.
type Record struct{ Key, Value []byte }

// Session is one goroutine's handle. Slices that are passed in may be changed
// by the caller afterwards; slices passed to a function are valid until it
// returns.
type Session interface {
	// Put stores one record in a commit of its own.
	Put(key, value []byte) error
	// PutBatch stores records in one commit.
	PutBatch(records []Record) error
	// Delete removes one key in a commit of its own.
	Delete(key []byte) error
	// DeleteRange removes the keys in [lo, hi): in one step where the database has
	// one, and else as its users do, one by one.
	DeleteRange(lo, hi []byte) error
	// AppendGet appends the newest value of key to dst and says whether it is
	// there.
	AppendGet(dst, key []byte) (value []byte, found bool, err error)
	// Scan passes at most limit records from key lo on, in order, as they are
	// when it is called. An error of fn ends it and is returned. fn does not use
	// the session.
	Scan(lo []byte, limit int, fn func(key, value []byte) error) error
	Close() error
}

// Transactor is a Session whose database has transactions that read and write.
// They are serializable, and begun again by the adapter when they conflict.
type Transactor interface {
	// Update runs fn in a transaction that writes; fn may run several times.
	Update(fn func(Tx) error) error
	// View runs fn in a transaction that only reads.
	View(fn func(Tx) error) error
}

// Tx is a transaction, for the time of the function it is passed to.
type Tx interface {
	AppendGet(dst, key []byte) (value []byte, found bool, err error)
	// Put copies what it is given.
	Put(key, value []byte) error
	// Scan is Session.Scan in the transaction.
	Scan(lo []byte, limit int, fn func(key, value []byte) error) error
}
