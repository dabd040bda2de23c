package bolt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/signal"
)

const (
	// MaxKeySize is the length of the longest key and bucket name, in bytes.
	MaxKeySize = 32768
	// MaxValueSize is that of the longest value.
	MaxValueSize = lightning.MaxValueBytes - 1
	// DefaultMaxBatchSize and DefaultMaxBatchDelay bound what Batch brings together.
	DefaultMaxBatchSize  = 1000
	DefaultMaxBatchDelay = 10 * time.Millisecond
	// DefaultKeyspace is where buckets are if Options say nothing else.
	DefaultKeyspace = "bolt"
)

// Options are the settings of Open and New. Nil and the zero value of each field mean the default.
type Options struct {
	// Timeout is how long Open waits for another process that has the database; 0: for ever.
	Timeout time.Duration
	// ReadOnly opens an existing database for reading alone.
	ReadOnly bool
	// NoSync makes commits return before they are on the disk: a crash of the machine loses the
	// newest, never one from the middle.
	NoSync bool
	// Keyspace is where the buckets are. Default DefaultKeyspace.
	Keyspace string
	// Lightning are further options of the database, for Open. Its ReadOnly and Durability are
	// those above.
	Lightning *lightning.Options
}

// DB is a collection of buckets.
type DB struct {
	// MaxBatchSize is how many functions Batch runs in one transaction at most; not more than 0:
	// each runs alone. MaxBatchDelay is how long one waits for others. They are set before Batch is
	// called.
	MaxBatchSize  int
	MaxBatchDelay time.Duration

	path     string
	inner    *lightning.DB
	owned    bool // Close closes inner
	readOnly bool
	space    *lightning.Keyspace // nil: read-only, and nothing was ever written
	closed   atomic.Bool

	writer chan struct{} // has the one transaction that writes, while there is one
	batch  batcher
}

// lockRetry is how often Open tries again to get a database that another process has.
const lockRetry = 50 * time.Millisecond

// Open opens the database in a directory, making one if there is none.
func Open(dir string, o *Options) (*DB, error) {
	options := o.orDefault()
	var how lightning.Options
	if options.Lightning != nil {
		how = *options.Lightning
	}
	how.ReadOnly, how.Durability = options.ReadOnly, lightning.DurabilitySync
	if options.NoSync {
		how.Durability = lightning.DurabilityAsync
	}
	inner, err := openWithin(dir, &how, options.Timeout)
	if err != nil {
		return nil, err
	}
	db, err := New(inner, o)
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	db.path, db.owned = dir, true
	return db, nil
}

// openWithin opens a database, and waits for it if another process has it.
func openWithin(dir string, how *lightning.Options, timeout time.Duration) (*lightning.DB, error) {
	start := clock.System.Now()
	for {
		inner, err := lightning.Open(dir, how)
		if !errors.Is(err, lightning.ErrLocked) {
			return inner, err
		}
		if timeout > 0 && clock.System.Now().Sub(start) >= timeout {
			return nil, fmt.Errorf("%w: %w", ErrTimeout, err)
		}
		signal.Sleep(context.Background(), clock.System, lockRetry)
	}
}

// New returns the buckets in a keyspace of an open database, which stays the caller's: Close does
// not close it. Of the options it takes ReadOnly and Keyspace. At most one DB may be made over a
// keyspace at a time.
func New(inner *lightning.DB, o *Options) (*DB, error) {
	options := o.orDefault()
	db := &DB{
		MaxBatchSize: DefaultMaxBatchSize, MaxBatchDelay: DefaultMaxBatchDelay,
		inner: inner, readOnly: options.ReadOnly, writer: make(chan struct{}, 1),
	}
	var err error
	db.space, err = inner.Keyspace(context.Background(), options.Keyspace, nil)
	if options.ReadOnly && errors.Is(err, lightning.ErrKeyspaceNotFound) {
		return db, nil
	}
	return db, err
}

func (o *Options) orDefault() Options {
	var options Options
	if o != nil {
		options = *o
	}
	if options.Keyspace == "" {
		options.Keyspace = DefaultKeyspace
	}
	return options
}

// Lightning returns the database beneath, for what bbolt has no verbs for: backups, metrics, other
// keyspaces.
func (db *DB) Lightning() *lightning.DB { return db.inner }

// Path returns the directory that Open was given; "" after New.
func (db *DB) Path() string { return db.path }

// IsReadOnly reports whether the database was opened for reading alone.
func (db *DB) IsReadOnly() bool { return db.readOnly }

// String describes the database.
func (db *DB) String() string { return fmt.Sprintf("DB<%q>", db.path) }

// Close waits for the transaction that writes, if there is one, and closes the database. Further
// calls do nothing. Transactions that read must have ended: those that have not fail from then
// on, and Close returns lightning.ErrLeaked.
func (db *DB) Close() error {
	db.writer <- struct{}{}
	defer func() { <-db.writer }()
	if db.closed.Swap(true) || !db.owned {
		return nil
	}
	return db.inner.Close()
}

// Sync makes what was committed durable, for databases with NoSync.
func (db *DB) Sync() error {
	if db.closed.Load() {
		return ErrDatabaseNotOpen
	}
	return db.inner.SyncLog(context.Background())
}

// Begin begins a transaction, which must be ended. There is one at a time that writes: Begin waits
// for it.
func (db *DB) Begin(writable bool) (*Tx, error) {
	if !writable {
		return db.begin(false)
	}
	if db.readOnly {
		return nil, ErrDatabaseReadOnly
	}
	db.writer <- struct{}{}
	tx, err := db.begin(true)
	if err != nil {
		<-db.writer
	}
	return tx, err
}

func (db *DB) begin(writable bool) (*Tx, error) {
	if db.closed.Load() {
		return nil, ErrDatabaseNotOpen
	}
	inner, err := db.inner.Begin(lightning.TxOptions{ReadOnly: !writable})
	if err != nil {
		return nil, err
	}
	tx := &Tx{db: db, inner: inner, writable: writable}
	if db.space != nil {
		tx.rows = inner.In(db.space)
	}
	tx.root = Bucket{tx: tx}
	return tx, nil
}

// View runs fn in a transaction that reads.
func (db *DB) View(fn func(*Tx) error) error {
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.end() // also where fn panics
	tx.managed = true
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Err()
}

// Update runs fn in the transaction that writes, and commits it if fn returns nil.
func (db *DB) Update(fn func(*Tx) error) error {
	tx, err := db.Begin(true)
	if err != nil {
		return err
	}
	defer tx.end() // also where fn panics
	tx.managed = true
	if err := fn(tx); err != nil {
		return err
	}
	tx.managed = false
	return tx.Commit()
}
