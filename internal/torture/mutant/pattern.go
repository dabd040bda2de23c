package mutant

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
)

// This file reads patterns. A pattern is a piece of Go, in one of these forms:
//
//	$log.Sync()              an expression
//	err = $log.Sync()        a statement; on several lines, statements in a row
//	if err := $f.Sync(); err != nil {   a statement with any body
//	case $x == 0:            a clause with any body
//	SeqBase: $meta.SeqBase   an element of a composite literal
//
// In it $name stands for any expression or statement, the same one wherever it
// occurs; $_ for any, and $*_ for any number of arguments, elements or
// statements. $recv is the receiver of the function. What a name stood for can
// be used in the text that a mutant puts in. A pattern is immutable.

// pattern is what a mutant looks for inside its function.
type pattern struct {
	text  string
	nodes []ast.Node // one, or statements in a row
	// header is true if only the head of a statement is given.
	header bool
}

var placeholder = regexp.MustCompile(`\$(\*?)([A-Za-z_][A-Za-z0-9_]*)`)

// The parser takes placeholders for identifiers with these beginnings.
const (
	oneMark  = "placeholder_one_"
	manyMark = "placeholder_many_"
)

// marked replaces the placeholders by identifiers.
func marked(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		if name, many := strings.CutPrefix(s, "$*"); many {
			return manyMark + name
		}
		return oneMark + s[1:]
	})
}

func parsePattern(text string) (*pattern, error) {
	p := &pattern{text: text}
	source := marked(text)
	rest := manyMark + "_\n"
	var err error
	switch {
	case strings.HasPrefix(text, "case ") || text == "default:":
		p.header = strings.HasSuffix(text, ":")
		if p.header {
			source += rest
		}
		p.nodes, err = clauseOf("switch {\n" + source + "\n}")
		if err != nil {
			p.nodes, err = clauseOf("select {\n" + source + "\n}")
		}
	case strings.HasSuffix(text, "{"):
		p.header = true
		p.nodes, err = statementsOf(source + "\n" + rest + "}")
	default:
		p.nodes, err = anythingOf(source)
	}
	if err != nil {
		return nil, fmt.Errorf("the pattern %q is no Go: %w", text, err)
	}
	return p, nil
}

var elementHead = regexp.MustCompile(`^\w+:[^=]`)

// anythingOf parses an expression, an element, or statements.
func anythingOf(source string) ([]ast.Node, error) {
	if e, err := parser.ParseExpr(source); err == nil {
		return []ast.Node{e}, nil
	}
	if elementHead.MatchString(source) {
		e, err := parser.ParseExpr("T{" + source + "}")
		if literal, ok := e.(*ast.CompositeLit); err == nil && ok && len(literal.Elts) == 1 {
			return []ast.Node{literal.Elts[0]}, nil
		}
	}
	return statementsOf(source)
}

func statementsOf(source string) ([]ast.Node, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+source+"\n}", parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if len(file.Decls) != 1 {
		return nil, errors.New("the braces do not match")
	}
	var nodes []ast.Node
	for _, s := range file.Decls[0].(*ast.FuncDecl).Body.List {
		nodes = append(nodes, s)
	}
	if len(nodes) == 0 {
		return nil, errors.New("it is empty")
	}
	return nodes, nil
}

// clauseOf parses a switch or select with one clause, and returns that.
func clauseOf(source string) ([]ast.Node, error) {
	nodes, err := statementsOf(source)
	if err != nil {
		return nil, err
	}
	var body *ast.BlockStmt
	switch s := nodes[0].(type) {
	case *ast.SwitchStmt:
		body = s.Body
	case *ast.SelectStmt:
		body = s.Body
	}
	if len(nodes) != 1 || body == nil || len(body.List) != 1 {
		return nil, errors.New("it is not one clause")
	}
	return []ast.Node{body.List[0]}, nil
}

// names returns the placeholders of a text that can be referred to.
func names(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if m[2] != "_" {
			found[m[2]] = true
		}
	}
	return found
}
