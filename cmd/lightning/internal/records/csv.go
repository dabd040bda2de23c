package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// csvSource reads comma-separated values as RFC 4180 has them: a quoted field
// may hold commas, quotes and newlines. What is in quotes is taken byte for byte;
// package encoding/csv would drop a carriage return before a newline there.
type csvSource struct {
	lines      lineReader
	columns    columns
	whole      []byte   // the present record as it stands; reused, as all below
	text       []byte   // its fields without quotes, one after the other
	ends       []int    // of the fields in text
	fields     [][]byte // in text
	key, value []byte   // joined columns
}

var (
	errBareQuote   = errors.New(`bare " in non-quoted-field`)
	errAfterQuote  = errors.New(`extraneous or missing " in quoted-field`)
	errBareReturn  = errors.New("carriage return outside of quotes and not at the end of a line")
	errQuoteOpen   = errors.New("quote is never closed, the rest of the file was not read")
	errQuoteTooFar = fmt.Errorf("quote is not closed within %d bytes, the rest of the file was not read", maxLineBytes)
)

func newCSV(text *bufio.Reader, opts Options) (*csvSource, error) {
	c := &csvSource{lines: lineReader{text: text}}
	var header []string
	if opts.Header || opts.named() {
		_, err := c.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		for _, title := range c.fields {
			header = append(header, string(title))
		}
	}
	var err error
	c.columns, err = opts.resolve(header)
	return c, err
}

func (c *csvSource) read() (Record, error) {
	line, err := c.next()
	if err != nil {
		return Record{}, err
	}
	record, err := c.columns.record(c.fields, &c.key, &c.value)
	if err != nil {
		return Record{}, &LineError{line, err}
	}
	if c.columns.value == nil {
		record.Value = withoutEnd(c.whole)
	}
	record.Line = line
	return record, nil
}

// next reads the fields of the next record, and returns the line that it begins on.
func (c *csvSource) next() (line int, err error) {
	c.whole, c.text, c.ends, c.fields = c.whole[:0], c.text[:0], c.ends[:0], c.fields[:0]
	rest, err := c.lines.filled()
	if err != nil {
		return 0, err
	}
	line = c.lines.line
	c.whole = append(c.whole, rest...)
	for more := true; more; {
		field := c.bare
		if len(rest) > 0 && rest[0] == '"' {
			field = c.quoted
		}
		if rest, more, err = field(rest); err != nil {
			return 0, c.malformed(line, rest, err)
		}
		c.ends = append(c.ends, len(c.text))
	}
	start := 0
	for _, end := range c.ends {
		c.fields = append(c.fields, c.text[start:end:end])
		start = end
	}
	return line, nil
}

// bare takes a field without quotes from the beginning of rest. It returns what
// follows its comma, and whether there is one. On an error it returns the line.
func (c *csvSource) bare(rest []byte) (after []byte, more bool, err error) {
	field, after, more := bytes.Cut(rest, []byte{','})
	if !more {
		field = withoutEnd(field)
	}
	switch {
	case bytes.IndexByte(field, '"') >= 0:
		return rest, false, errBareQuote
	case bytes.IndexByte(field, '\r') >= 0:
		return rest, false, errBareReturn
	}
	c.text = append(c.text, field...)
	return after, more, nil
}

// quoted takes a field in quotes, which may go on on the next lines.
func (c *csvSource) quoted(rest []byte) (after []byte, more bool, err error) {
	for rest = rest[1:]; ; {
		closing := bytes.IndexByte(rest, '"')
		if closing < 0 {
			c.text = append(c.text, rest...)
			if rest, err = c.continued(); err != nil {
				return nil, false, err
			}
			continue
		}
		c.text = append(c.text, rest[:closing]...)
		rest = rest[closing+1:]
		switch {
		case len(rest) > 0 && rest[0] == '"':
			c.text, rest = append(c.text, '"'), rest[1:]
		case len(rest) > 0 && rest[0] == ',':
			return rest[1:], true, nil
		case len(withoutEnd(rest)) > 0:
			return rest, false, errAfterQuote
		default:
			return nil, false, nil
		}
	}
}

// continued returns the next line of a record that is in quotes.
func (c *csvSource) continued() ([]byte, error) {
	if len(c.whole) > maxLineBytes {
		return nil, errQuoteTooFar
	}
	line, err := c.lines.raw()
	if errors.Is(err, io.EOF) {
		return nil, errQuoteOpen
	}
	c.whole = append(c.whole, line...)
	return line, err
}

// malformed places an error of a record that begins on a line. A quote that is
// still open at the end of the input has taken all records after it along: that is
// no malformed line to go on behind. Neither is a file that is one line to us.
func (c *csvSource) malformed(line int, rest []byte, err error) error {
	switch {
	case errors.Is(err, errQuoteOpen), errors.Is(err, errQuoteTooFar):
		return fmt.Errorf("line %d: %w", line, err)
	case errors.Is(err, errBareReturn), errors.Is(err, errAfterQuote):
		if otherEnds := c.lines.checkEnds(rest); otherEnds != nil {
			return otherEnds
		}
	case !errors.Is(err, errBareQuote):
		return err // of the input, or a line that is too long
	}
	return &LineError{line, err}
}
