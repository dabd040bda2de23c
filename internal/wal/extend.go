package wal

import (
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// Extension is log that goes on behind that of a database which nobody has open, in segments of
// its own: what was archived of it elsewhere is brought back. Nothing of it counts before a
// manifest names its segments. It is used by one goroutine.
type Extension struct {
	cfg   Config
	next  base.FileNum
	start Position // of the current segment, or of the first
	last  base.SeqNum
	log   *Log // nil before the first group
	cut   bool // the next group begins a segment
	done  []Segment
}

// Extend begins behind position end, with number last+1. Segments have numbers from next on.
func Extend(cfg Config, next base.FileNum, end Position, last base.SeqNum) *Extension {
	return &Extension{cfg: cfg, next: next, start: end, last: last}
}

// Append adds a group.
func (e *Extension) Append(first, last base.SeqNum, payload []byte) error {
	if e.log == nil || e.cut {
		if err := e.begin(); err != nil {
			return err
		}
	}
	_, err := e.log.Append(first, last, payload)
	return err
}

// Cut has the next group begin a segment, as it does behind a commit past the log.
func (e *Extension) Cut() { e.cut = e.log != nil }

// begin begins a segment.
func (e *Extension) begin() error {
	s, err := Prepare(e.cfg, e.next, segmentHeaderBytes)
	if err != nil {
		return err
	}
	if e.log == nil {
		e.log, err = NewLog(e.cfg, s, e.start, e.last)
	} else {
		e.measure()
		err = e.log.Rotate(s)
	}
	if err != nil {
		return err
	}
	e.done = append(e.done, s)
	e.next++
	e.cut = false
	return nil
}

// measure notes how large the current segment has become.
func (e *Extension) measure() {
	end := e.log.Appended()
	e.done[len(e.done)-1].SizeBytes = segmentHeaderBytes + int64(end-e.start)
	e.start = end
}

// Close makes all durable, and returns the segments, in order. Closing again does nothing.
func (e *Extension) Close() ([]Segment, error) {
	if e.log == nil || errors.Is(e.log.Failure(), base.ErrClosed) {
		return e.done, nil
	}
	err := e.log.Close()
	if err == nil {
		e.measure() // with the seal
	}
	return e.done, err
}
