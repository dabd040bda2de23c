package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// changeKinds are the kinds of a change, in the order of the changelog.
func changeKinds() []string {
	return []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Faster", "Security"}
}

const maxChangeTitle = 80 // characters

func TestUnreleasedChangesAreWellFormed(t *testing.T) {
	dir := filepath.Join("..", "..", "changes", "unreleased")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() == ".gitkeep" { // keeps the directory after a release
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range checkChange(entry.Name(), string(text)) {
			t.Errorf("changes/unreleased/%s (see changes/README.md)", finding)
		}
	}
}

var changeName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*\.md$`)

// checkChange finds what is wrong with the form of a change.
func checkChange(name, text string) []string {
	var findings []string
	find := func(line int, format string, args ...any) {
		findings = append(findings, fmt.Sprintf("%s:%d: ", name, line)+fmt.Sprintf(format, args...))
	}
	if !changeName.MatchString(name) {
		find(1, "the name must be lower case with dashes and end with .md")
	}
	heading, body, _ := strings.Cut(text, "\n")
	kind, title, ok := strings.Cut(strings.TrimPrefix(heading, "# "), ": ")
	switch {
	case !ok || !strings.HasPrefix(heading, "# "):
		find(1, "the first line must be # Kind: title")
	case !slices.Contains(changeKinds(), kind):
		find(1, "the kind must be one of %s", strings.Join(changeKinds(), ", "))
	case title == "" || utf8.RuneCountInString(title) > maxChangeTitle || strings.HasSuffix(title, "."):
		find(1, "the title must have 1 to %d characters and no full stop", maxChangeTitle)
	}
	blank, story, _ := strings.Cut(body, "\n")
	if blank != "" || strings.TrimSpace(story) == "" {
		find(2, "a blank line and at least one paragraph must follow")
	}
	if kind == "Faster" && !strings.ContainsAny(story, "0123456789") {
		find(3, "what is faster needs a figure")
	}
	return findings
}

// TestChangesCatchesBadForm breaks each rule once.
func TestChangesCatchesBadForm(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good-one.md", "# Added: something\n\nIt is there.\n", ""},
		{"fast.md", "# Faster: something\n\nIt takes 2 s, not 3 s.\n", ""},
		{"Bad_Name.md", "# Added: something\n\nIt is there.\n", "Bad_Name.md:1: the name"},
		{"a.txt", "# Added: something\n\nIt is there.\n", "a.txt:1: the name"},
		{"a.md", "Added: something\n\nIt is there.\n", "a.md:1: the first line"},
		{"a.md", "# something\n\nIt is there.\n", "a.md:1: the first line"},
		{"a.md", "# New: something\n\nIt is there.\n", "a.md:1: the kind"},
		{"a.md", "# Added: something.\n\nIt is there.\n", "a.md:1: the title"},
		{"a.md", "# Added: " + strings.Repeat("x", 81) + "\n\nIt is there.\n", "a.md:1: the title"},
		{"a.md", "# Added: something\nIt is there.\n", "a.md:2: a blank line"},
		{"a.md", "# Added: something\n\n \n", "a.md:2: a blank line"},
		{"a.md", "# Faster: something\n\nMuch.\n", "a.md:3: what is faster"},
	} {
		expectFindings(t, c.name, checkChange(c.name, c.text), c.want)
	}
}
