package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// expectLetters wants a receipt for each letter that can be sent, one only, and all others among the
// dead with the failures that they have had.
func expectLetters(t *testing.T, p *post, letters int) {
	t.Helper()
	dead := map[int]string{}
	for given, err := range p.letters.Dead() {
		l, decodeErr := decodeLetter(given.Payload)
		if err != nil || decodeErr != nil {
			t.Fatal(err, decodeErr)
		}
		dead[l.Number] = fmt.Sprintf("%d %s", given.Failures, given.Reason)
	}
	for number := range letters {
		want := ""
		switch l := newLetter(number); {
		case l.Nobody:
			want = "1 " + errNoAddress.Error()
		case l.Failures >= attempts:
			want = fmt.Sprintf("%d %s", attempts, errNoAnswer)
		}
		if dead[number] != want {
			t.Errorf("letter %d: given up %q, want %q", number, dead[number], want)
		}
		key, err := keyenc.Append(nil, number)
		if err != nil {
			t.Fatal(err)
		}
		if sent, err := p.receipts.Has(key); err != nil || sent != (want == "") {
			t.Errorf("letter %d: sent: %v, %v; given up %q", number, sent, err, want)
		}
	}
	if counts, err := p.letters.Counts(); err != nil || waiting(counts) != 0 || counts.Dead != len(dead) {
		t.Errorf("there are %+v, %v", counts, err)
	}
}

// inMemory opens a database that lives in memory until the end of the test, and its post.
func inMemory(t *testing.T) (*lightning.DB, *post) {
	t.Helper()
	db, err := lightning.Open("letters", &lightning.Options{FS: memfs.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a test that fails may leave something open
	p, err := openPost(t.Context(), db, 0)
	if err != nil {
		t.Fatal(err)
	}
	return db, p
}

func TestWorkers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "letters.db")
	const letters = 400
	var out strings.Builder
	args := []string{"--db", dir, "--letters", fmt.Sprint(letters), "--takes", "0", "--durability", "buffered", "--compare"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"first row           400 ", "package queue       400        452 ", "0 letters wait, 12 were given up",
		"4 after 1 attempts: there is no such address", "8 after 4 attempts: the address does not answer",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it printed\n%s\nand not %q", out.String(), want)
		}
	}
	db, err := lightning.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := openPost(t.Context(), db, 0)
	if err != nil {
		t.Fatal(err)
	}
	expectLetters(t, p, letters)
	n, err := openNaive(t.Context(), db, 0)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := n.receipts.Count(t.Context(), nil, nil); err != nil || sent != letters {
		t.Errorf("the naive queue has sent %d of %d, %v", sent, letters, err)
	}
}

// Who is interrupted finishes what he is at, and others go on later.
func TestInterrupt(t *testing.T) {
	db, p := inMemory(t)
	const letters = 500
	if err := p.write(t.Context(), 0, letters); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	receipts := p.receipts.Watch(t.Context(), lightning.WatchOptions{})
	watched := make(chan error, 1)
	go func() {
		left := 50
		for _, err := range receipts {
			if left--; err != nil || left == 0 {
				interrupt()
				watched <- err
				return
			}
		}
	}()
	did, err := p.work(ctx, 8)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
	counts, err := p.letters.Counts()
	if err != nil || counts.Leased != 0 || int64(waiting(counts))+did.done.Load() != letters {
		t.Errorf("after the interrupt there are %+v, %d done, %v", counts, did.done.Load(), err)
	}
	if p, err = openPost(t.Context(), db, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.work(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	expectLetters(t, p, letters)
}

// What is no letter is given up with a reason, and stops nobody.
func TestForeignMessage(t *testing.T) {
	_, p := inMemory(t)
	m, err := newLetter(1).message()
	if err != nil {
		t.Fatal(err)
	}
	m.Payload = m.Payload[1:]
	if _, err := p.letters.Enqueue(m); err != nil {
		t.Fatal(err)
	}
	if _, err := p.work(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for given, err := range p.letters.Dead() {
		if err != nil || !strings.HasPrefix(given.Reason, "payload of a message: ") {
			t.Errorf("given up: %s, %v", given.Reason, err)
		}
	}
	if counts, err := p.letters.Counts(); err != nil || waiting(counts) != 0 || counts.Dead != 1 {
		t.Errorf("there are %+v, %v", counts, err)
	}
}

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		flag.ErrHelp.Error():            {"--help"},
		`no arguments but flags: "x"`:   {"x"},
		"must be at least 1":            {"--workers", "0"},
		"must not be negative":          {"--letters", "-1"},
		"it is sync, buffered or async": {"--durability", "never"},
	} {
		var out strings.Builder
		err := run(t.Context(), args, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
		if help := errors.Is(err, flag.ErrHelp); help != strings.Contains(out.String(), "go run ./examples/workers") {
			t.Errorf("%q printed %q", args, out.String())
		}
	}
}
