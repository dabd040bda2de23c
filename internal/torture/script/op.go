// Package script is the language of the torture suites: a Script is a list of
// operations on a database, each with its meaning for the model. Scripts are
// made from seeds (Generate), written down and read back as text, one operation
// a line (Parse), run against a database (Session), and cut down to what still
// shows a fault (Shrink). A History keeps what the database may hold after a
// crash.
//
// Everything but a History is for one goroutine at a time.
package script

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
)

// Kind is what an operation does.
type Kind uint8

// The operations. Batch holds others, which must be of the kinds before it.
const (
	Put Kind = iota
	Delete
	DeleteRange
	Merge   // appends to a value of a named keyspace
	PutLong // a value of the default keyspace that expires after all tests
	PutGone // one that has expired when the operation is done
	Batch
	Flush
	Compact
	SyncLog
	Reopen
	CreateSpace
	DropSpace
)

func (k Kind) String() string {
	return [...]string{"put", "delete", "delete-range", "merge", "put-long", "put-gone", "batch", "flush", "compact", "sync-log",
		"reopen", "create-space", "drop-space"}[k]
}

// Op is one operation. Which fields matter depends on its kind.
type Op struct {
	Kind       Kind
	Space      string // the keyspace; empty for the default one
	Key, Upper string // Upper ends ranges; a Compact of "" to "" takes everything
	Value      Value
	Durability lightning.Durability // of commits
	Batch      []Op
}

// Value is a value in few words: a text, repeated until it fills Bytes where
// that is longer.
type Value struct {
	Text  string
	Bytes int
}

// Bytes returns the value itself.
func (v Value) String() string {
	if v.Bytes <= len(v.Text) {
		return v.Text
	}
	text := v.Text
	if text == "" {
		text = "\x00"
	}
	return strings.Repeat(text, v.Bytes/len(text)+1)[:v.Bytes]
}

// Script is a list of operations.
type Script []Op

// Commits reports whether the operation changes rows.
func (o *Op) Commits() bool { return o.Kind <= Batch || o.Kind == DropSpace }

// Syncs reports whether its success promises that all before it is durable.
func (o *Op) Syncs() bool {
	switch o.Kind {
	case SyncLog, Reopen, DropSpace:
		return true
	}
	return o.Kind <= Batch && o.Durability == lightning.Sync
}

// Apply returns what the operation makes of a state.
func (o *Op) Apply(s model.State) model.State {
	rows := s.Space(o.Space)
	switch o.Kind {
	case Put, PutLong:
		return s.With(o.Space, rows.Put(o.Key, o.Value.String()))
	case Merge:
		value, _ := rows.Get(o.Key)
		return s.With(o.Space, rows.Put(o.Key, value+o.Value.String()))
	case Delete, PutGone:
		return s.With(o.Space, rows.Delete(o.Key))
	case DeleteRange:
		return s.With(o.Space, rows.DeleteRange(o.Key, o.Upper))
	case Batch:
		for i := range o.Batch {
			s = o.Batch[i].Apply(s)
		}
	case CreateSpace:
		if !s.Exists(o.Space) {
			return s.With(o.Space, model.Store{})
		}
	case DropSpace:
		return s.Without(o.Space)
	}
	return s
}

// Possible returns the script without the operations that have no keyspace to
// work on, or would make one that exists. Shrinking produces such.
func (s Script) Possible() Script {
	var state model.State
	var out Script
	for _, o := range s {
		ok := state.Exists(o.Space) != (o.Kind == CreateSpace) && (o.Kind != DropSpace || o.Space != "")
		if o.Kind == Batch {
			var kept []Op
			for _, part := range o.Batch {
				if state.Exists(part.Space) {
					kept = append(kept, part)
				}
			}
			o.Batch, ok = kept, true
		}
		if ok {
			out = append(out, o)
			state = o.Apply(state)
		}
	}
	return out
}

// String writes the script down, one operation a line, as Parse reads it.
func (s Script) String() string {
	var b strings.Builder
	for i := range s {
		s[i].text(&b, "", s[i].Kind <= Batch)
	}
	return b.String()
}

func (o *Op) String() string {
	var b strings.Builder
	o.text(&b, "", o.Kind <= Batch)
	return strings.TrimSuffix(strings.ReplaceAll(b.String(), "\n", "; "), "; ")
}

func (o *Op) text(b *strings.Builder, indent string, durable bool) {
	b.WriteString(indent + o.Kind.String())
	switch o.Kind {
	case Put, Merge, PutLong, PutGone:
		fmt.Fprintf(b, " %q %q", o.Key, o.Value.Text)
		if o.Value.Bytes > len(o.Value.Text) {
			fmt.Fprintf(b, " bytes=%d", o.Value.Bytes)
		}
	case Delete:
		fmt.Fprintf(b, " %q", o.Key)
	case DeleteRange, Compact:
		fmt.Fprintf(b, " %q %q", o.Key, o.Upper)
	}
	if o.Space != "" {
		b.WriteString(" in=" + strconv.Quote(o.Space))
	}
	if durable {
		b.WriteString(" " + o.Durability.String())
	}
	b.WriteByte('\n')
	if o.Kind == Batch {
		for i := range o.Batch {
			o.Batch[i].text(b, indent+"\t", false)
		}
		b.WriteString(indent + "end\n")
	}
}
