package mutant

import (
	"go/ast"
	"go/token"
	"maps"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file compares patterns with syntax. Where things stand, how they are laid
// out and what the comments say does not matter. A lenient match also forgives
// what a move to another package does to names: that they are exported, and that
// a package stands before them, or not any more.
//
// A matcher is for one attempt and one goroutine.

// matcher holds what the placeholders stand for.
type matcher struct {
	file    *sourceFile
	lenient bool
	bound   map[string]ast.Node
	// renamed has, for names that matched leniently, what they are called now.
	renamed map[string]string
}

func newMatcher(f *sourceFile, receiver *ast.Ident, lenient bool) *matcher {
	m := &matcher{file: f, lenient: lenient, bound: map[string]ast.Node{}, renamed: map[string]string{}}
	if receiver != nil {
		m.bound["recv"] = receiver
	}
	return m
}

// matches reports whether nodes fit the pattern.
func (m *matcher) matches(p *pattern, nodes []ast.Node) bool {
	if !p.header {
		return m.lists(reflect.ValueOf(p.nodes), reflect.ValueOf(nodes))
	}
	// A head says nothing about an else.
	if want, ok := p.nodes[0].(*ast.IfStmt); ok {
		if got, ok := nodes[0].(*ast.IfStmt); ok {
			return m.same(want.Init, got.Init) && m.same(want.Cond, got.Cond)
		}
		return false
	}
	return m.same(p.nodes[0], nodes[0])
}

func (m *matcher) same(p, n any) bool { return m.values(reflect.ValueOf(p), reflect.ValueOf(n)) }

var positionType = reflect.TypeFor[token.Pos]()

// values compares two values of the syntax tree.
func (m *matcher) values(p, n reflect.Value) bool {
	for p.IsValid() && p.Kind() == reflect.Interface {
		p = p.Elem()
	}
	for n.IsValid() && n.Kind() == reflect.Interface {
		n = n.Elem()
	}
	if !p.IsValid() || !n.IsValid() {
		return p.IsValid() == n.IsValid()
	}
	if p.Kind() == reflect.Pointer {
		if p.IsNil() || n.Kind() == reflect.Pointer && n.IsNil() {
			return p.IsNil() && n.Kind() == reflect.Pointer && n.IsNil()
		}
		if done, ok := m.special(p.Interface(), n.Interface()); done {
			return ok
		}
	}
	if p.Type() != n.Type() {
		return false
	}
	switch p.Kind() {
	case reflect.Pointer:
		return m.structs(p.Elem(), n.Elem())
	case reflect.Slice:
		return m.lists(p, n)
	default:
		return p.Equal(n)
	}
}

// structs compares two nodes of one type by their fields.
func (m *matcher) structs(p, n reflect.Value) bool {
	for i := range p.NumField() {
		name := p.Type().Field(i).Name
		switch p.Field(i).Interface().(type) {
		case *ast.CommentGroup, *ast.Object, *ast.Scope:
			continue
		}
		if p.Field(i).Type() == positionType {
			if name == "Ellipsis" && p.Field(i).IsZero() != n.Field(i).IsZero() && !endsOpen(p.Addr().Interface()) {
				return false
			}
			continue
		}
		if !m.values(p.Field(i), n.Field(i)) {
			return false
		}
	}
	return true
}

// endsOpen reports whether the arguments of a call end with $*_, which may end
// with three dots.
func endsOpen(node any) bool {
	call, ok := node.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	name, ok := mark(call.Args[len(call.Args)-1], manyMark)
	return ok && name == "_"
}

// lists compares two lists. A placeholder for many takes as few as it can.
func (m *matcher) lists(p, n reflect.Value) bool {
	if p.Len() == 0 {
		return n.Len() == 0
	}
	if name, ok := mark(p.Index(0).Interface(), manyMark); ok {
		for skip := range n.Len() + 1 {
			bound := maps.Clone(m.bound)
			if m.bind(name, stretchOf(n.Slice(0, skip))) && m.lists(p.Slice(1, p.Len()), n.Slice(skip, n.Len())) {
				return true
			}
			m.bound = bound
		}
		return false
	}
	return n.Len() > 0 && m.values(p.Index(0), n.Index(0)) &&
		m.lists(p.Slice(1, p.Len()), n.Slice(1, n.Len()))
}

// stretch is some nodes in a row.
type stretch struct{ nodes []ast.Node }

func stretchOf(list reflect.Value) *stretch {
	s := &stretch{}
	for i := range list.Len() {
		if node, ok := list.Index(i).Interface().(ast.Node); ok {
			s.nodes = append(s.nodes, node)
		}
	}
	return s
}

func (s *stretch) Pos() token.Pos {
	if len(s.nodes) == 0 {
		return token.NoPos
	}
	return s.nodes[0].Pos()
}

func (s *stretch) End() token.Pos {
	if len(s.nodes) == 0 {
		return token.NoPos
	}
	return s.nodes[len(s.nodes)-1].End()
}

// mark returns the name of a placeholder of one kind.
func mark(node any, kind string) (string, bool) {
	if s, ok := node.(*ast.ExprStmt); ok {
		node = s.X
	}
	if id, ok := node.(*ast.Ident); ok {
		return strings.CutPrefix(id.Name, kind)
	}
	return "", false
}

// special treats the nodes that are not compared field by field.
func (m *matcher) special(p, n any) (done, ok bool) {
	node, isNode := n.(ast.Node)
	if name, ok := mark(p, oneMark); ok && isNode {
		return true, m.bind(name, node)
	}
	switch p := p.(type) {
	case *ast.Ident:
		switch n := n.(type) {
		case *ast.Ident:
			return true, m.names(p.Name, n.Name)
		case *ast.SelectorExpr: // it has moved away, and has its package before it now
			pkg, ok := n.X.(*ast.Ident)
			if m.lenient && ok && m.file.imports[pkg.Name] && m.names(p.Name, n.Sel.Name) {
				m.renamed[p.Name] = pkg.Name + "." + n.Sel.Name
				return true, true
			}
		}
	case *ast.SelectorExpr:
		pkg, isName := p.X.(*ast.Ident)
		if id, ok := n.(*ast.Ident); ok && m.lenient && isName && pkg.Name == m.file.pkg && p.Sel.Name == id.Name {
			m.renamed[pkg.Name+"."+id.Name] = id.Name // it is in its package now
			return true, true
		}
	}
	return false, false
}

// bind lets a placeholder stand for a node; a second time it must be the same.
func (m *matcher) bind(name string, node ast.Node) bool {
	if name == "_" {
		return true
	}
	if s, ok := node.(*ast.ExprStmt); ok {
		node = s.X
	}
	if old, ok := m.bound[name]; ok {
		exact := &matcher{file: m.file}
		return exact.same(old, node)
	}
	if name == "recv" {
		return false // the function has none
	}
	m.bound[name] = node
	return true
}

// names compares identifiers.
func (m *matcher) names(p, n string) bool {
	if p == n {
		return true
	}
	if m.lenient && exported(p) == n {
		m.renamed[p] = n
		return true
	}
	return false
}

// exported returns a name as another package would see it.
func exported(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:]
}
