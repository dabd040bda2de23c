package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// A queue is a keyspace with a record for each message, its payload beside it, and one
// key in one of four indexes that says where it stands. docs/format/queue.md has the
// bytes.
//
// Invariant: who changes where a message stands has read its record in the same
// transaction and writes it. So two of them are in conflict, and the indexes, which are
// written without being read, agree with the records.
const (
	keyRecord  = 1 // (1, id)
	keyReady   = 2 // (2, descending priority, id)
	keyDelayed = 3 // (3, time, id)
	keyLeased  = 4 // (4, time, id)
	keyDead    = 5 // (5, id)
	keyPayload = 6 // (6, id)
)

// ID is the name of a message: a UUID of version 7, so IDs sort as the messages came.
type ID = keyenc.UUID

// record says where a message stands.
type record struct {
	place    int       // keyReady, keyDelayed, keyLeased or keyDead
	priority int64     // the greater, the sooner
	due      time.Time // when it is ready again; only delayed or leased
	claims   int64     // how often it was claimed: tells one lease from the next
	failures int64     // how often that came to nothing, since Enqueue or Revive
	reason   string    // why it did the last time
}

// key encodes a key. All elements have encodings.
func key(elems ...any) []byte {
	k, _ := keyenc.Append(nil, elems...)
	return k
}

// index returns the key that says where the message stands.
func (r *record) index(id ID) []byte {
	switch r.place {
	case keyReady:
		return key(keyReady, keyenc.Desc(r.priority), id)
	case keyDead:
		return key(keyDead, id)
	}
	return key(r.place, r.due, id)
}

const recordVersion = 1

func (r *record) encode() []byte {
	b, _ := keyenc.Append([]byte{recordVersion}, r.place, r.priority, r.due, r.claims, r.failures, r.reason)
	return b
}

// errRecord says that stored bytes are not what a writer makes.
var errRecord = fmt.Errorf("malformed record of a message: %w", lightning.ErrCorrupted)

func decodeRecord(data []byte) (*record, error) {
	if len(data) == 0 {
		return nil, errRecord
	}
	if data[0] != recordVersion {
		return nil, fmt.Errorf("version %d of a message's record is not known, %d is", data[0], recordVersion)
	}
	d := keyenc.NewDecoder(data[1:])
	place, err0 := d.Int64()
	priority, err1 := d.Int64()
	due, err2 := d.Time()
	claims, err3 := d.Int64()
	failures, err4 := d.Int64()
	reason, err5 := d.String()
	if err := errors.Join(err0, err1, err2, err3, err4, err5, d.End()); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if place < keyReady || place > keyDead || claims < 0 || failures < 0 {
		return nil, errRecord
	}
	return &record{int(place), priority, due, claims, failures, reason}, nil
}

// decodeIndex returns the message of a key of an index, and the time in it, if any.
func decodeIndex(k []byte) (id ID, due time.Time, err error) {
	d := keyenc.NewDecoder(k)
	place, err := d.Int64()
	if err == nil {
		switch place {
		case keyReady:
			_, err = d.Desc().Int64()
		case keyDelayed, keyLeased:
			due, err = d.Time()
		case keyDead:
		default:
			err = fmt.Errorf("%d is no index", place)
		}
	}
	if err == nil {
		id, err = d.UUID()
	}
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return ID{}, time.Time{}, fmt.Errorf("%w: key %s: %w", errRecord, keyenc.Format(k), err)
	}
	return id, due, nil
}
