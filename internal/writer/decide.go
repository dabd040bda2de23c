package writer

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/view"
)

// This file has the decisions of commits made that depend on what their key holds. That is
// what is visible, and over it what the members of the group do that go before: they are in
// no memtable yet, but in their batches. The leader alone writes, so nothing comes between.

// over is what batches that are not applied yet do to a key.
type over struct {
	// trailer and stored are the newest record that does not build on older ones; its
	// kind is not valid where there is none, and a delete where a range delete hides all.
	trailer base.Trailer
	stored  []byte
	// operands are newer than that, the newest first.
	operands [][]byte
}

// any reports whether they do anything to it.
func (o *over) any() bool { return o.settled() || len(o.operands) > 0 }

// settled reports whether what is visible of the key does not matter any more.
func (o *over) settled() bool { return o.trailer.Kind().Valid() }

// foresee makes a decision, but for its write, on what is visible now. It fails as well
// where writes do.
func (w *Writer) foresee(x *commit.Decision) error {
	if err := w.cfg.Health.Writable(); err != nil {
		return err
	}
	return w.reads.Look(x.Key, func(now view.Current) error {
		x.SizeBytes = max(x.SizeBytes, len(now.Value))
		return x.Check(now)
	})
}

// decide has the decision of a request made, and says whether it may be committed behind
// those ahead of it in the group. A key that has expired is absent from that moment on.
func (w *Writer) decide(r *commit.Request, ahead []*commit.Request) error {
	x := r.Decision
	o, err := overOf(x.Key, ahead)
	if err != nil {
		return err
	}
	x.Behind = o.any()
	look := func(now view.Current) error {
		if now, err = o.put(w, x.Key, now); err != nil {
			return err
		}
		return x.Make(now, r.Batch)
	}
	if o.settled() {
		err = look(view.Current{})
	} else {
		err = w.reads.Look(x.Key, look)
	}
	if err != nil {
		return err
	}
	return w.admit(r.Batch)
}

// overOf looks through the batches, from the newest on, for as long as it takes.
func overOf(key []byte, ahead []*commit.Request) (over, error) {
	var o over
	for _, other := range slices.Backward(ahead) {
		if err := o.goUnder(key, other.Batch); err != nil || o.settled() {
			return o, err
		}
	}
	return o, nil
}

// goUnder adds what an older batch does to the key. Range deletes hide what comes before
// them in their batch, and not what comes behind.
func (o *over) goUnder(key []byte, b *batch.Batch) error {
	r := batch.NewReader(b.Bytes())
	var here over // its operands the oldest first
	for {
		ok, err := r.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		switch {
		case r.Kind == base.KindRangeDelete:
			if bytes.Compare(r.Key, key) <= 0 && bytes.Compare(key, r.Value) < 0 {
				here = over{trailer: base.MakeTrailer(0, base.KindDelete)}
			}
		case !bytes.Equal(r.Key, key):
		case r.Kind == base.KindMerge:
			here.operands = append(here.operands, r.Value[base.ReachBytes:])
		default:
			here = over{trailer: base.MakeTrailer(0, r.Kind), stored: r.Value}
		}
	}
	slices.Reverse(here.operands)
	o.operands = append(o.operands, here.operands...)
	o.trailer, o.stored = here.trailer, here.stored
	return nil
}

// put returns what a key holds that holds now underneath.
func (o *over) put(w *Writer, key []byte, now view.Current) (view.Current, error) {
	if o.settled() {
		now = view.Current{}
		if o.trailer.Kind() != base.KindDelete {
			stored, err := base.Decode(o.trailer, o.stored)
			if err != nil {
				return now, err
			}
			if stored.Expiry == 0 || stored.Expiry > w.cfg.Timeline.Now() {
				now = view.Current{Value: stored.Value, Expiry: stored.Expiry, Found: true}
			}
		}
	}
	if len(o.operands) == 0 {
		return now, nil
	}
	under := now.Value
	if now.Found && under == nil {
		under = w.under[:0] // see New
	}
	value, err := w.keyspaces.MergeOperator(key).Fold(nil, key, under, o.operands)
	return view.Current{Value: value, Found: true}, err
}
