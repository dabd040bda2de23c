package records

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonl reads one JSON object a line. A wanted member NAME may also stand as
// NAME_hex with its bytes in hexadecimal, for what is not UTF-8.
type jsonl struct {
	lines      lineReader
	opts       Options
	key, value []byte // reused
}

var (
	errNotObject = errors.New("not a JSON object")
	errNotUTF8   = errors.New("not UTF-8, as JSON has to be; bytes go into NAME_hex")
	errSurrogate = errors.New("has half of a surrogate pair, which is no text; bytes go into NAME_hex")
	errArray     = fmt.Errorf("%w but an array: JSON lines are one object a line, "+
		"as 'jq -c .[]' makes them of an array", errNotObject)
)

func newJSONL(text *bufio.Reader, opts Options) *jsonl {
	return &jsonl{lines: lineReader{text: text}, opts: opts}
}

func (j *jsonl) read() (Record, error) {
	line, err := j.lines.filled()
	for err == nil && len(bytes.TrimSpace(line)) == 0 {
		line, err = j.lines.filled()
	}
	if err != nil {
		return Record{}, err
	}
	record, err := j.parse(withoutEnd(line))
	if err == errDumpLine { // which is not to be passed over
		return Record{}, fmt.Errorf("line %d: %w", j.lines.line, err)
	}
	if err != nil {
		return Record{}, &LineError{j.lines.line, err}
	}
	record.Line = j.lines.line
	return record, nil
}

func (j *jsonl) parse(line []byte) (record Record, err error) {
	members, err := membersOf(line)
	if err != nil {
		return Record{}, err
	}
	if record, err = j.record(line, members); err != nil && ofDump(members) {
		err = errDumpLine
	}
	return record, err
}

// record makes one of the members of a line.
func (j *jsonl) record(line []byte, members map[string]json.RawMessage) (record Record, err error) {
	if j.key, err = appendMembers(j.key[:0], members, j.opts.Key, j.opts.KeyJoin); err != nil {
		return Record{}, err
	}
	record = Record{Key: j.key, Value: line}
	if len(j.opts.Value) != 1 || j.opts.Value[0] != WholeLine {
		if j.value, err = appendMembers(j.value[:0], members, j.opts.Value, "\t"); err != nil {
			return Record{}, err
		}
		record.Value = j.value
	}
	if raw, ok := members[j.opts.Expires]; ok && j.opts.Expires != "" {
		err = record.setExpiryMember(j.opts.Expires, raw)
	}
	return record, err
}

// membersOf takes a line apart.
func membersOf(line []byte) (map[string]json.RawMessage, error) {
	// encoding/json would put U+FFFD in the place of what is not UTF-8: other
	// keys and values than the ones given.
	if !utf8.Valid(line) {
		return nil, errNotUTF8
	}
	var members map[string]json.RawMessage
	var otherType *json.UnmarshalTypeError
	err := json.Unmarshal(line, &members)
	switch {
	case err != nil && bytes.TrimSpace(line)[0] == '[':
		return nil, errArray
	case errors.As(err, &otherType) || err == nil && members == nil:
		return nil, errNotObject
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNotObject, err)
	case hasLoneSurrogate(line): // another thing that would become U+FFFD
		return nil, errSurrogate
	case countMembers(line) != len(members):
		return nil, fmt.Errorf("member %q is there more than once", repeatedMember(line))
	}
	return members, nil
}

// countMembers returns how many members a JSON object has, repeated ones included.
func countMembers(object []byte) (count int) {
	depth, inString := 0, false
	for i := 0; i < len(object); i++ {
		c := object[i]
		switch {
		case inString && c == '\\':
			i++ // whatever it is, it ends no string
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ':' && depth == 1:
			count++
		}
	}
	return count
}

// repeatedMember returns the name of a member that a JSON object has more than once.
func repeatedMember(object []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, _ = decoder.Token() // the brace; it was parsed before, as all that follows
	seen := map[string]bool{}
	for decoder.More() {
		token, _ := decoder.Token()
		name, _ := token.(string)
		if seen[name] {
			return name
		}
		seen[name] = true
		var value json.RawMessage
		_ = decoder.Decode(&value)
	}
	return ""
}

// setExpiryMember reads the member that says when a record expires. A null says
// nothing.
func (r *Record) setExpiryMember(name string, raw json.RawMessage) error {
	var text *string
	err := json.Unmarshal(raw, &text)
	if err == nil && text != nil {
		err = r.setExpiry(*text)
	}
	if err != nil {
		return fmt.Errorf("member %q is no time such as \"2026-01-02T15:04:05Z\"", name)
	}
	return nil
}

// hasLoneSurrogate reports whether valid JSON has an escape such as \ud800 that
// is not one of a pair.
func hasLoneSurrogate(text []byte) bool {
	for {
		start := bytes.IndexByte(text, '\\')
		if start < 0 {
			return false
		}
		text = text[start:]
		first, ok := unicodeEscape(text)
		switch {
		case !ok:
			text = text[2:]
		case !utf16.IsSurrogate(first):
			text = text[6:]
		default:
			second, _ := unicodeEscape(text[6:])
			if utf16.DecodeRune(first, second) == utf8.RuneError {
				return true
			}
			text = text[12:]
		}
	}
}

// unicodeEscape returns the code of an escape such as \u00e9 that text begins
// with.
func unicodeEscape(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(code), err == nil
}

// appendMembers appends the named members, with join between them: of a string
// its text, of anything else its JSON.
func appendMembers(
	dst []byte, members map[string]json.RawMessage, names []string, join string,
) ([]byte, error) {
	for i, name := range names {
		if i > 0 {
			dst = append(dst, join...)
		}
		text, isText := members[name]
		digits, isHex := members[name+"_hex"]
		var err error
		switch {
		case isText && isHex:
			err = fmt.Errorf("stands beside %q: only one of them is the record's", name+"_hex")
		case isText:
			dst, err = appendMember(dst, text)
		case isHex:
			dst, err = appendHex(dst, digits)
		default:
			err = errors.New("is missing")
		}
		if err != nil {
			return nil, fmt.Errorf("member %q %w", name, err)
		}
	}
	return dst, nil
}

func appendMember(dst []byte, raw json.RawMessage) ([]byte, error) {
	if string(raw) == "null" {
		return nil, errors.New("is null")
	}
	if raw[0] != '"' {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, err
		}
		return append(dst, compact.Bytes()...), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	return append(dst, text...), nil
}

func appendHex(dst []byte, raw json.RawMessage) ([]byte, error) {
	var digits string
	if err := json.Unmarshal(raw, &digits); err != nil {
		return nil, errors.New("in hexadecimal is not a string")
	}
	decoded, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("is not hexadecimal: %w", err)
	}
	return append(dst, decoded...), nil
}
