package records

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// tsv reads lines of fields divided by tabs. There is no quoting: a field is
// the bytes between two tabs.
type tsv struct {
	lines      lineReader
	columns    columns
	fields     [][]byte
	key, value []byte // joined columns; reused
}

func newTSV(text *bufio.Reader, opts Options) (*tsv, error) {
	t := &tsv{lines: lineReader{text: text}}
	var header []string
	if opts.Header || opts.named() {
		line, err := t.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		for _, title := range bytes.Split(line, []byte{'\t'}) {
			header = append(header, string(title))
		}
	}
	var err error
	t.columns, err = opts.resolve(header)
	return t, err
}

// next returns a line, unless that is a whole file whose lines end otherwise.
func (t *tsv) next() ([]byte, error) {
	line, err := t.lines.filled()
	if err == nil {
		err = t.lines.checkEnds(line)
	}
	return withoutEnd(line), err
}

func (t *tsv) read() (Record, error) {
	line, err := t.next()
	if err != nil {
		return Record{}, err
	}
	t.fields = t.fields[:0]
	rest, found := line, true
	for found {
		var field []byte
		field, rest, found = bytes.Cut(rest, []byte{'\t'})
		t.fields = append(t.fields, field)
	}
	record, err := t.columns.record(t.fields, &t.key, &t.value)
	if err != nil {
		return Record{}, &LineError{t.lines.line, err}
	}
	if t.columns.value == nil {
		record.Value = line
	}
	record.Line = t.lines.line
	return record, nil
}
