package foreign

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
)

type badgerSource struct{ db *badger.DB }

func openBadger(path string) (Source, error) {
	if _, err := os.Stat(filepath.Join(path, "MANIFEST")); err != nil {
		return nil, err
	}
	db, err := badger.Open(badger.DefaultOptions(path).WithReadOnly(true).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	return badgerSource{db}, nil
}

// Each implements Source. Of each key it gives the newest version, with its expiry, and not its
// user's byte, for which there is no place.
func (s badgerSource) Each(ctx context.Context, enter func(keyspace string) error, record func(r Record) error) error {
	record = counted(ctx, record)
	if err := enter(""); err != nil {
		return err
	}
	return s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if item.UserMeta() != 0 {
				return errors.New("records have user metadata, for which there is no place")
			}
			r := Record{Key: item.Key()}
			if at := item.ExpiresAt(); at > 0 {
				r.ExpiresAt = time.Unix(int64(at), 0)
			}
			err := item.Value(func(value []byte) error {
				r.Value = value
				return record(r)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s badgerSource) Close() error { return s.db.Close() }
