package lightning

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/loan"
	"github.com/lightningdb/lightning/internal/session"
)

// DB is an open database. All methods are safe for concurrent use. The verbs
// of DB work on the default keyspace; see Keyspace for others. A DB comes from
// Open: the zero DB is as one that was closed.
type DB struct {
	engine   *engine.DB
	sessions *session.Manager // of transactions
	space    space
	watchers watchHub
	opts     Options
}

// Open opens the database in dir. In a missing or empty directory it makes a
// new one, unless Options.MustExist or ReadOnly forbid it. A database has one
// opener at a time: a second one, in any process, gets ErrLocked at once.
//
// The database is in the directory that dir leads to now: it stays there when the
// working directory changes, the directory is renamed or a link on the way to it
// changes. Errors go on naming files as dir says.
//
// Open recovers what a crash left: every acknowledged synced commit is there,
// every batch as a whole or not at all. If files are missing or damaged it
// fails and reports all damage it found: see Corruptions.
func Open(dir string, opts *Options) (*DB, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	lender := newLender(&o)
	operators, err := o.registry(lender)
	if err != nil {
		return nil, err
	}
	e, err := engine.Open(dir, o.engineOptions(operators))
	if err != nil {
		return nil, err
	}
	db := &DB{engine: e, sessions: session.NewManager(e, o.sessionConfig()), opts: o}
	db.space = space{engine: e, durability: o.Durability.engine(), lender: lender}
	db.space.setPrefix(keyspace.AppendPrefix(nil, 0))
	db.watchers.space, db.watchers.readOnly = &db.space, o.ReadOnly
	return db, nil
}

// usable says why the database cannot be used, if it was never opened. Whether it
// was closed is for the engine to say.
func (db *DB) usable() error {
	if db == nil || db.engine == nil {
		return ErrClosed
	}
	return nil
}

// usableWith is usable for a call that takes a context.
func (db *DB) usableWith(ctx context.Context) error {
	if err := db.usable(); err != nil {
		return err
	}
	if ctx == nil {
		return errNilContext
	}
	return nil
}

// Close writes what is in memory to files, so that the next Open has nothing
// to recover, and closes the database. It waits for calls in progress, so it
// must not be called from inside the function given to GetFunc or MultiGet.
// If iterators, snapshots or transactions are still open, Close says so with an
// error that matches ErrLeaked; the database is closed all the same, and those
// handles answer ErrClosed. It returns ErrHandleClosed where rows of a Scan were
// ranged over when it had ended. What could not be written it returns as well: where
// writes are refused by then, why; see HealthMetrics.WriteErr. With
// Options.Debug.CheckSlices it returns what was found and no other call could return.
// A second Close returns ErrClosed.
func (db *DB) Close() error {
	if err := db.usable(); err != nil {
		return err
	}
	db.sessions.Close()
	err := db.engine.Close()
	return loan.Join(err, db.space.lender.Close())
}

// Get returns the value of key in a slice that belongs to the caller, or
// ErrNotFound.
func (db *DB) Get(key []byte) ([]byte, error) { return db.space.get(key) }

// AppendGet appends the value of key to dst and returns the extended slice. It
// allocates only when dst lacks capacity. On an error, ErrNotFound included, it
// returns dst as it was.
func (db *DB) AppendGet(dst, key []byte) ([]byte, error) { return db.space.appendGet(dst, key) }

// GetFunc calls fn with the value of key, without copying it, and returns what
// fn returns; or it returns ErrNotFound. The value belongs to the database: it is
// valid until fn returns, and must not be written to, see Options.Debug. While fn
// runs, memory cannot be freed: fn should be short and must not close the database.
func (db *DB) GetFunc(key []byte, fn func(value []byte) error) error {
	return db.space.getFunc(key, fn)
}

// GetReader returns a reader of the value of key as it is now, or ErrNotFound. It must be closed. A
// value of megabytes that has gone to a table is read piece by piece.
func (db *DB) GetReader(key []byte) (*ValueReader, error) { return newValueReader(&db.space, nil, key) }

// Has reports whether key has a value.
func (db *DB) Has(key []byte) (bool, error) { return db.space.has(key) }

// ExpiresAt returns when key expires, the zero time if never; or ErrNotFound.
func (db *DB) ExpiresAt(key []byte) (time.Time, error) { return db.space.expiresAt(key) }

// MultiGet looks up all keys at one moment. It calls fn once for each, with
// its index in keys and its value, or ErrNotFound or another error; the calls
// come in the order of the keys' bytes. The value belongs to the database: it is
// valid until fn returns, and must not be written to; what GetFunc says of fn holds
// as well. MultiGet stops at the first error that fn returns and returns it. If one
// of the keys is too large, it returns ErrKeyTooLarge and calls fn for none.
func (db *DB) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	return db.space.multiGet(nil, keys, fn)
}

// Put sets the value of key. Both slices are copied. The key has 0 to
// MaxKeyBytes bytes, the value up to MaxValueBytes.
func (db *DB) Put(key, value []byte) error { return db.space.put(key, value, db.space.durability) }

// PutWithTTL sets the value of key for some time: after it the key counts as
// absent, to the nanosecond, for all who look from then on. Those who hold a
// snapshot, an iterator or a transaction that began earlier go on seeing it. The
// space is given back in the background, some time later.
//
// The time is that of the wall clock, but it never goes back: what has expired stays so when the clock
// is set back, also while the database is closed. With Forever the key does not expire.
func (db *DB) PutWithTTL(key, value []byte, ttl time.Duration) error {
	return db.space.putFor(key, value, ttl, db.space.durability)
}

// PutReader sets the value of key to all that r yields, up to MaxValueBytes, and returns how much
// that was. From 1,024 times TreeOptions.BlobBytes on, 4 MiB by default, it goes to its file as it is
// read, and is durable whatever Options.Durability says; what is in memory is flushed first. Shorter
// ones are put as by Put, and so are those that are not kept apart, or have a merge operator. An
// error of r, or the end of ctx, leaves what was there. Close waits for r.Read to return.
func (db *DB) PutReader(ctx context.Context, key []byte, r io.Reader) (int64, error) {
	return db.space.putReader(ctx, key, r)
}

// PutReaderWithTTL is PutReader with a time to live, as for PutWithTTL. It begins with the call.
func (db *DB) PutReaderWithTTL(ctx context.Context, key []byte, r io.Reader, ttl time.Duration) (int64, error) {
	return db.space.putReaderFor(ctx, key, r, ttl)
}

// Delete removes key. Deleting a key that does not exist is no error.
func (db *DB) Delete(key []byte) error { return db.space.delete(key, db.space.durability) }

// PutIfAbsent sets the value of key if it has none, and reports whether it did. What Put
// says of the arguments holds. A key that has expired has no value.
//
// As the verbs below that depend on what the key holds, it is one commit, which looks at the
// key when its turn has come: nothing comes between the look and the write, whoever writes at
// the same time, and there are no conflicts as in transactions. It is as durable as other
// writes. Where nothing is to be written there is no commit.
func (db *DB) PutIfAbsent(key, value []byte) (bool, error) {
	return conditional{&db.space, key}.putIfAbsent(value)
}

// CompareAndSwap sets the value of key to new if it is old, and reports whether it did. A
// key that has no value is left so: PutIfAbsent gives it one. nil and an empty slice are
// the same value. The new value lives as long as if Put had written it.
func (db *DB) CompareAndSwap(key, old, new []byte) (bool, error) {
	return conditional{&db.space, key}.compareAndSwap(old, new)
}

// CompareAndDelete removes key if its value is old, and reports whether it did.
func (db *DB) CompareAndDelete(key, old []byte) (bool, error) {
	return conditional{&db.space, key}.compareAndDelete(old)
}

// GetAndDelete removes key and returns the value that it had, in a slice that belongs to the
// caller, or ErrNotFound. Of several who call it at once, one gets the value.
func (db *DB) GetAndDelete(key []byte) ([]byte, error) {
	return conditional{&db.space, key}.getAndDelete()
}

// Touch has the value of key live for ttl from now on, whether that is longer or shorter
// than it would have, or returns ErrNotFound. With Forever it does not expire any more. See
// PutWithTTL. The value is not sent, but it is written again: a Touch costs as much as a
// Put of it.
func (db *DB) Touch(key []byte, ttl time.Duration) error {
	return conditional{&db.space, key}.touch(ttl)
}

// Increment adds delta, which may be negative, to the number in key and returns the sum. A
// key without a value counts as zero. The number has the encoding of MergeAddInt64: 8 bytes,
// little-endian, two's complement; a sum that does not fit wraps around. Any other value
// gives ErrNotInteger. The number expires when it did before; a new one lives as long as if
// Put had written it.
//
// In a keyspace whose operator is MergeAddInt64, Merge adds without telling the sum, and is
// cheaper; the two can be mixed.
func (db *DB) Increment(key []byte, delta int64) (int64, error) {
	return conditional{&db.space, key}.increment(delta)
}

// DeleteRange removes all keys in [lo, hi), in constant time however many
// there are; nil for a bound means that there is none.
func (db *DB) DeleteRange(lo, hi []byte) error {
	return db.space.deleteRange(lo, hi, db.space.durability)
}

// NewBatch returns an empty batch that writes to the default keyspace.
func (db *DB) NewBatch() *Batch { return newBatch(&db.space) }

// BulkLoader returns a loader of many records for the default keyspace. It must be closed.
func (db *DB) BulkLoader() (*BulkLoader, error) { return newBulkLoader(db, &db.space) }

// Snapshot returns a view of the database at this moment, of all keyspaces. It
// must be closed; until then the versions that it sees are kept on disk.
func (db *DB) Snapshot() (*Snapshot, error) {
	if err := db.usable(); err != nil {
		return nil, err
	}
	s, err := db.engine.Reads().Snapshot()
	if err != nil {
		return nil, err
	}
	return &Snapshot{inner: s, space: db.space}, nil
}

// Iterator returns an iterator over the default keyspace as it is now.
func (db *DB) Iterator(o IterOptions) (*Iterator, error) { return db.space.iterator(nil, o) }

// Scan calls fn with the rows of a range, for use with range:
//
//	err := db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
//		for key, value := range rows {
//			...
//		}
//		return nil
//	})
//
// An error that ends the rows early is returned by Scan itself, so a loop
// cannot take a damaged file for the end of the data. Key and value belong to the
// database: they are valid for one turn of the loop, and must not be written to.
// The rows show one moment and can be ranged over more than once, until fn returns, but not within each
// other, or by several goroutines at a time, which Scan returns as ErrConcurrentUse. Later ones give nothing,
// and Close says so.
func (db *DB) Scan(o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error {
	return db.space.scan(nil, o, fn)
}

// Count returns how many keys there are in [lo, hi), where nil is no bound, at one moment. It
// walks over all of them, but reads no value that is kept apart from its key: ctx ends it with
// its cause. See EstimateCount.
func (db *DB) Count(ctx context.Context, lo, hi []byte) (int64, error) {
	return count(ctx, lo, hi, db.Scan)
}

// EstimateCount returns about how many keys there are in [lo, hi), where nil is no bound, in
// microseconds for each table that the range meets, however many keys that are. It looks at
// what is known of the tables, at their indexes at the ends of the range, and at a thousand
// keys of each memtable.
//
// In data that is compacted it is right up to a block of some kilobytes at each end, in memory up to
// some percent where keys are alike, as numbers are, and otherwise up to a factor of two. Before a compaction
// a key counts once for each time that it was overwritten, and a delete takes one away even if its key was
// absent. Under range deletes it is right up to some percent of a table, and keys are taken to expire evenly.
func (db *DB) EstimateCount(lo, hi []byte) (int64, error) {
	e, err := db.space.estimate(lo, hi)
	return int64(e.Rows), err
}

// EstimateSize returns about how many bytes [lo, hi) takes, where nil is no bound, as quickly
// as EstimateCount: in tables as they are stored, compressed, with values that are kept apart,
// and in memory. What was overwritten or deleted counts until its space is given back.
func (db *DB) EstimateSize(lo, hi []byte) (int64, error) {
	e, err := db.space.estimate(lo, hi)
	return int64(e.SizeBytes), err
}

// Split divides [lo, hi), where nil is no bound, into at most n ranges of about the same size,
// fewer where there is too little, for who wants to walk over them side by side: through one
// Snapshot they show one moment. The ranges are in order, and together they are [lo, hi). Sizes
// are those of keys and values, as records are stored, so without values that are kept apart;
// a range has some sixteenths of its share more or less. There are at most 1024 ranges,
// and they belong to the caller.
func (db *DB) Split(lo, hi []byte, n int) ([]Range, error) { return db.space.split(lo, hi, n) }

// Begin begins a transaction. See DB.Update and DB.View, which end it by
// themselves.
func (db *DB) Begin(o TxOptions) (*Tx, error) {
	if err := db.usable(); err != nil {
		return nil, err
	}
	options, err := o.session()
	if err != nil {
		return nil, err
	}
	tx, err := db.sessions.Begin(options)
	if err != nil {
		return nil, err
	}
	return (&Tx{inner: tx, space: &db.space}).mind(), nil
}

// View runs fn in a read-only transaction: all that it reads is of one moment.
func (db *DB) View(fn func(tx *Tx) error) error {
	if err := db.usable(); err != nil {
		return err
	}
	if fn == nil {
		return errNilFunction
	}
	return db.sessions.View(func(tx *session.Tx) error { return fn(&Tx{inner: tx, space: &db.space}) })
}

// Update runs fn in a strictly serializable transaction and commits it. If fn
// returns an error, nothing is written, and that error is returned. If the
// commit meets a conflict, or fn returns one that a lock of this transaction met, or
// its deadlock, fn is run again in a new transaction, after a short
// random wait that grows: so fn should have no effects outside of the transaction.
// What conflicts for too long ends with a *TooManyConflictsError; a function that
// writes around its transaction what it has read through it always does.
func (db *DB) Update(fn func(tx *Tx) error) error { return db.UpdateWith(TxOptions{}, fn) }

// UpdateWith is Update with options. Their context ends the attempts, too; the
// error is then that of the context, joined with the last conflict.
func (db *DB) UpdateWith(o TxOptions, fn func(tx *Tx) error) error { return update(db, o, fn) }

// Flush writes all that is in memory to files in level 0 and waits for it.
func (db *DB) Flush(ctx context.Context) error {
	if err := db.usableWith(ctx); err != nil {
		return err
	}
	return db.engine.Flush(ctx)
}

// Compact rewrites everything in [lo, hi) of the default keyspace into one
// sorted run without garbage, and returns when the tree is settled; nil bounds
// mean all data of all keyspaces. It can be cancelled through ctx at any time;
// what is done by then stays done.
func (db *DB) Compact(ctx context.Context, lo, hi []byte) error {
	if err := db.usableWith(ctx); err != nil {
		return err
	}
	if lo == nil && hi == nil {
		return db.engine.Compact(ctx, nil, nil)
	}
	return db.space.compact(ctx, lo, hi)
}

// SyncLog makes every acknowledged commit durable. When ctx ends it stops waiting
// for the disk, which goes on with what it was told.
func (db *DB) SyncLog(ctx context.Context) error {
	if err := db.usableWith(ctx); err != nil {
		return err
	}
	return db.engine.SyncLog(ctx)
}

// DurableSeq returns the sequence number of the newest write such that it and
// all before it are on stable storage. Metrics.VisibleSeq is the newest write
// that readers see.
func (db *DB) DurableSeq() uint64 {
	if db.usable() != nil {
		return 0
	}
	return uint64(db.engine.DurableSeq())
}

// WithContext returns the default keyspace with verbs that wait no longer than ctx lasts. A write that
// stands in line, or waits for room in memory, is given up when ctx ends: nothing is written, and the error is
// the cause of ctx. One that is on its way to the log ends as it does. A verb that comes after the end of ctx
// does nothing. Reads wait for nobody, and do not look at ctx later. Batches and bulk loads that the keyspace
// makes do the same at their commit; where a call has a context of its own, that one counts.
func (db *DB) WithContext(ctx context.Context) *Keyspace {
	return &Keyspace{space: db.space.with(ctx), db: db}
}

// Keyspace returns the keyspace called name, making it if there is none. A
// keyspace is an independent range of keys with options of its own; batches
// and snapshots span keyspaces. Where it exists, nil options accept it as it
// is, as do options that are zero; those that differ otherwise fail with
// ErrKeyspaceDiffers. In a read-only database a keyspace that does not exist is
// ErrKeyspaceNotFound, which is ErrReadOnly as well. Names that begin with
// "lightning." are the library's; without KeyspaceOptions.Reserved they are
// ErrKeyspaceReserved. Making one is a durable commit; ctx ends its waiting in line,
// not what has begun.
func (db *DB) Keyspace(ctx context.Context, name string, opts *KeyspaceOptions) (*Keyspace, error) {
	if err := db.usableWith(ctx); err != nil {
		return nil, err
	}
	if err := checkKeyspaceName(name, opts != nil && opts.Reserved); err != nil {
		return nil, err
	}
	settings, err := opts.settings()
	if err != nil {
		return nil, err
	}
	info, err := db.engine.Keyspace(ctx, name, settings)
	if err != nil {
		return nil, err
	}
	return newKeyspace(db, info), nil
}

// SetKeyspaceOptions changes the compression and the TTL of the keyspace called name
// to those of opts, for what is written from now on: what is there keeps its expiry,
// and its compression until it is compacted. Its merge operator must be that of opts,
// since what is there needs it; another one gives ErrKeyspaceDiffers. This is a durable commit; ctx ends its
// waiting in line, not what has begun.
func (db *DB) SetKeyspaceOptions(ctx context.Context, name string, opts KeyspaceOptions) error {
	if err := db.usableWith(ctx); err != nil {
		return err
	}
	if err := checkKeyspaceName(name, opts.Reserved); err != nil {
		return err
	}
	settings, err := opts.settings()
	if err != nil {
		return err
	}
	return db.engine.SetKeyspace(ctx, name, settings)
}

// Keyspaces returns the names of all keyspaces but the default one, sorted.
func (db *DB) Keyspaces() []string {
	if db.usable() != nil {
		return nil
	}
	var names []string
	for _, k := range db.engine.Registry().All() {
		names = append(names, k.Name)
	}
	slices.Sort(names)
	return names
}

// DropKeyspace removes a keyspace with all its keys, in constant time; the
// space is given back in the background. Iterators and snapshots that exist
// keep what they see; handles to the keyspace answer ErrKeyspaceDropped. A keyspace
// of the library is not dropped, with ErrKeyspaceReserved. This is a durable commit;
// ctx ends its waiting in line, not what has begun.
func (db *DB) DropKeyspace(ctx context.Context, name string) error {
	if err := db.usableWith(ctx); err != nil {
		return err
	}
	if isReserved(name) {
		return fmt.Errorf("drop keyspace: %w", checkKeyspaceName(name, false))
	}
	if err := db.engine.DropKeyspace(ctx, name); err != nil {
		return fmt.Errorf("drop keyspace: %w", err)
	}
	return nil
}

// Changes returns the commits of all keyspaces in the order in which they were
// made, for use with range:
//
//	for batch, err := range db.Changes(ctx, next) {
//		if err != nil {
//			return err
//		}
//		for change := range batch.All() {
//			...
//		}
//		if err := batch.Err(); err != nil {
//			return err
//		}
//		next = batch.Last + 1 // keep it with what was made of the changes
//	}
//
// It begins with the commit that has sequence number from, or the batch in which that lies. 0 means
// the oldest commit there is, Metrics().VisibleSeq+1 those from now on. The numbers of the batches follow
// one another without a hole, and are the same after a restart or a crash.
// Only durable commits are delivered, so that nothing is that a crash could
// take back. A synced commit comes at once; where there are others, a
// feed that waits for them syncs the log, at most every 10 ms, so it lags by
// that and the time of a sync. What a feed costs is in docs/changes.md.
//
// The loop waits for new commits until ctx ends, which gives ctx.Err(), or the
// database is closed, which gives ErrClosed. In a read-only database it ends by
// itself behind the last commit. After a failed write it ends with that failure,
// when everything durable is delivered.
//
// How far back it can begin is for Options.LogArchive to say. Where the wanted commits are not
// there any more, the loop ends with a *GapError that says where to go on, and never leaves
// anything out silently. A from beyond the next commit gives ErrChangesAhead.
func (db *DB) Changes(ctx context.Context, from uint64) iter.Seq2[*ChangeBatch, error] {
	if err := db.usable(); err != nil {
		return func(yield func(*ChangeBatch, error) bool) { yield(nil, err) }
	}
	return changes(ctx, &db.space, from)
}

// Watch returns the changes of keys of the default keyspace as they are made, for use with range, until
// ctx ends: see WatchOptions for which. They come as through Changes: once they are durable, in the order
// in which they were made, and without a hole; a *GapError says where there is one because the loop
// was too slow and the log is gone. What a commit does to several keys comes one by one, with the same
// Seq. A thousand loops that keep up cost little more than one. Loops share the slices: the caller may
// keep them, and must not write to them.
func (db *DB) Watch(ctx context.Context, o WatchOptions) iter.Seq2[WatchedChange, error] {
	return db.watchers.watch(ctx, &db.space, o)
}

// Checkpoint makes a second database in dir, with all that this one holds at some moment
// during the call: all keyspaces, and the log archive. It holds every commit that was acknowledged
// before the call, whether that was synced or not, and of those after it none or those up
// to some commit.
//
// Files that do not change any more are in both databases, as hard links, or copies where there are
// no links; only the log is copied. When Checkpoint returns, the checkpoint is on stable storage, and can
// be opened, also for writing and beside this database: neither is disturbed by the other.
//
// dir must not exist, or be an empty directory, which is replaced; otherwise the error matches
// ErrCheckpointExists. Until the checkpoint is complete it is under the name dir + ".partial",
// and what a crash leaves there goes with the next checkpoint to dir. Reads and writes go on
// meanwhile; ctx ends it. A read-only database can be asked for one as well, but not one that
// refuses writes because the log has failed.
func (db *DB) Checkpoint(ctx context.Context, dir string) error {
	_, err := db.CheckpointWith(ctx, dir, CheckpointOptions{})
	return err
}

// CheckpointWith is Checkpoint with options, and says what the checkpoint holds.
func (db *DB) CheckpointWith(ctx context.Context, dir string, o CheckpointOptions) (CheckpointInfo, error) {
	return takeCheckpoint(ctx, db, dir, o)
}

// Backup stores a copy of the database at a target, while reads and writes go on; package backup has
// targets, restores and the rest. It holds what a checkpoint would: see Checkpoint. What the target has
// already is not stored again. The files are read from a checkpoint beside the database, DIR.backup, which is
// there for as long as that takes. There is one backup of a database at a time; a second one gets
// ErrLocked. When it returns without an error, the backup is complete, and on stable storage. ctx ends
// it; what was stored by then is used by the next one. Options.FS is that of the database.
func (db *DB) Backup(ctx context.Context, t backup.Target, o backup.Options) (backup.Info, error) {
	return takeBackup(ctx, db, t, o)
}

// Archive stores the log of the database at a target as it grows, so that backup.Restore can bring it back to each
// write behind a backup there, and to each time. It needs a backup of this database at the target to begin with, and
// goes on where it was ended, by itself or by a crash. It runs until ctx ends, or the database is
// closed, with ErrClosed; of a read-only one it stores what there is. Writers never wait for it. While the target fails it
// tries again, and Options.LogArchive says how much log may wait: what goes before it was stored leaves a hole,
// which ArchiveStatus tells of, and behind which another backup is needed. There is one at a time; a second one
// gets ErrLocked.
func (db *DB) Archive(ctx context.Context, t backup.Target, o backup.ArchiveOptions) error {
	return archiveLog(ctx, db, t, o)
}

// Verify reads all files of the database, past the caches and beside reads and writes, and reports
// what is damaged: docs/backups.md says what is looked at. Files that come after it has begun are not
// read. ctx ends it, and then the report is of what was read by then. Damage is no error: see VerifyReport.
func (db *DB) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	if err := db.usableWith(ctx); err != nil {
		return VerifyReport{}, err
	}
	how, err := o.inner()
	if err != nil {
		return VerifyReport{}, err
	}
	r, err := db.engine.Verifier.Run(ctx, how)
	return VerifyReport(r), err
}

// Metrics returns the current figures. It is cheap enough to be called every
// second.
func (db *DB) Metrics() Metrics {
	if db.usable() != nil {
		return Metrics{}
	}
	return newMetrics(db.engine.Metrics(), db.opts.MemoryBudget)
}

// Health says whether all is well, and if not, why and what is to be done. It is as cheap as Metrics.
func (db *DB) Health() Health { return newHealth(db) }
