// Package hidden has the types that leaky leaks.
package hidden

// Type is internal.
type Type struct{}

// Number is internal.
type Number int

// Reexported gets a public name, but one of its fields does not.
type Reexported struct {
	Field Type
	own   Type
}

// Fine gets a public name and shows nothing else.
type Fine struct{ own Type }

// Same has the size of its secrets.
func (r Reexported) Same(other Fine) bool { return r.own == other.own }
