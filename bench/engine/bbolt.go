package engine

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/workload"
	"go.etcd.io/bbolt"
)

func init() {
	register(Engine{
		Name:         "bbolt",
		Package:      "go.etcd.io/bbolt",
		Tuning:       "as etcd: free list as hash map and not written; memory map large from the start",
		Memory:       "not bounded: the system's page cache serves",
		Go:           true,
		Transactions: true,
		Open:         openBbolt,
	})
}

// bboltBucket holds all records. Its FillPercent stays at the default of 50 %, but for
// bulk loads: more is advised only to who appends keys in order, and the other workloads
// write in random order.
var bboltBucket = []byte("b")

// bboltDB counts its sessions: puts of several goroutines that wait for the
// device go through Batch, which puts them into one commit as the authors advise
// for that, and which would make a single one wait for company in vain.
type bboltDB struct {
	db       *bbolt.DB
	synced   bool
	sessions *atomic.Int32
}

func openBbolt(c Config) (DB, error) {
	opts := &bbolt.Options{
		// Without it every commit ends with fdatasync.
		NoSync: c.Durability == Async,
		// As etcd: to write the list of free pages with each commit costs more
		// than to find them again at the next start.
		NoFreelistSync: true,
		// As etcd: "it is faster in almost all circumstances".
		FreelistType: bbolt.FreelistMapType,
		// A map that never grows never makes a writer wait for readers. Pages
		// are half full after random inserts, and a commit copies some.
		InitialMmapSize: int(3*c.DataBytes + 1<<30),
		// "Beneficial for performance under high-concurrency read-only
		// transactions"; nobody reads the statistics.
		NoStatistics: true,
	}
	db, err := bbolt.Open(filepath.Join(c.Dir, "bbolt.db"), 0o600, opts)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bboltBucket)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bbolt: create the bucket: %w", err)
	}
	return bboltDB{db, c.Durability == Sync, new(atomic.Int32)}, nil
}

func (b bboltDB) Session() (Session, error) {
	b.sessions.Add(1)
	return bboltSession(b), nil
}

// Settle has nothing to do: nothing is buffered, and the tree is always in
// order.
func (b bboltDB) Settle(context.Context) error { return nil }

func (b bboltDB) Close() error { return b.db.Close() }

type bboltSession bboltDB

// change runs fn in a commit.
func (s bboltSession) change(fn func(*bbolt.Tx) error) error {
	if s.synced && s.sessions.Load() > 1 {
		return s.db.Batch(fn)
	}
	return s.db.Update(fn)
}

func (s bboltSession) Put(key, value []byte) error {
	return s.change(func(tx *bbolt.Tx) error { return tx.Bucket(bboltBucket).Put(key, value) })
}

func (s bboltSession) PutBatch(records []Record) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return putAll(tx.Bucket(bboltBucket), records) })
}

// BulkLoad is commits that fill the pages: "useful ... if you know that your write workloads are
// mostly append-only".
func (b bboltDB) BulkLoad(how Bulk) (Load, error) {
	if how != workload.BulkSorted {
		return nil, nil
	}
	return bboltLoad{b.db}, nil
}

type bboltLoad struct{ db *bbolt.DB }

func (l bboltLoad) Add(records []Record) error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bboltBucket)
		b.FillPercent = 1
		return putAll(b, records)
	})
}

func (l bboltLoad) Commit() error { return l.db.Sync() }

func (l bboltLoad) Close() error { return nil }

func (s bboltSession) Delete(key []byte) error {
	return s.change(func(tx *bbolt.Tx) error { return tx.Bucket(bboltBucket).Delete(key) })
}

// DeleteRange is a loop in one transaction. It seeks each key, because a cursor may
// leave one out after a delete.
func (s bboltSession) DeleteRange(lo, hi []byte) error {
	return s.change(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bboltBucket).Cursor()
		for key, _ := c.Seek(lo); key != nil && bytes.Compare(key, hi) < 0; key, _ = c.Seek(lo) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s bboltSession) AppendGet(dst, key []byte) (value []byte, found bool, err error) {
	err = s.View(func(tx Tx) error {
		value, found, err = tx.AppendGet(dst, key)
		return err
	})
	return value, found, err
}

func (s bboltSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	return s.View(func(tx Tx) error { return tx.Scan(lo, limit, fn) })
}

func (s bboltSession) Close() error {
	s.sessions.Add(-1)
	return nil
}
