package lightning

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
)

// Forever is the time to live of a key that never expires, also in a keyspace
// whose keys do where the write does not say.
const Forever = time.Duration(math.MaxInt64)

// KeyspaceOptions are the options of a keyspace, kept with it.
type KeyspaceOptions struct {
	// Compression of its data blocks. CompressionDefault follows the database.
	Compression Compression
	// TTL is how long keys live that are written with Put: see DB.PutWithTTL.
	// Zero: for ever.
	TTL time.Duration
	// Merge is the name of its merge operator; empty: it has none. Keys of a
	// keyspace that has one do not expire.
	Merge string
	// BlobBytes is the size from which on its values are kept apart from their keys: see
	// TreeOptions.BlobBytes, which 0 follows; negative means never.
	BlobBytes int
	// Reserved allows a name that begins with "lightning.", which is not kept: those
	// are the keyspaces in which this library itself keeps something, such as the
	// catalogue of package table. It is for who copies a database or looks into it;
	// writing there breaks what belongs to others.
	Reserved bool
}

const (
	maxKeyspaceNameBytes = 1024
	reservedPrefix       = "lightning."
)

// checkKeyspaceName says why a keyspace cannot have a name, or cannot be used by one
// who has not asked for a reserved one.
func checkKeyspaceName(name string, reserved bool) error {
	switch {
	case name == "" || len(name) > maxKeyspaceNameBytes:
		return ErrKeyspaceName
	case isReserved(name) && !reserved:
		return fmt.Errorf("%w: %q", ErrKeyspaceReserved, name)
	}
	return nil
}

func isReserved(name string) bool { return strings.HasPrefix(name, reservedPrefix) }

// keyspaceOptions are those of a keyspace as users have them.
func keyspaceOptions(name string, s keyspace.Settings) KeyspaceOptions {
	return KeyspaceOptions{
		Compression: Compression(s.Compression), TTL: s.TTL, Merge: s.Merge, Reserved: isReserved(name),
		BlobBytes: blobBytesOf(s.BlobBytes),
	}
}

// blobBytesOf is the option that a setting comes from.
func blobBytesOf(setting uint64) int {
	if setting == manifest.BlobsNever {
		return -1
	}
	return int(setting)
}

// minBlobBytes is the least value that can be kept apart: where it is takes twice that.
const minBlobBytes = 16

// settings translates the options, or says why they cannot be.
func (o *KeyspaceOptions) settings() (keyspace.Settings, error) {
	if o == nil {
		return keyspace.Settings{}, nil
	}
	switch {
	case o.Compression > CompressionSmall:
		return keyspace.Settings{}, &OptionError{"Compression", o.Compression.String(), "one of the constants"}
	case o.TTL < 0:
		return keyspace.Settings{}, &OptionError{"TTL", o.TTL.String(), "positive, or zero for none"}
	case o.BlobBytes > 0 && o.BlobBytes < minBlobBytes || o.BlobBytes > MaxValueBytes:
		return keyspace.Settings{}, &OptionError{"BlobBytes", strconv.Itoa(o.BlobBytes), "at least 16, negative, or zero"}
	case o.TTL > 0 && o.Merge != "":
		return keyspace.Settings{}, &OptionError{"TTL", o.TTL.String(), "zero where Merge is set"}
	}
	s := keyspace.Settings{Compression: uint8(o.Compression), TTL: o.TTL, Merge: o.Merge, BlobBytes: uint64(max(o.BlobBytes, 0))}
	if o.BlobBytes < 0 {
		s.BlobBytes = manifest.BlobsNever
	}
	return s, nil
}

// Keyspace is a handle to a named keyspace: an independent range of keys in
// the same database, log and commit order. It has the verbs of DB, which work
// the same way. It needs no closing, and is safe for concurrent use. After the
// keyspace was dropped every verb but Flush fails with ErrKeyspaceDropped.
type Keyspace struct {
	space space
	db    *DB
}

func newKeyspace(db *DB, info *keyspace.Info) *Keyspace {
	k := &Keyspace{space: db.space, db: db}
	k.space.info = info
	k.space.setPrefix(keyspace.AppendPrefix(nil, info.ID))
	return k
}

// WithContext returns the keyspace with verbs that wait no longer than ctx lasts: see
// DB.WithContext.
func (k *Keyspace) WithContext(ctx context.Context) *Keyspace {
	return &Keyspace{space: k.space.with(ctx), db: k.db}
}

// Name returns the keyspace's name; empty for the default one of DB.WithContext.
func (k *Keyspace) Name() string {
	if k.space.info == nil {
		return "" // it came from no database
	}
	return k.space.info.Name
}

// Options returns the options that the keyspace has now; what is not set is zero.
func (k *Keyspace) Options() KeyspaceOptions {
	if k.space.info == nil {
		return KeyspaceOptions{} // it came from no database
	}
	return keyspaceOptions(k.space.info.Name, k.space.info.Settings())
}

// Get is DB.Get in this keyspace: the value belongs to the caller.
func (k *Keyspace) Get(key []byte) ([]byte, error) { return k.space.get(key) }

// AppendGet is DB.AppendGet in this keyspace.
func (k *Keyspace) AppendGet(dst, key []byte) ([]byte, error) { return k.space.appendGet(dst, key) }

// GetFunc is DB.GetFunc in this keyspace. The value is valid until fn returns, and
// must not be written to.
func (k *Keyspace) GetFunc(key []byte, fn func(value []byte) error) error {
	return k.space.getFunc(key, fn)
}

// GetReader is DB.GetReader in this keyspace.
func (k *Keyspace) GetReader(key []byte) (*ValueReader, error) {
	return newValueReader(&k.space, nil, key)
}

// Has is DB.Has in this keyspace.
func (k *Keyspace) Has(key []byte) (bool, error) { return k.space.has(key) }

// ExpiresAt is DB.ExpiresAt in this keyspace.
func (k *Keyspace) ExpiresAt(key []byte) (time.Time, error) { return k.space.expiresAt(key) }

// MultiGet is DB.MultiGet in this keyspace. The value is valid until fn returns, and
// must not be written to.
func (k *Keyspace) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	return k.space.multiGet(nil, keys, fn)
}

// Put is DB.Put in this keyspace.
func (k *Keyspace) Put(key, value []byte) error { return k.space.put(key, value, k.space.durability) }

// PutWithTTL is DB.PutWithTTL in this keyspace.
func (k *Keyspace) PutWithTTL(key, value []byte, ttl time.Duration) error {
	return k.space.putFor(key, value, ttl, k.space.durability)
}

// PutReader is DB.PutReader in this keyspace.
func (k *Keyspace) PutReader(ctx context.Context, key []byte, r io.Reader) (int64, error) {
	return k.space.putReader(ctx, key, r)
}

// PutReaderWithTTL is DB.PutReaderWithTTL in this keyspace.
func (k *Keyspace) PutReaderWithTTL(ctx context.Context, key []byte, r io.Reader, ttl time.Duration) (int64, error) {
	return k.space.putReaderFor(ctx, key, r, ttl)
}

// Merge applies an operand to key with the keyspace's merge operator, without
// reading the key. Both slices are copied.
func (k *Keyspace) Merge(key, operand []byte) error {
	s := &k.space
	if err := s.checkOperand(key, operand); err != nil {
		return err
	}
	if s.ctx != nil {
		return s.patiently(s.durability, func(b *Batch) error { return b.Merge(key, operand) })
	}
	return s.engine.Commits().Merge(s.info, s.prefix, key, operand, s.durability)
}

// Delete is DB.Delete in this keyspace.
func (k *Keyspace) Delete(key []byte) error { return k.space.delete(key, k.space.durability) }

// PutIfAbsent is DB.PutIfAbsent in this keyspace.
func (k *Keyspace) PutIfAbsent(key, value []byte) (bool, error) {
	return conditional{&k.space, key}.putIfAbsent(value)
}

// CompareAndSwap is DB.CompareAndSwap in this keyspace.
func (k *Keyspace) CompareAndSwap(key, old, new []byte) (bool, error) {
	return conditional{&k.space, key}.compareAndSwap(old, new)
}

// CompareAndDelete is DB.CompareAndDelete in this keyspace.
func (k *Keyspace) CompareAndDelete(key, old []byte) (bool, error) {
	return conditional{&k.space, key}.compareAndDelete(old)
}

// GetAndDelete is DB.GetAndDelete in this keyspace: the value belongs to the caller.
func (k *Keyspace) GetAndDelete(key []byte) ([]byte, error) {
	return conditional{&k.space, key}.getAndDelete()
}

// Touch is DB.Touch in this keyspace. Where it has a merge operator keys do not expire:
// anything but Forever gives ErrNoExpiry.
func (k *Keyspace) Touch(key []byte, ttl time.Duration) error {
	return conditional{&k.space, key}.touch(ttl)
}

// Increment is DB.Increment in this keyspace.
func (k *Keyspace) Increment(key []byte, delta int64) (int64, error) {
	return conditional{&k.space, key}.increment(delta)
}

// DeleteRange is DB.DeleteRange in this keyspace.
func (k *Keyspace) DeleteRange(lo, hi []byte) error {
	return k.space.deleteRange(lo, hi, k.space.durability)
}

// NewBatch returns an empty batch that writes to this keyspace.
func (k *Keyspace) NewBatch() *Batch { return newBatch(&k.space) }

// BulkLoader returns a loader of many records for the keyspace. It must be closed.
func (k *Keyspace) BulkLoader() (*BulkLoader, error) { return newBulkLoader(k.db, &k.space) }

// Snapshot returns a view of the database at this moment whose verbs read this
// keyspace.
func (k *Keyspace) Snapshot() (*Snapshot, error) {
	if err := k.space.usable(); err != nil {
		return nil, err
	}
	s, err := k.db.Snapshot()
	if err != nil {
		return nil, err
	}
	return s.In(k), nil
}

// Iterator is DB.Iterator in this keyspace.
func (k *Keyspace) Iterator(o IterOptions) (*Iterator, error) { return k.space.iterator(nil, o) }

// Scan is DB.Scan in this keyspace. Key and value are valid for one turn of the loop,
// and must not be written to.
func (k *Keyspace) Scan(o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error {
	return k.space.scan(nil, o, fn)
}

// Watch is DB.Watch in this keyspace, and tells when it is dropped or gets other options. Loops share the
// slices: the caller may keep them, and must not write to them.
func (k *Keyspace) Watch(ctx context.Context, o WatchOptions) iter.Seq2[WatchedChange, error] {
	var hub *watchHub // of the zero Keyspace, which has none
	if k.db != nil {
		hub = &k.db.watchers
	}
	return hub.watch(ctx, &k.space, o)
}

// Count is DB.Count in this keyspace.
func (k *Keyspace) Count(ctx context.Context, lo, hi []byte) (int64, error) {
	return count(ctx, lo, hi, k.Scan)
}

// EstimateCount is DB.EstimateCount in this keyspace.
func (k *Keyspace) EstimateCount(lo, hi []byte) (int64, error) {
	e, err := k.space.estimate(lo, hi)
	return int64(e.Rows), err
}

// EstimateSize is DB.EstimateSize in this keyspace.
func (k *Keyspace) EstimateSize(lo, hi []byte) (int64, error) {
	e, err := k.space.estimate(lo, hi)
	return int64(e.SizeBytes), err
}

// Split is DB.Split in this keyspace: the ranges belong to the caller.
func (k *Keyspace) Split(lo, hi []byte, n int) ([]Range, error) { return k.space.split(lo, hi, n) }

// Flush is DB.Flush: it writes out all keyspaces, as they share the memtable,
// and so works after this one was dropped, too.
func (k *Keyspace) Flush(ctx context.Context) error { return k.db.Flush(ctx) }

// Compact is DB.Compact in this keyspace; nil bounds mean all of it.
func (k *Keyspace) Compact(ctx context.Context, lo, hi []byte) error {
	return k.space.compact(ctx, lo, hi)
}
