// Package leaky mentions internal types in every way there is; the API test
// must find all of them, and none of what is in order.
package leaky

import "github.com/lightningdb/lightning/internal/arch/testdata/leaky/internal/hidden"

// These leak.
type (
	Field     struct{ Exported *hidden.Type }
	Slice     [][]hidden.Type
	Interface interface{ Method(hidden.Type) }
	Embedded  struct{ hidden.Type }
	Alias     = hidden.Reexported
	Generic   = map[string]chan func(hidden.Type)
	Type      struct{}
)

// Hidden is in order by itself.
type Hidden = hidden.Fine

// Method leaks.
func (Type) Method() [2]hidden.Type { return [2]hidden.Type{} }

// Function leaks.
func Function(hidden.Type) {}

// Variable leaks by its inferred type.
var Variable = hidden.Type{}

// Constant leaks.
const Constant = hidden.Number(1)

// These are in order.
type (
	Opaque struct{ inner hidden.Type }
	Public struct{ Hidden }
)

func (Public) private() hidden.Type { return hidden.Type{} }

// Length is an ordinary function.
func Length(o Opaque, p Public, h Hidden) int {
	if o.inner == p.private() && h == p.Hidden {
		return 1
	}
	return 0
}
