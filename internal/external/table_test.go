package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each returns what a table shows.
func each(fs vfs.FS, path string) (text string, err error) {
	table, err := Open(fs, path)
	if err != nil {
		return "", err
	}
	defer table.Close()
	if err := table.Verify(context.Background()); err != nil {
		return "", err
	}
	err = table.Each(context.Background(), func(kind base.Kind, key, value []byte) error {
		text += fmt.Sprintf("%d %s=%s ", kind, key, value)
		return nil
	})
	return text, err
}

// What is written is read, the empty key as well; an error of who reads ends it.
func TestTable(t *testing.T) {
	fs := memfs.New()
	w, err := Create(fs, "table")
	must(t, err)
	must(t, w.Add(base.KindSet, nil, []byte("1")))
	must(t, w.Add(base.KindSet, []byte{0}, []byte("2")))
	must(t, w.Add(base.KindSetExpiring, []byte("b"), base.AppendExpiry(nil, 7)))
	must(t, w.Finish())
	want := fmt.Sprintf("%d =1 %d \x00=2 %d b=%s ", base.KindSet, base.KindSet, base.KindSetExpiring, base.AppendExpiry(nil, 7))
	if got, err := each(fs, "table"); got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	table, err := Open(fs, "table")
	must(t, err)
	defer table.Close()
	stop := errors.New("stop")
	if err := table.Each(context.Background(), func(base.Kind, []byte, []byte) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
}

// A table of another make is refused, though it is intact: what is in it means something else.
func TestForeignTables(t *testing.T) {
	for name, add := range map[string]func(w *sstable.Writer) error{
		"a sequence number": func(w *sstable.Writer) error { return w.Add([]byte("\x00a"), base.MakeTrailer(1, base.KindSet), nil) },
		"a keyspace":        func(w *sstable.Writer) error { return w.Add([]byte("\x01a"), base.MakeTrailer(0, base.KindSet), nil) },
		"a delete": func(w *sstable.Writer) error {
			return w.Add([]byte("\x00a"), base.MakeTrailer(0, base.KindDelete), nil)
		},
		"an operand": func(w *sstable.Writer) error {
			return w.Add([]byte("\x00a"), base.MakeTrailer(0, base.KindMerge), base.AppendReach(nil, 0, 0))
		},
		"a range delete": func(w *sstable.Writer) error {
			return w.AddRangeDelete(rangedel.Fragment{Lo: []byte("\x00a"), Hi: []byte("\x00b"), Seqs: []base.SeqNum{1}})
		},
	} {
		fs := memfs.New()
		f, err := fs.Create("table")
		must(t, err)
		w := sstable.NewWriter(f, sstable.WriterOptions{FileNum: fileNum})
		must(t, add(w))
		_, err = w.Finish(nil, nil)
		must(t, err)
		if _, err := each(fs, "table"); !errors.Is(err, errForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The empty key of a user is a key.
func TestEmptyKey(t *testing.T) {
	fs := memfs.New()
	w, err := Create(fs, "table")
	must(t, err)
	must(t, w.Add(base.KindSet, nil, nil))
	must(t, w.Finish())
	if text, err := each(fs, "table"); err != nil || text != fmt.Sprintf("%d = ", base.KindSet) {
		t.Errorf("%q, %v", text, err)
	}
}

// FuzzTable reads any bytes as a table.
func FuzzTable(f *testing.F) {
	fs := memfs.New()
	w, err := Create(fs, "table")
	must(f, err)
	for i := range 100 {
		must(f, w.Add(base.KindSet, fmt.Appendf(nil, "k%03d", i), bytes.Repeat([]byte("v"), i)))
	}
	must(f, w.Finish())
	file, err := fs.Open("table")
	must(f, err)
	size, err := file.Size()
	must(f, err)
	content := make([]byte, size)
	_, err = file.ReadAt(content, 0)
	must(f, err)
	must(f, file.Close())
	f.Add(content)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		fs := memfs.New()
		file, err := fs.Create("table")
		must(t, err)
		if len(content) > 0 {
			_, err = file.WriteAt(content, 0)
			must(t, err)
		}
		must(t, file.Close())
		_, _ = each(fs, "table") // whatever it says
	})
}

// BenchmarkWriter writes records of 116 bytes.
func BenchmarkWriter(b *testing.B) {
	w, err := Create(memfs.New(), "table")
	must(b, err)
	value := make([]byte, 100)
	var key [16]byte
	for i := range b.N {
		must(b, w.Add(base.KindSet, fmt.Appendf(key[:0], "%016d", i), value))
	}
	must(b, w.Finish())
}
