package main

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

func TestTerminalOutputIsHarmless(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(&out, formatRaw)
	p.onTerminal = true
	if err := p.record([]byte("k\x1b[2J"), []byte("é\xff\u202e\tb")); err != nil {
		t.Fatal(err)
	}
	if err := p.value([]byte("no newline")); err != nil {
		t.Fatal(err)
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	want := "k\\x1b[2J\té\\xff\\xe2\\x80\\xae\tb\nno newline\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzJSONRoundTrip: what scan prints as JSON, import reads back.
func FuzzJSONRoundTrip(f *testing.F) {
	f.Add([]byte("key"), []byte("value"))
	f.Add([]byte("\xff\x00"), []byte("\u2028<&>\"\\\n\x7f"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 0 {
			return
		}
		var out bytes.Buffer
		p := newPrinter(&out, formatJSON)
		if err := errors.Join(p.record(key, value), p.flush()); err != nil {
			t.Fatal(err)
		}
		reader, err := records.NewReader(&out, records.Options{
			Format: records.JSONL, Key: []string{"key"}, Value: []string{"value"},
		})
		if err != nil {
			t.Fatal(err)
		}
		record, err := reader.Read()
		if err != nil || !bytes.Equal(record.Key, key) || !bytes.Equal(record.Value, value) {
			t.Fatalf("%q=%q came back as %q=%q, %v", key, value, record.Key, record.Value, err)
		}
		if _, err := reader.Read(); !errors.Is(err, io.EOF) {
			t.Fatalf("more than one record: %v", err)
		}
	})
}
