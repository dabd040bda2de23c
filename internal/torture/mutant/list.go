package mutant

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// This file reads the lists, which are the files lists/*.txt. A mutant is
//
//	name: the promise that it breaks
//		suites NAME, NAME
//		in FUNCTION at PATTERN
//		OPERATION TEXT
//
// or, to say more closely where,
//
//		in FUNCTION
//		under PATTERN
//		at PATTERN
//		OPERATION TEXT
//
// with the function as in source.go, the pattern as in pattern.go, the
// operation as in edit.go, and the suites as in suites.go. What is longer than a
// line goes on below it, two tabs from the margin. `at N/M PATTERN` means the
// n-th of m places that the pattern fits. A line that begins with # is a
// comment.

//go:embed lists/*.txt
var lists embed.FS

// All returns every mutant of the lists.
func All() ([]Mutant, error) {
	names, err := fs.Glob(lists, "lists/*.txt")
	if err != nil {
		return nil, err
	}
	var all []Mutant
	for _, name := range names {
		text, err := fs.ReadFile(lists, name)
		if err != nil {
			return nil, err
		}
		some, err := parseList(path.Base(name), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// parseList reads one list.
func parseList(file, text string) ([]Mutant, error) {
	var all []Mutant
	var last *string // what a line two tabs from the margin goes on with
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		place := fmt.Sprintf("%s:%d", file, i+1)
		var err error
		switch more, isMore := strings.CutPrefix(line, "\t\t"); {
		case line == "":
			last = nil
		case strings.HasPrefix(line, "#"):
		case isMore && last == nil:
			err = fmt.Errorf("nothing goes on here")
		case isMore:
			*last = strings.TrimPrefix(*last+"\n"+more, "\n")
		case line[0] == '\t' && len(all) == 0:
			err = fmt.Errorf("a mutant begins with its name and promise")
		case line[0] == '\t':
			last, err = all[len(all)-1].read(line[1:])
		default:
			last = nil
			var m Mutant
			m, err = parseHead(line)
			m.Place = place
			all = append(all, m)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
	}
	for _, m := range all {
		if err := m.complete(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Place, m.Name, err)
		}
	}
	return all, nil
}

var wellFormedName = regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)

func parseHead(line string) (Mutant, error) {
	name, breaks, ok := strings.Cut(line, ":")
	breaks = strings.TrimSpace(breaks)
	switch {
	case !wellFormedName.MatchString(name):
		return Mutant{}, fmt.Errorf("the name %q is not of lower-case words with hyphens", name)
	case !ok || breaks == "":
		return Mutant{}, fmt.Errorf("the promise is missing")
	}
	return Mutant{Name: name, Breaks: breaks}, nil
}

// read takes in one line, and returns what the lines below it go on with.
func (m *Mutant) read(line string) (*string, error) {
	word, rest, _ := strings.Cut(line, " ")
	takesText, isOperation := operations[word]
	switch {
	case word == "suites" && m.Suites == nil:
		for name := range strings.SplitSeq(rest, ",") {
			s, ok := suitesByName[strings.TrimSpace(name)]
			if !ok {
				return nil, fmt.Errorf("there is no suite %q", strings.TrimSpace(name))
			}
			m.Suites = append(m.Suites, s)
		}
		return nil, nil
	case word == "in" && m.In == "":
		name, pattern, isPlace := strings.Cut(rest+" ", " at ")
		m.In = strings.TrimSpace(name)
		if m.In == "" || strings.ContainsAny(m.In, " \t") {
			return nil, fmt.Errorf("it is not of the form `in FUNCTION` or `in FUNCTION at PATTERN`")
		}
		if !isPlace {
			return nil, nil
		}
		return &m.At, m.readPlace(pattern)
	case word == "under" && m.Under == "":
		m.Under = rest
		return &m.Under, nil
	case word == "at" && m.At == "":
		return &m.At, m.readPlace(rest)
	case isOperation && m.Op == "":
		m.Op, m.Text = word, rest
		if !takesText {
			if rest != "" {
				return nil, fmt.Errorf("no text belongs to %s", word)
			}
			return nil, nil
		}
		return &m.Text, nil
	}
	return nil, fmt.Errorf("%q is no property or operation, or the second one", word)
}

var nthOf = regexp.MustCompile(`^([0-9]+)/([0-9]+)(\s+|$)`)

// readPlace takes in what stands behind "at".
func (m *Mutant) readPlace(pattern string) error {
	m.At = strings.TrimSpace(pattern)
	if n := nthOf.FindStringSubmatch(m.At); n != nil {
		m.At = m.At[len(n[0]):]
		m.Nth, _ = strconv.Atoi(n[1]) // the pattern has digits only
		m.Of, _ = strconv.Atoi(n[2])
		if m.Nth < 1 || m.Nth > m.Of {
			return fmt.Errorf("there is no %s", strings.TrimSpace(n[0]))
		}
	}
	return nil
}

// complete says what a mutant lacks.
func (m *Mutant) complete() error {
	switch {
	case len(m.Suites) == 0:
		return fmt.Errorf("it has no suites")
	case m.In == "" || m.At == "":
		return fmt.Errorf("the function or the pattern is missing")
	case m.Op == "":
		return fmt.Errorf("the operation is missing")
	case operations[m.Op] && m.Text == "":
		return fmt.Errorf("%s has no text", m.Op)
	}
	return nil
}
