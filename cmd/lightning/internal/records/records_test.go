package records

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll renders all records, one a line, as "line key=value", and malformed
// ones as the text of their error.
func readAll(t *testing.T, input io.Reader, opts Options) string {
	t.Helper()
	reader, err := NewReader(input, opts)
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for {
		record, err := reader.Read()
		var malformed *LineError
		switch {
		case errors.Is(err, io.EOF):
			return strings.TrimSuffix(out.String(), "\n")
		case errors.As(err, &malformed):
			fmt.Fprintln(&out, err)
		case err != nil:
			fmt.Fprintf(&out, "failed: %v\n", err)
			return strings.TrimSuffix(out.String(), "\n")
		default:
			fmt.Fprintf(&out, "%d %s=%s", record.Line, record.Key, record.Value)
			if !record.ExpiresAt.IsZero() {
				fmt.Fprintf(&out, " until %s", record.ExpiresAt.Format(time.RFC3339Nano))
			}
			out.WriteString("\n")
		}
	}
}

func columnsOf(format Format, key, value string) Options {
	return Options{Format: format, Key: strings.Split(key, ","), Value: strings.Split(value, ","), KeyJoin: "/"}
}

func expiring(format Format, key, value, expires string) Options {
	opts := columnsOf(format, key, value)
	opts.Expires = expires
	return opts
}

func TestRead(t *testing.T) {
	headed := columnsOf(TSV, "2", "1")
	headed.Header = true
	headedCSV := columnsOf(CSV, "1", "2")
	headedCSV.Header = true
	for _, c := range []struct {
		name, input string
		opts        Options
		want        string
	}{
		{"tsv", "a\t1\nb\t2\n", columnsOf(TSV, "1", "2"), "1 a=1\n2 b=2"},
		{"tsv without a last newline", "a\t1\nb\t2", columnsOf(TSV, "1", "2"), "1 a=1\n2 b=2"},
		{"tsv with carriage returns", "a\t1\r\nb\t2\r\n", columnsOf(TSV, "1", "2"), "1 a=1\n2 b=2"},
		{"tsv with blank lines", "\na\t1\n\r\n\nb\t2\n\n", columnsOf(TSV, "1", "2"), "2 a=1\n5 b=2"},
		{"tsv with a byte order mark", "\xef\xbb\xbfa\t1\n", columnsOf(TSV, "1", "2"), "1 a=1"},
		{"tsv does not know quotes", "a\t\"1\n", columnsOf(TSV, "1", "2"), `1 a="1`},
		{"tsv with an empty value", "a\t\n", columnsOf(TSV, "1", "2"), "1 a="},
		{"tsv with a header to skip", "k\tv\na\t1\n", headed, "2 1=a"},
		{"tsv with names", "id\tname\tn\n7\tx\t9\n", columnsOf(TSV, "name,id", "n,id"), "2 x/7=9\t7"},
		{"tsv with the whole line", "a\t1\t2\n", columnsOf(TSV, "2", "*"), "1 1=a\t1\t2"},
		{"tsv too short", "a\t1\nb\nc\t3\n", columnsOf(TSV, "1", "2"),
			"1 a=1\nline 2: has 1 column, but column 2 is needed\n3 c=3"},
		{"tsv with an empty key", "\t1\n", columnsOf(TSV, "1", "2"), "1 =1"},
		{"tsv with an unknown name", "a\tb\n1\t2\n", columnsOf(TSV, "c", "b"), `column "c" is not in the header ["a" "b"]`},
		{"tsv with column 0", "a\tb\n", columnsOf(TSV, "0", "1"), `column "0" is none: they are counted from 1`},
		{"tsv of lone carriage returns", "a\t1\rb\t2\r", columnsOf(TSV, "1", "2"), "failed: " + errLoneReturns.Error()},
		{"tsv of lone carriage returns with names", "k\tv\ra\t1", columnsOf(TSV, "k", "v"), errLoneReturns.Error()},
		{"tsv with a carriage return in a field", "a\r\t1\n", columnsOf(TSV, "1", "2"), "1 a\r=1"},
		{"tsv of one line with a carriage return at the end", "a\t1\r", columnsOf(TSV, "1", "2"), "1 a=1"},
		{"tsv with a name twice", "k\tv\tv\n1\t2\t3\n", columnsOf(TSV, "k", "v"),
			`column "v" is in the header more than once; choose by number`},
		{"tsv with expiry", "a\t1\t2026-01-02T15:04:05.000000001Z\nb\t2\t\nc\t3\tnever\nd\t4\tsoon\ne\t5\n", expiring(TSV, "1", "2", "3"),
			"1 a=1 until 2026-01-02T15:04:05.000000001Z\n2 b=2\n3 c=3\n" +
				"line 4: expires at \"soon\", which is no time such as 2026-01-02T15:04:05Z\n" +
				"line 5: has 2 columns, but column 3 is needed"},
		{"csv with expiry by name", "k,v,end\na,1,2026-01-02T15:04:05+01:00\n", expiring(CSV, "1", "2", "end"),
			"2 a=1 until 2026-01-02T15:04:05+01:00"},
		{"json with expiry", `{"k":"a","v":"1","end":"2026-01-02T15:04:05Z"}` + "\n" + `{"k":"b","v":"2"}` + "\n" +
			`{"k":"c","v":"3","end":null}` + "\n" + `{"k":"d","v":"4","end":7}`, expiring(JSONL, "k", "v", "end"),
			"1 a=1 until 2026-01-02T15:04:05Z\n2 b=2\n3 c=3\n" +
				"line 4: member \"end\" is no time such as \"2026-01-02T15:04:05Z\""},
		{"json with the whole line and expiry", `{"k":"a","end":"2026-01-02T15:04:05Z"}`, expiring(JSONL, "k", "*", "end"),
			`1 a={"k":"a","end":"2026-01-02T15:04:05Z"} until 2026-01-02T15:04:05Z`},
		{"empty tsv", "", columnsOf(TSV, "1", "2"), ""},
		{"empty tsv with names", "", columnsOf(TSV, "k", "v"), `column "k" is not in the header [""]`},

		{"csv", "a,1\nb,2\n", columnsOf(CSV, "1", "2"), "1 a=1\n2 b=2"},
		{"csv with quotes", "\"a,\"\"x\"\"\",\"1\n2\"\nb,2\n", columnsOf(CSV, "1", "2"), "1 a,\"x\"=1\n2\n3 b=2"},
		{"csv keeps what is in quotes", "a,\"1\r\n\r2\r\"\r\n\"\n\n\",\"\"\n", columnsOf(CSV, "1", "2"),
			"1 a=1\r\n\r2\r\n3 \n\n="},
		{"csv with blank lines", "\na,1\n\r\n\nb,2\n\n", columnsOf(CSV, "1", "2"), "2 a=1\n5 b=2"},
		{"csv with a carriage return in a line", "a,1\nb\rc,2\nd,4\n", columnsOf(CSV, "1", "2"),
			"1 a=1\nline 2: carriage return outside of quotes and not at the end of a line\n3 d=4"},
		{"csv of lone carriage returns", "a,1\rb,2\r", columnsOf(CSV, "1", "2"), "failed: " + errLoneReturns.Error()},
		{"csv of lone carriage returns with quotes", "\"a\",\"1\"\r\"b\",\"2\"\r", columnsOf(CSV, "1", "2"),
			"failed: " + errLoneReturns.Error()},
		{"csv of lone carriage returns with names", "k,v\ra,1", columnsOf(CSV, "k", "v"), errLoneReturns.Error()},
		{"csv of one line with a carriage return in quotes", "\"a\rb\",1", columnsOf(CSV, "1", "2"), "1 a\rb=1"},
		{"csv with a name twice", "id,v,id\n1,2,3\n", columnsOf(CSV, "id", "v"),
			`column "id" is in the header more than once; choose by number`},
		{"csv with an unused name twice", "id,v,v\n1,2,3\n", columnsOf(CSV, "id", "2"), "2 1=2"},
		{"csv with a header to skip", "k,v\na,1\n", headedCSV, "2 a=1"},
		{"csv with names", "id,name\n7,x\n", columnsOf(CSV, "name", "id"), "2 x=7"},
		{"csv with the whole line", "a, 1,\"x,y\"\n", columnsOf(CSV, "1", "*"), `1 a=a, 1,"x,y"`},
		{"csv with the whole record", "\n\"a\r\n\",1\r\nb,2", columnsOf(CSV, "2", "*"), "2 1=\"a\r\n\",1\n4 2=b,2"},
		{"csv too short", "a,1\nb\nc,3\n", columnsOf(CSV, "1", "2"),
			"1 a=1\nline 2: has 1 column, but column 2 is needed\n3 c=3"},
		{"csv with a stray quote", "a,1\nb\"x,2\nc,3\n", columnsOf(CSV, "1", "2"),
			"1 a=1\nline 2: bare \" in non-quoted-field\n3 c=3"},
		{"csv with an open quote", "a,1\n\"b,2\nc,3\n", columnsOf(CSV, "1", "2"),
			"1 a=1\nfailed: line 2: quote is never closed, the rest of the file was not read"},
		{"csv with an open quote in the last field", "a,1\nb,\"2", columnsOf(CSV, "1", "2"),
			"1 a=1\nfailed: line 2: quote is never closed, the rest of the file was not read"},
		{"csv with an open quote in the header", "k,\"v\na,1\n", headedCSV,
			"line 1: quote is never closed, the rest of the file was not read"},
		{"csv with text after a quote", "a,1\n\"b\"x,2\nc,3\n", columnsOf(CSV, "1", "2"),
			"1 a=1\nline 2: extraneous or missing \" in quoted-field\n3 c=3"},
		{"csv with text after a quote at the end", "a,1\n\"b\"x,2", columnsOf(CSV, "1", "2"),
			"1 a=1\nline 2: extraneous or missing \" in quoted-field"},
		{"csv with an unknown name", "a,b\n", columnsOf(CSV, "c", "b"), `column "c" is not in the header ["a" "b"]`},
		{"empty csv", "", columnsOf(CSV, "1", "2"), ""},

		{"json", `{"key":"a","value":"1"}` + "\n" + `{"value":"2","key":"b"}`, columnsOf(JSONL, "key", "value"), "1 a=1\n2 b=2"},
		{"json of other types", `{"id":12,"v":{"x": [1, 2]}}`, columnsOf(JSONL, "id", "v"), `1 12={"x":[1,2]}`},
		{"json joined", `{"a":"x","b":true}`, columnsOf(JSONL, "a,b", "b,a"), "1 x/true=true\tx"},
		{"json with the whole line", `{"id": "a", "n": 1}` + "\r\n", columnsOf(JSONL, "id", "*"), `1 a={"id": "a", "n": 1}`},
		{"json in hexadecimal", `{"key_hex":"61ff","value_hex":""}`, columnsOf(JSONL, "key", "value"), "1 a\xff="},
		{"json with escapes", `{"key":"\u00e9\n","value":"\t"}`, columnsOf(JSONL, "key", "value"), "1 é\n=\t"},
		{"json with text and hexadecimal", `{"key":"a","key_hex":"61","value":""}`, columnsOf(JSONL, "key", "value"),
			`line 1: member "key" stands beside "key_hex": only one of them is the record's`},
		{"json with a member twice", `{"key":"a","value":"1"}` + "\n" + `{"key":"a","value":{"v:":[{"x":1}]},"key":"b"}`,
			columnsOf(JSONL, "key", "value"), `1 a=1` + "\n" + `line 2: member "key" is there more than once`},
		{"json with an escaped name twice", `{"key":"a","value":"\\\":{","k\u0065y":"b"}`, columnsOf(JSONL, "key", "*"),
			`line 1: member "key" is there more than once`},
		{"json with the same name at two depths", `{"key":"a","value":{"key":"b","value":2}}`, columnsOf(JSONL, "key", "value"),
			`1 a={"key":"b","value":2}`},
		{"json with bad hexadecimal", `{"key_hex":"6","value":""}`, columnsOf(JSONL, "key", "value"),
			`line 1: member "key" is not hexadecimal: encoding/hex: odd length hex string`},
		{"json with a number for hexadecimal", `{"key_hex":6,"value":""}`, columnsOf(JSONL, "key", "value"),
			`line 1: member "key" in hexadecimal is not a string`},
		{"json without the key", `{"value":"2"}`, columnsOf(JSONL, "key", "value"), `line 1: member "key" is missing`},
		{"json with a null", `{"key":"a","value":null}`, columnsOf(JSONL, "key", "value"), `line 1: member "value" is null`},
		{"json that is cut off", `{"key":"a"` + "\n" + `{"key":"b","value":"2"}`, columnsOf(JSONL, "key", "value"),
			"line 1: not a JSON object: unexpected end of JSON input\n2 b=2"},
		{"json that is not UTF-8", `{"key":"a` + "\xff" + `","value":"1"}` + "\n" + `{"key":"b","value":"2"}`, columnsOf(JSONL, "key", "value"),
			"line 1: not UTF-8, as JSON has to be; bytes go into NAME_hex\n2 b=2"},
		{"json with blank lines", " \t\n\n" + `{"key":"b","value":"2"}` + "\n \r\n", columnsOf(JSONL, "key", "value"), "3 b=2"},
		{"json with half a surrogate pair", `{"key":"\ud800","value":"1"}` + "\n" + `{"key":"b","value":"\udc00\ud800"}` + "\n" +
			`{"key":"\ud83d\ude00","value":"\\ud800"}`, columnsOf(JSONL, "key", "value"),
			"line 1: has half of a surrogate pair, which is no text; bytes go into NAME_hex\n" +
				"line 2: has half of a surrogate pair, which is no text; bytes go into NAME_hex\n" +
				`3 😀=\ud800`},
		{"a json array", "[\n", columnsOf(JSONL, "key", "value"),
			"line 1: not a JSON object but an array: JSON lines are one object a line, as 'jq -c .[]' makes them of an array"},
		{"json of another kind", "[1]\nnull\n7\n", columnsOf(JSONL, "key", "value"),
			"line 1: not a JSON object but an array: JSON lines are one object a line, as 'jq -c .[]' makes them of an array\nline 2: not a JSON object\nline 3: not a JSON object"},
		{"unknown format", "", Options{Format: 77}, "unknown format 77"},
	} {
		if got := readAll(t, strings.NewReader(c.input), c.opts); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
		// However the input comes in pieces, the records are the same.
		if got := readAll(t, iotest.OneByteReader(strings.NewReader(c.input)), c.opts); got != c.want {
			t.Errorf("%s, byte by byte:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestReadGzip(t *testing.T) {
	packed := pack(t, "a\t1\nb\t2\n")
	if got := readAll(t, bytes.NewReader(packed), columnsOf(TSV, "1", "2")); got != "1 a=1\n2 b=2" {
		t.Errorf("got %q", got)
	}
	cut := packed[:len(packed)-6]
	if got := readAll(t, bytes.NewReader(cut), columnsOf(TSV, "1", "2")); !strings.Contains(got, "failed: unexpected EOF") {
		t.Errorf("cut off: got %q", got)
	}
	if got := readAll(t, strings.NewReader("\x1f\x8bnot"), columnsOf(TSV, "1", "2")); !strings.HasPrefix(got, "gzip: ") {
		t.Errorf("damaged: got %q", got)
	}
}

// What has to be compressed, and is not, was read as text.
func TestReadUnpacked(t *testing.T) {
	opts := columnsOf(TSV, "1", "2")
	opts.Packed = true
	for input, want := range map[string]string{
		"a\t1\n": errNotPacked.Error(), "": errNotPacked.Error(), "\x1f": errNotPacked.Error(), string(pack(t, "a\t1\n")): "1 a=1",
	} {
		if got := readAll(t, strings.NewReader(input), opts); got != want {
			t.Errorf("%q: got %q, want %q", input, got, want)
		}
	}
}

func pack(t *testing.T, text string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestReadLongLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	input := "a\t1\nb\t" + long + "\nc\t3\nd\t" + long
	want := "1 a=1\n2 b=" + long + "\n3 c=3\n4 d=" + long
	if got := readAll(t, strings.NewReader(input), columnsOf(TSV, "1", "2")); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestReadPassesOnReadErrors(t *testing.T) {
	broken := errors.New("the disk is on fire")
	for _, format := range []Format{TSV, CSV, JSONL} {
		reader, err := NewReader(iotest.ErrReader(broken), columnsOf(format, "1", "2"))
		if err == nil {
			_, err = reader.Read()
		}
		if !errors.Is(err, broken) {
			t.Errorf("format %d: got %v", format, err)
		}
	}
}
