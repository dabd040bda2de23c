package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// bulky are records of some mebibytes, a value of several steps among them.
func bulky() (records []base.Record) {
	for i := range 3000 {
		size := 1000
		if i == 1000 {
			size = 3*writebackBytes + 5
		}
		records = append(records, rec(fmt.Sprintf("\x00%04d", i), base.SeqNum(1+i), strings.Repeat("v", size)))
	}
	return records
}

// A table is sent to the disk in steps while it is written, each as soon as it is full, and only
// then; small ones, and those that nobody needs after a crash, are not.
func TestTablesAreSentInSteps(t *testing.T) {
	for _, c := range []struct {
		records []base.Record
		out     Output
	}{
		{bulky(), Output{}},
		{bulky(), Output{Level: 1, FileBytes: 2 << 20, Pace: NewPace(clock.System, 1<<40)}},
		{bulky(), Output{Temporary: true}},
		{someRecords(), Output{}},
	} {
		r := newRoom(t)
		var mu sync.Mutex
		written, sent := map[string]int64{}, map[string]int64{}
		r.fs.Add(faultfs.Rule{Kinds: vfs.OpWrite | vfs.OpWriteback | vfs.OpSyncData, Name: "*.sst", Sticky: true, Before: func(op vfs.Op) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case op.Kind == vfs.OpWrite:
				written[op.Name] = op.Offset + op.Length
				if !c.out.Temporary && op.Offset-sent[op.Name] >= writebackBytes {
					t.Errorf("%v, and sent are %d bytes", op, sent[op.Name])
				}
			case op.Kind == vfs.OpWriteback:
				if end := op.Offset + op.Length; op.Offset != sent[op.Name] || end > written[op.Name] || op.Length != writebackBytes {
					t.Errorf("%v: written are %d bytes, sent %d", op, written[op.Name], sent[op.Name])
				}
				sent[op.Name] = op.Offset + op.Length
			case written[op.Name]-sent[op.Name] >= writebackBytes:
				t.Errorf("%v: written are %d bytes, sent %d", op, written[op.Name], sent[op.Name])
			}
		}})
		outputs, err := r.write(c.out, c.records)
		must(t, err)
		steps := 0
		for _, meta := range outputs {
			steps += int(meta.SizeBytes / writebackBytes)
		}
		if c.out.Temporary {
			steps = 0
		}
		if got := int(r.fs.Count(vfs.OpWriteback)); got != steps {
			t.Errorf("%+v: %d steps, want %d", c.out, got, steps)
		}
	}
}

// A step that cannot be sent is a write that failed: the table is none.
func TestFailedWritebackLeavesNothing(t *testing.T) {
	for nth := range int64(7) {
		r := newRoom(t)
		fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpWriteback, Nth: nth + 1, Err: errInjected})
		if _, err := r.write(Output{}, bulky()); !errors.Is(err, errInjected) || fault.Fired() != 1 {
			t.Errorf("step %d failed, and the write with %v", nth, err)
		}
		r.expectFiles()
		r.expectQuiet()
	}
}

// A file that knows no such thing is left as it is.
func TestNoWriteback(t *testing.T) {
	f, err := memfs.New().Create("a")
	must(t, err)
	if got := sendEarly(f); got != f {
		t.Errorf("%T", got)
	}
	must(t, f.Close())
}
