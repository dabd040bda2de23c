package script

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"testing/iotest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
)

// Commits reports whether the operation, in one commit or by itself, changes rows.
func (o *Op) Commits() bool { return o.Kind <= Transact || o.Kind == DropSpace }

// Syncs reports whether its success promises that all before it is durable.
func (o *Op) Syncs() bool {
	switch o.Kind {
	case SyncLog, Reopen, DropSpace:
		return true
	}
	return o.Kind <= Transact && o.Wait == WaitFor(lightning.DurabilitySync)
}

// Check returns the error that the database must return for a write, and for the
// bounds of any other operation.
func (o *Op) Check() error {
	switch o.Kind {
	case Put, Delete, Merge, PutLong, PutGone, Decide, Get:
		if len(o.Key.Expand()) > lightning.MaxKeyBytes {
			return lightning.ErrKeyTooLarge
		}
		return nil
	case Overwrite, Fill, Sweep:
		for _, one := range o.Singles() {
			if err := one.Check(); err != nil {
				return err
			}
		}
		return nil
	}
	lo, hi := o.Key.Expand(), o.Upper.Expand()
	switch {
	case max(len(lo), len(hi)) > lightning.MaxKeyBytes:
		return lightning.ErrKeyTooLarge
	case hi != "" && lo > hi:
		return lightning.ErrInvalidRange
	}
	return nil
}

// Singles returns the writes that an operation does one after the other.
func (o *Op) Singles() []Op {
	key, value := o.Key.Expand(), o.Value.Expand()
	numbered := func(i int) Data { return Data{Text: fmt.Sprintf("%d:%s", i, value)} }
	var ops []Op
	switch o.Kind {
	case Overwrite:
		for i := range o.Count {
			ops = append(ops, Op{Kind: Put, Space: o.Space, Key: o.Key, Value: numbered(i)})
		}
	case Fill, Sweep:
		for n, i := 0, 0; i < o.Count; n, i = n+1, i+max(o.Every, 1) {
			at := func(i int) string { return fmt.Sprintf("%s%04d", key, i) }
			one := Op{Kind: Delete, Space: o.Space, Key: Data{Text: at(i)}}
			if next := at(i + max(o.Every, 1)); o.Kind == Fill {
				one.Kind, one.Value = Put, numbered(n)
			} else if o.Count%2 == 1 && one.Key.Text < next {
				one.Kind, one.Upper = DeleteRange, Data{Text: next}
			}
			ops = append(ops, one)
		}
	default:
		return []Op{*o}
	}
	if o.Shuffled {
		rng := rand.New(rand.NewPCG(uint64(len(ops)), 0)) // the same order each time
		rng.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	}
	return ops
}

// Apply returns what the operation makes of a state.
func (o *Op) Apply(s model.State) model.State {
	switch {
	case o.Kind == Batch || o.Kind == Transact:
		for i := range o.Parts {
			s = o.Parts[i].Apply(s)
		}
	case o.Kind < Batch:
		return s.With(o.Space, s.Space(o.Space).Change(o.change))
	case o.Kind == CreateSpace && !s.Exists(o.Space):
		return s.With(o.Space, model.Store{})
	case o.Kind == DropSpace:
		return s.Without(o.Space)
	}
	return s
}

// change does a write to the rows of its keyspace.
func (o *Op) change(rows map[string]string) {
	key := o.Key.Expand()
	switch o.Kind {
	case Put, PutLong:
		rows[key] = o.Value.Expand()
	case Merge:
		rows[key] += o.Value.Expand()
	case Delete, PutGone:
		delete(rows, key)
	case Decide:
		held, there := rows[key]
		if value, exists, _ := o.Decided(held, there); exists {
			rows[key] = value
		} else {
			delete(rows, key)
		}
	case DeleteRange:
		upper := o.Upper.Expand()
		maps.DeleteFunc(rows, func(k, _ string) bool { return k >= key && (upper == "" || k < upper) })
	default:
		for _, one := range o.Singles() {
			one.change(rows)
		}
	}
}

// Writer is what the database, a keyspace and a batch have in common.
type Writer interface {
	Put(key, value []byte) error
	PutWithTTL(key, value []byte, ttl time.Duration) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
}

// Write does a write that a batch can hold, and then scribbles over what it handed
// in: the database must have copies of its own.
func (o *Op) Write(to Writer) error {
	key, upper, value := o.Key.Bytes(), o.Upper.Bytes(), o.Value.Bytes()
	defer Scribble(key, upper, value)
	switch o.Kind {
	case Put:
		if s, ok := streams(to, value); ok {
			_, err := s.PutReader(context.Background(), key, iotest.HalfReader(bytes.NewReader(value)))
			return err
		}
		return to.Put(key, value)
	case PutLong:
		if s, ok := streams(to, value); ok {
			_, err := s.PutReaderWithTTL(context.Background(), key, bytes.NewReader(value), longTTL)
			return err
		}
		return to.PutWithTTL(key, value, longTTL)
	case PutGone:
		return to.PutWithTTL(key, value, time.Nanosecond)
	case Merge:
		if m, ok := to.(interface {
			Merge(key, operand []byte) error
		}); ok {
			return m.Merge(key, value)
		}
	case Decide:
		if d, ok := to.(Decider); ok {
			_, err := o.Decide(d)
			return err
		}
	case Delete:
		return to.Delete(key)
	case DeleteRange:
		return to.DeleteRange(key, upper)
	}
	return fmt.Errorf("%v is no write of a %T", o.Kind, to)
}

// longTTL is longer than all tests.
const longTTL = 1000 * time.Hour

// streamFromBytes is from where on every other value is put as a stream, where that can be.
const streamFromBytes = 4 << 10

// streamer is what the database and a keyspace have, and batches and transactions have not.
type streamer interface {
	PutReader(ctx context.Context, key []byte, r io.Reader) (int64, error)
	PutReaderWithTTL(ctx context.Context, key []byte, r io.Reader, ttl time.Duration) (int64, error)
}

func streams(to Writer, value []byte) (streamer, bool) {
	s, ok := to.(streamer)
	return s, ok && len(value) >= streamFromBytes && len(value)%2 == 0
}

// Scribble makes bytes differ from what they were.
func Scribble(all ...[]byte) {
	for _, b := range all {
		for i := range b {
			b[i] ^= 0x5a
		}
	}
}

// Possible returns the script without the operations that have no keyspace to
// work on or not the right one, or would make one that exists. Shrinking produces
// such. A Session can run the rest.
func (s Script) Possible() Script {
	var state model.State
	fits := func(o *Op) bool {
		switch o.Kind {
		case CreateSpace:
			return !state.Exists(o.Space)
		case DropSpace, Merge:
			return o.Space != "" && state.Exists(o.Space)
		case PutLong, PutGone:
			return o.Space == ""
		case Decide:
			return state.Exists(o.Space) && (o.Space == "" || !o.Touches())
		}
		return state.Exists(o.Space)
	}
	var out Script
	for _, o := range s {
		if !fits(&o) {
			continue
		}
		var parts []Op
		for _, part := range o.Parts {
			if fits(&part) {
				parts = append(parts, part)
			}
		}
		o.Parts = parts
		out = append(out, o)
		state = o.Apply(state)
	}
	return out
}
