package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// lockTimeout is how long it is waited for somebody else to close a database.
const lockTimeout = time.Second

type bboltSource struct{ db *bbolt.DB }

func openBbolt(path string) (Source, error) {
	if _, err := os.Stat(path); err != nil { // or one would be made
		return nil, err
	}
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if errors.Is(err, bbolt.ErrTimeout) {
		err = errors.New("somebody else has it open")
	}
	if err != nil {
		return nil, err
	}
	return bboltSource{db}, nil
}

// Each implements Source: a bucket is a keyspace, and one inside of another has the names of both,
// with a slash between them.
func (s bboltSource) Each(ctx context.Context, enter func(keyspace string) error, record func(r Record) error) error {
	record = counted(ctx, record)
	seen := map[string]bool{}
	var walk func(path []string, b *bbolt.Bucket) error
	walk = func(path []string, b *bbolt.Bucket) error {
		name := strings.Join(path, "/")
		if seen[name] {
			return fmt.Errorf("two buckets would have the name %q", name)
		}
		seen[name] = true
		if err := enter(name); err != nil {
			return err
		}
		err := b.ForEach(func(key, value []byte) error {
			if value == nil { // a bucket
				return nil
			}
			return record(Record{Key: key, Value: value})
		})
		if err != nil {
			return err
		}
		return b.ForEachBucket(func(key []byte) error { return walk(append(path, string(key)), b.Bucket(key)) })
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return walk([]string{string(name)}, b) })
	})
}

func (s bboltSource) Close() error { return s.db.Close() }
