package metamorph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
)

// errStop is how a function that is called with rows asks for no more.
var errStop = errors.New(noteStopped)

// keptValue is a value that Get returned: it belongs to the caller and must not
// change.
type keptValue struct {
	value []byte
	want  string
}

const maxKept = 8

// keep remembers a value that Get returned, and lets an older one go: looks at
// it for a last time and overwrites it, which nobody may notice.
func (w *world) keep(value []byte) error {
	w.kept = append(w.kept, keptValue{value, string(value)})
	if len(w.kept) <= maxKept {
		return nil
	}
	oldest := w.kept[0]
	w.kept = slices.Delete(w.kept, 0, 1)
	if string(oldest.value) != oldest.want {
		return fmt.Errorf("a value that Get returned has changed from %q to %q", oldest.want, oldest.value)
	}
	script.Scribble(oldest.value)
	return nil
}

// source returns what to read from, or nil if it does not exist.
func (w *world) source(op *script.Op) script.Reader {
	k := w.spaces[op.Space]
	if op.Snapshot == 0 {
		switch {
		case k != nil:
			return k
		case op.Space == "":
			return w.db
		}
		return nil
	}
	s := w.snapshots[op.Snapshot]
	if s == nil {
		return nil
	}
	if op.Space == "" {
		return s.handle
	}
	if past := s.spaces[op.Space]; past != nil {
		k = past
	}
	if k == nil {
		return nil
	}
	return s.handle.In(k)
}

func (w *world) read(op *script.Op, j *judge) error {
	from := w.source(op)
	if from == nil {
		return nil
	}
	switch op.Kind {
	case script.Get:
		return w.get(from, op, j)
	case script.MultiGet:
		return multiGetFrom(from, op, j)
	case script.Scan:
		return scan(from, op, j)
	}
	it, err := from.Iterator(bounds(op))
	if err != nil {
		return j.err(err)
	}
	if err := w.closeIterator(op.Slot); err != nil {
		return err
	}
	w.iterators[op.Slot] = it
	return nil
}

func bounds(op *script.Op) lightning.IterOptions {
	return lightning.IterOptions{Lower: op.Key.Bytes(), Upper: op.Upper.Bytes(), Prefix: op.Prefix.Bytes()}
}

// get looks a key up in four ways, which must agree.
func (w *world) get(from script.Reader, op *script.Op, j *judge) error {
	key := op.Key.Bytes()
	value, err := from.Get(key)
	if err != nil {
		if bad := j.err(err); bad != nil {
			return bad
		}
	} else if bad := j.row(key, value); bad != nil {
		return bad
	}
	text, _ := noteFor(err) // each way wraps the error anew
	same := func(other error) bool {
		otherText, _ := noteFor(other)
		return otherText == text && (other == nil) == (err == nil)
	}

	const before = "before"
	w.buffer = append(w.buffer[:0], before...)
	appended, otherErr := from.AppendGet(w.buffer, key)
	if !same(otherErr) || string(appended) != before+string(value) {
		return fmt.Errorf("AppendGet says %.60q, %v; Get said %.60q, %v", appended, otherErr, value, err)
	}
	w.buffer = appended

	called := false
	otherErr = from.GetFunc(key, func(other []byte) error {
		called = true
		if !bytes.Equal(value, other) {
			return fmt.Errorf("GetFunc says %.60q, Get said %.60q", other, value)
		}
		return errStop
	})
	if called != (err == nil) || called && otherErr != errStop || !called && !same(otherErr) {
		return fmt.Errorf("GetFunc: %v; Get: %v", otherErr, err)
	}

	streamed, otherErr := script.ReadStream(from, key)
	if !same(otherErr) || streamed != string(value) {
		return fmt.Errorf("the reader yields %.60q, %v; Get said %.60q, %v", streamed, otherErr, value, err)
	}

	has, otherErr := from.Has(key)
	if has != (err == nil) || otherErr != nil && !same(otherErr) {
		return fmt.Errorf("Has says %v, %v; Get: %v", has, otherErr, err)
	}
	if err != nil {
		return nil
	}
	return w.keep(value)
}

func multiGetFrom(from script.Reader, op *script.Op, j *judge) error {
	keys := make([][]byte, len(op.Parts))
	for i := range op.Parts {
		keys[i] = op.Parts[i].Key.Bytes()
	}
	var bad error
	calls := 0
	seen := make([]bool, len(keys))
	err := from.MultiGet(keys, func(i int, value []byte, err error) error {
		if calls++; i < 0 || i >= len(keys) || seen[i] {
			bad = fmt.Errorf("MultiGet calls with key %d of %d, twice or out of range", i, len(keys))
			return bad
		}
		seen[i] = true
		text := ""
		if err != nil {
			if text, bad = noteFor(err); bad != nil {
				return bad
			}
		}
		if bad = j.line(keys[i], value, text); bad != nil {
			return bad
		}
		if op.Fail && calls >= op.Count {
			return errStop
		}
		return nil
	})
	return ended(op, j, bad, err)
}

// ended says what is wrong with the end of a call that was given a function: bad
// if the function found something wrong, else err as the call returned it.
func ended(op *script.Op, j *judge, bad, err error) error {
	switch {
	case bad != nil:
		return bad
	case err == errStop && op.Fail:
		return j.line(nil, nil, noteStopped)
	}
	return j.err(err)
}

func scan(from script.Reader, op *script.Op, j *judge) error {
	var bad error
	o := lightning.ScanOptions{IterOptions: bounds(op), Reverse: op.Reverse}
	err := from.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		var first []byte
		n := 0
		for key, value := range rows {
			if n++; n == 1 {
				first = bytes.Clone(key)
			}
			if bad = j.row(key, value); bad != nil {
				return bad
			}
			if n == op.Count {
				break
			}
		}
		for key := range rows { // they can be had more than once
			if n == 0 || !bytes.Equal(key, first) {
				bad = fmt.Errorf("the second time a scan begins with %q, the first time with %q", key, first)
			}
			break
		}
		if bad == nil && op.Fail {
			return errStop
		}
		return bad
	})
	return ended(op, j, bad, err)
}

func (w *world) takeSnapshot(op *script.Op, j *judge) error {
	if err := w.closeSnapshot(op.Slot); err != nil {
		return err
	}
	handle, err := w.db.Snapshot()
	if err != nil {
		return err
	}
	j.say("snapshot at %d; ", handle.Seq())
	w.snapshots[op.Slot] = &snapshot{handle, maps.Clone(w.spaces)}
	return nil
}

// move moves an iterator about.
func (w *world) move(op *script.Op, j *judge) error {
	it := w.iterators[op.Slot]
	if it == nil {
		return nil
	}
	for i := range op.Parts {
		move := &op.Parts[i]
		ok, err := moveOne(it, move)
		if err != nil {
			return fmt.Errorf("move %d, %v: %w", i+1, move, err)
		}
		if ok != it.Valid() || it.Err() != nil {
			return fmt.Errorf("%v returns %v, Valid %v, Err %v", move, ok, it.Valid(), it.Err())
		}
		if ok {
			err = j.row(it.Key(), it.Value())
		} else if err = j.line(it.Key(), it.Value(), noteEnd); it.Key() != nil || it.Value() != nil {
			err = fmt.Errorf("an iterator at no row shows %q=%q", it.Key(), it.Value())
		}
		if err != nil {
			return fmt.Errorf("move %d, %v: %w", i+1, move, err)
		}
	}
	return nil
}

func moveOne(it *lightning.Iterator, move *script.Op) (ok bool, err error) {
	switch move.Kind {
	case script.First:
		return it.First(), nil
	case script.Last:
		return it.Last(), nil
	case script.Next:
		return it.Next(), nil
	case script.Prev:
		return it.Prev(), nil
	case script.SeekGE:
		return it.SeekGE(move.Key.Bytes()), nil
	case script.SeekLT:
		return it.SeekLT(move.Key.Bytes()), nil
	}
	return false, errors.New("it is no move")
}

// verify shows all rows of all keyspaces, upwards and downwards.
func (w *world) verify(j *judge) error {
	names := slices.Sorted(maps.Keys(w.spaces))
	if have := w.db.Keyspaces(); !slices.Equal(have, names) {
		return fmt.Errorf("the keyspaces are %q, expected %q", have, names)
	}
	for _, name := range append([]string{""}, names...) {
		if err := j.line(nil, nil, "keyspace "+name); err != nil {
			return err
		}
		for _, reverse := range []bool{false, true} {
			op := script.Op{Kind: script.Scan, Space: name, Reverse: reverse}
			if err := scan(w.source(&op), &op, j); err != nil {
				return fmt.Errorf("keyspace %q, reverse %v: %w", name, reverse, err)
			}
			if err := verifyKeys(w.source(&op), reverse); err != nil {
				return fmt.Errorf("keyspace %q, reverse %v: %w", name, reverse, err)
			}
		}
	}
	return nil
}

// verifyKeys compares the rows of a keyspace with its keys alone, and with their number.
func verifyKeys(source script.Reader, reverse bool) error {
	o := lightning.ScanOptions{Reverse: reverse}
	var keys []string
	err := source.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for key := range rows {
			keys = append(keys, string(key))
		}
		return nil
	})
	if err != nil {
		return err
	}
	o.KeysOnly = true
	left := keys
	err = source.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for key, value := range rows {
			if len(left) == 0 || left[0] != string(key) || value != nil {
				return fmt.Errorf("keys alone are %q=%q, the next row of %d left is another", key, value, len(left))
			}
			left = left[1:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%d of %d keys are not shown alone", len(left), len(keys))
	}
	n, err := source.Count(context.Background(), nil, nil)
	if err == nil && n != int64(len(keys)) {
		err = fmt.Errorf("%d rows are counted as %d", len(keys), n)
	}
	return err
}
