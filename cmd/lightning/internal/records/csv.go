package records

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvSource reads comma-separated values as RFC 4180 has them: a quoted field
// may hold commas, quotes and newlines.
type csvSource struct {
	text       *bufio.Reader // what in reads; it holds nothing back
	in         *csv.Reader
	columns    columns
	whole      bytes.Buffer // the record written out again, for WholeLine
	out        *csv.Writer  // into whole
	key, value []byte       // joined columns; reused
}

func newCSV(text *bufio.Reader, opts Options) (*csvSource, error) {
	// The blank lines at the end change nothing, but only a quote that is never
	// closed swallows them.
	text = bufio.NewReaderSize(io.MultiReader(text, strings.NewReader("\n\n")), text.Size())
	c := &csvSource{text: text, in: csv.NewReader(text)}
	c.in.ReuseRecord = true
	c.in.FieldsPerRecord = -1 // columns.check looks at what is needed
	c.out = csv.NewWriter(&c.whole)
	var header []string
	if opts.Header || opts.named() {
		fields, err := c.in.Read()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, c.lineError(err)
		}
		header = append(header, fields...)
	}
	var err error
	c.columns, err = opts.resolve(header)
	return c, err
}

func (c *csvSource) read() (Record, error) {
	fields, err := c.in.Read()
	if err != nil {
		return Record{}, c.lineError(err)
	}
	line, _ := c.in.FieldPos(0)
	if err := c.columns.check(len(fields)); err != nil {
		return Record{}, &LineError{line, err}
	}
	c.key = appendJoined(c.key[:0], fields, c.columns.key, c.columns.keyJoin)
	if c.columns.value != nil {
		c.value = appendJoined(c.value[:0], fields, c.columns.value, "\t")
		return Record{Key: c.key, Value: c.value, Line: line}, nil
	}
	c.whole.Reset()
	if err := c.out.Write(fields); err != nil {
		return Record{}, &LineError{line, err}
	}
	c.out.Flush()
	whole := bytes.TrimSuffix(c.whole.Bytes(), []byte{'\n'})
	return Record{Key: c.key, Value: whole, Line: line}, nil
}

// lineError makes a LineError of a parse error and leaves others alone. A quote
// that is still open at the end of the input has taken all records after it
// along: that is no malformed line to go on behind.
func (c *csvSource) lineError(err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	if errors.Is(parse.Err, csv.ErrQuote) {
		if _, peekErr := c.text.Peek(1); errors.Is(peekErr, io.EOF) {
			return fmt.Errorf("line %d: quote is never closed, the rest of the file was not read", parse.StartLine)
		}
	}
	return &LineError{parse.StartLine, parse.Err}
}
