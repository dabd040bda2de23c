package script

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/lightningdb/lightning"
)

// Parse reads a script as String writes it. Empty lines and lines that begin
// with # count for nothing.
func Parse(text string) (Script, error) {
	p := parser{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	if p.batch != nil {
		return nil, fmt.Errorf("the last batch has no end")
	}
	return p.script, nil
}

type parser struct {
	script Script
	batch  *Op // being filled
}

func (p *parser) line(line string) error {
	if line == "end" {
		if p.batch == nil {
			return fmt.Errorf("there is no batch to end")
		}
		p.script, p.batch = append(p.script, *p.batch), nil
		return nil
	}
	o, err := parseOp(line)
	switch {
	case err != nil:
		return err
	case p.batch != nil && o.Kind >= Batch:
		return fmt.Errorf("a batch holds only puts and deletes")
	case p.batch != nil:
		p.batch.Batch = append(p.batch.Batch, o)
	case o.Kind == Batch:
		p.batch = &o
	default:
		p.script = append(p.script, o)
	}
	return nil
}

func parseOp(line string) (Op, error) {
	words, err := split(line)
	if err != nil {
		return Op{}, err
	}
	var o Op
	for o.Kind = Put; o.Kind.String() != words[0]; o.Kind++ {
		if o.Kind == DropSpace {
			return Op{}, fmt.Errorf("unknown operation %s", words[0])
		}
	}
	targets := map[Kind][]*string{
		Put: {&o.Key, &o.Value.Text}, Merge: {&o.Key, &o.Value.Text}, Delete: {&o.Key},
		PutLong: {&o.Key, &o.Value.Text}, PutGone: {&o.Key, &o.Value.Text},
		DeleteRange: {&o.Key, &o.Upper}, Compact: {&o.Key, &o.Upper},
	}[o.Kind]
	for _, word := range words[1:] {
		if word[0] == '"' {
			if len(targets) == 0 {
				return Op{}, fmt.Errorf("%s is one text too many", word)
			}
			if *targets[0], err = strconv.Unquote(word); err != nil {
				return Op{}, fmt.Errorf("%s: %w", word, err)
			}
			targets = targets[1:]
			continue
		}
		if err := o.setting(word); err != nil {
			return Op{}, fmt.Errorf("%s: %w", word, err)
		}
	}
	if len(targets) > 0 {
		return Op{}, fmt.Errorf("%d texts are missing", len(targets))
	}
	return o, nil
}

func (o *Op) setting(word string) (err error) {
	for _, d := range []lightning.Durability{lightning.Sync, lightning.Flush, lightning.Async} {
		if word == d.String() {
			o.Durability = d
			return nil
		}
	}
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "bytes":
		o.Value.Bytes, err = strconv.Atoi(value)
	case "in":
		o.Space, err = strconv.Unquote(value)
	default:
		err = fmt.Errorf("unknown setting")
	}
	return err
}

// split cuts a line at spaces outside of quotes.
func split(line string) (words []string, err error) {
	for line != "" {
		end := 0
		for end < len(line) && !unicode.IsSpace(rune(line[end])) {
			if line[end] == '"' {
				quoted, err := strconv.QuotedPrefix(line[end:])
				if err != nil {
					return nil, fmt.Errorf("a quote has no end")
				}
				end += len(quoted)
				continue
			}
			end++
		}
		words = append(words, line[:end])
		line = strings.TrimLeftFunc(line[end:], unicode.IsSpace)
	}
	return words, nil
}
