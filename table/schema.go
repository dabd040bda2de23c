package table

import (
	"fmt"
	"regexp"
)

// Schema declares a table. It is given to Open each time; what must stay as it
// was is compared with what the database knows.
type Schema[R, K any] struct {
	// Name has 1 to 200 letters, digits, underscores, dashes and full stops.
	Name string
	// Key is the primary key: an attribute made with One. There is one row for
	// each of its values, and rows are kept in their order.
	Key Attr[R, K]
	// Codec of the rows. Default JSON.
	Codec Codec[R]
	// Indexes besides the primary key.
	Indexes []Index[R]
}

// Index declares a secondary index. What its columns compute must not change
// as long as the index has the name.
type Index[R any] struct {
	// Name is like that of a table.
	Name string
	// Unique lets each combination of values be in one row only.
	Unique bool
	// On are the columns, at least one: the index is sorted by the first, then
	// by the second, and so on, and then by the primary key.
	On []Column[R]
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,200}$`)

const nameRule = "must have 1 to 200 letters, digits, underscores, dashes and full stops"

// define checks a schema and returns its definition, without numbers.
func (s *Schema[R, K]) define() (*definition, error) {
	fail := func(part, reason string) (*definition, error) {
		return nil, &DefinitionError{Table: s.Name, Part: part, Reason: reason}
	}
	if !nameForm.MatchString(s.Name) {
		return fail("name", nameRule)
	}
	if reason := checkColumn(s.Key.attribute); reason != "" {
		return fail("primary key", reason)
	}
	if s.Key.many != nil {
		return fail("primary key", "must be made with One")
	}
	d := &definition{key: define(s.Key.attribute), codec: s.codec().Name()}
	names := map[string]*attribute[R]{s.Key.name: s.Key.attribute}
	for _, x := range s.Indexes {
		part := "index " + x.Name
		switch {
		case !nameForm.MatchString(x.Name):
			return fail(part, "name "+nameRule)
		case d.index(x.Name) != nil:
			return fail(part, "is declared twice")
		case len(x.On) == 0:
			return fail(part, "has no columns")
		}
		declared := indexDefinition{name: x.Name, unique: x.Unique}
		for _, c := range x.On {
			a := columnOf(c)
			if reason := checkColumn(a); reason != "" {
				return fail(part, reason)
			}
			if other, ok := names[a.name]; ok && other != a {
				return fail(part, fmt.Sprintf("two attributes are called %s", a.name))
			}
			names[a.name] = a
			declared.columns = append(declared.columns, define(a))
		}
		d.indexes = append(d.indexes, declared)
	}
	return d, nil
}

// columnOf returns the attribute of a column, or nil where there is none.
func columnOf[R any](c Column[R]) *attribute[R] {
	if c == nil {
		return nil
	}
	return c.column()
}

func define[R any](a *attribute[R]) columnDefinition {
	return columnDefinition{name: a.name, kind: a.kind, many: a.many != nil}
}

// checkColumn says why an attribute cannot be a column, or "".
func checkColumn[R any](a *attribute[R]) string {
	switch {
	case a == nil:
		return "a column is the zero Attr"
	case a.name == "":
		return "an attribute has no name"
	case a.kind == "":
		return fmt.Sprintf("the values of attribute %s are of a type that has no encoding", a.name)
	}
	return ""
}

func (s *Schema[R, K]) codec() Codec[R] {
	if s.Codec == nil {
		return JSON[R]{}
	}
	return s.Codec
}

// join merges what is declared into what is stored, which can be nil. It
// returns the indexes that are new, by their place in the result.
func join(table string, stored, declared *definition) (merged *definition, fresh []int, err error) {
	fail := func(part, format string, args ...any) (*definition, []int, error) {
		return nil, nil, &DefinitionError{Table: table, Part: part, Reason: fmt.Sprintf(format, args...)}
	}
	merged = &definition{nextID: 1, key: declared.key, codec: declared.codec}
	if stored != nil {
		merged.nextID, merged.rowsID = stored.nextID, stored.rowsID
	}
	if merged.rowsID == 0 {
		merged.rowsID = merged.nextID
		merged.nextID++
		stored = &definition{}
	} else if stored.key != declared.key {
		return fail("primary key", "was %s and is declared as %s", stored.key, declared.key)
	} else if stored.codec != declared.codec {
		return fail("codec", "was %s and is declared as %s", stored.codec, declared.codec)
	}
	for _, x := range stored.indexes {
		want := declared.index(x.name)
		if want == nil {
			return fail("index "+x.name, "is in the database and not declared; DropIndex removes it")
		}
		if was, is := x.describe(), want.describe(); was != is {
			return fail("index "+x.name, "was %s and is declared as %s", was, is)
		}
		merged.indexes = append(merged.indexes, x)
	}
	for _, x := range declared.indexes {
		if stored.index(x.name) == nil {
			x.id = merged.nextID
			merged.nextID++
			fresh = append(fresh, len(merged.indexes))
			merged.indexes = append(merged.indexes, x)
		}
	}
	return merged, fresh, nil
}

// describe shows what cannot change about an index.
func (x *indexDefinition) describe() string {
	text := "on"
	if x.unique {
		text = "unique on"
	}
	for i, c := range x.columns {
		if i > 0 {
			text += ","
		}
		text += " " + c.String()
	}
	return text
}

func (c columnDefinition) String() string {
	if c.many {
		return c.name + " (many of " + c.kind + ")"
	}
	return c.name + " (" + c.kind + ")"
}
