package linear

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
)

// keptView is a snapshot or an iterator that is read later than it was made.
// What it shows is that of the moment when it was made, whenever it is read.
type keptView struct {
	event *event // the first reading, with the time of the making
	snap  *lightning.Snapshot
	it    *lightning.Iterator
	reads int
}

// giveUp closes a kept view.
func (c *client) giveUp(k *keptView) error {
	var err error
	if k.snap != nil {
		err = k.snap.Close()
	} else {
		err = k.it.Close()
	}
	if err != nil && !c.allowed(err) {
		return fmt.Errorf("close a kept %s: %w", k.event.name, err)
	}
	return nil
}

// readOnce reads one key or all of a family in one of the many ways.
func (c *client) readOnce(family int) error {
	way := c.rng.IntN(10)
	e := c.begin("", family)
	err := c.readFrom(c.db, e, way)
	return c.end(e, err)
}

// readFrom reads from v into e. Ways 0 to 5 read a single key.
func (c *client) readFrom(v script.Reader, e *event, way int) (err error) {
	i := c.rng.IntN(familyKeys)
	key := familyKey(e.family, i)
	e.mask = 1<<familyKeys - 1
	if way <= 5 {
		e.mask = 1 << i
	}
	switch way {
	case 0, 1:
		e.name = "get"
		e.values[i], err = decodeResult(v.Get(key))
	case 2:
		e.name = "append get"
		e.values[i], err = decodeResult(v.AppendGet(nil, key))
	case 3:
		e.name = "get func"
		err = v.GetFunc(key, func(value []byte) (err error) {
			e.values[i], err = decodeValue(value)
			return err
		})
		if err == lightning.ErrNotFound {
			err = nil
		}
	case 4:
		e.name = "has"
		var has bool
		if has, err = v.Has(key); has {
			e.values[i] = present
		}
	case 5:
		e.name = "seek"
		e.values[i], err = seekOne(v, key)
	case 6, 7:
		e.name = "multiget"
		e.values, err = multiGet(v, e.family)
	default:
		e.name = "scan"
		o := familyRange(e.family)
		e.values, err = scan(v, e.family, lightning.ScanOptions{IterOptions: o, Reverse: way == 8})
	}
	return err
}

func familyRange(family int) lightning.IterOptions {
	return lightning.IterOptions{Lower: familyKey(family, 0), Upper: familyKey(family, familyKeys)}
}

// seekOne looks for a key with an iterator.
func seekOne(v script.Reader, key []byte) (number int64, err error) {
	it, err := v.Iterator(lightning.IterOptions{})
	if err != nil {
		return 0, err
	}
	if it.SeekGE(key) && string(it.Key()) == string(key) {
		number, err = decodeValue(it.Value())
	}
	return number, errors.Join(err, it.Close())
}

func multiGet(v script.Reader, family int) (out values, err error) {
	keys := make([][]byte, familyKeys)
	for i := range keys {
		keys[i] = familyKey(family, i)
	}
	err = v.MultiGet(keys, func(i int, value []byte, err error) error {
		out[i], err = decodeResult(value, err)
		return err
	})
	return out, err
}

func scan(v script.Reader, family int, o lightning.ScanOptions) (out values, err error) {
	err = v.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for k, value := range rows {
			if err := out.set(family, k, value); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// set puts a row of a family in its place.
func (v *values) set(family int, key, value []byte) error {
	for i := range v {
		if string(key) != string(familyKey(family, i)) {
			continue
		}
		number, err := decodeValue(value)
		if err == nil && v[i] != absent {
			err = errors.New("the row is shown twice")
		}
		if err != nil {
			return fmt.Errorf("row %q: %w", key, err)
		}
		v[i] = number
		return nil
	}
	return fmt.Errorf("row %q is outside of the bounds", key)
}

// keepView makes a snapshot or an iterator for later.
func (c *client) keepView(family int) error {
	k := &keptView{}
	var err error
	if c.rng.IntN(2) == 0 {
		k.event = c.begin("snapshot", family)
		k.snap, err = c.db.Snapshot()
	} else {
		k.event = c.begin("iterator", family)
		k.it, err = c.db.Iterator(familyRange(family))
	}
	k.event.ret = c.clock.Add(1)
	k.event.mask = 1<<familyKeys - 1
	if err != nil {
		return c.end(k.event, err)
	}
	c.kept = append(c.kept, k)
	if len(c.kept) > 3 {
		return c.readKept()
	}
	return nil
}

// readKept reads one of the kept views, and gives it up after some readings.
func (c *client) readKept() error {
	if len(c.kept) == 0 {
		return nil
	}
	at := c.rng.IntN(len(c.kept))
	k := c.kept[at]
	if err := c.readView(k); err != nil {
		return err
	}
	if k.reads < 1+c.rng.IntN(4) && len(c.kept) < 4 {
		return nil
	}
	c.kept = slices.Delete(c.kept, at, at+1)
	return c.giveUp(k)
}

// readView reads a kept view, which must show the same every time.
func (c *client) readView(k *keptView) error {
	var again values
	var err error
	switch {
	case k.it != nil:
		again, err = walk(k.it, k.event.family, c.rng.IntN(2) == 0)
	case c.rng.IntN(2) == 0:
		again, err = multiGet(k.snap, k.event.family)
	default:
		o := lightning.ScanOptions{IterOptions: familyRange(k.event.family), Reverse: c.rng.IntN(2) == 0}
		again, err = scan(k.snap, k.event.family, o)
	}
	switch {
	case err != nil && c.allowed(err):
		c.ended = errors.Is(err, lightning.ErrClosed)
		return nil
	case err != nil:
		return fmt.Errorf("read a kept %s of family %d: %w", k.event.name, k.event.family, err)
	case k.reads > 0 && again != k.event.values:
		return fmt.Errorf("%v shows %x at reading %d", k.event, again, k.reads+1)
	}
	k.reads++
	if k.reads == 1 {
		k.event.values = again
		c.events = append(c.events, k.event)
	}
	return nil
}

func walk(it *lightning.Iterator, family int, backwards bool) (out values, err error) {
	first, next := it.First, it.Next
	if backwards {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		if err := out.set(family, it.Key(), it.Value()); err != nil {
			return out, err
		}
	}
	return out, it.Err()
}

// finishViews reads every kept view that was not read yet, so that all that was
// seen is in the history, and closes them if asked to.
func (c *client) finishViews(closeAll bool) error {
	for _, k := range c.kept {
		if k.reads == 0 || closeAll {
			if err := c.readView(k); err != nil {
				return err
			}
		}
		if closeAll {
			if err := c.giveUp(k); err != nil {
				return err
			}
		}
	}
	if closeAll {
		c.kept = nil
	}
	return nil
}
