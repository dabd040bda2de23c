package txn

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/merge"
)

// Rows are the rows under a transaction's own writes, within some bounds. A
// move returns whether it landed on a row; keys and values are valid until the
// next move.
type Rows interface {
	First() bool
	Last() bool
	SeekGE(key []byte) bool
	SeekLT(key []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Expiry() base.Instant // 0: never
	Err() error
	Close() error
}

// Cursor shows rows with a transaction's own writes over them, as both were
// when it was made, and notes in Reads what it examined: everything between
// where it was sent and where it landed, and up to the bound where it landed
// nowhere.
//
// Invariants while it stands on a row, going forward: rows and own each stand at
// their first entry that is not before it (the one that it is, or a later one);
// going backward, at their last that is not behind it.
type Cursor struct {
	rows         Rows
	liveTo       Step // it shows no write from this step on
	lower, upper []byte
	reads        *Reads // nil: nothing is noted
	expires      bool   // whether a row can expire
	operators    merge.Operators
	keysOnly     bool

	direction int8 // 1 forward, -1 backward, 0 not positioned
	own       own
	rowValid  bool // rows stands on a row
	onOwn     bool // own stands on the current row, and must move on from it
	onRow     bool // rows stands on the current row, and must move on from it
	fromOwn   bool // the value is the transaction's, not that of rows
	value     []byte
	expiry    base.Instant // of a value of the transaction's
	merged    []byte       // memory of a value that operands make
	operands  [][]byte

	examined bool // there is an interval that is not in reads yet
	spanLo   []byte
	spanHi   []byte
	position position
	scratch  []byte
	err      error
}

// position is where a cursor stands when it stands on no row.
type position int8

const (
	atStart position = iota
	onEntry
	atEnd
)

// Scope is what a cursor shows besides a transaction's own writes.
type Scope struct {
	Rows         Rows   // whose bounds are [Lower, Upper)
	Lower, Upper []byte // not nil
	Reads        *Reads // nil: nothing is noted
	Expires      bool   // whether a row can expire
	Operators    merge.Operators
	KeysOnly     bool // no row has a value
}

// NewCursor returns a cursor over some rows and the writes so far. It stands
// before the first row. After an error the rows stay the caller's.
func NewCursor(s Scope, writes *Writes) (*Cursor, error) {
	own, err := newOwn(writes)
	if err != nil {
		return nil, err
	}
	return &Cursor{
		rows: s.Rows, own: own, liveTo: writes.liveTo, lower: s.Lower, upper: s.Upper,
		reads: s.Reads, expires: s.Expires && s.Reads != nil, operators: s.Operators,
		keysOnly: s.KeysOnly,
	}, nil
}

// Shows reports whether the cursor may show a write of some step or a later one.
func (c *Cursor) Shows(step Step) bool { return c.liveTo > step }

// First moves to the first row.
func (c *Cursor) First() bool {
	c.begin(1)
	c.rowValid = c.rows.First()
	c.own.seekGE(c.lower)
	c.note(c.lower, c.lower)
	return c.settleForward()
}

// Last moves to the last row.
func (c *Cursor) Last() bool {
	c.begin(-1)
	c.rowValid = c.rows.Last()
	c.own.seekLT(c.upper)
	c.note(c.upper, c.upper)
	return c.settleBackward()
}

// SeekGE moves to the first row whose key is at least key.
func (c *Cursor) SeekGE(key []byte) bool {
	c.begin(1)
	if bytes.Compare(key, c.lower) < 0 {
		key = c.lower
	}
	c.rowValid = c.rows.SeekGE(key)
	c.own.seekGE(key)
	c.note(key, key)
	return c.settleForward()
}

// SeekLT moves to the last row whose key is less than key.
func (c *Cursor) SeekLT(key []byte) bool {
	c.begin(-1)
	if bytes.Compare(key, c.upper) > 0 {
		key = c.upper
	}
	c.rowValid = c.rows.SeekLT(key)
	c.own.seekLT(key)
	c.note(key, key)
	return c.settleBackward()
}

// Next moves to the next row; from before the first, to the first.
func (c *Cursor) Next() bool {
	switch {
	case c.position == atEnd:
		return false
	case c.position == atStart:
		return c.First()
	case c.direction < 0:
		return c.turn(1)
	}
	if c.onRow {
		c.rowValid = c.rows.Next()
	}
	if c.onOwn {
		c.own.advance()
	}
	return c.settleForward()
}

// Prev moves to the previous row; from behind the last, to the last.
func (c *Cursor) Prev() bool {
	switch {
	case c.position == atStart:
		return false
	case c.position == atEnd:
		return c.Last()
	case c.direction > 0:
		return c.turn(-1)
	}
	if c.onRow {
		c.rowValid = c.rows.Prev()
	}
	if c.onOwn {
		c.own.advance()
	}
	return c.settleBackward()
}

// turn goes on from the current row in the other direction.
func (c *Cursor) turn(direction int8) bool {
	c.noteRow()
	c.scratch = append(c.scratch[:0], c.Key()...)
	key := c.scratch
	c.direction = direction
	if direction > 0 {
		key = append(key, 0)
		c.scratch = key
		c.rowValid = c.rows.SeekGE(key)
		c.own.seekGE(key)
		return c.settleForward()
	}
	c.rowValid = c.rows.SeekLT(key)
	c.own.seekLT(key)
	return c.settleBackward()
}

// begin ends what was examined before a jump.
func (c *Cursor) begin(direction int8) {
	c.Flush()
	c.direction, c.err = direction, nil
}

// settleForward lands on the first row from where both sides stand.
func (c *Cursor) settleForward() bool {
	for {
		if c.err = c.own.err(); c.err != nil {
			return c.fail(atEnd)
		}
		hasOwn := c.own.valid && bytes.Compare(c.own.key, c.upper) < 0
		if !hasOwn && !c.rowValid {
			return c.end(atEnd)
		}
		switch order := c.compare(hasOwn); c.judge(order) {
		case landed:
			return true
		case skipRow:
			c.rowValid = c.rows.Next()
		case skipOwn:
			c.own.advance()
		case skipBoth:
			c.rowValid = c.rows.Next()
			c.own.advance()
		case failed:
			return c.fail(atEnd)
		}
	}
}

// settleBackward lands on the last row from where both sides stand.
func (c *Cursor) settleBackward() bool {
	for {
		if c.err = c.own.err(); c.err != nil {
			return c.fail(atStart)
		}
		hasOwn := c.own.valid && bytes.Compare(c.own.key, c.lower) >= 0
		if !hasOwn && !c.rowValid {
			return c.end(atStart)
		}
		switch order := c.compare(hasOwn); c.judge(order) {
		case landed:
			return true
		case skipRow:
			c.rowValid = c.rows.Prev()
		case skipOwn:
			c.own.advance()
		case skipBoth:
			c.rowValid = c.rows.Prev()
			c.own.advance()
		case failed:
			return c.fail(atStart)
		}
	}
}

// compare says which side comes first in the direction of travel: a negative
// number for the rows, a positive one for own, 0 for both.
func (c *Cursor) compare(hasOwn bool) int {
	switch {
	case !hasOwn:
		return -1
	case !c.rowValid:
		return 1
	}
	return int(c.direction) * bytes.Compare(c.rows.Key(), c.own.key)
}

type judgement uint8

const (
	landed judgement = iota
	skipRow
	skipOwn
	skipBoth
	failed // err says why
)

// judge looks at the entry that comes first, and lands on it if it is a row.
func (c *Cursor) judge(order int) judgement {
	if order >= 0 {
		v, outcome := c.own.says()
		switch outcome {
		case Present:
			c.fromOwn, c.value, c.expiry = true, v.value, v.expiry
			return c.land(true, order == 0)
		case Merged:
			return c.landMerged(order == 0)
		case Deleted:
			if order == 0 {
				return skipBoth
			}
			return skipOwn
		}
		if order > 0 {
			return skipOwn // written after the cursor was made, or rolled back
		}
	}
	if len(c.own.deleted) > 0 && c.own.deleted.newest(c.rows.Key()) >= 0 {
		if order == 0 {
			return skipBoth
		}
		return skipRow
	}
	c.fromOwn, c.value = false, nil
	c.noteExpiry()
	return c.land(order == 0, true)
}

// landMerged lands on what the own operands make of the row under them, if there
// is one.
func (c *Cursor) landMerged(onRow bool) judgement {
	var value []byte
	if onRow {
		c.noteExpiry()
	}
	if c.keysOnly {
		c.fromOwn, c.value, c.expiry = true, nil, 0
		return c.land(true, onRow)
	}
	if onRow {
		value = append([]byte{}, c.rows.Value()...)
	}
	key := c.own.key
	c.operands = c.own.operands(c.operands[:0])
	c.merged, c.err = merge.For(c.operators, key).Fold(c.merged[:0], key, value, c.operands)
	if c.err != nil {
		return failed
	}
	c.fromOwn, c.value, c.expiry = true, c.merged, 0
	return c.land(true, onRow)
}

// noteExpiry notes until when the row that rows stands on is one.
func (c *Cursor) noteExpiry() {
	if !c.expires {
		return
	}
	if expiry := c.rows.Expiry(); expiry != 0 {
		c.reads.AddExpiry(c.rows.Key(), expiry)
	}
}

func (c *Cursor) land(onOwn, onRow bool) judgement {
	c.onOwn, c.onRow = onOwn, onRow
	c.position = onEntry
	return landed
}

// fail leaves the rows with an error.
func (c *Cursor) fail(where position) bool {
	c.onOwn, c.onRow, c.fromOwn, c.value = false, false, false, nil
	c.position = where
	return false
}

// end stands before the first or behind the last row.
func (c *Cursor) end(where position) bool {
	c.onOwn, c.onRow, c.fromOwn, c.value = false, false, false, nil
	c.position = where
	if c.err = c.rows.Err(); c.err != nil {
		return false
	}
	if where == atEnd {
		c.extend(nil, c.upper)
	} else {
		c.extend(c.lower, nil)
	}
	return false
}

// note begins an interval of what is examined.
func (c *Cursor) note(lo, hi []byte) {
	if c.reads == nil {
		return
	}
	c.spanLo = append(c.spanLo[:0], lo...)
	c.spanHi = append(c.spanHi[:0], hi...)
	c.examined = true
}

// extend makes the interval reach down to lo and up to hi, where not nil.
func (c *Cursor) extend(lo, hi []byte) {
	if c.reads == nil || !c.examined {
		return
	}
	if lo != nil && bytes.Compare(lo, c.spanLo) < 0 {
		c.spanLo = append(c.spanLo[:0], lo...)
	}
	if hi != nil && bytes.Compare(hi, c.spanHi) > 0 {
		c.spanHi = append(c.spanHi[:0], hi...)
	}
}

// noteRow extends the interval to the current row. It is not done at every
// step: as long as a cursor goes one way, its last position says it all.
func (c *Cursor) noteRow() {
	if c.reads == nil || c.position != onEntry {
		return
	}
	key := c.Key()
	c.extend(key, nil)
	if bytes.Compare(key, c.spanHi) >= 0 {
		c.spanHi = base.Successor(c.spanHi[:0], key)
	}
}

// Flush adds what was examined so far to Reads. It is called before they are
// validated, and by Close.
func (c *Cursor) Flush() {
	if c.reads == nil || !c.examined {
		return
	}
	c.noteRow()
	c.reads.AddSpan(c.spanLo, c.spanHi)
}

// Valid says whether the cursor stands on a row.
func (c *Cursor) Valid() bool { return c.position == onEntry }

// Key returns the key of the row, valid until the next move; nil where there is
// none.
func (c *Cursor) Key() []byte {
	switch {
	case c.onOwn:
		return c.own.key
	case c.onRow:
		return c.rows.Key()
	}
	return nil
}

// Value returns the value of the row. See Key.
func (c *Cursor) Value() []byte {
	switch {
	case c.keysOnly:
	case c.fromOwn:
		return c.value
	case c.onRow:
		return c.rows.Value()
	}
	return nil
}

// ShowsOwn reports whether the value is memory of the transaction's own writes.
func (c *Cursor) ShowsOwn() bool { return c.fromOwn && !c.keysOnly }

// Expiry returns when the row expires, 0 if never.
func (c *Cursor) Expiry() base.Instant {
	switch {
	case c.fromOwn:
		return c.expiry
	case c.onRow:
		return c.rows.Expiry()
	}
	return 0
}

// Err returns what stopped the cursor; nil if it merely reached an end.
func (c *Cursor) Err() error { return c.err }

// Close ends the use of the cursor and of its rows.
func (c *Cursor) Close() error {
	c.Flush()
	c.reads = nil
	err := c.own.close() // before the rows, which keep the caches open
	if closeErr := c.rows.Close(); err == nil {
		err = closeErr
	}
	return err
}
