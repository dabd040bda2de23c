package metamorph

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/checksum"
)

// Kind is what an operation does.
type Kind uint8

// The operations. Batch and BatchAdd hold writes of the first three kinds as
// parts, MultiGet holds Gets, and Move holds the last six.
const (
	Put Kind = iota
	Delete
	DeleteRange
	Overwrite // puts one key Count times
	Fill      // puts Count keys, of which it leaves out all but every Every-th
	Sweep     // deletes what a Fill puts, key by key
	Batch     // a batch in one go
	BatchAdd  // adds to the batch in a slot
	BatchCommit
	BatchReset
	Get
	MultiGet
	Scan
	TakeSnapshot
	CloseSnapshot
	OpenIterator
	Move
	CloseIterator
	Flush
	Compact
	SyncLog
	CreateSpace
	DropSpace
	Reopen   // Count numbers the ways to do it, see settingsOf
	ReadOnly // reopens twice, the first time read-only; Count as for Reopen
	Check    // metrics
	Verify   // all rows
	First
	Last
	Next
	Prev
	SeekGE
	SeekLT
	kinds
)

func (k Kind) String() string {
	return [...]string{"put", "delete", "delete-range", "overwrite", "fill", "sweep", "batch", "batch-add",
		"batch-commit", "batch-reset", "get", "multi-get", "scan", "take-snapshot", "close-snapshot",
		"open-iterator", "move", "close-iterator", "flush", "compact", "sync-log", "create-space",
		"drop-space", "reopen", "read-only", "check", "verify", "first", "last", "next", "prev",
		"seek-ge", "seek-lt"}[k]
}

// hasParts reports whether operations of this kind hold others.
func (k Kind) hasParts() bool { return slices.Contains([]Kind{Batch, BatchAdd, MultiGet, Move}, k) }

// Op is one operation. Which fields matter depends on its kind; an operation on
// a keyspace or a slot where nothing is does nothing.
type Op struct {
	Kind     Kind
	Space    string // the keyspace; empty for the default one
	Slot     int    // of the snapshot, iterator or batch that is meant
	Snapshot int    // the slot of the snapshot to read from, 0 for none
	Key      Data   // lower bound of ranges; nothing for none
	Upper    Data   // upper bound; nothing for none
	Prefix   Data
	Value    Data
	Count    int // where not said above: after how many rows a read stops, 0 for never
	Every    int
	Reverse  bool
	Fail     bool // the function that gets the rows ends with an error; a compaction is cancelled
	Wait     Wait
	Parts    []Op
}

// Wait is what a commit waits for: 0 for what the database says, otherwise one
// more than the lightning.Durability.
type Wait uint8

const lastWait = Wait(lightning.Async) + 1

func (w Wait) String() string {
	if w == 0 {
		return "default"
	}
	return lightning.Durability(w - 1).String()
}

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

// bytes returns the string as the database takes it: nil for nothing.
func (d Data) bytes() []byte {
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

// field is a field of an operation by the name that it has in texts.
type field struct {
	name  string
	value any // a pointer to it
}

func (o *Op) fields() []field {
	return []field{
		{"in", &o.Space}, {"slot", &o.Slot}, {"snapshot", &o.Snapshot}, {"key", &o.Key},
		{"upper", &o.Upper}, {"prefix", &o.Prefix}, {"value", &o.Value}, {"count", &o.Count},
		{"every", &o.Every}, {"reverse", &o.Reverse}, {"fail", &o.Fail}, {"wait", &o.Wait},
	}
}

// History is a list of operations.
type History []Op

// String writes the history down as Parse reads it: an operation a line, with
// the fields that are set, and parts between the line of their whole and "end".
func (h History) String() string {
	var b strings.Builder
	for i := range h {
		h[i].write(&b, "")
	}
	return b.String()
}

func (o *Op) String() string {
	return strings.NewReplacer("\n\t", "; ", "\nend\n", "; end", "\n", "").Replace(History{*o}.String())
}

func (o *Op) write(b *strings.Builder, indent string) {
	b.WriteString(indent + o.Kind.String())
	for _, f := range o.fields() {
		switch v := f.value.(type) {
		case *string:
			if *v != "" {
				fmt.Fprintf(b, " %s=%q", f.name, *v)
			}
		case *int:
			if *v != 0 {
				fmt.Fprintf(b, " %s=%d", f.name, *v)
			}
		case *Data:
			if *v != (Data{}) {
				fmt.Fprintf(b, " %s=%v", f.name, *v)
			}
		case *bool:
			if *v {
				b.WriteString(" " + f.name)
			}
		case *Wait:
			if *v != 0 {
				fmt.Fprintf(b, " %s=%v", f.name, *v)
			}
		}
	}
	b.WriteByte('\n')
	if o.Kind.hasParts() {
		for i := range o.Parts {
			o.Parts[i].write(b, indent+"\t")
		}
		b.WriteString(indent + "end\n")
	}
}
