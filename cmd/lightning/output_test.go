package main

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

func TestTerminalOutputIsHarmless(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(t.Context(), &out, formatRaw)
	p.onTerminal = true
	if err := p.row(time.Time{}, column{"key", []byte("k\x1b[2J")}, column{"value", []byte("é\xff\u202e\tb")}); err != nil {
		t.Fatal(err)
	}
	if err := p.value(strings.NewReader("no newline"), time.Time{}); err != nil {
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
	f.Add([]byte("key"), []byte("value"), int64(0))
	f.Add([]byte("\xff\x00"), []byte("\u2028<&>\"\\\n\x7f"), int64(math.MaxInt64))
	f.Add([]byte(""), []byte(""), int64(1))
	f.Fuzz(func(t *testing.T, key, value []byte, expiryNS int64) {
		var expiresAt time.Time
		if expiryNS > 0 {
			expiresAt = time.Unix(0, expiryNS)
		}
		var out bytes.Buffer
		p := newPrinter(t.Context(), &out, formatJSON)
		if err := errors.Join(p.row(expiresAt, column{"key", key}, column{"value", value}), p.flush()); err != nil {
			t.Fatal(err)
		}
		reader, err := records.NewReader(&out, records.Options{
			Format: records.JSONL, Key: []string{"key"}, Value: []string{"value"}, Expires: records.ExpiryMember,
		})
		if err != nil {
			t.Fatal(err)
		}
		record, err := reader.Read()
		if err != nil || !bytes.Equal(record.Key, key) || !bytes.Equal(record.Value, value) || !record.ExpiresAt.Equal(expiresAt) {
			t.Fatalf("%q=%q until %v came back as %+v, %v", key, value, expiresAt, record, err)
		}
		if _, err := reader.Read(); !errors.Is(err, io.EOF) {
			t.Fatalf("more than one record: %v", err)
		}
	})
}
