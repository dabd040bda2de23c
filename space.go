package lightning

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/loan"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
)

// space is a keyspace as the verbs of DB, Keyspace and Snapshot see it: the
// part of the engine's keys that begin with prefix. It translates between the
// user's keys and the engine's, and checks the limits.
type space struct {
	engine     *engine.DB
	info       *keyspace.Info // nil for the default keyspace
	prefix     []byte
	end        []byte // of the keys with the prefix
	durability commit.Durability
	lender     *loan.Lender    // nil: memory is lent as it is
	ctx        context.Context // ends the waiting of its verbs; nil: nothing does
	// refusal is what every use fails with, nil if none has to: the keyspace
	// belongs to another database than the one it was asked for in, or is nil.
	refusal error
}

// orNone returns s or, where it is nil, as in the zero Tx or Batch, a space of no
// database.
func (s *space) orNone() *space {
	if s == nil {
		return &space{}
	}
	return s
}

// in returns the space of keyspace k for use with the database of s.
func (s *space) in(k *Keyspace) space {
	out := space{refusal: errNilKeyspace}
	if k != nil {
		out = k.space
		if out.engine != s.engine {
			out.refusal = ErrForeignKeyspace
		}
	}
	out.engine, out.durability, out.lender, out.ctx = s.engine, s.durability, s.lender, s.ctx
	return out
}

// usable says why the keyspace cannot be used, if it cannot. The engine is asked
// whether it is closed; a database that was never opened has none.
func (s *space) usable() error {
	switch {
	case s.engine == nil:
		return ErrClosed
	case s.refusal != nil:
		return s.refusal
	case s.info != nil && s.info.Dropped():
		return ErrKeyspaceDropped
	case s.ctx != nil && s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	}
	return nil
}

// with returns the space with a context, instead of the one that it has.
func (s *space) with(ctx context.Context) space {
	out := *s
	if out.ctx = ctx; ctx == nil {
		out.refusal = errNilContext
	}
	return out
}

// waits returns what ends the waiting of a commit.
func (s *space) waits() context.Context {
	if s.ctx == nil {
		return context.Background()
	}
	return s.ctx
}

// patiently commits one write, which add makes, for one who does not wait longer than his
// context lasts.
func (s *space) patiently(d commit.Durability, add func(b *Batch) error) error {
	b := newBatch(s)
	if err := add(b); err != nil {
		return err
	}
	return b.commit(s.ctx, d)
}

// setPrefix makes it the space of the keys with a prefix, which belongs to it.
func (s *space) setPrefix(prefix []byte) {
	s.prefix, s.end = slices.Clip(prefix), slices.Clip(keyspace.PrefixEnd(prefix))
}

// keyStackBytes is the size of the buffers on the stack in which short keys
// get their prefix.
const keyStackBytes = 128

func (s *space) key(buf, key []byte) []byte {
	return append(append(buf, s.prefix...), key...)
}

func (s *space) check(key []byte) error {
	if err := s.usable(); err != nil {
		return err
	}
	return checkKey(key)
}

func (s *space) get(key []byte) ([]byte, error) {
	value, err := s.appendGet(nil, key)
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

func (s *space) appendGet(dst, key []byte) ([]byte, error) {
	if err := s.check(key); err != nil {
		return dst, err
	}
	var stack [keyStackBytes]byte
	return s.engine.Reads().AppendGet(dst, s.key(stack[:0], key))
}

func (s *space) getFunc(key []byte, fn func(value []byte) error) error {
	if err := s.check(key); err != nil {
		return err
	}
	if fn == nil {
		return errNilFunction
	}
	var stack [keyStackBytes]byte
	return s.engine.Reads().GetFunc(s.key(stack[:0], key), s.lender.Func("GetFunc", fn))
}

func (s *space) has(key []byte) (bool, error) {
	return found(s.getFunc(key, func([]byte) error { return nil }))
}

// found turns the error of a get into the answer of a has.
func found(err error) (bool, error) {
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// manyGetter is who looks up many of the engine's keys: its reader, a snapshot or a
// transaction.
type manyGetter interface {
	MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error
}

// multiGet looks keys up, of the newest state if from is nil.
func (s *space) multiGet(from manyGetter, keys [][]byte, fn func(i int, value []byte, err error) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	if fn == nil {
		return errNilFunction
	}
	list := keyLists.Get().(*keyList)
	defer list.free()
	for _, key := range keys {
		if err := s.check(key); err != nil {
			return err
		}
		list.bytes = s.key(list.bytes, key)
	}
	rest := list.bytes
	for _, key := range keys {
		n := len(s.prefix) + len(key)
		list.keys = append(list.keys, rest[:n:n])
		rest = rest[n:]
	}
	fn = lentValues(s.lender, fn)
	if from != nil {
		return from.MultiGet(list.keys, fn)
	}
	return s.engine.Reads().MultiGet(list.keys, fn)
}

// keyList is memory for keys with their prefixes, one behind the other.
type keyList struct {
	bytes []byte
	keys  [][]byte
}

var keyLists = sync.Pool{New: func() any { return new(keyList) }}

// keyListMaxBytes is above what the memory of a list is not used again.
const keyListMaxBytes = 64 << 10

func (l *keyList) free() {
	if cap(l.bytes) > keyListMaxBytes {
		return
	}
	clear(l.keys)
	l.bytes, l.keys = l.bytes[:0], l.keys[:0]
	keyLists.Put(l)
}

func (s *space) put(key, value []byte, d commit.Durability) error {
	if err := s.check(key); err != nil {
		return err
	}
	if err := s.checkValue(key, value); err != nil {
		return err
	}
	expiry, err := s.defaultExpiry()
	if err != nil {
		return err
	}
	return s.set(key, value, expiry, d)
}

// set writes a value that expires, unless expiry is 0.
func (s *space) set(key, value []byte, expiry base.Instant, d commit.Durability) error {
	if s.ctx != nil {
		return s.patiently(d, func(b *Batch) error { return b.put(key, value, expiry) })
	}
	if expiry == 0 {
		return s.engine.Commits().Set(s.info, s.prefix, key, value, d)
	}
	return s.engine.Commits().SetExpiring(s.info, s.prefix, key, value, expiry, d)
}

func (s *space) delete(key []byte, d commit.Durability) error {
	if err := s.check(key); err != nil {
		return err
	}
	if s.ctx != nil {
		return s.patiently(d, func(b *Batch) error { return b.Delete(key) })
	}
	return s.engine.Commits().Delete(s.info, s.prefix, key, d)
}

func (s *space) deleteRange(lo, hi []byte, d commit.Durability) error {
	first, end, empty, err := s.span(lo, hi)
	if err != nil || empty {
		return err
	}
	if s.ctx != nil {
		return s.patiently(d, func(b *Batch) error { return b.DeleteRange(lo, hi) })
	}
	return s.engine.Commits().DeleteRange(s.info, first, end, d)
}

// span translates a range of the user to one of the engine. A nil bound means
// that of the keyspace. What it returns must not be written to.
func (s *space) span(lo, hi []byte) (first, end []byte, empty bool, err error) {
	for _, bound := range [][]byte{lo, hi} {
		if err := checkBound(bound); err != nil {
			return nil, nil, false, err
		}
	}
	if err := s.usable(); err != nil {
		return nil, nil, false, err
	}
	if hi != nil {
		switch c := bytes.Compare(lo, hi); {
		case c > 0:
			return nil, nil, false, ErrInvalidRange
		case c == 0:
			return nil, nil, true, nil
		}
	}
	if len(lo) == 0 && hi == nil {
		return s.prefix, s.end, false, nil
	}
	both := s.key(make([]byte, 0, 2*len(s.prefix)+len(lo)+len(hi)), lo)
	if first = slices.Clip(both); hi == nil {
		return first, s.end, false, nil
	}
	return first, s.key(both, hi)[len(first):], false, nil
}

// bounds translates the options of an iterator.
func (s *space) bounds(o IterOptions) (view.IterOptions, error) {
	lower, upper := o.Lower, o.Upper
	if o.Prefix != nil {
		if bytes.Compare(o.Prefix, lower) > 0 {
			lower = o.Prefix
		}
		end := keyspace.PrefixEnd(o.Prefix)
		if end != nil && (upper == nil || bytes.Compare(end, upper) < 0) {
			upper = end
		}
	}
	if upper != nil && bytes.Compare(lower, upper) > 0 {
		if o.Upper != nil && bytes.Compare(o.Lower, o.Upper) > 0 {
			return view.IterOptions{}, ErrInvalidRange
		}
		lower = upper // the prefix and the bounds have nothing in common
	}
	first, end, empty, err := s.span(lower, upper)
	if empty {
		first = s.key(nil, lower)
		end = first
	}
	return view.IterOptions{Lower: first, Upper: end, PrefixBytes: len(s.prefix), KeysOnly: o.KeysOnly}, err
}

// walk returns the rows within bounds, those of a snapshot if it is not nil. They
// must be closed. Who moves them enters the word, which may be nil.
func (s *space) walk(snap *view.Snapshot, o IterOptions, word *inuse.Word) (rows, error) {
	bounds, err := s.bounds(o)
	if err != nil {
		return nil, err
	}
	bounds.Word = word
	var it *view.Iterator
	if snap != nil {
		it, err = snap.NewIterator(bounds)
	} else {
		it, err = s.engine.Reads().NewIterator(bounds)
	}
	if err != nil {
		return nil, err
	}
	return lentBy(s.lender, it), nil
}

func (s *space) iterator(snap *view.Snapshot, o IterOptions) (*Iterator, error) {
	word := new(inuse.Word)
	rows, err := s.walk(snap, o, word)
	if err != nil {
		return nil, err
	}
	return newIterator(s, rows, word), nil
}

func (s *space) scan(snap *view.Snapshot, o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error {
	rows, err := s.walk(snap, o.IterOptions, nil)
	if err != nil {
		return err
	}
	return (&scan{rows: rows, reverse: o.Reverse, late: s.engine.Reads().NoteMissed}).run(fn)
}

// estimate estimates what there is in a range.
func (s *space) estimate(lo, hi []byte) (store.Estimate, error) {
	first, end, empty, err := s.span(lo, hi)
	if err != nil || empty {
		return store.Estimate{}, err
	}
	return view.EstimateRange(s.engine.Reads(), first, end)
}

// split divides a range.
func (s *space) split(lo, hi []byte, parts int) ([]Range, error) {
	first, end, empty, err := s.span(lo, hi)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	if parts > 1 && !empty {
		if keys, err = view.Split(s.engine.Reads(), first, end, min(parts, maxParts)); err != nil {
			return nil, err
		}
	}
	ranges := []Range{{Lo: slices.Clone(lo)}}
	for _, key := range keys {
		key = key[len(s.prefix):]
		ranges[len(ranges)-1].Hi = key
		ranges = append(ranges, Range{Lo: key})
	}
	ranges[len(ranges)-1].Hi = slices.Clone(hi)
	return ranges, nil
}

func (s *space) compact(ctx context.Context, lo, hi []byte) error {
	if ctx == nil {
		return errNilContext
	}
	first, end, empty, err := s.span(lo, hi)
	if err != nil || empty {
		return err
	}
	return s.engine.Compact(ctx, first, end)
}

// checkValue says why a key of the space cannot have a value.
func (s *space) checkValue(key, value []byte) error {
	if err := checkValue(value); err != nil {
		return err
	}
	if s.info == nil || s.info.Settings().Merge == "" {
		return nil
	}
	op := s.engine.Registry().MergeOperator(s.prefix)
	if op == nil || op.CheckValue == nil {
		return nil
	}
	return s.refused("value", key, op.CheckValue(value))
}

// refused names what a merge operator refuses; a nil error stays nil.
func (s *space) refused(what string, key []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s for key %q in keyspace %q: %w", ErrMergeRefused, what, key, s.info.Name, err)
}

// checkOperand says why an operand cannot be merged in the space.
func (s *space) checkOperand(key, operand []byte) error {
	if err := s.check(key); err != nil {
		return err
	}
	if err := checkValue(operand); err != nil {
		return err
	}
	op := s.engine.Registry().MergeOperator(s.prefix)
	if op == nil {
		return ErrNoMergeOperator
	}
	if op.Check == nil {
		return nil
	}
	return s.refused("operand", key, op.Check(operand))
}

// defaultExpiry returns the instant at which a value of the space expires that
// is written now without a word about it; 0 if never.
func (s *space) defaultExpiry() (base.Instant, error) {
	if s.info == nil || s.info.Settings().TTL == 0 {
		return 0, nil
	}
	return s.expiry(s.info.Settings().TTL)
}

// expiry returns the instant at which a value expires that is written now; 0 if
// never. Instants end in the year 2262.
func (s *space) expiry(ttl time.Duration) (base.Instant, error) {
	if ttl == Forever {
		return 0, nil
	}
	now := s.engine.Now()
	if base.Instant(ttl) > base.InstantMax-now {
		return 0, fmt.Errorf("%w: %v from now on is after the year 2262; Forever never ends", ErrTTL, ttl)
	}
	return now + base.Instant(ttl), nil
}

// checkTTL says why a value of the space cannot have a time to live.
func (s *space) checkTTL(ttl time.Duration) error {
	switch {
	case ttl <= 0:
		return fmt.Errorf("%w: %v is not positive", ErrTTL, ttl)
	case ttl == Forever:
		return nil
	}
	return s.checkExpires()
}

// checkExpires says why values of the space cannot expire.
func (s *space) checkExpires() error {
	if s.info != nil && s.info.Settings().Merge != "" {
		return fmt.Errorf("%w: %q", ErrNoExpiry, s.info.Name)
	}
	return nil
}

// expiryAt returns a time of the API as an instant, or says why a value of the space
// cannot expire then. All that is before 1970 has passed alike.
func (s *space) expiryAt(at time.Time) (base.Instant, error) {
	switch {
	case at.IsZero():
		return 0, nil
	case at.After(asTime(base.InstantMax)):
		return 0, fmt.Errorf("%w: %v is after the year 2262; the zero time is never", ErrTTL, at)
	case !at.After(asTime(1)):
		return 1, s.checkExpires()
	}
	return base.Instant(at.UnixNano()), s.checkExpires()
}

// putFor is put with a time to live.
func (s *space) putFor(key, value []byte, ttl time.Duration, d commit.Durability) error {
	if err := s.check(key); err != nil {
		return err
	}
	if err := s.checkTTL(ttl); err != nil {
		return err
	}
	if err := s.checkValue(key, value); err != nil {
		return err
	}
	expiry, err := s.expiry(ttl)
	if err != nil {
		return err
	}
	return s.set(key, value, expiry, d)
}

// putReader sets a value to what r yields.
func (s *space) putReader(ctx context.Context, key []byte, r io.Reader) (int64, error) {
	if err := s.check(key); err != nil {
		return 0, err
	}
	expiry, err := s.defaultExpiry()
	if err != nil {
		return 0, err
	}
	return putStream(ctx, s, key, r, expiry)
}

// putReaderFor is putReader with a time to live.
func (s *space) putReaderFor(ctx context.Context, key []byte, r io.Reader, ttl time.Duration) (int64, error) {
	if err := s.check(key); err != nil {
		return 0, err
	}
	if err := s.checkTTL(ttl); err != nil {
		return 0, err
	}
	expiry, err := s.expiry(ttl)
	if err != nil {
		return 0, err
	}
	return putStream(ctx, s, key, r, expiry)
}

func (s *space) expiresAt(key []byte) (time.Time, error) {
	if err := s.check(key); err != nil {
		return time.Time{}, err
	}
	var stack [keyStackBytes]byte
	var expiry base.Instant
	err := s.engine.Reads().Look(s.key(stack[:0], key), func(now view.Current) error {
		expiry = now.Expiry
		return isThere(now)
	})
	return asTime(expiry), err
}

// asTime returns an instant as the API has it: the zero time means never.
func asTime(expiry base.Instant) time.Time {
	if expiry == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(expiry))
}

// checkKey says why bytes cannot be a key.
func checkKey(key []byte) error {
	if len(key) <= MaxKeyBytes {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, the limit is %d", ErrKeyTooLarge, len(key), MaxKeyBytes)
}

// checkValue says why bytes cannot be a value.
func checkValue(value []byte) error {
	if len(value) <= MaxValueBytes {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, the limit is %d", ErrValueTooLarge, len(value), MaxValueBytes)
}

// checkBound checks a bound of a range; nil means that there is none.
func checkBound(key []byte) error {
	if len(key) <= MaxKeyBytes {
		return nil
	}
	return fmt.Errorf("%w: bound of %d bytes, the limit is %d", ErrKeyTooLarge, len(key), MaxKeyBytes)
}
