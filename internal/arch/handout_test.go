package arch

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// handingOut are the packages whose users get memory from the database.
func handingOut() []string { return []string{".", "table", "keyenc"} }

// TestHandedOutMemoryHasARule looks at every exported function of the public
// packages by which users come to a byte slice: whose it is must stand there, and
// not somewhere else.
func TestHandedOutMemoryHasARule(t *testing.T) {
	found := 0
	for _, pkg := range handingOut() {
		var sources []*source
		for _, s := range repository(t) {
			if s.pkg == pkg && !s.test {
				sources = append(sources, s)
			}
		}
		findings, verbs := checkHandouts(sources)
		found += verbs
		for _, finding := range findings {
			t.Error(finding)
		}
	}
	if found < 25 {
		t.Errorf("only %d functions hand out memory; the search is broken", found)
	}
}

// The words of the two rules: the memory is the user's, or it is lent.
var (
	given = regexp.MustCompile(`belongs? to the caller`)
	lent  = regexp.MustCompile(`must not (be written to|write to)`)
	term  = regexp.MustCompile(`valid|keep`)
)

// hasRule reports whether a comment says whose memory is: the user's, or the
// database's, how long it is valid and that it must not be written to.
func hasRule(comments ...*ast.CommentGroup) bool {
	var text string
	for _, c := range comments {
		text += " " + strings.Join(strings.Fields(c.Text()), " ")
	}
	return given.MatchString(text) || lent.MatchString(text) && term.MatchString(text)
}

// handouts searches a package.
type handouts struct {
	slices   map[string]bool // exported structs with a byte slice among their fields
	findings []string
	verbs    int
}

// checkHandouts finds the functions of a package that hand out memory and do not
// say whose it is. verbs is how many hand out any.
func checkHandouts(sources []*source) (findings []string, verbs int) {
	h := handouts{slices: map[string]bool{}}
	for _, s := range sources {
		for name, spec := range typeSpecs(s.syntax) {
			if t, ok := spec.Type.(*ast.StructType); ok {
				h.slices[name] = slices.ContainsFunc(t.Fields.List, h.showsSlice)
			}
		}
	}
	for _, s := range sources {
		for _, decl := range s.syntax.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && exportedVerb(f) {
				h.function(s, f)
			}
		}
		specs := typeSpecs(s.syntax)
		for _, name := range slices.Sorted(maps.Keys(specs)) {
			h.callbacks(s, specs[name])
		}
	}
	return h.findings, h.verbs
}

// showsSlice reports whether a field of a struct is an exported byte slice.
func (h *handouts) showsSlice(field *ast.Field) bool {
	exported := slices.ContainsFunc(field.Names, (*ast.Ident).IsExported)
	return exported && h.mentions(&ast.FieldList{List: []*ast.Field{field}})
}

// typeSpecs returns the exported types that a file declares. Each has the comment
// of its declaration.
func typeSpecs(file *ast.File) map[string]*ast.TypeSpec {
	specs := map[string]*ast.TypeSpec{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok && t.Name.IsExported() {
				if t.Doc == nil {
					t.Doc = group.Doc
				}
				specs[t.Name.Name] = t
			}
		}
	}
	return specs
}

// exportedVerb reports whether users can call a function.
func exportedVerb(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() || f.Recv == nil {
		return f.Name.IsExported()
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && len(id.Name) > 1 { // longer than a type parameter
			exported = exported && id.IsExported()
		}
		return true
	})
	return exported
}

// function looks at what a function returns, and at what it gives to functions
// that it is given. One that extends dst hands out nothing.
func (h *handouts) function(s *source, f *ast.FuncDecl) {
	hands := h.mentions(f.Type.Results) && !extends(f.Type.Params)
	for _, param := range f.Type.Params.List {
		if fn, ok := param.Type.(*ast.FuncType); ok {
			hands = hands || h.mentions(fn.Params)
		}
	}
	if hands {
		h.note(s, f.Name, f.Doc)
	}
}

// extends reports whether memory to append to is among the parameters.
func extends(params *ast.FieldList) bool {
	return slices.ContainsFunc(params.List, func(p *ast.Field) bool {
		return slices.ContainsFunc(p.Names, func(n *ast.Ident) bool { return n.Name == "dst" })
	})
}

// callbacks looks at the functions in a type, which users write: the fields of a
// struct and the methods of an interface. The rule can stand at the type.
func (h *handouts) callbacks(s *source, spec *ast.TypeSpec) {
	var fields *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return
	}
	for _, field := range fields.List {
		fn, ok := field.Type.(*ast.FuncType)
		if ok && len(field.Names) > 0 && field.Names[0].IsExported() && h.mentions(lentTo(fn.Params)) {
			h.note(s, field.Names[0], spec.Doc, field.Doc)
		}
	}
}

// lentTo returns the parameters of a callback but for memory to append to.
func lentTo(params *ast.FieldList) *ast.FieldList {
	rest := slices.DeleteFunc(slices.Clone(params.List), func(p *ast.Field) bool {
		return len(p.Names) == 1 && p.Names[0].Name == "dst"
	})
	return &ast.FieldList{List: rest}
}

// mentions reports whether a byte slice can be reached in some fields.
func (h *handouts) mentions(fields *ast.FieldList) (found bool) {
	if fields == nil {
		return false
	}
	ast.Inspect(fields, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			return false // callbacks looks at it
		case *ast.ArrayType:
			elem, ok := n.Elt.(*ast.Ident)
			found = found || ok && elem.Name == "byte" && n.Len == nil
		case *ast.Ident:
			found = found || h.slices[n.Name]
		}
		return !found
	})
	return found
}

func (h *handouts) note(s *source, name *ast.Ident, comments ...*ast.CommentGroup) {
	h.verbs++
	if !hasRule(comments...) {
		h.findings = append(h.findings, fmt.Sprintf(
			"%s:%d: %s hands out memory; say whether it belongs to the caller, "+
				"or until when it is valid and that it must not be written to", s.name, s.line(name.Pos()), name.Name))
	}
}

// TestHandoutsCatchesSilence runs the check on a package that breaks the rule in
// every way.
func TestHandoutsCatchesSilence(t *testing.T) {
	s, err := parse("p/p.go", `package p
// Row has slices.
type Row struct { Key []byte }
// Get returns.
func Get() []byte
// Copied returns what belongs to the caller.
func Copied() []byte
// Lent is valid until Close and must not be written to.
func Lent() []byte
// Until is valid until Close.
func Until() []byte
// Append returns dst.
func Append(dst []byte) []byte
// Call calls.
func Call(fn func(b []byte) error)
// Rows yields.
func (t *Table) Rows() iter.Seq[Row]
func hidden() []byte
func (t *table) Hidden() []byte
// Codec is a codec.
type Codec interface {
	// Decode decodes.
	Decode(b []byte) error
	// Check must not write to b, or keep it.
	Check(b []byte) error
}
// Put takes.
func Put(b []byte) error
`)
	if err != nil {
		t.Fatal(err)
	}
	findings, verbs := checkHandouts([]*source{s})
	var got []string
	for _, finding := range findings {
		got = append(got, strings.Join(strings.Fields(finding)[:2], " "))
	}
	want := []string{"p/p.go:5: Get", "p/p.go:11: Until", "p/p.go:15: Call", "p/p.go:17: Rows", "p/p.go:23: Decode"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if verbs != 8 {
		t.Errorf("%d functions hand out memory, not 8", verbs)
	}
}
