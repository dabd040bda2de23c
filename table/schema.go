package table

import (
	"fmt"
	"regexp"

	"github.com/lightningdb/lightning/internal/catalogue"
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
	// Attributes that queries may name besides those of the primary key and the indexes.
	// Conditions on them are checked row by row. They are not stored.
	Attributes []Column[R]
	// Expiry says when rows expire; nil: never. Once a table was declared with it, rows
	// that were written then expire also when it is not declared any more.
	Expiry *Expiry[R]
	// Version of the schema. A program that declares a greater one than the database has
	// needs Migrations that lead to it, one for each step, from the oldest version that
	// rows have; one that declares a smaller one is refused. A table that never declared
	// a version is of version 0.
	Version    uint64
	Migrations []Migration
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
func (s *Schema[R, K]) define() (*catalogue.Definition, error) {
	fail := func(part, reason string) (*catalogue.Definition, error) {
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
	if reason := s.Expiry.check(); reason != "" {
		return fail("expiry", reason)
	}
	d := &catalogue.Definition{
		Key: define(s.Key.attribute), Codec: s.codec().Name(), Expires: s.Expiry != nil, Version: s.Version, Oldest: s.Version,
	}
	for _, x := range s.Indexes {
		part := "index " + x.Name
		switch {
		case !nameForm.MatchString(x.Name):
			return fail(part, "name "+nameRule)
		case d.Index(x.Name) != nil:
			return fail(part, "is declared twice")
		case len(x.On) == 0:
			return fail(part, "has no columns")
		}
		declared := catalogue.Index{Name: x.Name, Unique: x.Unique}
		for _, c := range x.On {
			a := columnOf(c)
			if reason := checkColumn(a); reason != "" {
				return fail(part, reason)
			}
			declared.Columns = append(declared.Columns, define(a))
		}
		d.Indexes = append(d.Indexes, declared)
	}
	return d, nil
}

// attributes returns all attributes by their names.
func (s *Schema[R, K]) attributes() (map[string]*attribute[R], error) {
	names := map[string]*attribute[R]{s.Key.name: s.Key.attribute}
	add := func(part string, columns []Column[R]) error {
		for _, c := range columns {
			a := columnOf(c)
			reason := checkColumn(a)
			if reason == "" {
				if other, ok := names[a.name]; ok && other != a {
					reason = fmt.Sprintf("two attributes are called %s", a.name)
				}
			}
			if reason != "" {
				return &DefinitionError{Table: s.Name, Part: part, Reason: reason}
			}
			names[a.name] = a
		}
		return nil
	}
	for _, x := range s.Indexes {
		if err := add("index "+x.Name, x.On); err != nil {
			return nil, err
		}
	}
	return names, add("attributes", s.Attributes)
}

// columnOf returns the attribute of a column, or nil where there is none.
func columnOf[R any](c Column[R]) *attribute[R] {
	if c == nil {
		return nil
	}
	return c.column()
}

func define[R any](a *attribute[R]) catalogue.Column {
	return catalogue.Column{Name: a.name, Kind: a.kind, Many: a.many != nil}
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
func join(
	table string, stored, declared *catalogue.Definition, v *versions,
) (merged *catalogue.Definition, fresh []int, err error) {
	fail := func(part, format string, args ...any) (*catalogue.Definition, []int, error) {
		return nil, nil, &DefinitionError{Table: table, Part: part, Reason: fmt.Sprintf(format, args...)}
	}
	merged = &catalogue.Definition{
		NextID: 1, Key: declared.Key, Codec: declared.Codec,
		Expires: declared.Expires, Version: declared.Version, Oldest: declared.Oldest,
	}
	if stored != nil && stored.Moved != "" {
		return fail("name", "the table is called %s now", stored.Moved)
	}
	if stored != nil {
		merged.NextID, merged.RowsID, merged.Home = stored.NextID, stored.RowsID, stored.Home
	}
	if merged.RowsID == 0 {
		merged.RowsID = merged.NextID
		merged.NextID++
		stored = &catalogue.Definition{}
	} else {
		was := stored
		if stored, err = v.carry(table, was); err != nil {
			return nil, nil, err
		}
		if stored.Key != declared.Key {
			return fail("primary key", "was %s and is declared as %s", stored.Key, declared.Key)
		} else if stored.Codec != declared.Codec && was.Version == declared.Version {
			return fail("codec", "was %s and is declared as %s", stored.Codec, declared.Codec)
		}
		merged.Expires = stored.Expires || declared.Expires
		merged.Oldest = stored.Oldest
	}
	return joinIndexes(table, merged, stored, declared)
}

// joinIndexes adds the indexes of both to what is merged of them.
func joinIndexes(table string, merged, stored, declared *catalogue.Definition) (*catalogue.Definition, []int, error) {
	fail := func(part, format string, args ...any) (*catalogue.Definition, []int, error) {
		return nil, nil, &DefinitionError{Table: table, Part: part, Reason: fmt.Sprintf(format, args...)}
	}
	for _, x := range stored.Indexes {
		want := declared.Index(x.Name)
		if want == nil {
			return fail("index "+x.Name, "is in the database and not declared; DropIndex removes it")
		}
		if was, is := x.Describe(), want.Describe(); was != is {
			return fail("index "+x.Name, "was %s and is declared as %s", was, is)
		}
		merged.Indexes = append(merged.Indexes, x)
	}
	var fresh []int
	for _, x := range declared.Indexes {
		if stored.Index(x.Name) == nil {
			x.Id = merged.NextID
			merged.NextID++
			fresh = append(fresh, len(merged.Indexes))
			merged.Indexes = append(merged.Indexes, x)
		}
	}
	return merged, fresh, nil
}
