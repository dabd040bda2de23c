// Package model is the oracle of the tests: a sorted map that does slowly and
// plainly what the database does fast. It is immutable: every write makes a
// new Store, so that keeping a snapshot is keeping a value.
package model

import (
	"maps"
	"slices"
)

// Store maps keys to values. The zero Store is empty.
type Store struct{ rows map[string]string }

// Row is a key with its value.
type Row struct{ Key, Value string }

// Get returns the value of key.
func (s Store) Get(key string) (string, bool) {
	v, ok := s.rows[key]
	return v, ok
}

// Len returns the number of keys.
func (s Store) Len() int { return len(s.rows) }

// Change returns s with what fn does to a copy of its rows.
func (s Store) Change(fn func(rows map[string]string)) Store {
	rows := maps.Clone(s.rows)
	if rows == nil {
		rows = map[string]string{}
	}
	fn(rows)
	return Store{rows}
}

// Put returns s with key set to value.
func (s Store) Put(key, value string) Store {
	return s.Change(func(rows map[string]string) { rows[key] = value })
}

// Rows returns the rows in [lo, hi) in ascending order; an empty hi means that
// there is no upper bound.
func (s Store) Rows(lo, hi string) []Row {
	var out []Row
	for _, key := range slices.Sorted(maps.Keys(s.rows)) {
		if key >= lo && (hi == "" || key < hi) {
			out = append(out, Row{key, s.rows[key]})
		}
	}
	return out
}

// Equal reports whether both hold the same rows.
func (s Store) Equal(o Store) bool { return maps.Equal(s.rows, o.rows) }

// NewStore returns the store of these rows.
func NewStore(rows []Row) Store {
	m := make(map[string]string, len(rows))
	for _, r := range rows {
		m[r.Key] = r.Value
	}
	return Store{m}
}
