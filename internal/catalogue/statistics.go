package catalogue

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lightningdb/lightning/keyenc"
)

// Statistics are what the planner knows of a table. They may be old or
// missing: no result depends on them. Once published they do not change.
type Statistics struct {
	Analyzed bool // Analyze has counted once
	Rows     int64
	Samples  [][]byte // of the primary keys
	Indexes  map[uint64]IndexStatistics
}

// IndexStatistics are those of one index.
type IndexStatistics struct {
	Entries int64
	// Counted is how many there were when distinct and samples were made.
	Counted  int64
	Distinct []int64  // of the first column, of the first two, and so on
	Samples  [][]byte // keys at equal distances
}

// Encode returns the record.
func (s *Statistics) Encode() []byte {
	indexes := keyenc.Tuple{}
	for _, id := range slices.Sorted(maps.Keys(s.Indexes)) {
		x := s.Indexes[id]
		distinct := keyenc.Tuple{}
		for _, n := range x.Distinct {
			distinct = append(distinct, n)
		}
		indexes = append(indexes, keyenc.Tuple{id, x.Entries, x.Counted, distinct, sampleTuple(x.Samples)})
	}
	return seal(s.Analyzed, s.Rows, sampleTuple(s.Samples), indexes)
}

func sampleTuple(samples [][]byte) keyenc.Tuple {
	tuple := keyenc.Tuple{}
	for _, sample := range samples {
		tuple = append(tuple, sample)
	}
	return tuple
}

// DecodeStatistics reads a record that Encode has made.
func DecodeStatistics(record []byte) (*Statistics, error) {
	r, err := unseal(record)
	if err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	s := &Statistics{
		Analyzed: r.boolean(), Rows: int64(r.number()), Samples: readSamples(r.tuple()),
		Indexes: map[uint64]IndexStatistics{},
	}
	previous := uint64(0)
	for list := r.tuple(); list.more(); {
		one := list.tuple()
		id := one.number()
		if id <= previous {
			r.fail()
		}
		previous = id
		x := IndexStatistics{Entries: int64(one.number()), Counted: int64(one.number())}
		for distinct := one.tuple(); distinct.more(); {
			x.Distinct = append(x.Distinct, int64(distinct.number()))
		}
		x.Samples = readSamples(one.tuple())
		one.end()
		s.Indexes[id] = x
	}
	r.end()
	if r.failed() {
		return nil, fmt.Errorf("statistics: %w", ErrRecord)
	}
	return s, nil
}

func readSamples(r *reader) [][]byte {
	var samples [][]byte
	for r.more() {
		samples = append(samples, r.bytes())
	}
	return samples
}

// unanalyzedRowsMin is how many rows a table is taken to have before anyone
// has counted: what is small costs little whatever the plan.
const unanalyzedRowsMin = 1000

// RowCount is the estimated number of rows.
func (s *Statistics) RowCount() float64 {
	if !s.Analyzed {
		return float64(max(s.Rows, unanalyzedRowsMin))
	}
	return float64(s.Rows)
}

// The shares that are assumed where nothing is known.
const (
	ShareOfEqual  = 0.1 // of one column
	shareOfClosed = 0.1 // of an interval with two ends
	shareOfOpen   = 1.0 / 3
)

// EntriesIn estimates the entries of an index in a range of keys: those where
// the first equal columns have given values and, if ranged, the next one is in
// an interval of so many ends.
func (s *Statistics) EntriesIn(id uint64, unique bool, columns int, r KeyRange) float64 {
	x := s.Indexes[id]
	total := float64(x.Entries)
	if x.Counted == 0 && !s.Analyzed {
		total = max(total, s.RowCount())
	}
	if r.Equal == 0 && r.Ends == 0 {
		return total
	}
	if unique && r.Equal == columns {
		return min(1, total)
	}
	return Share(total, x.perPrefix(total, r.Equal), x.Samples, r)
}

// perPrefix estimates how many entries agree in their first columns.
func (x *IndexStatistics) perPrefix(total float64, equal int) float64 {
	if equal == 0 {
		return total
	}
	if equal > len(x.Distinct) || x.Counted == 0 {
		for range equal {
			total *= ShareOfEqual
		}
		return total
	}
	distinct := float64(max(1, x.Distinct[equal-1]))
	if distinct > float64(x.Counted)/10 { // most are new values: they grow with the table
		distinct *= max(1, total/float64(x.Counted))
	}
	return total / distinct
}

// RowsIn estimates the rows in a range of primary keys.
func (s *Statistics) RowsIn(r KeyRange) float64 {
	switch {
	case r.Equal == 1:
		return min(1, s.RowCount())
	case r.Ends == 0:
		return s.RowCount()
	}
	return Share(s.RowCount(), s.RowCount(), s.Samples, r)
}

// KeyRange is a range of keys in which the first equal columns have given
// values and, unless ends is 0, the next one is in an interval that many ends.
type KeyRange struct {
	Lo, Hi []byte // nil: no end
	Equal  int
	Ends   int
}

// Share estimates how many of total keys are in a range of them, where base is
// what its equal columns leave. Samples tell of ranges that are large enough;
// what lies between two of them is guessed.
func Share(total, base float64, samples [][]byte, r KeyRange) float64 {
	guess := base
	switch r.Ends {
	case 1:
		guess *= shareOfOpen
	case 2:
		guess *= shareOfClosed
	}
	if len(samples) == 0 {
		return guess
	}
	first, _ := slices.BinarySearchFunc(samples, r.Lo, bytes.Compare)
	last := len(samples)
	if r.Hi != nil {
		last, _ = slices.BinarySearchFunc(samples, r.Hi, bytes.Compare)
	}
	step := total / float64(len(samples))
	inside := float64(max(0, last-first))
	if r.Ends == 0 { // a few samples more or less say little about one value
		if inside >= 2 {
			return max(guess, inside*step)
		}
		return guess
	}
	if inside == 0 {
		return min(guess, step/2)
	}
	return min(base, inside*step)
}

// Ceil returns an estimate as a number to show.
func Ceil(estimate float64) int64 {
	n := int64(estimate)
	return n + int64(cmp.Compare(estimate, float64(n)))
}
