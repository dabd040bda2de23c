package script

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/lightningdb/lightning/internal/checksum"
)

// Data is a string in few words: a text that is repeated up to a length, or
// noise that nothing compresses, made from the text.
type Data struct {
	Text   string
	Length int // where it is more than that of the text
	Noise  bool
}

// Expand returns the string itself.
func (d Data) Expand() string {
	if d.Noise {
		rng := rand.New(rand.NewPCG(uint64(checksum.CRC(0, []byte(d.Text))), 0))
		noise := make([]byte, 0, d.Length+8)
		for len(noise) < d.Length {
			noise = binary.LittleEndian.AppendUint64(noise, rng.Uint64())
		}
		return string(noise[:d.Length])
	}
	if d.Length <= len(d.Text) {
		return d.Text
	}
	text := d.Text
	if text == "" {
		text = "\x00"
	}
	return strings.Repeat(text, d.Length/len(text)+1)[:d.Length]
}

// Bytes returns the string as the database takes it: nil for nothing.
func (d Data) Bytes() []byte {
	if d == (Data{}) {
		return nil
	}
	return []byte(d.Expand())
}

// String writes the data down: "text", "text"*length or "text"~length.
func (d Data) String() string {
	switch {
	case d.Noise:
		return fmt.Sprintf("%q~%d", d.Text, d.Length)
	case d.Length > 0:
		return fmt.Sprintf("%q*%d", d.Text, d.Length)
	}
	return strconv.Quote(d.Text)
}

// maxDataBytes bounds what a text may ask to be expanded.
const maxDataBytes = 64 << 20

// parseData reads what String writes, of which the quoted part has been read.
func parseData(text, rest string) (Data, error) {
	d := Data{Text: text}
	if rest == "" {
		return d, nil
	}
	var err error
	d.Noise = rest[0] == '~'
	d.Length, err = strconv.Atoi(rest[1:])
	if err == nil && (d.Length < 0 || d.Length > maxDataBytes) {
		err = fmt.Errorf("length %d", d.Length)
	}
	return d, err
}
