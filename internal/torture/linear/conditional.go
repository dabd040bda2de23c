package linear

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
)

// This file has the verbs that depend on what a key holds, each a write and a read at one
// moment. Counters are a key of a family apart, which nothing else writes.

// condition is what a conditional write depends on, and how it ended.
type condition uint8

const (
	noCondition condition = iota
	wasAbsent             // PutIfAbsent: the key had no value
	wasPresent            // PutIfAbsent that did nothing, or Touch
	wasOld                // a swap, or a delete: the key had the value old
	wasNotOld             // one that did nothing
	wasLess               // Increment: the counter had the sum less delta
)

// happens reports whether a conditional write to a key that holds now can end as it did.
func (e *event) happens(now, sum int64) bool {
	switch e.condition {
	case wasAbsent:
		return now == absent
	case wasPresent:
		return now != absent
	case wasOld:
		return now == e.old
	case wasNotOld:
		return now != e.old
	}
	return now+e.delta == sum
}

// changes reports whether it leaves another value than it finds.
func (c condition) changes() bool { return c != wasPresent && c != wasNotOld }

// conditional does a conditional write to key i of the event's family.
func (c *client) conditional(e *event, i int, number int64) error {
	key := familyKey(e.family, i)
	switch c.rng.IntN(6) {
	case 0:
		e.name, e.values[i] = "put if absent", number
		e.call = c.clock.Add(1)
		ok, err := c.db.PutIfAbsent(key, encodeValue(number))
		e.condition = either(ok, wasAbsent, wasPresent)
		return c.end(e, err)
	case 1:
		return c.swap(e, i, number)
	case 2:
		return c.take(e, i)
	case 3:
		e.name = "touch"
		e.call = c.clock.Add(1)
		err := c.db.Touch(key, time.Hour)
		e.condition = either(err == nil, wasPresent, wasOld)
		e.old = absent
		return c.end(e, unlessNotFound(err))
	}
	return c.increment(e)
}

func either(is bool, yes, no condition) condition {
	if is {
		return yes
	}
	return no
}

// unlessNotFound is an error that is no answer.
func unlessNotFound(err error) error {
	if errors.Is(err, lightning.ErrNotFound) {
		return nil
	}
	return err
}

// swap exchanges or deletes the value that the key had a moment ago.
func (c *client) swap(e *event, i int, number int64) error {
	key := familyKey(e.family, i)
	old, err := decodeResult(c.db.Get(key))
	if err != nil {
		return fmt.Errorf("read what is to be swapped: %w", err)
	}
	e.old = old
	if old == absent {
		e.old = number // which nobody has written
	}
	var ok bool
	if e.call = c.clock.Add(1); c.rng.IntN(3) == 0 {
		e.name = "compare and delete"
		ok, err = c.db.CompareAndDelete(key, encodeValue(e.old))
	} else {
		e.name, e.values[i] = "compare and swap", number
		ok, err = c.db.CompareAndSwap(key, encodeValue(e.old), encodeValue(number))
	}
	e.condition = either(ok, wasOld, wasNotOld)
	return c.end(e, err)
}

// take gets and deletes.
func (c *client) take(e *event, i int) error {
	e.name, e.condition = "get and delete", wasOld
	e.call = c.clock.Add(1)
	value, err := c.db.GetAndDelete(familyKey(e.family, i))
	if err == nil {
		if e.old, err = decodeValue(value); err != nil {
			return fmt.Errorf("get and delete: %w", err)
		}
	}
	return c.end(e, unlessNotFound(err))
}

func counterKey(family int) []byte { return fmt.Appendf(nil, "f%02d/n", family) }

// increment counts up the counter of the family.
func (c *client) increment(e *event) error {
	e.name, e.condition, e.mask = "increment", wasLess, 1<<counterAt
	e.delta = c.rng.Int64N(5) + 1
	e.call = c.clock.Add(1)
	var err error
	e.values[counterAt], err = c.db.Increment(counterKey(e.family), e.delta)
	return c.end(e, err)
}

// readCounter returns the counter of a family, 0 where it was not counted up yet.
func readCounter(db *lightning.DB, family int) (int64, error) {
	value, err := db.Get(counterKey(family))
	switch {
	case errors.Is(err, lightning.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(value) != 8:
		return 0, fmt.Errorf("a counter of %d bytes was never written", len(value))
	}
	return int64(binary.LittleEndian.Uint64(value)), nil
}
