package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

func init() {
	register(Engine{
		Name:    "sqlite",
		Package: "modernc.org/sqlite",
		Tuning: "one table WITHOUT ROWID, write-ahead log, prepared statements, " +
			"one connection for each goroutine",
		Memory: "page caches, divided among as many connections as there are processors: " +
			"more connections take more; its own memory lies outside the Go heap",
		RangeDeletes: true,
		Open:         openSQLite,
	})
}

// sqliteDB has one connection for each session. The statements of a connection
// are its session's.
type sqliteDB struct {
	db *sql.DB
	// writing serialises the writers. SQLite lets in one at a time, and the
	// others poll with growing sleeps until busy_timeout; to queue here wakes
	// the next one at once, and none fails with SQLITE_BUSY.
	writing sync.Mutex
}

func openSQLite(c Config) (DB, error) {
	// Without syncs a commit survives the end of the process, but no power
	// cut; FULL syncs the log with every commit.
	synchronous := "OFF"
	if c.Durability == Sync {
		synchronous = "FULL"
	}
	// A cache belongs to a connection (to share one is discouraged by its
	// authors). Negative means KiB instead of pages.
	cacheKiB := max(c.MemoryBytes/int64(runtime.GOMAXPROCS(0))/1024, 1024)
	query := url.Values{"_pragma": {
		"busy_timeout(60000)", // for what the mutex does not cover: opening, checkpoints
		"journal_mode(WAL)",   // readers and the writer do not wait for each other
		"synchronous(" + synchronous + ")",
		fmt.Sprintf("cache_size(-%d)", cacheKiB),
	}}
	name := url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(c.Dir, "sqlite.db"),
		RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	// The key is the table's order: one tree, not a table and an index.
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: create the table: %w", err), db.Close())
	}
	return &sqliteDB{db: db}, nil
}

// Settle brings the log into the database file and empties it.
func (d *sqliteDB) Settle(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	var busy, logPages, donePages int64
	row := d.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	if err := row.Scan(&busy, &logPages, &donePages); err != nil {
		return err
	}
	if busy != 0 {
		return fmt.Errorf("sqlite: checkpoint: busy after %d of %d pages", donePages, logPages)
	}
	return nil
}

func (d *sqliteDB) Close() error { return d.db.Close() }

type sqliteSession struct {
	d    *sqliteDB
	conn *sql.Conn
	// Prepared once.
	begin, commit, rollback, put, del, delRange, get, scan *sql.Stmt
}

func (d *sqliteDB) Session() (Session, error) {
	ctx := context.Background()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &sqliteSession{d: d, conn: conn}
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.begin, "BEGIN IMMEDIATE"},
		{&s.commit, "COMMIT"},
		{&s.rollback, "ROLLBACK"},
		{&s.put, "INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)"},
		{&s.del, "DELETE FROM kv WHERE k = ?"},
		{&s.delRange, "DELETE FROM kv WHERE k >= ? AND k < ?"},
		{&s.get, "SELECT v FROM kv WHERE k = ?"},
		{&s.scan, "SELECT k, v FROM kv WHERE k >= ? ORDER BY k LIMIT ?"},
	} {
		if *p.stmt, err = conn.PrepareContext(ctx, p.text); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlite: prepare %q: %w", p.text, err), s.Close())
		}
	}
	return s, nil
}

func (s *sqliteSession) Put(key, value []byte) error {
	s.d.writing.Lock()
	defer s.d.writing.Unlock()
	_, err := s.put.Exec(key, value)
	return err
}

func (s *sqliteSession) PutBatch(records []Record) error {
	s.d.writing.Lock()
	defer s.d.writing.Unlock()
	if _, err := s.begin.Exec(); err != nil {
		return err
	}
	for _, r := range records {
		if _, err := s.put.Exec(r.Key, r.Value); err != nil {
			_, undone := s.rollback.Exec()
			return errors.Join(err, undone)
		}
	}
	_, err := s.commit.Exec()
	return err
}

func (s *sqliteSession) Delete(key []byte) error {
	s.d.writing.Lock()
	defer s.d.writing.Unlock()
	_, err := s.del.Exec(key)
	return err
}

func (s *sqliteSession) DeleteRange(lo, hi []byte) error {
	s.d.writing.Lock()
	defer s.d.writing.Unlock()
	_, err := s.delRange.Exec(lo, hi)
	return err
}

func (s *sqliteSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	rows, err := s.get.Query(key)
	if err != nil {
		return dst, false, err
	}
	found := rows.Next()
	if found {
		var value sql.RawBytes // not copied once more
		if err := rows.Scan(&value); err != nil {
			return dst, false, errors.Join(err, rows.Close())
		}
		dst = append(dst, value...)
	}
	return dst, found, errors.Join(rows.Err(), rows.Close())
}

func (s *sqliteSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	if lo == nil {
		lo = []byte{} // nil would be NULL, which nothing compares with
	}
	rows, err := s.scan.Query(lo, limit)
	if err != nil {
		return err
	}
	var key, value sql.RawBytes
	for rows.Next() {
		err := rows.Scan(&key, &value)
		if err == nil {
			err = fn(key, value)
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Close closes what there is: Session calls it half way too.
func (s *sqliteSession) Close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.begin, s.commit, s.rollback, s.put, s.del, s.delRange, s.get, s.scan} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(append(errs, s.conn.Close())...)
}
