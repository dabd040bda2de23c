package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func TestCompact(t *testing.T) { runScripts(t, "compact") }

// The size before was measured while the database was open, and with it the
// log segments it had just prepared: "519 KiB before" for 7 KiB of files.
func TestCompactTellsTheSizeBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my.db")
	for _, key := range []string{"a", "b"} {
		if status := run(context.Background(), []string{"put", dir, key, "v"}, nil, os.Stderr, os.Stderr); status != exitOK {
			t.Fatalf("put: status %d", status)
		}
	}
	size, err := dirBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := run(context.Background(), []string{"compact", dir}, nil, &out, os.Stderr); status != exitOK {
		t.Fatalf("compact: status %d", status)
	}
	if want := ": " + console.Bytes(size) + " before"; !strings.Contains(out.String(), want) {
		t.Errorf("%q does not say %q", out.String(), want)
	}
}
