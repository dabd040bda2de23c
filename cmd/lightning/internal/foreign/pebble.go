package foreign

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

type pebbleSource struct{ db *pebble.DB }

// silent is a logger of Pebble that says nothing.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Fatalf ends the program: the engine calls it where it cannot go on.
func (silent) Fatalf(format string, args ...any) { pebble.DefaultLogger.Fatalf(format, args...) }

func openPebble(path string) (Source, error) {
	db, err := pebble.Open(path, &pebble.Options{ReadOnly: true, ErrorIfNotExists: true, Logger: silent{}})
	if err != nil {
		return nil, err
	}
	return pebbleSource{db}, nil
}

// Each implements Source. Operands of the default operator come as what they make together.
func (s pebbleSource) Each(ctx context.Context, enter func(keyspace string) error, record func(r Record) error) (err error) {
	record = counted(ctx, record)
	if err := s.refuseRangeKeys(); err != nil {
		return err
	}
	if err := enter(""); err != nil {
		return err
	}
	it, err := s.db.NewIterWithContext(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := record(Record{Key: it.Key(), Value: value}); err != nil {
			return err
		}
	}
	return it.Error()
}

// refuseRangeKeys refuses what there is no place for.
func (s pebbleSource) refuseRangeKeys() error {
	it, err := s.db.NewIter(&pebble.IterOptions{KeyTypes: pebble.IterKeyTypeRangesOnly})
	if err != nil {
		return err
	}
	has := it.First()
	if err := it.Close(); err != nil {
		return err
	}
	if has {
		return errors.New("it has range keys, for which there is no place")
	}
	return nil
}

func (s pebbleSource) Close() error { return s.db.Close() }
