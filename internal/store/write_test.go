package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// someRecords are enough for several tables of a kilobyte.
func someRecords() (records []base.Record) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		records = append(records, rec(fmt.Sprintf("\x00%03d", i), base.SeqNum(1+i), fmt.Sprint(rng.Uint64())))
	}
	return records
}

// Where any operation of a write fails no file is left, and nobody is told that
// something could not be cleaned up that could. What does not matter to the tables
// may fail.
func TestFailedWriteLeavesNothing(t *testing.T) {
	out := Output{Level: 1, FileBytes: 1 << 10}
	tomb := rangedel.Tombstone{Lo: []byte("\x00zz"), Hi: []byte("\x00zzz"), Seq: 200}
	count := newRoom(t)
	before := count.fs.Ops()
	outputs, err := count.write(out, someRecords(), tomb)
	must(t, err)
	if len(outputs) < 3 {
		t.Fatalf("only %d tables", len(outputs))
	}
	ops := count.fs.Ops() - before
	failures := 0
	for n := range ops {
		for mode, rule := range []faultfs.Rule{
			{Err: errInjected},
			{Err: errInjected, Done: true},
			{Err: errInjected, Sticky: true, Kinds: vfs.OpAll &^ vfs.OpRemove}, // a second try does not help
		} {
			r := newRoom(t)
			var mu sync.Mutex // tables are finished in another goroutine
			var failed vfs.Op
			rule.Nth = n + 1
			rule.Before = func(op vfs.Op) {
				mu.Lock()
				defer mu.Unlock()
				failed = op
			}
			fault := r.fs.Add(rule)
			outputs, err := r.write(out, someRecords(), tomb)
			fault.Disarm()
			if fault.Fired() == 0 {
				t.Fatalf("operation %d did not come", n)
			}
			if err != nil {
				failures++
				if !errors.Is(err, errInjected) {
					t.Errorf("%v: %v", failed, err)
				}
				r.expectFiles()
				r.expectQuiet()
				continue
			}
			harmless := vfs.OpClose | vfs.OpPreallocate
			if mode < 2 {
				harmless |= vfs.OpRead // which is tried again
			}
			if failed.Kind&^harmless != 0 {
				t.Errorf("%v failed, and the write did not", failed)
			}
			r.expectFiles(outputs...)
		}
	}
	t.Logf("%d of %d failures of an operation ended the write", failures, 3*ops)
}

// An error of the source, or the end of the context, leaves nothing either.
func TestInterruptedWriteLeavesNothing(t *testing.T) {
	r := newRoom(t)
	src := newSource(someRecords())
	src.err = errInjected
	_, _, err := r.Write(context.Background(), src, Output{FileBytes: 1 << 10}, compact.Config{})
	if !errors.Is(err, errInjected) {
		t.Errorf("the source failed: %v", err)
	}
	r.expectFiles()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err = r.Write(ctx, newSource(someRecords()), Output{FileBytes: 1 << 10}, compact.Config{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the context ended: %v", err)
	}
	r.expectFiles()
	r.expectQuiet()
}

// A write of nothing makes no file and syncs nothing.
func TestWriteOfNothing(t *testing.T) {
	r := newRoom(t)
	outputs, err := r.write(Output{}, nil)
	must(t, err)
	if len(outputs) != 0 || r.fs.Count(vfs.OpAll&^vfs.OpMkdirAll) != 0 {
		t.Errorf("%d tables, %d operations", len(outputs), r.fs.Ops())
	}
}

// Tables and their names are durable when Write returns: they are there after every
// crash. What is temporary is neither synced nor read back.
func TestOutputIsDurableUnlessTemporary(t *testing.T) {
	for _, temporary := range []bool{false, true} {
		r := newRoom(t)
		outputs, err := r.write(Output{FileBytes: 1 << 10, Temporary: temporary}, someRecords())
		must(t, err)
		files, dirs, reads := r.fs.Count(vfs.OpSync|vfs.OpSyncData), r.fs.Count(vfs.OpSyncDir), r.fs.Count(vfs.OpRead)
		if temporary && files+dirs+reads != 0 || !temporary && (files < int64(len(outputs)) || dirs != 1 || reads == 0) {
			t.Errorf("temporary %v: %d tables, %d syncs, %d of the directory, %d reads", temporary, len(outputs), files, dirs, reads)
		}
		got := ""
		for _, meta := range outputs {
			table := r.Unlisted(meta)
			reader, err := table.Reader()
			must(t, err)
			it := reader.NewIter(iterAll)
			for rec := it.First(); rec != nil; rec = it.Next() {
				got += string(rec.Key[1:])
			}
			must(t, it.Close())
			r.Dispose([]*Table{table})
		}
		if len(got) != 300 || !strings.HasPrefix(got, "000001") {
			t.Errorf("the tables hold %q", got)
		}
		r.expectFiles()
		r.expectQuiet()
	}
}

// What is read back and is not what was written is refused: also where it is an
// intact table, which another writer could have made.
func TestOutputThatDiffersIsRefused(t *testing.T) {
	content := func(value string) []byte {
		r := newRoom(t)
		meta := r.table([]base.Record{rec("\x00a", 1, value)})
		return r.bytes(TableName(meta.Num))
	}
	honest, other := content("one"), content("two")
	if len(honest) != len(other) || bytes.Equal(honest, other) {
		t.Fatal("the tables do not fit the test")
	}
	flipped := bytes.Clone(honest)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		found []byte
		want  error
	}{
		"another table": {other, ErrOutputDiffers},
		"a bit":         {flipped, base.ErrCorrupted},
		"cut short":     {honest[:len(honest)-1], base.ErrCorrupted},
	} {
		r := newRoom(t)
		r.fs.Add(faultfs.Rule{Kinds: vfs.OpOpen, Before: func(op vfs.Op) { r.replace(op.Name, c.found) }})
		_, err := r.write(Output{}, []base.Record{rec("\x00a", 1, "one")})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		r.expectFiles()
	}
}

// bytes returns the content of a file.
func (r *room) bytes(name string) []byte {
	r.t.Helper()
	f, err := r.fs.Open("db/" + name)
	must(r.t, err)
	defer f.Close()
	size, err := f.Size()
	must(r.t, err)
	content := make([]byte, size)
	_, err = f.ReadAt(content, 0)
	must(r.t, err)
	return content
}

// replace makes a file anew.
func (r *room) replace(name string, content []byte) {
	f, err := r.fs.Create(name)
	must(r.t, err)
	_, err = f.WriteAt(content, 0)
	must(r.t, err)
	must(r.t, f.Truncate(int64(len(content))))
	must(r.t, f.Close())
}

// A table ends where the codec changes; at the border of a keyspace only if it is
// large and not of level 0.
func TestTablesEndAtBorders(t *testing.T) {
	large := strings.Repeat("x", splitMinBytes/4)
	spaces := func(value string) (records []base.Record) {
		for i, space := range []string{"\x00", "\x01", "\x02", "\x07", "\x08"} { // 7 is compressed
			for j := range 5 {
				records = append(records, rec(fmt.Sprint(space, j), base.SeqNum(10*i+j+1), value))
			}
		}
		return records
	}
	starts := func(out Output, value string) string {
		r := newRoom(t)
		outputs, err := r.write(out, spaces(value))
		must(t, err)
		text := ""
		for _, meta := range outputs {
			text += fmt.Sprint(meta.Lo[0])
		}
		return text
	}
	for _, c := range []struct {
		out         Output
		value, want string
	}{
		{Output{Level: 0}, "small", "078"},
		{Output{Level: 1}, "small", "078"},
		{Output{Level: 0}, large, "078"},
		{Output{Level: 1}, large, "01278"},
		{Output{Level: 1, Temporary: true}, large, "0"},
	} {
		if got := starts(c.out, c.value); got != c.want {
			t.Errorf("%+v of values of %d bytes: tables begin in %s, want %s", c.out, len(c.value), got, c.want)
		}
	}
}

func TestFileNumbers(t *testing.T) {
	r := newRoom(t)
	r.SkipFileNums(10)
	if a, b, next := r.NewFileNum(), r.NewFileNum(), r.NextFileNum(); a != 10 || b != 11 || next != 12 {
		t.Errorf("numbers %d, %d, then %d", a, b, next)
	}
}

// An orphan is what this database has left under this number, or nothing yet.
func TestIsOrphan(t *testing.T) {
	r := newRoom(t)
	meta := r.table([]base.Record{rec("\x00a", 1, "value")})
	content := r.bytes(TableName(meta.Num))
	r.replace("db/"+TableName(50), content) // another number
	r.replace("db/"+TableName(51), nil)
	r.replace("db/"+TableName(52), bytes.Repeat([]byte("no table "), 1000))
	for n, want := range map[base.FileNum]bool{meta.Num: true, 50: false, 51: true, 52: false, 53: false} {
		if got := r.IsOrphan(n); got != want {
			t.Errorf("table %d is an orphan: %v, want %v", n, got, want)
		}
	}
	other := newRoom(t)
	other.cfg.DBID = base.DBID{2}
	other.replace("db/"+TableName(meta.Num), content)
	if other.IsOrphan(meta.Num) {
		t.Error("the table of another database is an orphan")
	}
}

func BenchmarkWrite(b *testing.B) {
	r := newRoom(b)
	records := someRecords()
	b.ReportAllocs()
	for b.Loop() {
		outputs, err := r.write(Output{}, records)
		if err != nil {
			b.Fatal(err)
		}
		r.RemoveOutputs(outputs)
	}
}
