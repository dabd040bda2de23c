package cookbook

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
)

// bytesOf returns what a cell of the page's table stands for: JSON as it is, all else from hexadecimal.
func bytesOf(t *testing.T, operator, cell string) []byte {
	t.Helper()
	if operator == lightning.MergeJSONPatch {
		return []byte(cell)
	}
	b, err := hex.DecodeString(cell)
	if err != nil {
		t.Errorf("%s: %s: %v", operator, cell, err)
	}
	return b
}

var rowForm = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (.*) \\| (`.*`) \\| `([^|]*)` \\|$")

// The bytes in docs/merge.md are what the operators take and make.
func TestMergePageIsTrue(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "merge.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := rowForm.FindAllStringSubmatch(strings.ReplaceAll(string(page), "| | `", "|  | `"), -1)
	if len(rows) != 6 {
		t.Fatalf("the table of docs/merge.md has %d rows of 6: %q", len(rows), rows)
	}
	db := memory()
	defer db.Close()
	for _, row := range rows {
		operator, before, operands, want := row[1], strings.Trim(row[2], "` "), strings.Trim(row[3], "`"), row[4]
		keys, err := db.Keyspace(t.Context(), operator, &lightning.KeyspaceOptions{Merge: operator})
		if err != nil {
			t.Fatal(err)
		}
		if before != "" {
			err = keys.Put([]byte("key"), bytesOf(t, operator, before))
		}
		for operand := range strings.SplitSeq(operands, "` `") {
			if err == nil {
				err = keys.Merge([]byte("key"), bytesOf(t, operator, operand))
			}
		}
		if err != nil {
			t.Errorf("%s: %v", operator, err)
			continue
		}
		got, err := keys.Get([]byte("key"))
		if err != nil || string(got) != string(bytesOf(t, operator, want)) {
			t.Errorf("%s: got %x, %v, want %s", operator, got, err, want)
		}
	}
}
