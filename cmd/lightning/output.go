package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

// recordForm says how records are printed.
type recordForm struct {
	format *choice[outputFormat]
	expiry bool
}

func (f *recordForm) register(cmd *cobra.Command) {
	f.format = addFormat(cmd, formatRaw, formatQuoted, formatHex, formatJSON)
	cmd.Flags().BoolVar(&f.expiry, "expiry", false, "also print when a record expires, as a last column")
}

const formatHelp = `Formats: raw prints the bytes as they are (only on a terminal are control
characters escaped), quoted prints Go string literals, hex hexadecimal digits,
and json one object a record; there, what is not UTF-8 goes into "key_hex" or
"value_hex", and when a record expires, if it does, into "expires_at". The other
formats tell that with --expiry. 'lightning import' reads the json form back.`

// printer writes records to an output, buffered, whole ones only, until its context
// ends. Only one goroutine uses it.
type printer struct {
	ctx        context.Context
	out        io.Writer
	format     outputFormat
	expiry     bool // also in formats other than JSON
	saysNever  bool // in JSON too, of a record that does not expire
	onTerminal bool
	line       []byte   // reused
	pieces     [][]byte // whole lines; reused
	pieceBytes int      // at most, unless a line is longer
}

// bufferBytes is how much is gathered before it goes out.
const bufferBytes = 64 << 10

func newPrinter(ctx context.Context, out io.Writer, format outputFormat) *printer {
	return &printer{
		ctx: ctx, out: out, format: format, onTerminal: console.IsTerminal(out), pieceBytes: pieceBytes(out),
	}
}

// printer returns one for the records of target.
func (f *recordForm) printer(cmd *cobra.Command, target store) *printer {
	p := newPrinter(cmd.Context(), cmd.OutOrStdout(), f.format.value)
	p.expiry, p.saysNever = f.expiry, expiresByDefault(target)
	return p
}

// expiresByDefault reports whether records expire of which nothing else is said.
func expiresByDefault(target store) bool {
	keyspace, named := target.(*lightning.Keyspace)
	return named && keyspace.Options().TTL != 0
}

// column is a part of a record.
type column struct {
	name string
	text []byte
}

// value prints the value of a key. A raw one goes out alone, without a newline, so
// that it can be piped on unharmed.
func (p *printer) value(value io.Reader, expiresAt time.Time) error {
	if p.format == formatRaw && !p.onTerminal && !p.expiry {
		_, err := io.Copy(p, value)
		return err
	}
	whole, err := io.ReadAll(value)
	if err != nil {
		return err
	}
	return p.row(expiresAt, column{"value", whole})
}

// Write prints a part of a raw value.
func (p *printer) Write(part []byte) (int, error) {
	if err := p.print(part); err != nil {
		return 0, err
	}
	return len(part), nil
}

// row prints the columns of a record on a line.
func (p *printer) row(expiresAt time.Time, columns ...column) error {
	p.line = p.line[:0]
	if p.format == formatJSON {
		p.appendObject(expiresAt, columns)
	} else {
		p.appendColumns(expiresAt, columns)
	}
	p.line = append(p.line, '\n')
	return p.print(p.line)
}

func (p *printer) appendObject(expiresAt time.Time, columns []column) {
	before := byte('{')
	for _, c := range columns {
		p.line = appendField(append(p.line, before), c.name, c.text)
		before = ','
	}
	if !expiresAt.IsZero() || p.saysNever {
		p.line = appendField(append(p.line, before), records.ExpiryMember, appendExpiry(nil, expiresAt))
	}
	p.line = append(p.line, '}')
}

func (p *printer) appendColumns(expiresAt time.Time, columns []column) {
	for i, c := range columns {
		if i > 0 {
			p.line = append(p.line, '\t')
		}
		p.line = p.appendText(p.line, c.text)
	}
	if p.expiry {
		p.line = appendExpiry(append(p.line, '\t'), expiresAt)
	}
}

// appendExpiry appends when a record expires.
func appendExpiry(dst []byte, at time.Time) []byte {
	if at.IsZero() {
		return append(dst, records.Never...)
	}
	return at.UTC().AppendFormat(dst, time.RFC3339Nano)
}

// print adds a whole record, or another whole line, to what goes out.
func (p *printer) print(record []byte) error {
	last := len(p.pieces) - 1
	switch {
	case len(record) > p.pieceBytes:
		if err := p.flush(); err != nil {
			return err
		}
		return p.write([][]byte{record})
	case last < 0 || len(p.pieces[last])+len(record) > p.pieceBytes:
		if (last+2)*p.pieceBytes > bufferBytes {
			if err := p.flush(); err != nil {
				return err
			}
		}
		last = p.begin()
	}
	p.pieces[last] = append(p.pieces[last], record...)
	return nil
}

// begin adds an empty piece, and returns its place.
func (p *printer) begin() (last int) {
	last = len(p.pieces)
	if last == cap(p.pieces) {
		p.pieces = append(p.pieces, make([]byte, 0, p.pieceBytes))
		return last
	}
	p.pieces = p.pieces[:last+1]
	p.pieces[last] = p.pieces[last][:0]
	return last
}

func (p *printer) flush() error {
	err := p.write(p.pieces)
	p.pieces = p.pieces[:0]
	return err
}

// write writes pieces until the context ends, each as a whole.
func (p *printer) write(pieces [][]byte) error {
	if out, mayStall := p.out.(*interruptibleOutput); mayStall {
		_, err := out.do(func() (int, error) { return 0, p.writeTo(out.file, pieces) })
		return err
	}
	return p.writeTo(p.out, pieces)
}

func (p *printer) writeTo(out io.Writer, pieces [][]byte) error {
	for _, piece := range pieces {
		if p.ctx.Err() != nil {
			return errInterrupted
		}
		if _, err := out.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) appendText(dst, text []byte) []byte {
	switch p.format {
	case formatQuoted:
		return strconv.AppendQuote(dst, string(text))
	case formatHex:
		return hex.AppendEncode(dst, text)
	}
	if p.onTerminal {
		return appendEscaped(dst, text)
	}
	return append(dst, text...)
}

// appendEscaped appends text with everything that could steer a terminal
// written as \xNN.
func appendEscaped(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		invalid := r == utf8.RuneError && size == 1
		if invalid || !unicode.IsPrint(r) && r != '\t' && r != '\n' {
			for _, b := range text[:size] {
				dst = fmt.Appendf(dst, `\x%02x`, b)
			}
		} else {
			dst = append(dst, text[:size]...)
		}
		text = text[size:]
	}
	return dst
}

// appendField appends a JSON member: "name":"text", or "name_hex":"digits"
// where text is not UTF-8.
func appendField(dst []byte, name string, text []byte) []byte {
	if !utf8.Valid(text) {
		dst = append(append(append(dst, '"'), name...), `_hex":"`...)
		return append(hex.AppendEncode(dst, text), '"')
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	// Encoding a string into memory cannot fail.
	_ = encoder.Encode(string(text))
	return append(dst, bytes.TrimSuffix(quoted.Bytes(), []byte{'\n'})...)
}
