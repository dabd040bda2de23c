package metamorph

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDataBytes bounds what a text may ask to be expanded.
const maxDataBytes = 64 << 20

// Parse reads a history as String writes it. Empty lines and lines that begin
// with # count for nothing.
func Parse(text string) (History, error) {
	var h History
	var whole *Op // whose parts are being read
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line == "end" && whole != nil {
			h, whole = append(h, *whole), nil
			continue
		}
		o, err := parseOp(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		case whole != nil && !whole.Kind.mayHold(o.Kind):
			return nil, fmt.Errorf("line %d: a %v is no part of a %v", i+1, o.Kind, whole.Kind)
		case whole != nil:
			whole.Parts = append(whole.Parts, o)
		case o.Kind >= First:
			return nil, fmt.Errorf("line %d: a %v stands in a %v", i+1, o.Kind, Move)
		case o.Kind.hasParts():
			whole = &o
		default:
			h = append(h, o)
		}
	}
	if whole != nil {
		return nil, fmt.Errorf("the last %v has no end", whole.Kind)
	}
	return h, nil
}

// mayHold reports whether an operation of kind k can have a part of that kind.
func (k Kind) mayHold(part Kind) bool {
	switch k {
	case Batch, BatchAdd:
		return part <= DeleteRange
	case MultiGet:
		return part == Get
	}
	return part >= First
}

func parseOp(line string) (Op, error) {
	word, rest, _ := strings.Cut(line, " ")
	var o Op
	for o.Kind.String() != word {
		if o.Kind++; o.Kind == kinds {
			return Op{}, fmt.Errorf("unknown operation %s", word)
		}
	}
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		end := strings.IndexAny(rest, " =")
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		var err error
		if rest, err = o.set(name, rest[end:]); err != nil {
			return Op{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return o, nil
}

// set sets a field from the text after its name and returns the text after that.
func (o *Op) set(name, text string) (rest string, err error) {
	for _, f := range o.fields() {
		if f.name != name {
			continue
		}
		if flag, ok := f.value.(*bool); ok {
			*flag = true
			return text, nil
		}
		if text == "" || text[0] != '=' {
			return "", fmt.Errorf("it needs a value")
		}
		return f.parse(text[1:])
	}
	return "", fmt.Errorf("there is no such field")
}

func (f field) parse(text string) (rest string, err error) {
	var d Data
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", fmt.Errorf("a quote has no end")
		}
		d.Text, err = strconv.Unquote(quoted)
		if err != nil {
			return "", err
		}
		text = text[len(quoted):]
	}
	word, rest, _ := strings.Cut(text, " ")
	switch v := f.value.(type) {
	case *string:
		*v = d.Text
	case *int:
		*v, err = strconv.Atoi(word)
	case *Wait:
		for *v = 1; v.String() != word; *v++ {
			if *v == lastWait {
				return "", fmt.Errorf("unknown durability %s", word)
			}
		}
	case *Data:
		if word != "" {
			d.Noise = word[0] == '~'
			d.Length, err = strconv.Atoi(word[1:])
			if err == nil && (d.Length < 0 || d.Length > maxDataBytes) {
				err = fmt.Errorf("length %d", d.Length)
			}
		}
		*v = d
	}
	return rest, err
}
