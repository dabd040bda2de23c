package iterate

import (
	"bytes"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// This file shows the rows a user sees. Of each key that is the newest version
// not newer than Seq, unless it is a delete, has expired, or a range tombstone
// hides it. If it is a merge operand, the row is what it and the older versions
// make together: see merge.go.
//
// The current row is shown in the memory of its source as long as that is
// possible, and then the source still stands at it (atRow). That is always so
// after a forward step: the older versions of the key are passed by the next
// step, which keeps a copy of the key to know them, and needs none if the row
// has sequence number zero, which only the oldest version of a key may have.
// Backwards the versions of a key come oldest first, so that the row is known
// only after a look beyond it; then the row is a copy (beforeRow), or, if its
// value is large, the source returns to it. No look is needed if the row is as
// new as anything can be, so a settled table, all of whose records have
// sequence number zero, is walked without copies in both directions.
//
// held doubles as a fact that never expires: no version of held.Key older than
// held.Trailer is a row.

// Options say what a UserIter shows. The slices are used until the next Init or
// Close and must not change.
type Options struct {
	Seq base.SeqNum
	// Lower is inclusive, Upper exclusive; nil is unbounded.
	Lower, Upper []byte
	// RangeDeletes are those of all sources, as far as they are within the bounds.
	RangeDeletes []rangedel.Source
	// At is the moment at which records have expired or not. Expired, which
	// may be nil, is told of those that have.
	At      base.Instant
	Expired interface{ Observe(expiry base.Instant) }
	// Dead, which may be nil, knows where there are no rows. Walk is of it, and what the
	// sources have.
	Dead *deadrange.Map
	Walk deadrange.Walk
	// Closed, which may be nil, ends long walks over what is no row with
	// base.ErrClosed.
	Closed *atomic.Bool
	// Operators tells the merge operator for a key. It may be nil where there
	// are no operands.
	Operators merge.Operators
	// Late says that sources may leave values out: see Loader.
	Late bool
	// KeysOnly shows rows without values: none is loaded or made of operands.
	KeysOnly bool
}

const (
	// staleRun is how many versions of one key are passed one by one before
	// a seek is used. A seek costs about as much as this many steps.
	staleRun = 16
	// heldValueBytes is the longest value that is copied instead of returned
	// to. It also bounds the memory a pooled UserIter keeps.
	heldValueBytes = 16 << 10
)

type position uint8

const (
	atStart   position = iota // before the first row
	atEnd                     // past the last row
	atRow                     // the source stands at the row
	beforeRow                 // the row is held; the source stands at ahead, before it
	afterRow                  // the row is held; the source stands at ahead, past it
	failed                    // err says why; only absolute positioning leads out
)

// UserIter is the user's view of a Merging. Positioning calls report whether
// they landed on a row; what comes after running off either end is as
// base.Iterator says. A new UserIter stands before the first row.
type UserIter struct {
	rec      *base.Record  // the row, nil if there is none
	source   base.Iterator // the merging, or its only source
	seq      base.SeqNum
	position position
	upper    bound
	lower    bound
	mask     mask
	newest   base.SeqNum // no visible record is newer
	ahead    *base.Record
	held     base.Record // in memory of its own
	large    bool        // the value did not go into held
	late     bool        // values may have been left out, and are wanted
	keysOnly bool
	merging  *Merging
	at       base.Instant
	expired  interface{ Observe(expiry base.Instant) }
	merger   merger
	dead     deadRunner
	jumps    jumps
	plain    plain
	err      error
}

// bound is a key with its head.
type bound struct {
	key  []byte // nil: unbounded
	head uint64
}

func makeBound(key []byte) bound { return bound{key: key, head: base.Head(key)} }

// above reports whether key is >= the bound, which is not nil.
func (b *bound) above(key []byte) bool {
	if h := head(key); h != b.head {
		return h > b.head
	}
	return bytes.Compare(key, b.key) >= 0
}

// NewUserIter returns the view of m that o describes. It owns m from here on
// and closes it.
func NewUserIter(m *Merging, o Options) *UserIter {
	v := &UserIter{}
	v.Init(m, o)
	return v
}

// Init makes v what NewUserIter(m, o) returns, reusing its memory. It does not
// close an earlier Merging.
func (v *UserIter) Init(m *Merging, o Options) {
	v.merging, v.source = m, m
	if m.single() {
		v.source = m.slots[0].iter
	}
	v.seq, v.newest, v.late = o.Seq, min(o.Seq, m.maxSeq()), o.Late && !o.KeysOnly
	v.keysOnly = o.KeysOnly
	v.lower, v.upper = makeBound(o.Lower), makeBound(o.Upper)
	v.mask.init(o.RangeDeletes, o.Seq)
	v.at, v.expired, v.merger.operators = o.At, o.Expired, o.Operators
	v.dead.ranges, v.dead.walk, v.dead.closed = o.Dead, o.Walk, o.Closed
	v.dead.begin()
	v.held.Trailer = 0
	v.plain.begin()
	v.stop(atStart)
	v.ahead, v.err = nil, nil
	v.jumps.direction = unpositioned
}

// Forget lets go of what Init was given, for a UserIter that waits for the next
// Init in a pool. The sources are the caller's to close.
func (v *UserIter) Forget() {
	v.expired, v.merger.operators, v.dead.ranges, v.dead.closed = nil, nil, nil, nil
	v.mask.init(nil, 0)
	v.plain.begin()
	v.stop(atStart)
}

// Close closes the Merging and so its sources.
func (v *UserIter) Close() error {
	err := v.merging.Close()
	v.merging, v.source, v.ahead = nil, nil, nil
	v.lower, v.upper = bound{}, bound{}
	v.Forget()
	return err
}

// Valid reports whether v stands on a row.
func (v *UserIter) Valid() bool { return v.rec != nil }

// Key returns the key of the row, nil if there is none. It belongs to v and is
// valid until the next positioning call or Close.
func (v *UserIter) Key() []byte {
	if v.rec == nil {
		return nil
	}
	return v.rec.Key
}

// Value returns the value of the row; what is said of Key holds for it too.
func (v *UserIter) Value() []byte {
	if v.rec == nil || v.keysOnly {
		return nil
	}
	if v.rec.Trailer.Kind() != base.KindSetExpiring {
		return v.rec.Value
	}
	stored, _ := base.Decode(v.rec.Trailer, v.rec.Value) // sound, or it were no row
	return stored.Value
}

// StoredValue returns the value of the row as it is stored, nil if there is no row.
func (v *UserIter) StoredValue() []byte {
	if v.rec == nil {
		return nil
	}
	return v.rec.Value
}

// Expiry returns when the row expires, 0 if never.
func (v *UserIter) Expiry() base.Instant {
	if v.rec == nil || v.rec.Trailer.Kind() == base.KindSet {
		return 0
	}
	stored, _ := base.Check(v.rec.Trailer, v.rec.Value)
	return stored.Expiry
}

// Err returns the error that stopped the walk, if one did.
func (v *UserIter) Err() error { return v.err }

// begin starts a walk from a place of its own.
func (v *UserIter) begin() {
	v.err = nil
	v.mask.restart()
	v.plain.begin()
	v.jumps.direction = unpositioned
}

// sourceErr returns what has kept records, or the tombstones over them, from being read.
func (v *UserIter) sourceErr() error {
	if v.mask.err != nil {
		return v.mask.err
	}
	return v.source.Err()
}

// First lands on the first row.
func (v *UserIter) First() bool {
	v.begin()
	if v.lower.key != nil {
		return v.walkForward(v.seekForward(v.lower.key))
	}
	return v.findForward(v.source.First())
}

// Last lands on the last row.
func (v *UserIter) Last() bool {
	v.begin()
	if v.upper.key != nil {
		v.dead.beginAt(v.upper.key)
		return v.walkBackward(v.source.SeekLT(v.upper.key))
	}
	return v.findBackward(v.source.Last())
}

// SeekGE lands on the first row whose key is >= key.
func (v *UserIter) SeekGE(key []byte) bool {
	v.begin()
	if v.lower.key != nil && bytes.Compare(key, v.lower.key) < 0 {
		key = v.lower.key
	}
	if v.upper.key != nil && v.upper.above(key) {
		return v.stop(atEnd)
	}
	return v.walkForward(v.seekForward(key))
}

// SeekLT lands on the last row whose key is < key.
func (v *UserIter) SeekLT(key []byte) bool {
	v.begin()
	if v.upper.key != nil && bytes.Compare(key, v.upper.key) > 0 {
		key = v.upper.key
	}
	if v.lower.key != nil && bytes.Compare(key, v.lower.key) <= 0 {
		return v.stop(atStart)
	}
	v.dead.beginAt(key)
	return v.walkBackward(v.source.SeekLT(key))
}

// Next lands on the row after the current one.
func (v *UserIter) Next() bool {
	if v.plain.left > 0 {
		if v.plain.to == forward {
			return v.stepPlain()
		}
		v.plain.begin()
	}
	if v.jumps.direction == backward {
		v.jumps.direction = unpositioned
	}
	if v.position != atRow {
		switch v.position {
		case afterRow:
			return v.findForward(v.ahead)
		case beforeRow:
			if !v.returnToRow() {
				return false
			}
		default:
			return v.position == atStart && v.First()
		}
	} else if v.plain.isDue() && v.lookForPlain(forward) {
		return true
	}
	if v.rec.Trailer.Seq() != 0 {
		v.hold(v.rec)
	} else {
		v.held.Trailer = 0
	}
	rec := v.source.Next()
	// What most rows need, written out: the newest version of the next key,
	// with nothing special about it.
	if rec != nil && v.mask.clear(rec.Key) && rec.Trailer.Kind() == base.KindSet &&
		rec.Trailer.Seq() <= v.seq && (v.upper.key == nil || head(rec.Key) < v.upper.head) &&
		(rec.Trailer >= v.held.Trailer || !bytes.Equal(rec.Key, v.held.Key)) {
		return v.setRow(rec)
	}
	return v.findForward(rec)
}

// Prev lands on the row before the current one.
func (v *UserIter) Prev() bool {
	if v.plain.left > 0 {
		if v.plain.to == backward {
			return v.stepPlain()
		}
		v.plain.begin()
	}
	if v.jumps.direction == forward {
		v.jumps.direction = unpositioned
	}
	switch v.position {
	case atRow:
		if v.plain.isDue() && v.lookForPlain(backward) {
			return true
		}
		// The newer versions of the row's key are all newer than seq.
		return v.findBackward(v.source.Prev())
	case beforeRow:
		return v.findBackward(v.ahead)
	case afterRow:
		return v.findBackward(v.source.SeekLT(v.held.Key))
	}
	return v.position == atEnd && v.Last()
}

// setRow makes rec, at which the source stands, the row, unless its value was left out and
// cannot be loaded.
func (v *UserIter) setRow(rec *base.Record) bool {
	if rec != v.rec { // most sources return the same pointer each time
		v.rec = rec
	}
	v.position = atRow
	return !v.late || v.load(rec)
}

// stop leaves the rows, at the given end.
func (v *UserIter) stop(end position) bool {
	v.rec, v.position = nil, end
	return false
}

// runOut leaves the rows after the source returned nil, or an error.
func (v *UserIter) runOut(end position) bool {
	if v.err == nil {
		v.err = v.sourceErr()
	}
	if v.err == nil && v.dead.ended() {
		v.err = base.ErrClosed
	}
	if v.err != nil {
		end = failed
	}
	return v.stop(end)
}

// hold copies key and trailer of a visible version.
func (v *UserIter) hold(rec *base.Record) {
	v.held.Key = append(v.held.Key[:0], rec.Key...)
	v.held.Trailer = rec.Trailer
}

// holdRow copies all of it, unless the value is too large.
func (v *UserIter) holdRow(rec *base.Record) {
	v.hold(rec)
	v.large = len(rec.Value) > heldValueBytes || v.late && len(rec.Value) == 0 && v.merging.Unloaded()
	v.held.Value = v.held.Value[:0]
	switch {
	case v.keysOnly: // what Expiry needs
		v.large, v.held.Value = false, append(v.held.Value, rec.Value[:min(len(rec.Value), base.BlobRefBytes)]...)
	case !v.large:
		v.held.Value = append(v.held.Value, rec.Value...)
	}
}

// findForward goes forward from rec, at which the source stands, to a row.
func (v *UserIter) findForward(rec *base.Record) bool {
	v.dead.begin()
	return v.walkForward(rec)
}

// walkForward is findForward where the run of dead records has begun.
func (v *UserIter) walkForward(rec *base.Record) bool {
	stale, hidden := 0, 0
	for rec != nil {
		seq := rec.Trailer.Seq()
		switch {
		case rec.Trailer < v.held.Trailer && bytes.Equal(rec.Key, v.held.Key):
			if stale++; stale%staleRun == 0 {
				rec = v.seekPastHeld(rec)
			} else {
				rec = v.source.Next()
			}
		case v.upper.key != nil && v.upper.above(rec.Key):
			v.endDeadForward(v.upper.key)
			return v.stop(atEnd)
		case seq > v.seq:
			rec = v.passNewer(rec, forward)
		case !v.mask.empty() && v.mask.covering(rec.Key) > seq:
			hidden++
			rec = v.passForward(rec, hidden)
		case rec.Trailer.Kind() == base.KindSet || v.inspect(rec):
			v.endDeadForward(rec.Key)
			return v.setRow(rec)
		case rec.Trailer.Kind() == base.KindMerge:
			v.endDeadForward(rec.Key)
			return v.mergeFrom(rec)
		case v.err != nil:
			return v.stop(failed)
		default:
			stale = 0
			rec = v.passDeadForward(rec)
		}
	}
	if v.err == nil && v.sourceErr() == nil {
		v.endDeadForward(v.upper.key)
	}
	return v.runOut(atEnd)
}

// inspect says whether a record is a value that has not expired yet. It notes the
// expiry of one that has, and one that is malformed becomes the error.
func (v *UserIter) inspect(rec *base.Record) (alive bool) {
	switch rec.Trailer.Kind() {
	case base.KindSet:
		return true
	case base.KindMerge:
		return v.keysOnly // with operands there is a row, whatever they make
	case base.KindSetExpiring, base.KindBlob: // the latter for who wants keys alone
		stored, err := base.Check(rec.Trailer, rec.Value)
		if err != nil {
			v.err = err
			return false
		}
		if stored.Expiry > v.at || stored.Expiry == 0 {
			return true
		}
		if v.expired != nil {
			v.expired.Observe(stored.Expiry)
		}
	default:
		invariant.Check(rec.Trailer.Kind().Point(), "a source holds a %v", rec.Trailer)
	}
	return false
}

// seekPastHeld lands on the first record after all versions of held.Key, of which rec
// is one.
func (v *UserIter) seekPastHeld(rec *base.Record) *base.Record {
	if !v.mayJump(forward, rec) {
		return nil
	}
	v.held.Key = append(v.held.Key, 0)
	v.held.Trailer = 0 // nothing is known of this key
	return v.source.SeekGE(v.held.Key)
}

// findBackward goes backward from rec, at which the source stands, to a row.
func (v *UserIter) findBackward(rec *base.Record) bool {
	v.dead.begin()
	return v.walkBackward(rec)
}

// walkBackward is findBackward where the run of dead records has begun.
func (v *UserIter) walkBackward(rec *base.Record) bool {
	holding := false // held is the row unless a newer visible version follows
	versions, hidden := 0, 0
	for rec != nil {
		seq := rec.Trailer.Seq()
		switch {
		case holding && (seq > v.seq || rec.Trailer <= v.held.Trailer ||
			!bytes.Equal(rec.Key, v.held.Key)):
			v.endDeadBackward(v.held.Key, false)
			return v.takeHeld(rec)
		case v.lower.key != nil && !v.lower.above(rec.Key):
			v.endDeadBackward(v.lower.key, true)
			return v.stop(atStart)
		case seq > v.seq:
			rec = v.passNewer(rec, backward)
		case !v.mask.empty() && v.mask.covering(rec.Key) > seq:
			hidden++
			rec = v.passBackward(rec, hidden)
		case rec.Trailer.Kind() == base.KindMerge && !v.keysOnly:
			// What it makes is known only from the other end.
			if !v.mayJump(backward, rec) {
				return v.runOut(atStart)
			}
			if rec = v.newestVersion(rec); rec == nil {
				return v.runOut(atStart)
			}
			if v.settle(rec) {
				return v.rec != nil
			}
			holding = false
			rec = v.source.SeekLT(v.held.Key)
		case !v.inspect(rec):
			if v.err != nil {
				return v.stop(failed)
			}
			holding = false
			rec = v.passDeadBackward(rec)
		case seq >= v.newest:
			v.endDeadBackward(rec.Key, false)
			return v.setRow(rec)
		default:
			v.holdRow(rec)
			holding = true
			if versions++; versions%staleRun != 0 {
				rec = v.source.Prev()
				continue
			}
			if !v.mayJump(backward, rec) {
				return v.runOut(atStart)
			}
			if rec = v.seekNewestOfHeld(); rec == nil {
				return v.runOut(atStart)
			}
			if v.settle(rec) {
				return v.rec != nil
			}
			holding = false
			rec = v.source.Prev()
		}
	}
	if err := v.sourceErr(); !holding || err != nil {
		if err == nil && v.err == nil {
			v.endDeadBackward(v.lower.key, true)
		}
		return v.runOut(atStart)
	}
	return v.takeHeld(nil)
}

// settle makes a row of the newest visible version of a key, if it can. It
// reports whether the search is over: there is a row, or an error.
func (v *UserIter) settle(rec *base.Record) (over bool) {
	switch {
	case rec.Trailer.Kind() == base.KindMerge && !v.keysOnly:
		v.mergeFrom(rec)
	case v.inspect(rec):
		v.setRow(rec)
	case v.err != nil:
		v.stop(failed)
	default:
		return false
	}
	return true
}

// newestVersion lands on the newest visible version of the key of rec.
func (v *UserIter) newestVersion(rec *base.Record) *base.Record {
	v.hold(rec)
	return v.seekNewestOfHeld()
}

// seekNewestOfHeld lands on the newest visible version of held.Key. There is
// one, as held is a visible version, so nil means an error.
func (v *UserIter) seekNewestOfHeld() *base.Record {
	rec := v.source.SeekGE(v.held.Key)
	for rec != nil && rec.Trailer.Seq() > v.seq {
		rec = v.passNewer(rec, forward)
	}
	return rec
}

// takeHeld makes held the row. The source stands before it, at ahead.
func (v *UserIter) takeHeld(ahead *base.Record) bool {
	v.rec, v.position, v.ahead = &v.held, beforeRow, ahead
	return !v.large || v.returnToRow()
}

// returnToRow brings the source from before the row onto it. Steps would do in
// most cases, but where a skip left sources far behind they would be many. The row
// is there, unless a user has written into a key that was lent to him.
func (v *UserIter) returnToRow() bool {
	rec := v.seekNewestOfHeld()
	if rec == nil {
		return v.runOut(atEnd)
	}
	if !bytes.Equal(rec.Key, v.held.Key) || rec.Trailer != v.held.Trailer {
		v.err = rowLost(v.held.Key)
		return v.stop(failed)
	}
	return v.setRow(rec)
}
