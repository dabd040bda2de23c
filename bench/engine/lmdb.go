//go:build lmdb

package engine

/*
#cgo LDFLAGS: -llmdb
#cgo noescape lightning_lmdb_write
#cgo nocallback lightning_lmdb_write
#cgo noescape lightning_lmdb_delete
#cgo nocallback lightning_lmdb_delete
#cgo noescape lightning_lmdb_delete_range
#cgo nocallback lightning_lmdb_delete_range
#cgo noescape lightning_lmdb_get
#cgo nocallback lightning_lmdb_get
#cgo noescape lightning_lmdb_scan
#cgo nocallback lightning_lmdb_scan
#cgo nocallback lightning_lmdb_next

#include <errno.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A call from Go costs as much as a get in the cache. So each function does all
// of an operation, from the begin of a transaction to its end.

enum { ROWS = 256 };

// A reader keeps its transaction and cursor, to renew them; between operations
// the transaction is reset, so that no pages are held back from writers.
typedef struct {
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val keys[ROWS], values[ROWS]; // of the last step of a scan
} reader;

typedef struct {
	int rc;
	size_t n; // bytes of the value, or rows
} result;

static int lightning_lmdb_open(
		MDB_env **env, MDB_dbi *dbi, const char *dir, size_t map_size, unsigned flags) {
	int rc = mdb_env_create(env);
	if (rc) {
		*env = NULL;
		return rc;
	}
	MDB_txn *txn;
	(rc = mdb_env_set_mapsize(*env, map_size)) ||
		(rc = mdb_env_set_maxreaders(*env, 1024)) ||
		(rc = mdb_env_open(*env, dir, flags, 0600)) ||
		(rc = mdb_txn_begin(*env, NULL, 0, &txn));
	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

// lightning_lmdb_write stores n records, laid out as appendFlat does it. flags are those of
// mdb_put.
static int lightning_lmdb_write(MDB_env *env, MDB_dbi dbi, const char *flat, size_t n, unsigned flags) {
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc)
		return rc;
	for (; n > 0; n--) {
		uint32_t sizes[2];
		memcpy(sizes, flat, sizeof sizes);
		flat += sizeof sizes;
		MDB_val key = {sizes[0], (void *)flat};
		flat += sizes[0];
		MDB_val value = {sizes[1], (void *)flat};
		flat += sizes[1];
		rc = mdb_put(txn, dbi, &key, &value, flags);
		if (rc) {
			mdb_txn_abort(txn);
			return rc;
		}
	}
	return mdb_txn_commit(txn);
}

static int lightning_lmdb_delete(MDB_env *env, MDB_dbi dbi, const char *key, size_t key_size) {
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc)
		return rc;
	MDB_val k = {key_size, (void *)key};
	rc = mdb_del(txn, dbi, &k, NULL);
	if (rc) {
		mdb_txn_abort(txn);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	return mdb_txn_commit(txn);
}

// lightning_lmdb_delete_range deletes one key after the other, in one transaction. It
// seeks each of them, so that it does not rest on where a cursor is after a delete.
static int lightning_lmdb_delete_range(MDB_env *env, MDB_dbi dbi,
		const char *lo, size_t lo_size, const char *hi, size_t hi_size) {
	MDB_txn *txn;
	MDB_cursor *cursor;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc)
		return rc;
	rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	MDB_val end = {hi_size, (void *)hi};
	while (!rc) {
		MDB_val key = {lo_size, (void *)lo}, value;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (!rc && mdb_cmp(txn, dbi, &key, &end) >= 0)
			break;
		if (!rc)
			rc = mdb_cursor_del(cursor, 0);
	}
	mdb_cursor_close(cursor);
	if (rc && rc != MDB_NOTFOUND) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int lightning_lmdb_reader(MDB_env *env, MDB_dbi dbi, reader **out) {
	reader *r = calloc(1, sizeof *r);
	*out = r;
	if (!r)
		return ENOMEM;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &r->txn);
	if (rc)
		return rc;
	rc = mdb_cursor_open(r->txn, dbi, &r->cursor);
	mdb_txn_reset(r->txn);
	return rc;
}

static void lightning_lmdb_reader_close(reader *r) {
	if (r->cursor)
		mdb_cursor_close(r->cursor);
	if (r->txn)
		mdb_txn_abort(r->txn);
	free(r);
}

// lightning_lmdb_get copies the value if it fits into the room.
static result lightning_lmdb_get(
		reader *r, MDB_dbi dbi, const char *key, size_t key_size, char *dst, size_t room) {
	result res = {mdb_txn_renew(r->txn), 0};
	if (res.rc)
		return res;
	MDB_val k = {key_size, (void *)key}, v;
	res.rc = mdb_get(r->txn, dbi, &k, &v);
	if (!res.rc) {
		res.n = v.mv_size;
		if (v.mv_size > 0 && v.mv_size <= room)
			memcpy(dst, v.mv_data, v.mv_size);
	}
	mdb_txn_reset(r->txn);
	return res;
}

static result fill(reader *r, int rc, size_t limit) {
	result res = {0, 0};
	while (rc == 0) {
		if (++res.n == limit || res.n == ROWS)
			return res;
		rc = mdb_cursor_get(r->cursor, &r->keys[res.n], &r->values[res.n], MDB_NEXT);
	}
	res.rc = rc == MDB_NOTFOUND ? 0 : rc;
	return res;
}

// lightning_lmdb_scan gets the first rows, at most limit, which is not 0. Fewer
// than both limit and ROWS are the last. What it got stays valid until
// lightning_lmdb_end.
static result lightning_lmdb_scan(reader *r, const char *lo, size_t lo_size, size_t limit) {
	result res = {mdb_txn_renew(r->txn), 0};
	if (!res.rc)
		res.rc = mdb_cursor_renew(r->txn, r->cursor);
	if (res.rc)
		return res;
	r->keys[0].mv_size = lo_size;
	r->keys[0].mv_data = (void *)lo;
	// LMDB has no empty keys, and none is less than the first.
	MDB_cursor_op op = lo_size ? MDB_SET_RANGE : MDB_FIRST;
	return fill(r, mdb_cursor_get(r->cursor, &r->keys[0], &r->values[0], op), limit);
}

static result lightning_lmdb_next(reader *r, size_t limit) {
	return fill(r, mdb_cursor_get(r->cursor, &r->keys[0], &r->values[0], MDB_NEXT), limit);
}

static void lightning_lmdb_end(reader *r) { mdb_txn_reset(r->txn); }
*/
import "C"

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"github.com/lightningdb/lightning/internal/workload"
)

func init() {
	register(Engine{
		Name:    "lmdb",
		Package: "liblmdb",
		Version: lmdbVersion,
		Tuning: "read transactions renewed, no zeroing of memory, no readahead if larger than memory, without syncs a writable map; " +
			"one call of C for each operation",
		Memory: "not bounded: the system's page cache serves",
		Open:   openLMDB,
	})
}

func lmdbVersion() string {
	var major, minor, patch C.int
	C.mdb_version(&major, &minor, &patch)
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

func lmdbError(doing string, rc C.int) error {
	if rc == 0 {
		return nil
	}
	return fmt.Errorf("lmdb: %s: %s", doing, C.GoString(C.mdb_strerror(rc)))
}

type lmdbDB struct {
	env *C.MDB_env
	dbi C.MDB_dbi
	// writing serialises the writers: LMDB's own lock would do it too, but each
	// goroutine that waits in C holds a thread.
	writing sync.Mutex
}

func openLMDB(c Config) (DB, error) {
	// NOTLS: goroutines change threads, so a reader must not belong to one.
	// NOMEMINIT: freed memory holds no secrets that the file must not see.
	flags := C.uint(C.MDB_NOTLS | C.MDB_NOMEMINIT)
	if c.Durability == Async {
		// The manual prefers these two to MDB_NOSYNC with MDB_WRITEMAP, and
		// without MDB_WRITEMAP a put took several times as long. It "is slower for
		// DBs larger than RAM", and the file is as long as the map from the
		// start, with holes.
		flags |= C.MDB_WRITEMAP | C.MDB_MAPASYNC
	}
	// Pages are half full after random inserts, values above half a page have
	// pages of their own, and freed pages are used again only later. A map that
	// is too large costs nothing but addresses.
	mapBytes := (4*c.DataBytes + 4<<30) &^ (1<<20 - 1)
	dir := C.CString(c.Dir)
	defer C.free(unsafe.Pointer(dir))
	db := &lmdbDB{}
	if c.MemoryBytes < c.DataBytes {
		// "When the DB is larger than RAM, and the system RAM is full":
		// otherwise each page that is read brings its neighbours along.
		flags |= C.MDB_NORDAHEAD
	}
	rc := C.lightning_lmdb_open(&db.env, &db.dbi, dir, C.size_t(mapBytes), flags)
	if rc != 0 {
		if db.env != nil {
			C.mdb_env_close(db.env)
		}
		return nil, lmdbError("open "+c.Dir, rc)
	}
	return db, nil
}

// Settle has nothing to do: nothing is buffered, and the tree is always in
// order.
func (db *lmdbDB) Settle(context.Context) error { return nil }

// Close syncs what MDB_MAPASYNC left to the system.
func (db *lmdbDB) Close() error {
	rc := C.mdb_env_sync(db.env, 1)
	C.mdb_env_close(db.env)
	return lmdbError("sync", rc)
}

type lmdbSession struct {
	*lmdbDB
	reader *C.reader
	flat   []byte
}

func (db *lmdbDB) Session() (Session, error) {
	s := &lmdbSession{lmdbDB: db}
	if rc := C.lightning_lmdb_reader(db.env, db.dbi, &s.reader); rc != 0 {
		if s.reader != nil {
			C.lightning_lmdb_reader_close(s.reader)
		}
		return nil, lmdbError("begin a read transaction", rc)
	}
	return s, nil
}

func (s *lmdbSession) Put(key, value []byte) error {
	return s.PutBatch([]Record{{Key: key, Value: value}})
}

func (s *lmdbSession) PutBatch(records []Record) error { return s.write(records, 0) }

func (s *lmdbSession) write(records []Record, flags C.uint) error {
	s.flat = appendFlat(s.flat[:0], records)
	s.writing.Lock()
	defer s.writing.Unlock()
	rc := C.lightning_lmdb_write(s.env, s.dbi, chars(s.flat), C.size_t(len(records)), flags)
	return lmdbError("put", rc)
}

// BulkLoad appends at the end of the tree: "fast bulk loading of keys that are already known to
// be in the correct sort order".
func (db *lmdbDB) BulkLoad(how Bulk) (Load, error) {
	if how != workload.BulkSorted {
		return nil, nil
	}
	return &lmdbLoad{lmdbSession{lmdbDB: db}}, nil
}

type lmdbLoad struct{ s lmdbSession }

func (l *lmdbLoad) Add(records []Record) error { return l.s.write(records, C.MDB_APPEND) }

func (l *lmdbLoad) Commit() error { return lmdbError("sync", C.mdb_env_sync(l.s.env, 1)) }

func (l *lmdbLoad) Close() error { return nil }

func (s *lmdbSession) Delete(key []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	rc := C.lightning_lmdb_delete(s.env, s.dbi, chars(key), C.size_t(len(key)))
	return lmdbError("delete", rc)
}

func (s *lmdbSession) DeleteRange(lo, hi []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	rc := C.lightning_lmdb_delete_range(s.env, s.dbi, chars(lo), C.size_t(len(lo)), chars(hi), C.size_t(len(hi)))
	return lmdbError("delete a range", rc)
}

func (s *lmdbSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	for {
		room := dst[len(dst):cap(dst)]
		res := C.lightning_lmdb_get(s.reader, s.dbi, chars(key), C.size_t(len(key)),
			chars(room), C.size_t(len(room)))
		if res.rc == C.MDB_NOTFOUND {
			return dst, false, nil
		}
		if res.rc != 0 {
			return dst, false, lmdbError("get", res.rc)
		}
		if size := int(res.n); size <= len(room) {
			return dst[:len(dst)+size], true, nil
		}
		// The value may be another the next time, hence the loop.
		dst = slices.Grow(dst, int(res.n))
	}
}

func (s *lmdbSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	if limit <= 0 {
		return nil
	}
	res := C.lightning_lmdb_scan(s.reader, chars(lo), C.size_t(len(lo)), C.size_t(limit))
	defer C.lightning_lmdb_end(s.reader)
	for {
		if res.rc != 0 {
			return lmdbError("scan", res.rc)
		}
		n := int(res.n)
		for i := range n {
			if err := fn(lmdbBytes(s.reader.keys[i]), lmdbBytes(s.reader.values[i])); err != nil {
				return err
			}
		}
		limit -= n
		if limit <= 0 || n < C.ROWS {
			return nil
		}
		res = C.lightning_lmdb_next(s.reader, C.size_t(limit))
	}
}

// lmdbBytes is memory of the map, valid as long as the transaction.
func lmdbBytes(v C.MDB_val) []byte {
	return unsafe.Slice((*byte)(v.mv_data), int(v.mv_size))
}

func (s *lmdbSession) Close() error {
	C.lightning_lmdb_reader_close(s.reader)
	return nil
}
