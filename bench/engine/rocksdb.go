//go:build rocksdb

package engine

/*
#cgo LDFLAGS: -lrocksdb
#cgo noescape lightning_rocksdb_write
#cgo nocallback lightning_rocksdb_write
#cgo noescape lightning_rocksdb_table_put
#cgo nocallback lightning_rocksdb_table_put
#cgo noescape lightning_rocksdb_delete
#cgo nocallback lightning_rocksdb_delete
#cgo noescape lightning_rocksdb_delete_range
#cgo nocallback lightning_rocksdb_delete_range
#cgo noescape lightning_rocksdb_get
#cgo nocallback lightning_rocksdb_get
#cgo noescape lightning_rocksdb_scan
#cgo nocallback lightning_rocksdb_scan
#cgo nocallback lightning_rocksdb_next

#include <rocksdb/c.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void lightning_rocksdb_version(char *dst, size_t room); // in rocksdb_version.cc

// A call from Go costs as much as a get in the cache. So each function does all
// of an operation.

enum { ROWS = 256, STEP_BYTES = 1 << 20 };

// A session has its batch, to use it again, and the rows of the last step of a
// scan: copies, since an iterator shows one row at a time.
typedef struct {
	rocksdb_t *db;
	rocksdb_writeoptions_t *write;
	rocksdb_readoptions_t *read;
	rocksdb_writebatch_t *batch;
	rocksdb_iterator_t *it; // not NULL if the scan may go on
	char *rows;             // laid out as appendFlat does it
	size_t size, room;
} session;

typedef struct {
	char *err; // to be freed
	size_t n;  // bytes of the value, or rows
	int found;
} rocks_result;

static session *lightning_rocksdb_session(rocksdb_t *db, int sync) {
	session *s = calloc(1, sizeof *s);
	if (!s)
		abort();
	s->db = db;
	s->write = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(s->write, sync);
	s->read = rocksdb_readoptions_create();
	s->batch = rocksdb_writebatch_create();
	return s;
}

static void lightning_rocksdb_end(session *s) {
	if (s->it)
		rocksdb_iter_destroy(s->it);
	s->it = NULL;
}

static void lightning_rocksdb_session_close(session *s) {
	lightning_rocksdb_end(s);
	rocksdb_writebatch_destroy(s->batch);
	rocksdb_readoptions_destroy(s->read);
	rocksdb_writeoptions_destroy(s->write);
	free(s->rows);
	free(s);
}

// lightning_rocksdb_write stores n records, laid out as appendFlat does it.
static char *lightning_rocksdb_write(session *s, const char *flat, size_t n) {
	rocksdb_writebatch_clear(s->batch);
	for (; n > 0; n--) {
		uint32_t sizes[2];
		memcpy(sizes, flat, sizeof sizes);
		const char *key = flat + sizeof sizes, *value = key + sizes[0];
		rocksdb_writebatch_put(s->batch, key, sizes[0], value, sizes[1]);
		flat = value + sizes[1];
	}
	char *err = NULL;
	rocksdb_write(s->db, s->write, s->batch, &err);
	return err;
}

// lightning_rocksdb_table_put appends n records, laid out as appendFlat does it, to a table.
static char *lightning_rocksdb_table_put(rocksdb_sstfilewriter_t *w, const char *flat, size_t n) {
	char *err = NULL;
	for (; n > 0 && !err; n--) {
		uint32_t sizes[2];
		memcpy(sizes, flat, sizeof sizes);
		const char *key = flat + sizeof sizes, *value = key + sizes[0];
		rocksdb_sstfilewriter_put(w, key, sizes[0], value, sizes[1], &err);
		flat = value + sizes[1];
	}
	return err;
}

static char *lightning_rocksdb_ingest(rocksdb_t *db, const char *path) {
	rocksdb_ingestexternalfileoptions_t *o = rocksdb_ingestexternalfileoptions_create();
	rocksdb_ingestexternalfileoptions_set_move_files(o, 1); // linked, not copied
	char *err = NULL;
	rocksdb_ingest_external_file(db, &path, 1, o, &err);
	rocksdb_ingestexternalfileoptions_destroy(o);
	return err;
}

static char *lightning_rocksdb_delete(session *s, const char *key, size_t key_size) {
	char *err = NULL;
	rocksdb_delete(s->db, s->write, key, key_size, &err);
	return err;
}

static char *lightning_rocksdb_delete_range(
		session *s, const char *lo, size_t lo_size, const char *hi, size_t hi_size) {
	rocksdb_writebatch_clear(s->batch);
	rocksdb_writebatch_delete_range(s->batch, lo, lo_size, hi, hi_size);
	char *err = NULL;
	rocksdb_write(s->db, s->write, s->batch, &err);
	return err;
}

// lightning_rocksdb_get copies the value if it fits into the room.
static rocks_result lightning_rocksdb_get(
		session *s, const char *key, size_t key_size, char *dst, size_t room) {
	rocks_result res = {NULL, 0, 0};
	rocksdb_pinnableslice_t *pinned =
		rocksdb_get_pinned(s->db, s->read, key, key_size, &res.err);
	if (!pinned)
		return res;
	const char *value = rocksdb_pinnableslice_value(pinned, &res.n);
	res.found = 1;
	if (res.n > 0 && res.n <= room)
		memcpy(dst, value, res.n);
	rocksdb_pinnableslice_destroy(pinned);
	return res;
}

static void add_row(session *s) {
	size_t key_size, value_size;
	const char *key = rocksdb_iter_key(s->it, &key_size);
	const char *value = rocksdb_iter_value(s->it, &value_size);
	uint32_t sizes[2] = {(uint32_t)key_size, (uint32_t)value_size};
	size_t need = s->size + sizeof sizes + key_size + value_size;
	if (need > s->room) {
		s->room = 2 * need;
		s->rows = realloc(s->rows, s->room);
		if (!s->rows)
			abort();
	}
	char *dst = s->rows + s->size;
	memcpy(dst, sizes, sizeof sizes);
	memcpy(dst + sizeof sizes, key, key_size);
	memcpy(dst + sizeof sizes + key_size, value, value_size);
	s->size = need;
}

// lightning_rocksdb_next gets the next rows, at most limit, which is not 0. The
// iterator is gone if these were the last.
static rocks_result lightning_rocksdb_next(session *s, size_t limit) {
	rocks_result res = {NULL, 0, 0};
	s->size = 0;
	while (rocksdb_iter_valid(s->it)) {
		add_row(s);
		if (++res.n == limit)
			break;
		rocksdb_iter_next(s->it);
		if (res.n == ROWS || s->size >= STEP_BYTES)
			return res;
	}
	rocksdb_iter_get_error(s->it, &res.err);
	lightning_rocksdb_end(s);
	return res;
}

static rocks_result lightning_rocksdb_scan(
		session *s, const char *lo, size_t lo_size, size_t limit) {
	s->it = rocksdb_create_iterator(s->db, s->read);
	if (lo_size)
		rocksdb_iter_seek(s->it, lo, lo_size);
	else
		rocksdb_iter_seek_to_first(s->it);
	return lightning_rocksdb_next(s, limit);
}
*/
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"unsafe"

	"github.com/lightningdb/lightning/internal/workload"
)

func init() {
	register(Engine{
		Name:    "rocksdb",
		Package: "librocksdb",
		Version: rocksdbVersion,
		Tuning: "as its tuning guide: dynamic level sizes, 16 KiB blocks, Bloom filters, " +
			"all cores; no compression; one call of C for each operation",
		Memory: "all of it: four write buffers and the block cache, which holds filters and " +
			"indexes too",
		RangeDeletes: true,
		Tables:       true,
		Compresses:   true,
		Open:         openRocksDB,
	})
}

func rocksdbVersion() string {
	version := make([]byte, 32)
	C.lightning_rocksdb_version(chars(version), C.size_t(len(version)))
	return C.GoString(chars(version))
}

// rocksError takes over a message of RocksDB; nil is none.
func rocksError(doing string, message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.rocksdb_free(unsafe.Pointer(message))
	return fmt.Errorf("rocksdb: %s: %s", doing, C.GoString(message))
}

const rocksWriteBuffers = 4

type rocksDB struct {
	db   *C.rocksdb_t
	opts *C.rocksdb_options_t // also for tables that are written apart
	dir  string
	sync C.int
}

func openRocksDB(c Config) (DB, error) {
	// 64 MiB is the default, as long as all buffers together take no more than
	// a quarter of the memory; the cache has the rest.
	bufferBytes := min(64<<20, max(c.MemoryBytes/(4*rocksWriteBuffers), 1<<20))
	opts := C.rocksdb_options_create()
	C.rocksdb_options_set_create_if_missing(opts, 1)
	// Flushes and compactions may use all cores.
	C.rocksdb_options_increase_parallelism(opts, C.int(max(runtime.GOMAXPROCS(0), 2)))
	C.rocksdb_options_set_write_buffer_size(opts, C.size_t(bufferBytes))
	// Writers go on while up to three are being flushed.
	C.rocksdb_options_set_max_write_buffer_number(opts, rocksWriteBuffers)
	// The records do not compress; for all engines it is off. Where they do, zstd is what the
	// guide has for the last levels, here on all.
	codec := C.rocksdb_no_compression
	if c.Small {
		codec = C.rocksdb_zstd_compression
	}
	C.rocksdb_options_set_compression(opts, C.int(codec))
	// The guide's "good starting point": less space is wasted in upper levels,
	// and writes reach the device steadily instead of all at once.
	C.rocksdb_options_set_level_compaction_dynamic_level_bytes(opts, 1)
	C.rocksdb_options_set_bytes_per_sync(opts, 1<<20)
	setRocksTables(opts, max(c.MemoryBytes-rocksWriteBuffers*bufferBytes, 1<<20))

	dir := C.CString(c.Dir)
	defer C.free(unsafe.Pointer(dir))
	var message *C.char
	r := &rocksDB{db: C.rocksdb_open(opts, dir, &message), opts: opts, dir: c.Dir}
	if err := rocksError("open "+c.Dir, message); err != nil {
		C.rocksdb_options_destroy(opts)
		return nil, err
	}
	if c.Durability == Sync {
		r.sync = 1
	}
	return r, nil
}

// setRocksTables follows the guide's "good starting point" for tables too.
func setRocksTables(opts *C.rocksdb_options_t, cacheBytes int64) {
	table := C.rocksdb_block_based_options_create()
	defer C.rocksdb_block_based_options_destroy(table)
	cache := C.rocksdb_cache_create_lru(C.size_t(cacheBytes))
	defer C.rocksdb_cache_destroy(cache) // the options keep it
	C.rocksdb_block_based_options_set_block_cache(table, cache)
	C.rocksdb_block_based_options_set_block_size(table, 16<<10)
	// Filters of the whole table, not of single blocks; the options own it.
	C.rocksdb_block_based_options_set_filter_policy(table,
		C.rocksdb_filterpolicy_create_bloom_full(10))
	// So that filters and indexes keep to the bound of the cache, and those
	// that each get needs stay in it.
	C.rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1)
	C.rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1)
	C.rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1)
	// The newest of the oldest library that is supported here.
	C.rocksdb_block_based_options_set_format_version(table, 5)
	C.rocksdb_options_set_block_based_table_factory(opts, table)
}

func (r *rocksDB) Settle(context.Context) error {
	opts := C.rocksdb_flushoptions_create()
	defer C.rocksdb_flushoptions_destroy(opts)
	C.rocksdb_flushoptions_set_wait(opts, 1)
	var message *C.char
	C.rocksdb_flush(r.db, opts, &message)
	if err := rocksError("flush", message); err != nil {
		return err
	}
	C.rocksdb_compact_range(r.db, nil, 0, nil, 0)
	return nil
}

func (r *rocksDB) Close() error {
	C.rocksdb_close(r.db)
	C.rocksdb_options_destroy(r.opts)
	return nil
}

// BulkLoad writes tables for IngestExternalFile, which links them into the database. For what is
// not sorted there is nothing but options of the whole database.
func (r *rocksDB) BulkLoad(how Bulk) (Load, error) {
	if how == workload.BulkUnsorted {
		return nil, nil
	}
	dir := r.dir + ".tables"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	env := C.rocksdb_envoptions_create()
	return &rocksTables{db: r, dir: dir, env: env, w: C.rocksdb_sstfilewriter_create(env, r.opts)}, nil
}

// rocksTables writes one table after the other, each as large as files of the last levels are by
// default.
type rocksTables struct {
	db    *rocksDB
	dir   string
	env   *C.rocksdb_envoptions_t
	w     *C.rocksdb_sstfilewriter_t
	paths []string
	bytes int64 // of the records in the open table; 0: there is none
	flat  []byte
}

const rocksTableBytes = 64 << 20

func (t *rocksTables) Add(records []Record) error {
	if t.bytes == 0 {
		path := filepath.Join(t.dir, fmt.Sprintf("%06d.sst", len(t.paths)))
		t.paths = append(t.paths, path)
		name := C.CString(path)
		defer C.free(unsafe.Pointer(name))
		var message *C.char
		C.rocksdb_sstfilewriter_open(t.w, name, &message)
		if err := rocksError("open a table", message); err != nil {
			return err
		}
	}
	t.flat = appendFlat(t.flat[:0], records)
	t.bytes += int64(len(t.flat))
	message := C.lightning_rocksdb_table_put(t.w, chars(t.flat), C.size_t(len(records)))
	if err := rocksError("put into a table", message); err != nil || t.bytes < rocksTableBytes {
		return err
	}
	return t.end()
}

// end finishes the table, which syncs it.
func (t *rocksTables) end() error {
	if t.bytes == 0 {
		return nil
	}
	t.bytes = 0
	var message *C.char
	C.rocksdb_sstfilewriter_finish(t.w, &message)
	return rocksError("finish a table", message)
}

func (t *rocksTables) Commit() error {
	if err := t.end(); err != nil {
		return err
	}
	for _, path := range t.paths {
		name := C.CString(path)
		message := C.lightning_rocksdb_ingest(t.db.db, name)
		C.free(unsafe.Pointer(name))
		if err := rocksError("ingest", message); err != nil {
			return err
		}
	}
	return nil
}

func (t *rocksTables) Close() error {
	C.rocksdb_sstfilewriter_destroy(t.w)
	C.rocksdb_envoptions_destroy(t.env)
	return os.RemoveAll(t.dir)
}

type rocksSession struct {
	c    *C.session
	flat []byte
}

func (r *rocksDB) Session() (Session, error) {
	return &rocksSession{c: C.lightning_rocksdb_session(r.db, r.sync)}, nil
}

func (s *rocksSession) Put(key, value []byte) error {
	return s.PutBatch([]Record{{Key: key, Value: value}})
}

func (s *rocksSession) PutBatch(records []Record) error {
	s.flat = appendFlat(s.flat[:0], records)
	message := C.lightning_rocksdb_write(s.c, chars(s.flat), C.size_t(len(records)))
	return rocksError("put", message)
}

func (s *rocksSession) Delete(key []byte) error {
	return rocksError("delete", C.lightning_rocksdb_delete(s.c, chars(key), C.size_t(len(key))))
}

func (s *rocksSession) DeleteRange(lo, hi []byte) error {
	message := C.lightning_rocksdb_delete_range(s.c, chars(lo), C.size_t(len(lo)), chars(hi), C.size_t(len(hi)))
	return rocksError("delete a range", message)
}

func (s *rocksSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	for {
		room := dst[len(dst):cap(dst)]
		res := C.lightning_rocksdb_get(s.c, chars(key), C.size_t(len(key)),
			chars(room), C.size_t(len(room)))
		if err := rocksError("get", res.err); err != nil || res.found == 0 {
			return dst, false, err
		}
		if size := int(res.n); size <= len(room) {
			return dst[:len(dst)+size], true, nil
		}
		// The value may be another the next time, hence the loop.
		dst = slices.Grow(dst, int(res.n))
	}
}

func (s *rocksSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	if limit <= 0 {
		return nil
	}
	defer func() {
		if s.c.it != nil { // fn ended it early
			C.lightning_rocksdb_end(s.c)
		}
	}()
	res := C.lightning_rocksdb_scan(s.c, chars(lo), C.size_t(len(lo)), C.size_t(limit))
	for {
		rows := unsafe.Slice((*byte)(unsafe.Pointer(s.c.rows)), int(s.c.size))
		for range int(res.n) {
			keyEnd := 8 + int(binary.NativeEndian.Uint32(rows))
			end := keyEnd + int(binary.NativeEndian.Uint32(rows[4:]))
			if err := fn(rows[8:keyEnd:keyEnd], rows[keyEnd:end:end]); err != nil {
				return errors.Join(err, rocksError("scan", res.err))
			}
			rows = rows[end:]
		}
		if err := rocksError("scan", res.err); err != nil {
			return err
		}
		if limit -= int(res.n); s.c.it == nil {
			return nil
		}
		res = C.lightning_rocksdb_next(s.c, C.size_t(limit))
	}
}

func (s *rocksSession) Close() error {
	C.lightning_rocksdb_session_close(s.c)
	return nil
}
