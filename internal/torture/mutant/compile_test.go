//go:build mutants

package mutant

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// TestMutantsCompile type-checks every mutant. It takes less than a minute, and
// so shows cheaply after a move which of the texts that mutants put in need
// mending.
func TestMutantsCompile(t *testing.T) {
	sources, imports := sourcesOf(t), exports(t)
	for _, m := range mutants(t) {
		mutated, err := sources.mutate(&m)
		if err == nil {
			err = sources.check(imports, mutated)
		}
		if err != nil {
			t.Errorf("lists/%s: %s: %v", m.Place, m.Name, err)
		}
	}
}

// check type-checks the package of a mutant.
func (s *Sources) check(imports types.Importer, m *mutation) error {
	set := token.NewFileSet()
	var files []*ast.File
	dir := path.Dir(m.site.in.file.name)
	for name, f := range s.files {
		if path.Dir(name) != dir {
			continue
		}
		text := f.text
		if f == m.site.in.file {
			text = m.change.apply(text)
		}
		syntax, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, syntax)
	}
	var errs []error
	config := types.Config{Importer: imports, Error: func(err error) { errs = append(errs, err) }}
	_, err := config.Check(dir, set, files, nil)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return err
}

// exports returns the packages of the repository, and those that they import, as
// the compiler left them.
func exports(t *testing.T) types.Importer {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "./...")
	cmd.Dir = rootDir(t)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0") // as the sources were chosen
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		pkg, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[pkg] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(pkg string) (io.ReadCloser, error) {
		if files[pkg] == "" {
			return nil, fmt.Errorf("no export data of %s", pkg)
		}
		return os.Open(files[pkg])
	})
}
