package process

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
)

// loss is what can be taken from a database at its end.
type loss uint8

const (
	lossOfProcess loss = iota // the page cache stays
	lossOfPower               // only what was synced stays
)

// survives says whether a promise covers the loss.
func (l loss) survives(d lightning.Durability) bool {
	return d == lightning.DurabilitySync || d == lightning.DurabilityBuffered && l == lossOfProcess
}

// oracle knows which contents a database may have. It is told of every
// acknowledgement in an order that agrees with time: when an operation began,
// all that were told before had been acknowledged. Safe for concurrent use.
//
// For every stream: from <= floor <= acked <= begun <= acked+1. rows is the
// content after operation from; no operation up to from is in doubt any more.
type oracle struct {
	seed uint64
	loss loss

	mu      sync.Mutex
	single  lightning.Durability // of the life in progress
	dark    bool                 // whether its power may be gone
	streams []*streamState
}

type streamState struct {
	rows  *content
	from  uint32
	floor uint32 // must survive
	acked uint32
	begun uint32
	// seen[i] is how far every stream was acknowledged when operation
	// from+1+i began.
	seen [][]uint32
}

func newOracle(seed uint64, streams int, l loss) *oracle {
	o := &oracle{seed: seed, loss: l}
	for range streams {
		o.streams = append(o.streams, &streamState{rows: newContent()})
	}
	return o
}

// opened says that a database begins to work on the operations after those of
// the last life. Operations that were in doubt must have been judged.
func (o *oracle) opened(single lightning.Durability) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.single, o.dark = single, false
	for _, s := range o.streams {
		o.begin(s)
	}
}

func (o *oracle) begin(s *streamState) {
	s.begun = s.acked + 1
	seen := make([]uint32, len(o.streams))
	for i, other := range o.streams {
		seen[i] = other.acked
	}
	s.seen = append(s.seen[:s.acked-s.from], seen)
}

// next returns the number of the first operation of each stream that was not
// begun.
func (o *oracle) next() []uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []uint32
	for _, s := range o.streams {
		out = append(out, s.begun+1)
	}
	return out
}

// powerLost says that the power goes now. Later acknowledgements promise
// nothing: on a machine without power nobody would hear them, and a sync that
// the shutdown of a file system meets in its middle may report success although
// the journal that it waited for was thrown away (ext4 of Linux 6.18 does so
// with several in a hundred; a plain file shows it, without any database).
func (o *oracle) powerLost() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dark = true
}

// ack says that operation n of a stream was acknowledged, and that its next one
// begins.
func (o *oracle) ack(stream int, n uint32) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stream >= len(o.streams) || n != o.streams[stream].begun {
		return fmt.Errorf("operation %d of stream %d was acknowledged out of turn", n, stream)
	}
	s := o.streams[stream]
	s.acked = n
	if op, _ := headAt(o.seed, stream, n); !o.dark && o.loss.survives(promised(op, o.single)) {
		// Acknowledged means published, in order: what was acknowledged before
		// this one began lies before it in the log.
		for i, before := range s.seen[n-s.from-1] {
			o.streams[i].floor = max(o.streams[i].floor, before)
		}
		s.floor = n
	}
	o.begin(s)
	return nil
}

// closed says that the database was closed without an error.
func (o *oracle) closed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.streams {
		s.floor, s.begun = s.acked, s.acked
	}
}

// verdict is what was found of a stream: the content after operation lo and,
// as some operations change nothing, also after all up to hi that match.
type verdict struct {
	lo, hi uint32
	made   bool // not only after lo: the next one has made its space
}

// judge compares what a database holds after its end with what it may hold, and
// goes on from there.
func (o *oracle) judge(db *lightning.DB) error {
	found, err := readContents(db, len(o.streams))
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	verdicts := make([]verdict, len(o.streams))
	for i, s := range o.streams {
		if verdicts[i], err = o.match(i, found[i], s.floor, s.begun); err != nil {
			return err
		}
	}
	if err := o.checkOrder(verdicts); err != nil {
		return err
	}
	for i, s := range o.streams {
		*s = streamState{rows: found[i], from: s.begun, floor: s.begun, acked: s.begun, begun: s.begun}
	}
	return nil
}

// judgeLive compares what a database at rest shows with what was acknowledged.
// Of an operation that failed no more may show than the space that it has made.
func (o *oracle) judgeLive(db *lightning.DB) error {
	found, err := readContents(db, len(o.streams))
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, s := range o.streams {
		if _, err := o.match(i, found[i], s.acked, s.acked); err != nil {
			return fmt.Errorf("while the database is open: %w", err)
		}
	}
	return nil
}

// match finds after which operations of [floor, ceiling] a stream has the rows
// that were found.
func (o *oracle) match(stream int, found *content, floor, ceiling uint32) (verdict, error) {
	var matches []verdict
	o.replay(stream, ceiling, func(n uint32, made bool, rows *content) {
		if rows.digest == found.digest && maps.Equal(rows.rows, found.rows) {
			matches = append(matches, verdict{lo: n, hi: n, made: made})
		}
	})
	if len(matches) == 0 {
		return verdict{}, o.noMatch(stream, found, floor, ceiling)
	}
	v := matches[0]
	v.hi = matches[len(matches)-1].hi
	if v.hi < floor {
		lost, _ := headAt(o.seed, stream, floor)
		return v, fmt.Errorf("stream %d: the content is that after operation %d, but all up to %d (%v, promised %v) must be there",
			stream, v.hi, floor, lost.Kind, promised(lost, o.single))
	}
	return v, nil
}

// replay calls fn with the rows of a stream after each operation from the last
// one that is not in doubt, and after the first step of the next one that has begun,
// if it makes a space.
func (o *oracle) replay(stream int, ceiling uint32, fn func(n uint32, made bool, rows *content)) {
	s := o.streams[stream]
	rows := &content{rows: maps.Clone(s.rows.rows), digest: s.rows.digest}
	for n := s.from; ; n++ {
		fn(n, false, rows)
		if n >= s.begun {
			return
		}
		op := operationAt(o.seed, stream, n+1)
		if rows.makeSpaces(op) {
			fn(n, true, rows)
		}
		if n >= ceiling {
			return
		}
		rows.apply(op)
	}
}

// noMatch says how the rows that were found differ from the most similar ones
// that could have been there.
func (o *oracle) noMatch(stream int, found *content, floor, ceiling uint32) error {
	var nearest []string
	at := uint32(0)
	o.replay(stream, ceiling, func(n uint32, _ bool, rows *content) {
		if differences := rows.differences(found); nearest == nil || len(differences) <= len(nearest) {
			nearest, at = differences, n
		}
	})
	return fmt.Errorf("stream %d: the content is that after none of the operations %d (must be there) to %d (had begun); "+
		"against operation %d, %d rows differ: %s",
		stream, floor, ceiling, at, len(nearest), strings.Join(nearest[:min(6, len(nearest))], ", "))
}

// checkOrder finds an operation that is there without one that was acknowledged
// before it began.
func (o *oracle) checkOrder(verdicts []verdict) error {
	for i, s := range o.streams {
		last := verdicts[i].lo
		if verdicts[i].made {
			last++
		}
		for n := s.from + 1; n <= last; n++ {
			for j, before := range s.seen[n-s.from-1] {
				if before > verdicts[j].hi {
					return fmt.Errorf("operation %d of stream %d is there; it began after operation %d of stream %d "+
						"was acknowledged, but that stream ends at %d", n, i, before, j, verdicts[j].hi)
				}
			}
		}
	}
	return nil
}

// differences lists in which rows found is not c.
func (c *content) differences(found *content) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.rows)) {
		value, ok := found.rows[name]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s is missing, not %.24q", name, c.rows[name]))
		case value != c.rows[name]:
			out = append(out, fmt.Sprintf("%s is %.24q, not %.24q", name, value, c.rows[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found.rows)) {
		if _, ok := c.rows[name]; !ok {
			out = append(out, fmt.Sprintf("%s is %.24q, and should be missing", name, found.rows[name]))
		}
	}
	return out
}

// readContents reads a database in full: every keyspace by a scan, and the same
// keys again one by one.
func readContents(db *lightning.DB, streams int) ([]*content, error) {
	found := make([]*content, streams)
	for i := range found {
		found[i] = newContent()
	}
	if err := readSpace(db, "", found); err != nil {
		return nil, err
	}
	for _, name := range db.Keyspaces() {
		keyspace, err := db.Keyspace(context.Background(), name, nil)
		if err != nil {
			return nil, fmt.Errorf("keyspace %s: %w", name, err)
		}
		if stream, owned := ownerOf(name); owned && stream < len(found) {
			found[stream].put(rowName(name, ""), "")
		}
		if err := readSpace(keyspace, name, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func readSpace(from script.Reader, space string, found []*content) error {
	err := from.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			stream := streamOf(string(k))
			if stream < 0 || stream >= len(found) {
				return fmt.Errorf("a key that nobody wrote: %q", k)
			}
			found[stream].put(rowName(space, string(k)), string(v))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan of %s: %w", rowName(space, ""), err)
	}
	for stream, rows := range found {
		for i := range keysPerSpace {
			key := keyOf(stream, i)
			want, there := rows.rows[rowName(space, key)]
			got, err := from.Get([]byte(key))
			switch {
			case !there && err == lightning.ErrNotFound:
			case err != nil && (there || err != lightning.ErrNotFound):
				return fmt.Errorf("get of %s: %w", rowName(space, key), err)
			case !there || string(got) != want:
				return fmt.Errorf("get of %s says %.24q, a scan says %.24q", rowName(space, key), got, want)
			}
		}
	}
	return nil
}
