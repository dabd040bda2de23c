package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// State is what a database holds: a Store for each keyspace, the default one
// under the empty name. It is immutable like Store, and the zero State is that
// of a new database.
type State struct{ spaces map[string]Store }

// Space returns the rows of a keyspace; none where it does not exist.
func (s State) Space(name string) Store { return s.spaces[name] }

// Exists reports whether there is such a keyspace.
func (s State) Exists(name string) bool {
	_, ok := s.spaces[name]
	return ok || name == ""
}

// With returns s with other rows in a keyspace, which need not exist.
func (s State) With(name string, rows Store) State {
	spaces := maps.Clone(s.spaces)
	if spaces == nil {
		spaces = map[string]Store{}
	}
	spaces[name] = rows
	return State{spaces}
}

// Without returns s without a keyspace and its rows.
func (s State) Without(name string) State {
	spaces := maps.Clone(s.spaces)
	delete(spaces, name)
	return State{spaces}
}

// Spaces returns the names of the keyspaces but the default one, sorted.
func (s State) Spaces() []string {
	names := slices.Sorted(maps.Keys(s.spaces))
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// EqualRows reports whether both hold the same rows; a keyspace without rows
// is the same as none.
func (s State) EqualRows(o State) bool {
	for name, rows := range s.spaces {
		if !rows.Equal(o.spaces[name]) {
			return false
		}
	}
	for name, rows := range o.spaces {
		if _, ok := s.spaces[name]; !ok && rows.Len() > 0 {
			return false
		}
	}
	return true
}

// String lists the rows, long values by their beginning and length.
func (s State) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.spaces)) {
		if name != "" {
			fmt.Fprintf(&b, "%q: ", name)
		}
		for _, row := range s.spaces[name].Rows("", "") {
			if len(row.Value) > 24 {
				fmt.Fprintf(&b, "%q=%q…(%d bytes) ", row.Key, row.Value[:16], len(row.Value))
				continue
			}
			fmt.Fprintf(&b, "%q=%q ", row.Key, row.Value)
		}
	}
	return "{" + strings.TrimSpace(b.String()) + "}"
}
