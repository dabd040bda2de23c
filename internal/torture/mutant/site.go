package mutant

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"slices"
	"strings"
)

// This file finds the place that a mutant means, and says what is near where it
// finds none.

// site is a place in the sources.
type site struct {
	in    *declaration
	nodes []ast.Node // one, or statements in a row
	// around are the nodes that contain it, the outermost first.
	around  []ast.Node
	pattern *pattern
	matcher *matcher
}

// find returns the one place where a mutant fits.
func (s *Sources) find(m *Mutant) (*site, error) {
	p, err := parsePattern(m.At)
	if err != nil {
		return nil, err
	}
	candidates, exportedSince := s.named(m.In)
	found := sitesIn(candidates, p)
	if len(found) == 0 {
		found = sitesIn(exportedSince, p)
		candidates = append(candidates, exportedSince...)
	}
	if len(candidates) == 0 {
		return nil, fmt.Errorf("there is no %s%s%s", m.In, s.elsewhere(p), s.likeNames(m.In))
	}
	if m.Under != "" {
		around, err := parsePattern(m.Under)
		if err != nil {
			return nil, err
		}
		all := found
		found = slices.DeleteFunc(slices.Clone(all), func(at *site) bool { return !at.isUnder(around) })
		if len(found) == 0 && len(all) > 0 {
			return nil, fmt.Errorf("%q occurs in %s, but not under %q%s", m.At, placesOf(candidates), m.Under,
				nearest(candidates, around))
		}
	}
	nth, of := max(m.Nth, 1), max(m.Of, 1)
	if len(found) == of && nth <= of {
		return found[nth-1], nil
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%q does not occur in %s%s%s", m.At, placesOf(candidates),
			s.elsewhere(p), nearest(candidates, p))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q occurs %d times, not %d; make it longer, or say which with `at N/%d`:",
		m.At, len(found), of, len(found))
	for _, f := range found {
		fmt.Fprintf(&b, "\n\t%s: in %v: %s", f.place(), f.in, oneLine(f.text()))
	}
	return nil, errors.New(b.String())
}

// sitesIn returns where a pattern fits, or else where it does leniently.
func sitesIn(candidates []*declaration, p *pattern) []*site {
	for _, lenient := range []bool{false, true} {
		var found []*site
		for _, d := range candidates {
			found = append(found, d.sites(p, lenient)...)
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// sites returns where a pattern fits in a declaration.
func (d *declaration) sites(p *pattern, lenient bool) []*site {
	var found []*site
	try := func(around, nodes []ast.Node) {
		m := newMatcher(d.file, d.receiver, lenient)
		if m.matches(p, nodes) {
			found = append(found, &site{d, nodes, slices.Clone(around), p, m})
		}
	}
	walk(d.node, func(node ast.Node, around []ast.Node) {
		if len(p.nodes) > 1 {
			within := append(around, node)
			for _, run := range runsOf(node, len(p.nodes), p.stretches()) {
				try(within, run)
			}
			return
		}
		_, wantExpression := p.nodes[0].(ast.Expr)
		_, isExpression := node.(ast.Expr)
		_, isStatement := node.(ast.Stmt)
		if wantExpression && isExpression || !wantExpression && isStatement {
			try(around, []ast.Node{node})
		}
	})
	return found
}

// isUnder reports whether the site is inside something that fits a pattern.
func (s *site) isUnder(p *pattern) bool {
	return slices.ContainsFunc(s.around, func(node ast.Node) bool {
		return newMatcher(s.in.file, s.in.receiver, false).matches(p, []ast.Node{node}) ||
			newMatcher(s.in.file, s.in.receiver, true).matches(p, []ast.Node{node})
	})
}

// walk visits a node and what it contains, except names that are no expressions.
func walk(root ast.Node, visit func(node ast.Node, around []ast.Node)) {
	var around []ast.Node
	ast.Inspect(root, func(node ast.Node) bool {
		if node == nil {
			around = around[:len(around)-1]
			return true
		}
		if len(around) > 0 && isLabel(around[len(around)-1], node) {
			return false
		}
		visit(node, around)
		around = append(around, node)
		return true
	})
}

// isLabel reports whether a node only names something of its parent: what is
// behind a dot, a parameter, an element, the function.
func isLabel(parent, node ast.Node) bool {
	id, ok := node.(*ast.Ident)
	if !ok {
		return false
	}
	switch p := parent.(type) {
	case *ast.SelectorExpr:
		return p.Sel == id
	case *ast.Field:
		return slices.Contains(p.Names, id)
	case *ast.KeyValueExpr:
		return p.Key == id
	case *ast.FuncDecl:
		return p.Name == id
	}
	return false
}

// stretches reports whether statements of any number are among the pattern's.
func (p *pattern) stretches() bool {
	return slices.ContainsFunc(p.nodes, func(n ast.Node) bool {
		_, ok := mark(n, manyMark)
		return ok
	})
}

// statementsIn returns the list of statements that a node has of its own.
func statementsIn(node ast.Node) []ast.Stmt {
	switch n := node.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	case *ast.CommClause:
		return n.Body
	}
	return nil
}

// runsOf returns the stretches of a list of statements that have a length, or
// all of them.
func runsOf(node ast.Node, length int, all bool) [][]ast.Node {
	list := statementsIn(node)
	var runs [][]ast.Node
	for i := range list {
		for j := i + 1; j <= len(list); j++ {
			if j-i != length && !all {
				continue
			}
			var run []ast.Node
			for _, s := range list[i:j] {
				run = append(run, s)
			}
			runs = append(runs, run)
		}
	}
	return runs
}

func (s *site) place() string { return s.in.file.place(s.nodes[0].Pos()) }

// extent returns where the site stands in the text of its file.
func (s *site) extent() extent {
	return extent{s.in.file.offset(s.nodes[0].Pos()), s.in.file.offset(s.nodes[len(s.nodes)-1].End())}
}

func (s *site) text() string {
	e := s.extent()
	return s.in.file.text[e.from:e.to]
}

// extent is a piece of a source file.
type extent struct{ from, to int }

// oneLine shortens a text for a message.
func oneLine(text string) string {
	const most = 100
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + " ..."
	}
	return text
}

func placesOf(list []*declaration) string {
	const most = 4
	var places []string
	for _, d := range list[:min(most, len(list))] {
		places = append(places, fmt.Sprintf("%v (%s)", d, d.place()))
	}
	if len(list) > most {
		places = append(places, fmt.Sprintf("%d more", len(list)-most))
	}
	return strings.Join(places, ", ")
}

// elsewhere says in which other functions a pattern fits.
func (s *Sources) elsewhere(p *pattern) string {
	const most = 5
	found := sitesIn(s.declarations, p)
	if len(found) == 0 {
		return ""
	}
	if len(found) > most {
		return fmt.Sprintf("\n\tit occurs in %d other places", len(found))
	}
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "\n\tit occurs at %s: in %v", f.place(), f.in)
	}
	return b.String()
}

func (s *Sources) likeNames(name string) string {
	similar := s.similar(name, 3)
	if len(similar) == 0 {
		return ""
	}
	return "\n\tthere is " + placesOf(similar)
}

// nearest lists the places that have the most words in common with a pattern.
func nearest(candidates []*declaration, p *pattern) string {
	type near struct {
		at    string
		score float64
	}
	want := words(marked(p.text))
	_, wantExpression := p.nodes[0].(ast.Expr)
	var all []near
	for _, d := range candidates {
		walk(d.node, func(node ast.Node, _ []ast.Node) {
			_, isExpression := node.(ast.Expr)
			_, isStatement := node.(ast.Stmt)
			switch node.(type) {
			case *ast.BlockStmt, *ast.Ident, *ast.BasicLit:
				return
			}
			if wantExpression && !isExpression || !wantExpression && !isStatement {
				return
			}
			text := d.file.textOf(node)
			if p.header {
				text = strings.SplitAfter(text, "{\n")[0]
			}
			got, common := words(text), 0
			for w := range want {
				if got[w] {
					common++
				}
			}
			if score := float64(2*common) / float64(len(want)+len(got)); score > 0.3 {
				all = append(all, near{d.file.place(node.Pos()) + ": " + oneLine(text), score})
			}
		})
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(b.score, a.score) })
	var b strings.Builder
	for _, n := range all[:min(3, len(all))] {
		b.WriteString("\n\tnear: " + n.at)
	}
	return b.String()
}

// words returns the names and literals of a text.
func words(text string) map[string]bool {
	found := map[string]bool{}
	for _, t := range tokens(text) {
		if (t.kind == token.IDENT || t.kind.IsLiteral()) && !strings.HasPrefix(t.text, "placeholder_") {
			found[strings.ToLower(t.text)] = true
		}
	}
	return found
}

// lexeme is one token of Go.
type lexeme struct {
	kind token.Token
	text string
	at   int
}

// tokens takes a text apart, without its comments.
func tokens(text string) []lexeme {
	var all []lexeme
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), func(token.Position, string) {}, 0)
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return all
		}
		all = append(all, lexeme{kind, cmp.Or(literal, kind.String()), file.Offset(pos)})
	}
}
