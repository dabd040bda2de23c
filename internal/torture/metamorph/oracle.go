package metamorph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/internal/torture/script"
)

// Line is one thing that an operation answers: a row, or a note. The row of a
// note may be empty.
type Line struct{ Key, Value, Note string }

// Notes that stand for no error of the library.
const (
	noteEnd     = "end" // of an iterator
	noteStopped = "stopped by the caller"
)

// answers holds the errors that operations may answer, for the model and the
// database alike.
var answers = []error{
	lightning.ErrNotFound, lightning.ErrKeyTooLarge, lightning.ErrInvalidRange,
	lightning.ErrKeyspaceDropped,
}

// oracle says what the database must answer. It knows the rows from the model;
// what else can be asked about (handles, batches under construction) it keeps
// beside it. An oracle is for one goroutine.
type oracle struct {
	state     model.State
	ids       map[string]int // tells keyspaces of the same name apart
	made      int
	snapshots map[int]moment
	iterators map[int]*cursor
	batches   map[int]*pendingBatch
}

// moment is the database as a snapshot sees it.
type moment struct {
	state model.State
	ids   map[string]int
}

// cursor is an iterator: the rows that it shows and where it stands, -1 before
// the first and len(rows) after the last.
type cursor struct {
	rows []model.Row
	at   int
}

type pendingBatch struct {
	parts []script.Op
	ids   map[string]int // of the keyspaces written to
}

func newOracle() *oracle {
	o := &oracle{ids: map[string]int{"": 0}}
	o.dropHandles()
	return o
}

func (o *oracle) dropHandles() {
	o.snapshots = map[int]moment{}
	o.iterators = map[int]*cursor{}
	o.batches = map[int]*pendingBatch{}
}

// expect returns for each operation what it must answer.
func expect(h script.Script) [][]Line {
	o := newOracle()
	out := make([][]Line, len(h))
	for i := range h {
		out[i] = o.answer(&h[i])
	}
	return out
}

func note(text string) []Line { return []Line{{Note: text}} }

// noteOf is the answer of an operation that shows nothing.
func noteOf(err error) []Line {
	if err == nil {
		return nil
	}
	return note(err.Error())
}

func (o *oracle) answer(op *script.Op) []Line {
	switch op.Kind {
	case script.Put, script.Delete, script.DeleteRange, script.Overwrite, script.Fill, script.Sweep:
		return o.single(op)
	case script.Decide:
		return o.decide(op)
	case script.Batch:
		return o.whole(op.Parts)
	case script.BatchAdd:
		return o.batchAdd(op)
	case script.BatchCommit:
		return o.batchCommit(op)
	case script.BatchReset:
		delete(o.batches, op.Slot)
	case script.Get, script.MultiGet, script.Scan, script.OpenIterator:
		return o.read(op)
	case script.TakeSnapshot:
		o.snapshots[op.Slot] = moment{o.state, maps.Clone(o.ids)}
	case script.CloseSnapshot:
		delete(o.snapshots, op.Slot)
	case script.Move:
		return o.move(op)
	case script.CloseIterator:
		delete(o.iterators, op.Slot)
	case script.Compact:
		return o.compact(op)
	case script.CreateSpace, script.DropSpace:
		o.changeSpaces(op)
	case script.Reopen:
		o.dropHandles()
	case script.ReadOnly:
		o.dropHandles()
		return o.everything()
	case script.Verify, script.Checkpoint, script.Backup:
		return o.everything()
	}
	return nil
}

func (o *oracle) exists(space string) bool {
	_, ok := o.ids[space]
	return ok
}

func (o *oracle) changeSpaces(op *script.Op) {
	if op.Space == "" || o.exists(op.Space) == (op.Kind == script.CreateSpace) {
		return
	}
	o.state = op.Apply(o.state)
	if op.Kind == script.DropSpace {
		delete(o.ids, op.Space)
		return
	}
	o.made++
	o.ids[op.Space] = o.made
}

// single does one write outside of batches.
func (o *oracle) single(op *script.Op) []Line {
	if !o.exists(op.Space) {
		return nil
	}
	if err := op.Check(); err != nil {
		return noteOf(err)
	}
	o.state = op.Apply(o.state)
	return nil
}

// decide does a write that depends on what its key holds.
func (o *oracle) decide(op *script.Op) []Line {
	held, there := o.state.Space(op.Space).Get(op.Key.Expand())
	lines := o.single(op)
	if lines == nil && o.exists(op.Space) {
		_, _, answer := op.Decided(held, there)
		lines = note(answer)
	}
	return lines
}

// whole does a batch in one go.
func (o *oracle) whole(parts []script.Op) []Line {
	lines, good := o.addable(parts)
	for i := range good {
		o.single(&good[i])
	}
	return lines
}

// addable returns the answers to adding these parts to a batch, and those of
// them that are then in it.
func (o *oracle) addable(parts []script.Op) (lines []Line, good []script.Op) {
	for i := range parts {
		part := &parts[i]
		if !o.exists(part.Space) {
			continue
		}
		if err := part.Check(); err != nil {
			lines = append(lines, noteOf(err)...)
			continue
		}
		good = append(good, *part)
	}
	return lines, good
}

func (o *oracle) batchAdd(op *script.Op) []Line {
	b := o.batches[op.Slot]
	if b == nil {
		b = &pendingBatch{ids: map[string]int{}}
		o.batches[op.Slot] = b
	}
	lines, good := o.addable(op.Parts)
	for _, part := range good {
		if part.Kind == script.DeleteRange && part.Upper != (script.Data{}) && part.Key.Expand() == part.Upper.Expand() {
			continue // nothing is in the range, so nothing is in the batch
		}
		if id, ok := b.ids[part.Space]; ok && id != o.ids[part.Space] {
			// Written to before and after its keyspace was made anew: the
			// older part makes the whole batch fail.
			b.ids[part.Space] = -1
		} else {
			b.ids[part.Space] = o.ids[part.Space]
		}
		b.parts = append(b.parts, part)
	}
	return lines
}

func (o *oracle) batchCommit(op *script.Op) []Line {
	b := o.batches[op.Slot]
	if b == nil {
		return nil
	}
	for space, id := range b.ids {
		if now, ok := o.ids[space]; !ok || now != id {
			return noteOf(lightning.ErrKeyspaceDropped)
		}
	}
	for i := range b.parts {
		o.single(&b.parts[i])
	}
	return nil
}

// compact answers with the number of records that a compaction of everything
// must leave: one for each row, unless a snapshot or an iterator needs more.
func (o *oracle) compact(op *script.Op) []Line {
	if !o.exists(op.Space) || op.Fail {
		return nil
	}
	if err := op.Check(); err != nil {
		return noteOf(err)
	}
	if !compactsAll(op) || len(o.snapshots)+len(o.iterators) > 0 {
		return nil
	}
	records := o.state.Space("").Len()
	for _, name := range o.state.Spaces() {
		records += o.state.Space(name).Len()
	}
	return note(recordsNote(uint64(records), 0))
}

func compactsAll(op *script.Op) bool {
	return op.Space == "" && op.Key == (script.Data{}) && op.Upper == (script.Data{})
}

func recordsNote(records, tombstones uint64) string {
	return fmt.Sprintf("%d records, of which %d tombstones", records, tombstones)
}

// everything answers with all rows of all keyspaces, upwards and downwards.
func (o *oracle) everything() []Line {
	var lines []Line
	for _, name := range append([]string{""}, o.state.Spaces()...) {
		lines = append(lines, Line{Note: "keyspace " + name})
		rows := linesOf(o.state.Space(name).Rows("", ""))
		lines = append(lines, rows...)
		slices.Reverse(rows)
		lines = append(lines, rows...)
	}
	return lines
}

func linesOf(rows []model.Row) []Line {
	lines := make([]Line, len(rows))
	for i, row := range rows {
		lines[i] = Line{Key: row.Key, Value: row.Value}
	}
	return lines
}

// read does what reads from a keyspace, now or as of a snapshot.
func (o *oracle) read(op *script.Op) []Line {
	var rows model.Store
	switch past, ok := o.snapshots[op.Snapshot]; {
	case op.Snapshot == 0 && o.exists(op.Space):
		rows = o.state.Space(op.Space)
	case op.Snapshot == 0 || !ok:
		return nil
	default:
		if _, ok := past.ids[op.Space]; !ok && !o.exists(op.Space) {
			return nil
		} // a keyspace that was made later has no rows
		rows = past.state.Space(op.Space)
	}
	switch op.Kind {
	case script.Get:
		return []Line{get(rows, op)}
	case script.MultiGet:
		return multiGet(rows, op)
	}
	shown, err := ranged(rows, op)
	if err != nil {
		return noteOf(err)
	}
	if op.Kind == script.OpenIterator {
		o.iterators[op.Slot] = &cursor{shown, -1}
		return nil
	}
	if op.Reverse {
		slices.Reverse(shown)
	}
	if op.Count > 0 {
		shown = shown[:min(op.Count, len(shown))]
	}
	lines := linesOf(shown)
	if op.Fail {
		lines = append(lines, Line{Note: noteStopped})
	}
	return lines
}

func get(rows model.Store, op *script.Op) Line {
	if err := op.Check(); err != nil {
		return Line{Note: err.Error()}
	}
	key := op.Key.Expand()
	value, ok := rows.Get(key)
	if !ok {
		return Line{Note: lightning.ErrNotFound.Error()}
	}
	return Line{Key: key, Value: value}
}

// multiGet answers in the order of the keys.
func multiGet(rows model.Store, op *script.Op) []Line {
	var lines []Line
	var keys []string
	for _, part := range op.Parts {
		if err := part.Check(); err != nil {
			return noteOf(err)
		}
		keys = append(keys, part.Key.Expand())
	}
	slices.Sort(keys)
	for i, key := range keys {
		line := Line{Key: key}
		var ok bool
		if line.Value, ok = rows.Get(key); !ok {
			line.Note = lightning.ErrNotFound.Error()
		}
		lines = append(lines, line)
		if op.Fail && i+1 >= op.Count {
			return append(lines, Line{Note: noteStopped})
		}
	}
	return lines
}

// ranged returns the rows within the bounds and the prefix.
func ranged(rows model.Store, op *script.Op) ([]model.Row, error) {
	lo, hi, prefix := op.Key.Expand(), op.Upper.Expand(), op.Prefix.Expand()
	if hi != "" && lo > hi {
		return nil, lightning.ErrInvalidRange
	}
	if err := op.Check(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows.Rows(lo, hi), func(r model.Row) bool {
		return !strings.HasPrefix(r.Key, prefix)
	}), nil
}

func (o *oracle) move(op *script.Op) []Line {
	c := o.iterators[op.Slot]
	if c == nil {
		return nil
	}
	var lines []Line
	for i := range op.Parts {
		c.move(&op.Parts[i])
		line := Line{Note: noteEnd}
		if c.at >= 0 && c.at < len(c.rows) {
			line = Line{Key: c.rows[c.at].Key, Value: c.rows[c.at].Value}
		}
		lines = append(lines, line)
	}
	return lines
}

func (c *cursor) move(op *script.Op) {
	key := op.Key.Expand()
	atOrAfter, _ := slices.BinarySearchFunc(c.rows, key, func(r model.Row, key string) int {
		return strings.Compare(r.Key, key)
	})
	switch op.Kind {
	case script.First:
		c.at = 0
	case script.Last:
		c.at = len(c.rows) - 1
	case script.Next:
		c.at = min(c.at+1, len(c.rows))
	case script.Prev:
		c.at = max(c.at-1, -1)
	case script.SeekGE:
		c.at = atOrAfter
	case script.SeekLT:
		c.at = atOrAfter - 1
	}
}

// noteFor returns the note for an error that an operation may answer; any other
// error is a fault.
func noteFor(err error) (string, error) {
	for _, e := range answers {
		if errors.Is(err, e) {
			return e.Error(), nil
		}
	}
	return "", err
}
