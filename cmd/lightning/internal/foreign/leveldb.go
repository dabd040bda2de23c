package foreign

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

type levelDBSource struct {
	db    *leveldb.DB
	clone string // a directory to be removed; empty: there is none
}

func openLevelDB(path string) (Source, error) {
	db, err := leveldb.OpenFile(path, &opt.Options{ReadOnly: true, ErrorIfMissing: true})
	if errors.Is(err, io.EOF) {
		// The engine cannot open two journals for reading, which a database has that was closed
		// while it was written to a lot. It can for writing: a clone.
		return openLevelDBClone(path)
	}
	if err != nil {
		return nil, err
	}
	return levelDBSource{db: db}, nil
}

// openLevelDBClone opens a second directory with the same files: tables, which are never written to,
// as links, or else copies like all others.
func openLevelDBClone(path string) (_ Source, err error) {
	clone, err := os.MkdirTemp(filepath.Dir(filepath.Clean(path)), ".lightning-import-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(clone))
		}
	}()
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		from, to := filepath.Join(path, e.Name()), filepath.Join(clone, e.Name())
		switch filepath.Ext(e.Name()) {
		case ".ldb", ".sst":
			if os.Link(from, to) == nil {
				continue
			}
		}
		if e.Type().IsRegular() && e.Name() != "LOCK" {
			if err := copyFile(from, to); err != nil {
				return nil, err
			}
		}
	}
	db, err := leveldb.OpenFile(clone, &opt.Options{ErrorIfMissing: true})
	if err != nil {
		return nil, err
	}
	return levelDBSource{db, clone}, nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read from
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// Each implements Source.
func (s levelDBSource) Each(ctx context.Context, enter func(keyspace string) error, record func(r Record) error) error {
	record = counted(ctx, record)
	if err := enter(""); err != nil {
		return err
	}
	it := s.db.NewIterator(nil, &opt.ReadOptions{DontFillCache: true})
	defer it.Release()
	for it.Next() {
		if err := record(Record{Key: it.Key(), Value: it.Value()}); err != nil {
			return err
		}
	}
	return it.Error()
}

func (s levelDBSource) Close() error {
	err := s.db.Close()
	if s.clone != "" {
		err = errors.Join(err, os.RemoveAll(s.clone))
	}
	return err
}
