package table

import (
	"bytes"
	"slices"
)

// sorter collects rows and gives them in order. With a limit it holds at most
// twice as many rows, and drops those that cannot be among the first.
type sorter[R any] struct {
	reverse   bool
	limit     int
	rows      []sorted[R]
	sizeBytes int
}

type sorted[R any] struct {
	place     []byte // the values of the order, then the primary key
	primary   []byte // the end of place
	sizeBytes int
	rec       R
}

// add takes a row with its place, which ends with a primary key of so many bytes.
func (s *sorter[R]) add(place []byte, primaryBytes, dataBytes int, rec R) error {
	one := sorted[R]{place: place, primary: place[len(place)-primaryBytes:], rec: rec}
	one.sizeBytes = len(place) + dataBytes + heldOverheadBytes
	s.rows = append(s.rows, one)
	s.sizeBytes += one.sizeBytes
	if s.limit > 0 && len(s.rows)/2 >= s.limit {
		s.sort()
	}
	return bounded(s.sizeBytes)
}

// sort sorts what is there and drops what is beyond the limit.
func (s *sorter[R]) sort() {
	slices.SortFunc(s.rows, func(a, b sorted[R]) int {
		if s.reverse {
			a, b = b, a
		}
		return bytes.Compare(a.place, b.place)
	})
	if s.limit == 0 || len(s.rows) <= s.limit {
		return
	}
	for _, dropped := range s.rows[s.limit:] {
		s.sizeBytes -= dropped.sizeBytes
	}
	clear(s.rows[s.limit:])
	s.rows = s.rows[:s.limit]
}

func (s *sorter[R]) drain(give func(primary []byte, rec R) error) error {
	s.sort()
	for _, one := range s.rows {
		if err := give(one.primary, one.rec); err != nil {
			return err
		}
	}
	return nil
}
