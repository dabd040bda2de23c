package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// addRecordFormat gives a command that prints records its formats.
func addRecordFormat(cmd *cobra.Command) *choice[outputFormat] {
	return addFormat(cmd, formatRaw, formatQuoted, formatHex, formatJSON)
}

const formatHelp = `Formats: raw prints the bytes as they are (only on a terminal are control
characters escaped), quoted prints Go string literals, hex hexadecimal digits,
and json one object a record; there, what is not UTF-8 goes into "key_hex" or
"value_hex". 'lightning import' reads the json form back.`

// printer writes records to an output, buffered. Only one goroutine uses it.
type printer struct {
	out        *bufio.Writer
	format     outputFormat
	onTerminal bool
	line       []byte // reused
}

func newPrinter(w io.Writer, format outputFormat) *printer {
	return &printer{
		out: bufio.NewWriterSize(w, 64<<10), format: format, onTerminal: console.IsTerminal(w),
	}
}

// record prints a key and its value on a line.
func (p *printer) record(key, value []byte) error {
	if p.format == formatJSON {
		p.line = append(p.line[:0], '{')
		p.line = append(appendField(p.line, "key", key), ',')
		p.line = append(appendField(p.line, "value", value), '}', '\n')
	} else {
		p.line = append(p.appendText(p.line[:0], key), '\t')
		p.line = append(p.appendText(p.line, value), '\n')
	}
	_, err := p.out.Write(p.line)
	return err
}

// key prints a key on a line.
func (p *printer) key(key []byte) error { return p.single("key", key) }

// value prints a value on a line. A raw one goes out alone, without a newline,
// so that it can be piped on unharmed.
func (p *printer) value(value []byte) error {
	if p.format == formatRaw && !p.onTerminal {
		_, err := p.out.Write(value)
		return err
	}
	return p.single("value", value)
}

func (p *printer) single(name string, text []byte) error {
	if p.format == formatJSON {
		p.line = append(appendField(append(p.line[:0], '{'), name, text), '}', '\n')
	} else {
		p.line = append(p.appendText(p.line[:0], text), '\n')
	}
	_, err := p.out.Write(p.line)
	return err
}

func (p *printer) flush() error { return p.out.Flush() }

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
