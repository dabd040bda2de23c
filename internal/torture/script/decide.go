package script

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
)

// This file has what a Decide does: a write that depends on what its key holds.

// Verb is the way of a Decide; it is the Every of the operation.
type Verb int

// The verbs. Of the keyspaces that have a merge operator the last two have nothing.
const (
	PutIfAbsent Verb = iota
	CompareAndSwap
	CompareAndDelete
	GetAndDelete
	Increment
	TouchLong // lives after all tests
	TouchGone // has expired when the operation is done
	Verbs
)

// declined is the answer of a Decide that writes nothing, done that of one that does.
const (
	declined = "declined"
	done     = "done"
)

func (o *Op) verb() Verb { return Verb(o.Every) }

// Touches reports whether the operation changes when a key expires.
func (o *Op) Touches() bool { return o.Kind == Decide && o.verb() >= TouchLong }

// Decided returns what a Decide leaves of a key that has a value, or none, and what it
// answers.
func (o *Op) Decided(held string, there bool) (value string, exists bool, answer string) {
	switch o.verb() {
	case PutIfAbsent:
		if !there {
			return o.Value.Expand(), true, done
		}
	case CompareAndSwap:
		if there && !o.Fail {
			return o.Value.Expand(), true, done
		}
	case CompareAndDelete:
		if there && !o.Fail {
			return "", false, done
		}
	case GetAndDelete:
		if there {
			return "", false, "took " + held
		}
	case Increment:
		var sum uint64
		if there && len(held) != 8 {
			break
		}
		if there {
			sum = binary.LittleEndian.Uint64([]byte(held))
		}
		sum += uint64(o.Count)
		return string(binary.LittleEndian.AppendUint64(nil, sum)), true, fmt.Sprint("sum ", int64(sum))
	case TouchLong:
		if there {
			return held, true, done
		}
	case TouchGone:
		if there {
			return "", false, done
		}
	}
	return held, there, declined
}

// Decider is what the database and a keyspace have in common.
type Decider interface {
	Get(key []byte) ([]byte, error)
	PutIfAbsent(key, value []byte) (bool, error)
	CompareAndSwap(key, old, new []byte) (bool, error)
	CompareAndDelete(key, old []byte) (bool, error)
	GetAndDelete(key []byte) ([]byte, error)
	Increment(key []byte, delta int64) (int64, error)
	Touch(key []byte, ttl time.Duration) error
}

// Decide does a Decide and returns what the database answers. It compares with the value
// that is there or, if the operation is to fail, with another one.
func (o *Op) Decide(on Decider) (answer string, err error) {
	key, value := o.Key.Bytes(), o.Value.Bytes()
	var old []byte
	if o.verb() == CompareAndSwap || o.verb() == CompareAndDelete {
		if old, err = on.Get(key); err != nil && !errors.Is(err, lightning.ErrNotFound) {
			return "", err
		}
		if o.Fail {
			old = append(old, '?')
		}
	}
	defer Scribble(key, value, old)
	ok := true
	switch o.verb() {
	case PutIfAbsent:
		ok, err = on.PutIfAbsent(key, value)
	case CompareAndSwap:
		ok, err = on.CompareAndSwap(key, old, value)
	case CompareAndDelete:
		ok, err = on.CompareAndDelete(key, old)
	case GetAndDelete:
		taken, err := on.GetAndDelete(key)
		return answerOf("took "+string(taken), err)
	case Increment:
		sum, err := on.Increment(key, int64(o.Count))
		return answerOf(fmt.Sprint("sum ", sum), err)
	case TouchLong:
		err = on.Touch(key, 1000*time.Hour)
	case TouchGone:
		err = on.Touch(key, time.Nanosecond)
	default:
		return "", fmt.Errorf("%d is no verb", o.Every)
	}
	if !ok && err == nil {
		return declined, nil
	}
	return answerOf(done, err)
}

// answerOf is what a verb answers that returns an error for what it declines.
func answerOf(text string, err error) (string, error) {
	if errors.Is(err, lightning.ErrNotFound) || errors.Is(err, lightning.ErrNotInteger) {
		return declined, nil
	}
	return text, err
}
