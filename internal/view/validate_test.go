package view

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/txn"
)

// someReads is what a transaction has read, for the model.
type someReads struct {
	txn.Reads
	points []string
	spans  [][2]string
}

func (d *driver) randomReads() *someReads {
	reads := &someReads{}
	for range d.rng.IntN(3) {
		key := d.key()
		reads.points = append(reads.points, key)
		reads.AddPoint([]byte(key))
	}
	for range d.rng.IntN(3) {
		lo, hi := d.key(), d.key()
		if lo >= hi {
			lo, hi = hi, lo+"\x00"
		}
		reads.spans = append(reads.spans, [2]string{lo, hi})
		reads.AddSpan([]byte(lo), []byte(hi))
	}
	reads.Freeze()
	return reads
}

// touchedBy says whether a write changes what was read.
func (r *someReads) touchedBy(o op) bool {
	lo, hi := o.key, o.key+"\x00"
	if o.kind == base.KindRangeDelete {
		hi = o.value
	}
	for _, key := range r.points {
		if key >= lo && key < hi {
			return true
		}
	}
	for _, s := range r.spans {
		if s[0] < hi && s[1] > lo {
			return true
		}
	}
	return false
}

// differs says whether what was read is something else in other rows.
func (r *someReads) differs(before, after []row) bool {
	read := func(rows []row) (out []row) {
		for _, row := range rows {
			if r.touchedBy(set(row.key, "")) {
				out = append(out, row)
			}
		}
		return out
	}
	return fmt.Sprint(read(before)) != fmt.Sprint(read(after))
}

// A transaction is refused if something that it read was written since its snapshot,
// wherever that has gone; merging may only lose what came and went.
func TestValidateAgainstAModel(t *testing.T) {
	base := rand.Uint64()
	t.Logf("seeds from %d", base)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := &driver{room: newRoom(t, 0), rng: rand.New(rand.NewPCG(base, seed))}
			merges := seed%2 == 1
			conflicts, passes := 0, 0
			for range 60 {
				s, err := d.Snapshot()
				must(t, err)
				before := d.rowsAt(d.point())
				for range d.rng.IntN(4) {
					d.write(d.timelessOp())
					switch d.rng.IntN(8) {
					case 0:
						d.seal()
					case 1:
						d.writeLarge(d.timelessOp(), d.timelessOp())
					case 2:
						d.seal()
						d.flush()
					case 3:
						if merges {
							d.compact(d.rng.IntN(2))
						}
					}
				}
				after := d.rowsAt(d.point())
				for range 8 {
					reads := d.randomReads()
					if d.checkValidate(s.Seq(), reads, reads.differs(before, after), merges) {
						conflicts++
					} else {
						passes++
					}
				}
				must(t, s.Close())
			}
			if conflicts == 0 || passes == 0 {
				t.Errorf("%d conflicts, %d passes", conflicts, passes)
			}
		})
	}
}

func (d *driver) timelessOp() op {
	for {
		if o := d.randomOp(); o.kind != base.KindSetExpiring {
			return o
		}
	}
}

// checkValidate compares one validation with the model.
func (d *driver) checkValidate(since base.SeqNum, reads *someReads, differs, merges bool) (refused bool) {
	d.t.Helper()
	touched := false
	for _, o := range d.history[since:] {
		touched = touched || reads.touchedBy(o)
	}
	err := d.Validate(&ReadSet{Since: since, Reads: &reads.Reads})
	var conflict *txn.ConflictError
	if refused = errors.As(err, &conflict); !refused && err != nil {
		d.t.Fatal(err)
	}
	if refused && !touched || !refused && differs || !merges && refused != touched {
		d.t.Errorf("reads of %q and %q since %d: %v; touched: %v, changed: %v; writes %v",
			reads.points, reads.spans, since, err, touched, differs, d.history[since:])
	}
	if refused {
		d.checkConflict(reads, conflict)
	}
	return refused
}

// checkConflict looks whether an error names something that was read.
func (d *driver) checkConflict(reads *someReads, c *txn.ConflictError) {
	d.t.Helper()
	named := op{kind: base.KindRangeDelete, key: string(c.Key), value: string(c.End)}
	if c.End == nil {
		named = set(string(c.Key), "")
	}
	if !reads.touchedBy(named) {
		d.t.Errorf("%v: of reads of %q and %q", c, reads.points, reads.spans)
	}
}

// What a batch ahead in the group writes counts like what is there.
func TestAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := &driver{room: newRoom(t, 0), rng: rand.New(rand.NewPCG(seed, 0))}
	conflicts, passes := 0, 0
	for range 2000 {
		var b batch.Batch
		reads := d.randomReads()
		want := false
		for range d.rng.IntN(4) {
			o := d.randomOp()
			must(t, o.add(&b))
			want = want || reads.touchedBy(o)
		}
		encoded := bytes.Clone(b.Bytes())
		err := (&ReadSet{Reads: &reads.Reads}).Against(&b)
		var conflict *txn.ConflictError
		if got := errors.As(err, &conflict); got != want || !got && err != nil {
			t.Fatalf("%q against reads of %q and %q: %v", b.Bytes(), reads.points, reads.spans, err)
		}
		if want {
			conflicts++
			clear(b.Bytes()) // which belongs to another committer
			d.checkConflict(reads, conflict)
			copy(b.Bytes(), encoded)
		} else {
			passes++
		}
	}
	if conflicts == 0 || passes == 0 {
		t.Errorf("%d conflicts, %d passes", conflicts, passes)
	}
}

// What was read and has expired since is gone for others, without a write.
func TestValidateKnowsTheTime(t *testing.T) {
	r := newRoom(t, 0)
	r.write(op{base.KindSetExpiring, "\x00a", "1", 1500})
	var reads txn.Reads
	reads.AddPoint([]byte("\x00a"))
	reads.AddExpiry([]byte("\x00a"), 1500)
	reads.Freeze()
	set := &ReadSet{Since: 1, Reads: &reads}
	r.clock.at.Store(1499)
	must(t, r.Validate(set))
	r.clock.at.Store(1500)
	err := r.Validate(set)
	var conflict *txn.ConflictError
	if !errors.As(err, &conflict) || string(conflict.Key) != "\x00a" {
		t.Errorf("a key that has expired: %v", err)
	}
}

// TestConflictOwnsItsKey writes into the key of a conflict, which goes to users
// while the read set that it comes from may be validated again.
func TestConflictOwnsItsKey(t *testing.T) {
	r := newRoom(t, 0)
	r.write(op{kind: base.KindSet, key: "k", value: "v"})
	var point, span txn.Reads
	point.AddPoint([]byte("k"))
	span.AddSpan([]byte("a"), []byte("z"))
	for _, reads := range []*txn.Reads{&point, &span} {
		reads.Freeze()
		for range 2 {
			var c *txn.ConflictError
			if err := r.Validate(&ReadSet{Since: 0, Reads: reads}); !errors.As(err, &c) {
				t.Fatalf("%v instead of a conflict", err)
			}
			if string(c.Key) != "k" && string(c.Key)+string(c.End) != "az" {
				t.Errorf("the conflict is about [%q, %q)", c.Key, c.End)
			}
			clear(c.Key)
			clear(c.End)
		}
	}
}
