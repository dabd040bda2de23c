// Package records reads key-value records out of text: tab-separated values,
// comma-separated values and JSON lines, plain or compressed with gzip.
//
// A malformed record is reported as a *LineError and reading can go on after
// it; any other error ends the input. A Reader belongs to one goroutine, and
// the bytes it returns are valid until its next Read.
package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Record is one key and its value, and where they came from.
type Record struct {
	Key, Value []byte
	Line       int // of the input where the record begins, from 1
}

// Format is a text form of records.
type Format uint8

// The formats.
const (
	TSV   Format = iota // fields divided by tabs, without quoting
	CSV                 // RFC 4180: fields divided by commas, quoted where needed
	JSONL               // one JSON object a line
)

// WholeLine as the value column means the whole record as it stands.
const WholeLine = "*"

// Options say what the key and the value of a record are.
type Options struct {
	Format Format
	// Key and Value name columns: by number from 1, or by the name that the
	// header gives them, or for JSON lines by the name of a member. Several
	// key columns are joined with KeyJoin, several value columns with a tab.
	Key, Value []string
	KeyJoin    string
	// Header says that the first line names the columns. It is implied when
	// Key or Value has a name. JSON lines have no header.
	Header bool
}

// LineError is a malformed record.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// ColumnError says that there is no such column as one of those wanted.
type ColumnError struct {
	Column string
	Reason string
}

func (e *ColumnError) Error() string { return fmt.Sprintf("column %q %s", e.Column, e.Reason) }

// source is one format's part of a Reader. It returns io.EOF at the end.
type source interface {
	read() (Record, error)
}

// Reader reads records of any format.
type Reader struct{ source source }

// NewReader makes a reader over r. Input that begins like a gzip file is
// unpacked; a byte order mark is skipped. It reads the header if there is one,
// so a column that is not there is found here, as a *ColumnError.
func NewReader(r io.Reader, opts Options) (*Reader, error) {
	text, err := plainText(r)
	if err != nil {
		return nil, err
	}
	var s source
	switch opts.Format {
	case TSV:
		s, err = newTSV(text, opts)
	case CSV:
		s, err = newCSV(text, opts)
	case JSONL:
		s = newJSONL(text, opts)
	default:
		err = fmt.Errorf("unknown format %d", opts.Format)
	}
	if err != nil {
		return nil, err
	}
	return &Reader{source: s}, nil
}

// Read returns the next record; io.EOF after the last, a *LineError for a
// malformed one.
func (r *Reader) Read() (Record, error) {
	return r.source.read()
}

// plainText unpacks r if it is compressed and skips a byte order mark.
func plainText(r io.Reader) (*bufio.Reader, error) {
	text := bufio.NewReaderSize(r, 256<<10)
	// Peek fails on input that is shorter; then there is nothing to skip.
	if magic, _ := text.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(text)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		text = bufio.NewReaderSize(unpacked, 256<<10)
	}
	if mark, _ := text.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = text.Discard(3) // they were just seen
	}
	return text, nil
}

// maxLineBytes bounds the memory that one line can take: the largest value
// and key, and some room around them.
const maxLineBytes = 1<<30 + 1<<20

var errLineTooLong = fmt.Errorf("longer than %d bytes", maxLineBytes)

// lineReader splits text into lines that are not blank.
type lineReader struct {
	text *bufio.Reader
	long []byte // a line that did not fit the buffer of text; reused
	line int
}

// next returns a line without its end, which is \n or \r\n or the end of the
// input.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.raw()
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
		if len(line) > 0 {
			return line, nil
		}
	}
}

// raw returns a line with its end.
func (l *lineReader) raw() ([]byte, error) {
	line, err := l.text.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return nil, err
	}
	l.line++
	if err == nil || errors.Is(err, io.EOF) {
		return line, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	l.long = append(l.long[:0], line...)
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.text.ReadSlice('\n')
		tooLong = tooLong || len(l.long)+len(line) > maxLineBytes
		if !tooLong {
			l.long = append(l.long, line...)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if tooLong {
		return nil, &LineError{l.line, errLineTooLong}
	}
	return l.long, nil
}

// columns are the places of the key and the value in a line of fields.
type columns struct {
	key, value []int // from 0; no value means the whole line
	keyJoin    string
	last       int // the largest of them
}

// named reports whether any column is given by name, so that there must be a
// header.
func (o Options) named() bool {
	for _, names := range [][]string{o.Key, o.Value} {
		for _, name := range names {
			if _, err := strconv.Atoi(name); err != nil && name != WholeLine {
				return true
			}
		}
	}
	return false
}

// resolve finds the columns; header is nil when there is none.
func (o Options) resolve(header []string) (columns, error) {
	c := columns{keyJoin: o.KeyJoin}
	var err error
	if c.key, err = places(o.Key, header); err != nil {
		return columns{}, err
	}
	if len(o.Value) != 1 || o.Value[0] != WholeLine {
		if c.value, err = places(o.Value, header); err != nil {
			return columns{}, err
		}
	}
	for _, place := range append(append([]int{}, c.key...), c.value...) {
		c.last = max(c.last, place)
	}
	return c, nil
}

func places(names, header []string) ([]int, error) {
	found := make([]int, 0, len(names))
next:
	for _, name := range names {
		for i, title := range header {
			if name == title {
				found = append(found, i)
				continue next
			}
		}
		number, err := strconv.Atoi(name)
		if err != nil {
			return nil, &ColumnError{name, fmt.Sprintf("is not in the header %q", header)}
		}
		if number < 1 {
			return nil, &ColumnError{name, "is none: they are counted from 1"}
		}
		found = append(found, number-1)
	}
	return found, nil
}

// check reports a line that has too few fields.
func (c *columns) check(fields int) error {
	if fields <= c.last {
		return fmt.Errorf("has %s, but column %d is needed", plural(fields, "column"), c.last+1)
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// appendJoined appends the fields at the places, with join between them.
func appendJoined[T string | []byte](dst []byte, fields []T, places []int, join string) []byte {
	for i, place := range places {
		if i > 0 {
			dst = append(dst, join...)
		}
		dst = append(dst, fields[place]...)
	}
	return dst
}
