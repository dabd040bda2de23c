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
		line, err := t.lines.next()
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

func (t *tsv) read() (Record, error) {
	line, err := t.lines.next()
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
	if err := t.columns.check(len(t.fields)); err != nil {
		return Record{}, &LineError{t.lines.line, err}
	}
	t.key = appendJoined(t.key[:0], t.fields, t.columns.key, t.columns.keyJoin)
	record := Record{Key: t.key, Value: line, Line: t.lines.line}
	if t.columns.value != nil {
		t.value = appendJoined(t.value[:0], t.fields, t.columns.value, "\t")
		record.Value = t.value
	}
	return record, nil
}
