package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestGet(t *testing.T) { runScripts(t, "get") }

// A value that goes to its file in pieces comes back as it was, from a file and through pipes,
// and one that cannot be read to its end leaves what was there.
func TestLargeValue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, db := filepath.Join(dir, "value"), filepath.Join(dir, "db")
	value := make([]byte, 9<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	if err := os.WriteFile(file, value, 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(stdin io.Reader, want int, args ...string) []byte {
		t.Helper()
		var out, problems bytes.Buffer
		if got := run(t.Context(), args, stdin, &out, &problems); got != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, got, want, &problems)
		}
		return out.Bytes()
	}
	do(nil, exitOK, "put", db, "filed", "--file", file)
	do(bytes.NewReader(value), exitOK, "put", db, "piped", "-", "--ttl", "100h")
	do(io.MultiReader(bytes.NewReader(value), failing{}), exitError, "put", db, "piped", "-")
	for _, key := range []string{"filed", "piped"} {
		if got := do(nil, exitOK, "get", db, key); !bytes.Equal(got, value) {
			t.Errorf("%s has %d bytes, want %d", key, len(got), len(value))
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
