package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

func TestImport(t *testing.T) { runScripts(t, "import") }

// outcome is what a run of the program left behind.
type outcome struct {
	status         int
	stdout, stderr string
}

// program runs a command line inside this process.
func program(ctx context.Context, stdin io.Reader, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, stdin, &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

// trickle gives its text and then, like a terminal nobody types at, nothing
// until it is closed; waiting is closed when it is asked for more.
type trickle struct {
	text            io.Reader
	waiting, closed chan struct{}
}

func (r *trickle) Read(p []byte) (int, error) {
	if n, err := r.text.Read(p); err == nil {
		return n, nil
	}
	close(r.waiting)
	<-r.closed
	return 0, io.EOF
}

func TestImportInterruptedKeepsWhatItRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my.db")
	input := &trickle{strings.NewReader("a\t1\nb\t2\nc\t3\n"), make(chan struct{}), make(chan struct{})}
	defer close(input.closed)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-input.waiting
		interrupt()
	}()
	got := program(ctx, input, "import", dir, "-", "--format", "tsv")
	want := outcome{
		status: exitInterrupted,
		stdout: "new database in " + dir + "\n",
		stderr: "lightning import: interrupted; the 3 records loaded before it are kept\n",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	kept := program(t.Context(), nil, "scan", dir)
	if want := "a\t1\nb\t2\nc\t3\n"; kept.stdout != want || kept.status != exitOK {
		t.Errorf("kept %+v, want %q", kept, want)
	}
}

func TestImportRecordOverALimit(t *testing.T) {
	long := strings.Repeat("x", lightning.MaxKeyBytes+1)
	input := "before\t1\n" + long + "\t2\nafter\t3\n"
	dir := filepath.Join(t.TempDir(), "my.db")
	got := program(t.Context(), strings.NewReader(input), "import", dir, "-", "-f", "tsv")
	want := "lightning import: standard input: line 2: key is too large: 65537 bytes, the limit is 65536; " +
		"the 1 record loaded before it is kept\n"
	if got.status != exitError || got.stderr != want {
		t.Errorf("got  %+v\nwant %q", got, want)
	}
	got = program(t.Context(), strings.NewReader(input), "import", dir, "-", "-f", "tsv", "--skip-bad")
	if got.status != exitOK || !strings.HasSuffix(got.stdout, "; skipped 1 bad line\n") {
		t.Errorf("with --skip-bad: %+v", got)
	}
	if kept := program(t.Context(), nil, "scan", dir, "--keys-only"); kept.stdout != "after\nbefore\n" {
		t.Errorf("kept %q", kept.stdout)
	}
}

func TestImportBrokenGzip(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile(filepath.Join("internal", "cities", "cities.tsv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "cut.tsv.gz")
	if err := os.WriteFile(name, whole[:len(whole)/8], 0o644); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "my.db")
	got := program(t.Context(), nil, "import", database, name, "--key", "country,name,id", "--value", "population")
	if got.status != exitError || !strings.HasPrefix(got.stderr, "lightning import: "+name+": unexpected EOF; the ") {
		t.Errorf("got %+v", got)
	}
	if strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("more than one line: %q", got.stderr)
	}
	count := program(t.Context(), nil, "scan", database, "--count")
	said := strings.ReplaceAll(got.stderr, ",", "")
	if !strings.Contains(said, "the "+strings.TrimSpace(count.stdout)+" records loaded before it are kept") {
		t.Errorf("%s in the database, but it said %q", count.stdout, got.stderr)
	}
}

// TestChunkQueueKeepsOrder has one goroutine add and one take.
func TestChunkQueueKeepsOrder(t *testing.T) {
	const total = 10_000
	q := newChunkQueue(7)
	broken := errors.New("broken")
	go func() {
		for i := range total {
			if !q.add(records.Record{Key: []byte{byte(i)}, Value: []byte("v"), Line: i}) {
				return
			}
		}
		q.finish(broken)
	}()
	next := 0
	for {
		parsed, ok := q.take()
		if !ok {
			break
		}
		for i := range parsed.records {
			r := parsed.record(i)
			if r.Line != next || r.Key[0] != byte(next) || string(r.Value) != "v" {
				t.Fatalf("record %d came out as line %d, %q=%q", next, r.Line, r.Key, r.Value)
			}
			next++
		}
		q.recycle(parsed)
	}
	if next != total || !errors.Is(q.failure(), broken) {
		t.Errorf("%d of %d records, then %v", next, total, q.failure())
	}
}

func TestChunkQueueStopFreesTheParser(t *testing.T) {
	q := newChunkQueue(1)
	record := records.Record{Key: []byte("k"), Line: 1}
	refused := make(chan struct{})
	go func() {
		for q.add(record) {
		}
		close(refused)
	}()
	if _, ok := q.take(); !ok {
		t.Fatal("nothing to take")
	}
	q.stop()
	<-refused
	for {
		if _, ok := q.take(); !ok {
			return
		}
	}
}
