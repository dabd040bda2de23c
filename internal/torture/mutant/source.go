package mutant

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// This file is the index of the sources: where the functions are. A name in a
// mutant is one of these, each with less chance of a second:
//
//	writeLog            a function, method, constant or variable
//	Log.Sync            a method, with the type of its receiver
//	wal/Log.Sync        the same, with the package's directory, or the end of it
//
// The index is immutable and safe for concurrent use.

// sourceFile is one file.
type sourceFile struct {
	name    string // from the root of the repository, with slashes
	text    string
	pkg     string
	imports map[string]bool // the names under which it knows other packages
	syntax  *ast.File
	set     *token.FileSet
}

// declaration is a function, or a constant or variable of a package.
type declaration struct {
	file     *sourceFile
	name     string
	typeName string     // of the receiver
	receiver *ast.Ident // nil: none, or without a name
	node     ast.Node
}

// Sources is the code that mutants are made of.
type Sources struct {
	files        map[string]*sourceFile
	declarations []*declaration
}

// parseSources makes the index of files, given by their names from the root.
func parseSources(texts map[string]string) (*Sources, error) {
	s := &Sources{files: map[string]*sourceFile{}}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		f := &sourceFile{name: name, text: texts[name], imports: map[string]bool{}, set: token.NewFileSet()}
		var err error
		if f.syntax, err = parser.ParseFile(f.set, name, f.text, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		f.pkg = f.syntax.Name.Name
		for _, imp := range f.syntax.Imports {
			f.imports[importName(imp)] = true
		}
		s.files[name] = f
		for _, d := range f.syntax.Decls {
			s.declarations = append(s.declarations, f.declarationsOf(d)...)
		}
	}
	return s, nil
}

func importName(imp *ast.ImportSpec) string {
	if imp.Name != nil {
		return imp.Name.Name
	}
	name, err := strconv.Unquote(imp.Path.Value)
	if err != nil {
		return ""
	}
	return path.Base(name)
}

func (f *sourceFile) declarationsOf(d ast.Decl) []*declaration {
	var found []*declaration
	switch d := d.(type) {
	case *ast.FuncDecl:
		typeName, receiver := receiverOf(d)
		found = append(found, &declaration{f, d.Name.Name, typeName, receiver, d})
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				for _, name := range v.Names {
					found = append(found, &declaration{f, name.Name, "", nil, v})
				}
			}
		}
	}
	return found
}

func receiverOf(d *ast.FuncDecl) (typeName string, receiver *ast.Ident) {
	if d.Recv == nil || len(d.Recv.List) != 1 {
		return "", nil
	}
	field := d.Recv.List[0]
	if len(field.Names) == 1 && field.Names[0].Name != "_" {
		receiver = field.Names[0]
	}
	t := field.Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name, receiver
		default:
			return "", receiver
		}
	}
}

func (d *declaration) String() string {
	name := d.name
	if d.typeName != "" {
		name = d.typeName + "." + name
	}
	return path.Dir(d.file.name) + "/" + name
}

// place says where the declaration begins.
func (d *declaration) place() string { return d.file.place(d.node.Pos()) }

func (f *sourceFile) offset(p token.Pos) int { return f.set.PositionFor(p, false).Offset }

func (f *sourceFile) place(p token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.set.PositionFor(p, false).Line)
}

// textOf returns the source of a node.
func (f *sourceFile) textOf(n ast.Node) string {
	if !n.Pos().IsValid() {
		return ""
	}
	return f.text[f.offset(n.Pos()):f.offset(n.End())]
}

// named returns the declarations that a name means, and those that it means if
// the function has been exported since.
func (s *Sources) named(name string) (found, exportedSince []*declaration) {
	dir, typeName, bare := splitName(name)
	for _, d := range s.declarations {
		at := "/" + path.Dir(d.file.name)
		switch {
		case dir != "" && !strings.HasSuffix(at, "/"+dir):
		case typeName != "" && d.typeName != typeName && d.typeName != exported(typeName):
		case d.name == bare:
			found = append(found, d)
		case d.name == exported(bare):
			exportedSince = append(exportedSince, d)
		}
	}
	return found, exportedSince
}

// splitName takes the name of a declaration apart.
func splitName(name string) (dir, typeName, bare string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, name = name[:i], name[i+1:]
	}
	if before, after, ok := strings.Cut(name, "."); ok {
		return dir, before, after
	}
	return dir, "", name
}

// similar returns declarations with names like this one, the likest first.
func (s *Sources) similar(name string, most int) []*declaration {
	_, typeName, bare := splitName(name)
	distance := func(d *declaration) int {
		n := editDistance(strings.ToLower(d.name), strings.ToLower(bare))
		if typeName != "" && d.typeName != typeName {
			n++
		}
		return n
	}
	var found []*declaration
	for _, d := range s.declarations {
		if distance(d) <= 1+len(bare)/3 {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b *declaration) int { return cmp.Compare(distance(a), distance(b)) })
	return found[:min(most, len(found))]
}

// editDistance counts the letters to add, drop or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
