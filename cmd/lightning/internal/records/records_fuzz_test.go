package records

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// drain reads everything and checks what holds for every format: line numbers that
// grow and exist, and an end.
func drain(t *testing.T, input []byte, opts Options) (found []Record, malformed int) {
	t.Helper()
	reader, err := NewReader(bytes.NewReader(input), opts)
	if err != nil {
		return nil, 0
	}
	last, lines := 0, bytes.Count(input, []byte{'\n'})+1
	packed := bytes.HasPrefix(input, []byte{0x1f, 0x8b})
	for calls := 0; ; calls++ {
		if calls > lines+1 && !packed {
			t.Fatalf("no end after %d reads of %d lines", calls, lines)
		}
		record, err := reader.Read()
		line := record.Line
		var lineError *LineError
		switch {
		case errors.As(err, &lineError):
			malformed++
			line = lineError.Line
		case errors.Is(err, io.EOF):
			return found, malformed
		case err != nil:
			return found, malformed // of the compression
		default:
			found = append(found, Record{Key: bytes.Clone(record.Key), Value: bytes.Clone(record.Value), Line: record.Line})
		}
		if line <= last || line > lines && !packed {
			t.Fatalf("line %d after line %d, of %d", line, last, lines)
		}
		last = line
	}
}

// plain reports whether the input goes to the format's parser as it is.
func plain(input []byte) bool {
	return !bytes.HasPrefix(input, []byte{0x1f, 0x8b}) && !bytes.HasPrefix(input, []byte("\xef\xbb\xbf"))
}

func FuzzTSV(f *testing.F) {
	f.Add([]byte("a\t1\nb\t2\r\n\n\t3\nc"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, input []byte) {
		found, malformed := drain(t, input, columnsOf(TSV, "1", "2"))
		if !plain(input) || !bytes.Contains(input, []byte("\n")) { // which may be refused
			return
		}
		// The slow and simple way must agree.
		var want []Record
		bad := 0
		for i, line := range strings.Split(string(input), "\n") {
			line = strings.TrimSuffix(line, "\r")
			fields := strings.Split(line, "\t")
			switch {
			case line == "":
			case len(fields) < 2:
				bad++
			default:
				want = append(want, Record{Key: []byte(fields[0]), Value: []byte(fields[1]), Line: i + 1})
			}
		}
		if malformed != bad || len(found) != len(want) {
			t.Fatalf("%d records and %d malformed, want %d and %d", len(found), malformed, len(want), bad)
		}
		for i := range want {
			if !bytes.Equal(found[i].Key, want[i].Key) || !bytes.Equal(found[i].Value, want[i].Value) ||
				found[i].Line != want[i].Line {
				t.Fatalf("got %+v, want %+v", found[i], want[i])
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,1\n\"b\n\",\"2\"\"\"\n,3\nc\nd\"e,1\n\"open"))
	f.Add([]byte("\"a\r\n\r\",1\r\n\"b\"\r,2\nc\r,\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		checkAgainstEncodingCSV(t, input)
		whole, _ := drain(t, input, columnsOf(CSV, "1", "*"))
		// The whole line as a value must read back as one record with the key.
		for _, record := range whole {
			fields, err := csv.NewReader(bytes.NewReader(record.Value)).Read()
			if err != nil || strings.ReplaceAll(fields[0], "\r\n", "\n") != strings.ReplaceAll(string(record.Key), "\r\n", "\n") {
				t.Fatalf("record %+v reads back as %q, %v", record, fields, err)
			}
		}
		drain(t, input, columnsOf(CSV, "2,1", "1"))
		drain(t, input, columnsOf(CSV, "name", "*"))
	})
}

// checkAgainstEncodingCSV compares the records of well-formed input with those of the
// standard library, which drops carriage returns before newlines.
func checkAgainstEncodingCSV(t *testing.T, input []byte) {
	t.Helper()
	found, malformed := drain(t, input, columnsOf(CSV, "1", "1"))
	reader := csv.NewReader(bytes.NewReader(input))
	reader.FieldsPerRecord = -1
	want, err := reader.ReadAll()
	if err != nil || malformed > 0 || !plain(input) || bytes.Count(input, []byte("\r")) > bytes.Count(input, []byte("\r\n")) {
		return
	}
	if len(found) != len(want) {
		t.Fatalf("%d records, want %d", len(found), len(want))
	}
	for i, record := range found {
		if got := strings.ReplaceAll(string(record.Key), "\r\n", "\n"); got != want[i][0] {
			t.Fatalf("record %d begins with %q, want %q", i, got, want[i][0])
		}
	}
}

func FuzzJSONLines(f *testing.F) {
	f.Add([]byte(`{"key":"a","value":"1"}` + "\n" + `{"key_hex":"ff","value":{"x":[]}}` + "\n[]\nnull\n{"))
	f.Fuzz(func(t *testing.T, input []byte) {
		found, _ := drain(t, input, columnsOf(JSONL, "key", "*"))
		for _, record := range found {
			if !json.Valid(record.Value) {
				t.Fatalf("the whole line is not JSON: %q", record.Value)
			}
		}
		drain(t, input, columnsOf(JSONL, "key,value", "value"))
	})
}
