package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What cannot be told of a damaged log is stated in three documents, in the same
// words: a statement that differs is a promise too many.
func TestLimitsOfDetectionAreStatedOnce(t *testing.T) {
	const first, last = "The manifest knows the identity", "none of the first three."
	var want string
	for _, name := range []string{"docs/format/wal.md", "docs/limits.md", "docs/reliability.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		from, to := strings.Index(text, first), strings.Index(text, last)
		if from < 0 || to < from {
			t.Errorf("%s does not say what cannot be told of a live log, from %q to %q", name, first, last)
			continue
		}
		got := strings.Join(strings.Fields(text[from:to]), " ")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s says\n%s\nand not\n%s", name, got, want)
		}
	}
}
