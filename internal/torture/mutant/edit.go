package mutant

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// This file has what a mutant can do to a place:
//
//	put TEXT     put TEXT in its place; after a head that ends with { or :, a
//	             TEXT that ends so leaves the body as it is
//	drop         leave it out: a statement, an operand of && or ||, an argument,
//	             an element
//	and TEXT     make the expression, or the condition of the head, hold less often
//	or TEXT      or more often
//	before TEXT  put statements before the one that it stands in
//	after TEXT   or behind it
//	swap         exchange the statement with the next one
//
// TEXT may use the placeholders of the pattern.

// operations are the first words above; true if a text belongs to them.
var operations = map[string]bool{
	"put": true, "drop": false, "and": true, "or": true, "before": true, "after": true, "swap": false,
}

// change is a piece of a file, and what takes its place.
type change struct {
	extent
	text string
}

func (c change) apply(source string) string { return source[:c.from] + c.text + source[c.to:] }

// mutation is a mutant that fits.
type mutation struct {
	site   *site
	change change
}

// mutate finds the place of a mutant, and what to do to it.
func (s *Sources) mutate(m *Mutant) (*mutation, error) {
	at, err := s.find(m)
	if err != nil {
		return nil, err
	}
	text, err := at.fill(m.Text)
	if err != nil {
		return nil, err
	}
	c, err := at.edit(m.Op, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", at.place(), m.Op, err)
	}
	f := at.in.file
	source := c.apply(f.text)
	if source == f.text {
		return nil, fmt.Errorf("%s: nothing is changed", at.place())
	}
	if _, err := parser.ParseFile(token.NewFileSet(), f.name, source, parser.SkipObjectResolution); err != nil {
		return nil, fmt.Errorf("the mutated file is no Go: %w", err)
	}
	return &mutation{at, c}, nil
}

// fill puts into a text what the placeholders stand for.
func (s *site) fill(text string) (string, error) {
	for old, name := range s.matcher.renamed {
		text = regexp.MustCompile(`(^|[^\w$])`+regexp.QuoteMeta(old)+`\b`).ReplaceAllString(text, "${1}"+name)
	}
	var unknown []string
	text = placeholder.ReplaceAllStringFunc(text, func(p string) string {
		node, ok := s.matcher.bound[strings.TrimLeft(p, "$*")]
		if !ok {
			unknown = append(unknown, p)
			return p
		}
		return s.in.file.textOf(node)
	})
	if unknown != nil {
		return "", fmt.Errorf("%s is not in the pattern", strings.Join(unknown, ", "))
	}
	return text, nil
}

func (s *site) edit(op, text string) (change, error) {
	switch op {
	case "put":
		return s.put(text), nil
	case "drop":
		return s.drop()
	case "and", "or":
		return s.join(op, text)
	case "before", "after":
		list, from, to, err := s.row()
		if err != nil {
			return change{}, err
		}
		if op == "before" {
			at := s.in.file.offset(list[from].Pos())
			return change{extent{at, at}, text + "\n"}, nil
		}
		at := s.in.file.offset(list[to-1].End())
		return change{extent{at, at}, "\n" + text}, nil
	case "swap":
		return s.swap()
	}
	return change{}, errors.New("there is no such operation")
}

// put replaces the site, or only its head.
func (s *site) put(text string) change {
	where := s.extent()
	if end := bodyOf(s.nodes[0]); s.pattern.header && end.IsValid() &&
		(strings.HasSuffix(text, "{") || strings.HasSuffix(text, ":")) {
		where.to = s.in.file.offset(end) + 1
	}
	return change{where, text}
}

// bodyOf returns where the head of a statement ends.
func bodyOf(node ast.Node) token.Pos {
	switch n := node.(type) {
	case *ast.IfStmt:
		return n.Body.Lbrace
	case *ast.ForStmt:
		return n.Body.Lbrace
	case *ast.RangeStmt:
		return n.Body.Lbrace
	case *ast.SwitchStmt:
		return n.Body.Lbrace
	case *ast.TypeSwitchStmt:
		return n.Body.Lbrace
	case *ast.SelectStmt:
		return n.Body.Lbrace
	case *ast.CaseClause:
		return n.Colon
	case *ast.CommClause:
		return n.Colon
	}
	return token.NoPos
}

// drop leaves the site out.
func (s *site) drop() (change, error) {
	f := s.in.file
	if _, ok := s.nodes[0].(ast.Expr); ok && len(s.around) > 0 {
		switch parent := s.around[len(s.around)-1].(type) {
		case *ast.BinaryExpr:
			if parent.Op != token.LAND && parent.Op != token.LOR {
				return change{}, errors.New("it is no operand of && or ||")
			}
			other := parent.X
			if other == s.nodes[0] {
				other = parent.Y
			}
			return change{extent{f.offset(parent.Pos()), f.offset(parent.End())}, f.textOf(other)}, nil
		case *ast.CallExpr:
			return s.dropElement(parent.Args)
		case *ast.CompositeLit:
			return s.dropElement(parent.Elts)
		case *ast.ExprStmt:
			return change{s.extent(), ""}, nil
		}
		return change{}, errors.New("it is no statement, operand, argument or element")
	}
	if _, _, _, err := s.row(); err != nil {
		return change{}, err
	}
	return change{s.extent(), ""}, nil
}

// dropElement leaves the site out of a list with commas.
func (s *site) dropElement(list []ast.Expr) (change, error) {
	i := slices.IndexFunc(list, func(e ast.Expr) bool { return ast.Node(e) == s.nodes[0] })
	if i < 0 {
		return change{}, errors.New("it is no argument or element")
	}
	where := s.extent()
	if i+1 < len(list) {
		where.to = s.in.file.offset(list[i+1].Pos())
	} else if i > 0 {
		where.from = s.in.file.offset(list[i-1].End())
	}
	return change{where, ""}, nil
}

// join makes a condition stricter or more generous.
func (s *site) join(op, text string) (change, error) {
	condition, ok := s.nodes[0].(ast.Expr)
	var parent ast.Node
	if len(s.around) > 0 {
		parent = s.around[len(s.around)-1]
	}
	if head, isIf := s.nodes[0].(*ast.IfStmt); isIf {
		condition, ok, parent = head.Cond, true, head
	}
	if !ok {
		return change{}, errors.New("it is no condition")
	}
	f := s.in.file
	sign, old := " && ", f.textOf(condition)
	binary, isBinary := condition.(*ast.BinaryExpr)
	if op == "and" && isBinary && binary.Op == token.LOR {
		old = "(" + old + ")"
	}
	if op == "or" {
		sign = " || "
	}
	joined := old + sign + text
	if outer, ok := parent.(*ast.BinaryExpr); ok && op == "or" && outer.Op == token.LAND {
		joined = "(" + joined + ")"
	}
	return change{extent{f.offset(condition.Pos()), f.offset(condition.End())}, joined}, nil
}

// row returns the list of statements that the site is in, directly or deep
// inside one of them, and which they are.
func (s *site) row() (list []ast.Stmt, from, to int, err error) {
	chain := append(slices.Clone(s.around), s.nodes[0])
	for i := len(chain) - 1; i > 0; i-- {
		list := statementsIn(chain[i-1])
		at := slices.IndexFunc(list, func(st ast.Stmt) bool { return ast.Node(st) == chain[i] })
		if at >= 0 {
			return list, at, at + len(s.nodes), nil
		}
		if _, ok := chain[i].(ast.Stmt); ok && i == len(chain)-1 {
			break // such as the block of a loop, or what stands before a condition
		}
	}
	return nil, 0, 0, errors.New("it stands in no list of statements")
}

// swap exchanges the site with the statement behind it.
func (s *site) swap() (change, error) {
	list, from, to, err := s.row()
	if err != nil {
		return change{}, err
	}
	if to >= len(list) {
		return change{}, errors.New("no statement follows")
	}
	f := s.in.file
	first := extent{f.offset(list[from].Pos()), f.offset(list[to-1].End())}
	second := extent{f.offset(list[to].Pos()), f.offset(list[to].End())}
	return change{
		extent{first.from, second.to},
		f.text[second.from:second.to] + f.text[first.to:second.from] + f.text[first.from:first.to],
	}, nil
}
