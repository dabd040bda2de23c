package table

import (
	"errors"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// The errors of the package, for errors.Is. A row that does not exist is
// lightning.ErrNotFound; stored bytes that cannot be what was written match
// lightning.ErrCorrupted.
var (
	// ErrDuplicate is matched by every *DuplicateError.
	ErrDuplicate = errors.New("duplicate key")
	// ErrStale says that the table was declared anew or dropped since the
	// handle was made: it does not know what it would have to maintain. Open
	// gives a new one.
	ErrStale = errors.New("table was opened with another definition")
	// ErrIsolation says that a row was to be changed in a transaction that is
	// not strictly serializable. Under snapshot isolation a transaction that is
	// older than an index could leave a row out of it.
	ErrIsolation = errors.New("rows are changed in strictly serializable transactions only")
	// ErrKeyChanged says that the function given to Update has changed the
	// primary key.
	ErrKeyChanged = errors.New("primary key was changed")
	// ErrNotUTF8 says that a record has text that is not UTF-8, for which JSON has no
	// form: what is read would be other text.
	ErrNotUTF8 = errors.New("text is not UTF-8, which JSON cannot hold")
	// ErrLostKey says that a codec does not keep the primary key: the record that it
	// decodes has another one, under which the row would not be found.
	ErrLostKey = errors.New("codec does not keep the primary key")
	// ErrNoExpiry says that a row was to live for some time in a table whose rows do not
	// expire: Schema.Expiry is not declared.
	ErrNoExpiry = errors.New("rows of the table do not expire: the schema declares no Expiry")
	// ErrUnknownAttribute says that a query names an attribute that is not one of the
	// table's, or is another one of the same name. It is no reason to read all rows.
	ErrUnknownAttribute = errors.New("unknown attribute")
	// ErrCursor says that a text is not a cursor of this table in this order.
	ErrCursor = errors.New("not a cursor of this query")
	// ErrQueryMemory says that a query would have to hold more than
	// MaxQueryBytes. An index in the order that is asked for, or a limit,
	// helps.
	ErrQueryMemory = errors.New("query holds too much memory")
)

var errNilFunction = fmt.Errorf("%w: a function is needed", lightning.ErrNilArgument)

var errNoRows = errors.New("a page has at least one row")

// DuplicateError says that a unique index, or the primary key, would have held
// two rows under one key. Nothing was written. It matches ErrDuplicate.
type DuplicateError struct {
	Table string
	Index string // "" for the primary key
	// Values is the key that both rows have in the index, Existing the primary
	// key of the row that has it, and New that of the row that was to get it;
	// all in the form of package keyenc, whose Format shows them.
	Values, Existing, New []byte
}

func (e *DuplicateError) Error() string {
	if e.Index == "" {
		return fmt.Sprintf("table %s: row %s exists", e.Table, keyenc.Format(e.New))
	}
	return fmt.Sprintf("table %s: unique index %s: %s is in row %s, not to be in row %s", e.Table,
		e.Index, keyenc.Format(e.Values), keyenc.Format(e.Existing), keyenc.Format(e.New))
}

// Is makes errors.Is(err, ErrDuplicate) true.
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicate }

// DefinitionError says that a schema cannot be, or contradicts what the
// database knows of the table.
type DefinitionError struct {
	Table  string
	Part   string // e.g. "index by-city"
	Reason string // e.g. "was unique and is not"
}

func (e *DefinitionError) Error() string {
	return fmt.Sprintf("table %s: %s: %s", e.Table, e.Part, e.Reason)
}
