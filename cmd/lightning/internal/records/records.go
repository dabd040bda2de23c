// Package records reads key-value records out of text: tab-separated values,
// comma-separated values, JSON lines and dumps of databases, which are JSON lines with
// a first line that says so, plain or compressed with gzip.
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
	"slices"
	"strconv"
	"time"
)

// Record is one key and its value, and where they came from.
type Record struct {
	Key, Value []byte
	// ExpiresAt is when it expires, the zero time: never. It is known only where the
	// input says it.
	ExpiresAt   time.Time
	KnowsExpiry bool
	Line        int // of the input where the record begins, from 1
	// Keyspace is where a record of a dump belongs, nil: the default one.
	// MakesKeyspace says that there is no record, but a keyspace begins.
	Keyspace      *Keyspace
	MakesKeyspace bool
}

// Keyspace is what a dump says of a keyspace. What is not set is zero.
type Keyspace struct {
	Name        string
	Compression string
	TTL         time.Duration
	Merge       string // name of the operator
	BlobBytes   int    // from which on values are kept apart; negative: never, 0: as the database has it
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

// Never is what stands for the expiry of a record that does not expire.
const Never = "never"

// Options say what the key and the value of a record are.
type Options struct {
	Format Format
	// Key and Value name columns: by number from 1, or by the name that the
	// header gives them, or for JSON lines by the name of a member. Several
	// key columns are joined with KeyJoin, several value columns with a tab.
	Key, Value []string
	KeyJoin    string
	// Expires names the column with the time at which a record expires, as RFC 3339
	// has it, or Never. Where it is empty, or a member is not there, the record says
	// nothing. Empty: no record does.
	Expires string
	// Header says that the first line names the columns. It is implied when
	// Key, Value or Expires has a name. JSON lines have no header.
	Header bool
	// Packed says that the input has to be compressed.
	Packed bool
}

// expires returns the column as a list.
func (o Options) expires() []string {
	if o.Expires == "" {
		return nil
	}
	return []string{o.Expires}
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
type Reader struct {
	source source
	empty  bool
}

// IsEmpty reports whether there is not a byte of input.
func (r *Reader) IsEmpty() bool { return r.empty }

// IsDump reports whether the input is the dump of a database, of which the options
// choose nothing.
func (r *Reader) IsDump() bool {
	_, is := r.source.(*dump)
	return is
}

// NewReader makes a reader over r. Input that begins like a gzip file is
// unpacked; a byte order mark is skipped. It reads the header if there is one,
// so a column that is not there is found here, as a *ColumnError.
func NewReader(r io.Reader, opts Options) (*Reader, error) {
	text, err := plainText(r, opts.Packed)
	if err != nil {
		return nil, err
	}
	_, err = text.Peek(1)
	empty := errors.Is(err, io.EOF) // other errors are told by the first read
	err = nil
	var s source
	switch opts.Format {
	case TSV:
		s, err = newTSV(text, opts)
	case CSV:
		s, err = newCSV(text, opts)
	case JSONL:
		if s, err = newDump(text); s == nil && err == nil {
			s = newJSONL(text, opts)
		}
	default:
		err = fmt.Errorf("unknown format %d", opts.Format)
	}
	if err != nil {
		return nil, err
	}
	return &Reader{source: s, empty: empty}, nil
}

// Read returns the next record; io.EOF after the last, a *LineError for a
// malformed one.
func (r *Reader) Read() (Record, error) {
	return r.source.read()
}

var errNotPacked = errors.New("is not compressed with gzip, as its name says")

// plainText unpacks r if it is compressed, which it may have to be, and skips a byte
// order mark.
func plainText(r io.Reader, packed bool) (*bufio.Reader, error) {
	text := bufio.NewReaderSize(r, 256<<10)
	magic, err := text.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) { // at the end of a short input
		return nil, err
	}
	switch isPacked := bytes.Equal(magic, []byte{0x1f, 0x8b}); {
	case packed && !isPacked:
		return nil, errNotPacked
	case isPacked:
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

// filled returns the next line that is not blank, with its end.
func (l *lineReader) filled() ([]byte, error) {
	for {
		line, err := l.raw()
		if err != nil || len(withoutEnd(line)) > 0 {
			return line, err
		}
	}
}

// withoutEnd returns a line without its end, which is \n or \r\n or the end of the
// input.
func withoutEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
}

var errLoneReturns = errors.New("the file is one line with carriage returns in it: lines end with \\n or \\r\\n, " +
	"as \"tr '\\r' '\\n'\" makes them")

// checkEnds tells a line, or the rest of it, that is a whole file of lines that end
// with a carriage return alone.
func (l *lineReader) checkEnds(line []byte) error {
	if l.line == 1 && !bytes.HasSuffix(line, []byte{'\n'}) && bytes.IndexByte(withoutEnd(line), '\r') >= 0 {
		return errLoneReturns
	}
	return nil
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
	expires    []int // one or none
	keyJoin    string
	last       int // the largest of them
}

// named reports whether any column is given by name, so that there must be a
// header.
func (o Options) named() bool {
	for _, names := range [][]string{o.Key, o.Value, o.expires()} {
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
	if c.expires, err = places(o.expires(), header); err != nil {
		return columns{}, err
	}
	for _, place := range slices.Concat(c.key, c.value, c.expires) {
		c.last = max(c.last, place)
	}
	return c, nil
}

func places(names, header []string) ([]int, error) {
	found := make([]int, 0, len(names))
	for _, name := range names {
		if first := slices.Index(header, name); first >= 0 {
			if slices.Contains(header[first+1:], name) {
				return nil, &ColumnError{name, "is in the header more than once; choose by number"}
			}
			found = append(found, first)
			continue
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

// record makes one of the fields of a line, in the memory of key and value. Where
// the value is the whole line it has none.
func (c *columns) record(fields [][]byte, key, value *[]byte) (Record, error) {
	if len(fields) <= c.last {
		return Record{}, fmt.Errorf("has %s, but column %d is needed", plural(len(fields), "column"), c.last+1)
	}
	*key = appendJoined((*key)[:0], fields, c.key, c.keyJoin)
	*value = appendJoined((*value)[:0], fields, c.value, "\t")
	r := Record{Key: *key, Value: *value}
	var err error
	for _, place := range c.expires {
		err = r.setExpiry(string(fields[place]))
	}
	return r, err
}

// setExpiry reads when a record expires. An empty text says nothing.
func (r *Record) setExpiry(text string) (err error) {
	switch text {
	case "":
		return nil
	case Never:
		r.KnowsExpiry = true
		return nil
	}
	if r.ExpiresAt, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return fmt.Errorf("expires at %q, which is no time such as 2026-01-02T15:04:05Z", text)
	}
	r.KnowsExpiry = true
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// appendJoined appends the fields at the places, with join between them.
func appendJoined(dst []byte, fields [][]byte, places []int, join string) []byte {
	for i, place := range places {
		if i > 0 {
			dst = append(dst, join...)
		}
		dst = append(dst, fields[place]...)
	}
	return dst
}
