package metamorph

import (
	"fmt"

	"github.com/lightningdb/lightning/internal/checksum"
)

// judge compares what one operation answers, line by line, with what it must
// answer, and sums it up for the transcript.
type judge struct {
	want []Line
	seen int
	step step
}

// step is what a transcript keeps of an operation: a sum over its answer, and
// what the model cannot know but every run must agree on.
type step struct {
	sum  uint32
	says string
}

// row notes a row of the answer.
func (j *judge) row(key, value []byte) error { return j.line(key, value, "") }

// err notes that a call returned err. Only the errors that operations may
// answer are for the model to judge; all others are faults at once.
func (j *judge) err(err error) error {
	if err == nil {
		return nil
	}
	text, fault := noteFor(err)
	if fault != nil {
		return fault
	}
	return j.line(nil, nil, text)
}

func (j *judge) line(key, value []byte, note string) error {
	for _, part := range [][]byte{key, value, []byte(note)} {
		j.step.sum = checksum.CRC(j.step.sum, part)
		j.step.sum = checksum.CRC(j.step.sum, []byte{0})
	}
	found := func() string { return Line{string(key), string(value), note}.String() }
	if j.seen == len(j.want) {
		return fmt.Errorf("answers %s beyond the %d lines expected", found(), j.seen)
	}
	if w := &j.want[j.seen]; string(key) != w.Key || string(value) != w.Value || note != w.Note {
		return fmt.Errorf("line %d of %d is %s, expected %v", j.seen+1, len(j.want), found(), w)
	}
	j.seen++
	return nil
}

// end says what is missing.
func (j *judge) end() error {
	if j.seen < len(j.want) {
		return fmt.Errorf("answers only %d of %d lines; the next would be %v", j.seen, len(j.want), j.want[j.seen])
	}
	return nil
}

// say adds something that all runs must agree on.
func (j *judge) say(format string, args ...any) {
	j.step.says += fmt.Sprintf(format, args...)
}

func (l Line) String() string {
	if l.Note != "" && l.Key == "" {
		return "(" + l.Note + ")"
	}
	value := fmt.Sprintf("%q", l.Value)
	if len(l.Value) > 48 {
		value = fmt.Sprintf("%q… of %d bytes, sum %08x", l.Value[:32], len(l.Value), checksum.CRC(0, []byte(l.Value)))
	}
	if l.Note != "" {
		value = "(" + l.Note + ")"
	}
	if len(l.Key) > 100 {
		return fmt.Sprintf("%q… of %d bytes=%s", l.Key[:60], len(l.Key), value)
	}
	return fmt.Sprintf("%q=%s", l.Key, value)
}
