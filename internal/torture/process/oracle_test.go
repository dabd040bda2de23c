package process

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// oracleSeed has every durability in its histories.
const oracleSeed = 0

// openFor opens a database in memory and does so many operations of each
// stream.
func openFor(t *testing.T, upTo ...uint32) *lightning.DB {
	t.Helper()
	opts := databaseOptions(oracleSeed, 1)
	opts.FS = memfs.New()
	db, err := lightning.Open("db", opts)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	p, err := newPerformer(db, oracleSeed, len(upTo))
	must(t, err)
	for stream, last := range upTo {
		for n := uint32(1); n <= last; n++ {
			must(t, p.perform(context.Background(), stream, n))
		}
	}
	return db
}

// acknowledge tells the oracle of the operations of a stream.
func acknowledge(t *testing.T, o *oracle, stream int, from, to uint32) {
	t.Helper()
	for n := from; n <= to; n++ {
		must(t, o.ack(stream, n))
	}
}

func TestOracleAcceptsWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct{ acked, found [2]uint32 }{
		"all":                {[2]uint32{30, 30}, [2]uint32{30, 30}},
		"one that had begun": {[2]uint32{30, 30}, [2]uint32{31, 31}},
		"nothing":            {[2]uint32{0, 0}, [2]uint32{0, 0}},
	} {
		o := newOracle(oracleSeed, 2, lossOfPower)
		o.opened(lightning.DurabilitySync)
		acknowledge(t, o, 0, 1, c.acked[0])
		acknowledge(t, o, 1, 1, c.acked[1])
		if err := o.judge(openFor(t, c.found[:]...)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOracleRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		found [2]uint32
		spoil func(db *lightning.DB) error
		want  string
	}{
		"a lost commit":      {[2]uint32{20, 30}, nil, "must be there"},
		"one never begun":    {[2]uint32{30, 40}, nil, "after none of the operations"},
		"a foreign row":      {[2]uint32{30, 30}, func(db *lightning.DB) error { return db.Put([]byte("a99"), nil) }, "should be missing"},
		"a changed row":      {[2]uint32{30, 30}, changeFirst, "after none of the operations"},
		"a key of nobody":    {[2]uint32{30, 30}, func(db *lightning.DB) error { return db.Put([]byte("z00"), nil) }, "nobody wrote"},
		"a keyspace too few": {[2]uint32{30, 30}, func(db *lightning.DB) error { return db.DropKeyspace(context.Background(), sharedName) }, "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOracle(oracleSeed, 2, lossOfPower)
			o.opened(lightning.DurabilitySync)
			acknowledge(t, o, 0, 1, 30)
			acknowledge(t, o, 1, 1, 30)
			db := openFor(t, c.found[:]...)
			if c.spoil != nil {
				must(t, c.spoil(db))
			}
			if err := o.judge(db); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// changeFirst writes another value to the first row.
func changeFirst(db *lightning.DB) error {
	it, err := db.Iterator(lightning.IterOptions{})
	if err != nil {
		return err
	}
	it.First()
	key := append([]byte(nil), it.Key()...)
	if err := it.Close(); err != nil {
		return err
	}
	return db.Put(key, []byte("changed"))
}

// TestOracleRefusesHole has an operation that is there although one that was
// acknowledged before it began, by another stream, is not. Nothing was promised
// to survive: it is the order alone that is wrong.
func TestOracleRefusesHole(t *testing.T) {
	o := newOracle(oracleSeed, 2, lossOfPower)
	o.opened(lightning.DurabilityAsync)
	o.powerLost()
	acknowledge(t, o, 0, 1, 30)
	acknowledge(t, o, 1, 1, 30) // its second operation began after all of stream 0
	err := o.judge(openFor(t, 20, 30))
	if err == nil || !strings.Contains(err.Error(), "began after") {
		t.Errorf("a hole in the order is found to be %v", err)
	}
	o = newOracle(oracleSeed, 2, lossOfPower)
	o.opened(lightning.DurabilityAsync)
	o.powerLost()
	acknowledge(t, o, 1, 1, 30)
	acknowledge(t, o, 0, 1, 30)
	if err := o.judge(openFor(t, 20, 30)); err != nil {
		t.Errorf("a lost end that nothing depends on: %v", err)
	}
}

// firstOf returns the first operation of a stream that a test is looking for.
func firstOf(stream int, found func(op *script.Op, before *content) bool) uint32 {
	rows := newContent()
	for n := uint32(1); ; n++ {
		op := operationAt(oracleSeed, stream, n)
		if found(op, rows) {
			return n
		}
		rows.apply(op)
	}
}

func makeOwn(t *testing.T, db *lightning.DB, stream int) {
	t.Helper()
	_, err := db.Keyspace(context.Background(), ownName(stream), nil)
	must(t, err)
}

// A dropped keyspace that comes back, even if it is empty, is no state that there was.
func TestOracleRefusesWhatCameBack(t *testing.T) {
	dropped := firstOf(0, func(op *script.Op, _ *content) bool { return op.Kind == script.DropSpace })
	for _, back := range []bool{false, true} {
		o := newOracle(oracleSeed, 1, lossOfPower)
		o.opened(lightning.DurabilitySync)
		acknowledge(t, o, 0, 1, dropped)
		o.closed() // so that the next operation has not begun
		db := openFor(t, dropped)
		if back {
			makeOwn(t, db, 0)
		}
		if err := o.judge(db); (err != nil) != back || back && !strings.Contains(err.Error(), "should be missing") {
			t.Errorf("back: %v; got %v", back, err)
		}
	}
}

// An operation that makes its keyspace does so first, in a commit of its own: a kill
// may leave that alone, but with all that was acknowledged before.
func TestOracleKnowsTheFirstStep(t *testing.T) {
	made := firstOf(0, func(op *script.Op, before *content) bool {
		after := &content{rows: maps.Clone(before.rows)}
		return after.makeSpaces(op)
	})
	for _, lost := range []bool{false, true} {
		o := newOracle(oracleSeed, 2, lossOfPower)
		o.opened(lightning.DurabilityAsync)
		o.powerLost()
		acknowledge(t, o, 1, 1, 30)
		acknowledge(t, o, 0, 1, made-1)
		o.streams[0].seen[made-1] = []uint32{made - 1, 30} // it began after all of stream 1
		last := uint32(30)
		if lost {
			last = 20
		}
		db := openFor(t, made-1, last)
		makeOwn(t, db, 0)
		if err := o.judge(db); (err != nil) != lost || lost && !strings.Contains(err.Error(), "began after") {
			t.Errorf("lost: %v; got %v", lost, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
