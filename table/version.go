package table

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/catalogue"
)

// Each row says by which version of the schema it was written. A row of an older version
// is brought up to date in memory whenever it is read, by one function after the other, so
// nobody waits for a change of the schema. Whoever writes the row writes it by the newest
// version; Table.Migrate writes those that are left.
//
// Invariant: no row is of a version after that of the definition, or before its Oldest. A
// transaction reads the definition, so a program that knows older versions only does not
// get to rows that it cannot read.

// Migration leads from one version of a schema to the next.
type Migration struct {
	// From is the version of the rows that Upgrade takes; it makes rows of the next one.
	From uint64
	// Upgrade turns what the codec of a version has made into what that of the next one
	// would. It must depend on data only, which is valid until it returns and must not be
	// written to; what it returns belongs to the table. nil: both are the same. UpgradeOf makes one of a function
	// of records. It must not change the primary key, nor what an index holds that goes
	// on under its name: what is sorted by something new is an index of a new name.
	Upgrade func(data []byte) ([]byte, error)
	// RenamedAttributes and RenamedIndexes have the new names by the old ones.
	RenamedAttributes, RenamedIndexes map[string]string
	// DroppedIndexes are removed when a schema of the next version is opened.
	DroppedIndexes []string
}

// UpgradeOf makes Migration.Upgrade of a function from the records of a version to those
// of the next one, and of the codecs of both; nil is JSON. Old is a type that the program
// keeps for this: the record as it was.
func UpgradeOf[Old, New any](old Codec[Old], new Codec[New], change func(rec Old) (New, error)) func([]byte) ([]byte, error) {
	if old == nil {
		old = JSON[Old]{}
	}
	if new == nil {
		new = JSON[New]{}
	}
	return func(data []byte) ([]byte, error) {
		was, err := old.Decode(data)
		if err != nil {
			return nil, err
		}
		is, err := change(was)
		if err != nil {
			return nil, err
		}
		return new.Append(nil, is)
	}
}

// versions are the versions that a handle knows.
type versions struct {
	now   uint64
	steps map[uint64]Migration // by their From
}

// versions checks what a schema says of versions.
func (s *Schema[R, K]) versions() (versions, error) {
	v := versions{now: s.Version, steps: map[uint64]Migration{}}
	for _, m := range s.Migrations {
		reason := ""
		if _, twice := v.steps[m.From]; twice {
			reason = "is declared twice"
		} else if m.From >= s.Version {
			reason = fmt.Sprintf("does not lead to version %d or one before it", s.Version)
		}
		if reason != "" {
			part := fmt.Sprintf("migration from version %d", m.From)
			return v, &DefinitionError{Table: s.Name, Part: part, Reason: reason}
		}
		v.steps[m.From] = m
	}
	return v, nil
}

// missing returns the first version, from one on, from which no migration leads on.
func (v *versions) missing(from uint64) (version uint64, missing bool) {
	for version := from; version < v.now; version++ {
		if _, ok := v.steps[version]; !ok {
			return version, true
		}
	}
	return 0, false
}

// carry returns a stored definition as a table would have it that was declared by the
// newest version all along.
func (v *versions) carry(table string, stored *catalogue.Definition) (*catalogue.Definition, error) {
	fail := func(part, format string, args ...any) (*catalogue.Definition, error) {
		return nil, &DefinitionError{Table: table, Part: part, Reason: fmt.Sprintf(format, args...)}
	}
	if stored.Version > v.now {
		return fail("version", "is %d in the database and %d in this program, which is too old for the rows",
			stored.Version, v.now)
	}
	if from, missing := v.missing(stored.Oldest); missing {
		return fail("version", "is %d in the database, with rows of version %d, and no migration leads from version %d to %d",
			stored.Version, stored.Oldest, from, from+1)
	}
	d := *stored
	d.Indexes = slices.Clone(stored.Indexes)
	for version := stored.Version; version < v.now; version++ {
		m := v.steps[version]
		for _, name := range m.DroppedIndexes {
			d.Indexes = slices.DeleteFunc(d.Indexes, func(x catalogue.Index) bool { return x.Name == name })
		}
		d.Key.Name = renamed(d.Key.Name, m.RenamedAttributes)
		for i := range d.Indexes {
			x := &d.Indexes[i]
			x.Name = renamed(x.Name, m.RenamedIndexes)
			x.Columns = slices.Clone(x.Columns)
			for j := range x.Columns {
				x.Columns[j].Name = renamed(x.Columns[j].Name, m.RenamedAttributes)
			}
		}
	}
	d.Version = v.now
	return &d, nil
}

func renamed(name string, names map[string]string) string {
	if other, ok := names[name]; ok {
		return other
	}
	return name
}

// frameMark begins a row that says its version, which follows as a uvarint. Rows without
// it are of version 0. A row of version 0 that would begin with it says so: no JSON
// begins with this byte, and no message of Protocol Buffers.
const frameMark = 0xff

// frame returns the row of what the codec has made.
func (v *versions) frame(data []byte) []byte {
	if v.now == 0 && (len(data) == 0 || data[0] != frameMark) {
		return data
	}
	row := make([]byte, 0, 1+binary.MaxVarintLen64+len(data))
	row = binary.AppendUvarint(append(row, frameMark), v.now)
	return append(row, data...)
}

// unframe returns the version of a row, and what the codec of that version has made.
func unframe(row []byte) (version uint64, data []byte, err error) {
	if len(row) == 0 || row[0] != frameMark {
		return 0, row, nil
	}
	version, n := binary.Uvarint(row[1:])
	if n <= 0 {
		return 0, nil, fmt.Errorf("version of the row: %w", catalogue.ErrRecord)
	}
	return version, row[1+n:], nil
}

// decodeVersion returns the record of a row of any version.
func (c *core[R]) decodeVersion(row []byte) (R, error) {
	var none R
	version, data, err := unframe(row)
	if err != nil {
		return none, err
	}
	if version > c.versions.now {
		return none, fmt.Errorf("it is of version %d, after the table's: %w", version, catalogue.ErrRecord)
	}
	for ; version < c.versions.now; version++ {
		step, ok := c.versions.steps[version]
		if !ok {
			return none, fmt.Errorf("it is of version %d, before the table's oldest: %w", version, catalogue.ErrRecord)
		}
		if step.Upgrade == nil {
			continue
		}
		if data, err = step.Upgrade(data); err != nil {
			return none, fmt.Errorf("upgrade from version %d: %w", version, err)
		}
	}
	return c.codec.Decode(data)
}
