package script

import (
	"fmt"
	"strconv"
	"strings"
)

// The text form: an operation a line, its kind and then the fields that are set,
// as name=value or, of a yes or no, the name alone. The parts of an operation
// stand between its line and "end". Empty lines and lines that begin with # count
// for nothing.

// field is a field of an operation by the name that it has in texts.
type field struct {
	name  string
	value any // a pointer to it
}

func (o *Op) fields() []field {
	return []field{
		{"in", &o.Space}, {"slot", &o.Slot}, {"snapshot", &o.Snapshot}, {"key", &o.Key},
		{"upper", &o.Upper}, {"prefix", &o.Prefix}, {"value", &o.Value}, {"count", &o.Count},
		{"every", &o.Every}, {"reverse", &o.Reverse}, {"shuffled", &o.Shuffled}, {"fail", &o.Fail}, {"wait", &o.Wait},
	}
}

// String writes the script down as Parse reads it.
func (s Script) String() string {
	var b strings.Builder
	for i := range s {
		s[i].write(&b, "")
	}
	return b.String()
}

func (o *Op) String() string {
	return strings.NewReplacer("\n\t", "; ", "\nend\n", "; end", "\n", "").Replace(Script{*o}.String())
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

// Parse reads a script.
func Parse(text string) (Script, error) {
	var s Script
	var whole *Op // whose parts are being read
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line == "end" && whole != nil {
			s, whole = append(s, *whole), nil
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
			s = append(s, o)
		}
	}
	if whole != nil {
		return nil, fmt.Errorf("the last %v has no end", whole.Kind)
	}
	return s, nil
}

func parseOp(line string) (Op, error) {
	word, rest, _ := strings.Cut(line, " ")
	var o Op
	for o.Kind.String() != word {
		if o.Kind++; o.Kind == Kinds {
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
	quoted := ""
	if strings.HasPrefix(text, `"`) {
		prefix, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", fmt.Errorf("a quote has no end")
		}
		if quoted, err = strconv.Unquote(prefix); err != nil {
			return "", err
		}
		text = text[len(prefix):]
	}
	word, rest, _ := strings.Cut(text, " ")
	switch v := f.value.(type) {
	case *string:
		*v = quoted
	case *int:
		*v, err = strconv.Atoi(word)
	case *Wait:
		for *v = 1; v.String() != word; *v++ {
			if *v == LastWait {
				return "", fmt.Errorf("unknown durability %s", word)
			}
		}
	case *Data:
		*v, err = parseData(quoted, word)
	}
	return rest, err
}
