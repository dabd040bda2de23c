package main

import (
	"time"

	"github.com/lightningdb/lightning"
)

// sink takes the records of an import.
type sink interface {
	Put(key, value []byte) error
	PutUntil(key, value []byte, expiresAt time.Time) error
	// enter has what follows go to another keyspace.
	enter(k *lightning.Keyspace) error
	// waits reports whether the sink is to have all records of a keyspace before commit.
	waits() bool
	commit() error
	giveUp()
}

// batchSink takes the records of one batch after the other.
type batchSink struct {
	*lightning.Batch                  // in the keyspace that records go to
	whole            *lightning.Batch // reused
}

func (s *batchSink) enter(k *lightning.Keyspace) error {
	s.Batch = s.whole.In(k)
	return nil
}

func (s *batchSink) waits() bool { return false }

func (s *batchSink) commit() error {
	err := s.whole.Commit()
	if err == nil {
		s.whole.Reset()
	}
	return err
}

func (s *batchSink) giveUp() {}

// loadSink takes all records of a keyspace at once.
type loadSink struct{ *lightning.BulkLoader }

func newLoadSink(target store) (*loadSink, error) {
	loader, err := target.BulkLoader()
	return &loadSink{loader}, err
}

// enter begins another load. The one before was committed.
func (s *loadSink) enter(k *lightning.Keyspace) error {
	s.giveUp()
	loader, err := k.BulkLoader()
	s.BulkLoader = loader
	return err
}

func (s *loadSink) waits() bool { return true }

func (s *loadSink) commit() error { return s.Commit() }

// giveUp closes the load; what Close says was said before.
func (s *loadSink) giveUp() { _ = s.Close() }
