package txn

import "bytes"

// own walks a transaction's own writes by key, as a step sees them: those in
// the list of its time beside those in files.
//
// Invariants: going forward, node and files each stand at their first entry that
// is not before the current one; going backward, at their last that is not
// behind it.
type own struct {
	writes  *Writes
	at      Step
	list    *list
	node    *node   // nil: at the end
	files   *groups // nil: nothing was spilled
	deleted layers
	forward bool

	valid           bool // it stands on an entry, of which the step may see nothing
	key             []byte
	onNode, onGroup bool // where the entry is
}

// newOwn returns a walk over the writes so far.
func newOwn(w *Writes) (own, error) {
	o := own{writes: w, at: w.step, list: w.list, deleted: w.deletes.layers}
	if w.spilled != nil {
		iter, err := w.spilled.NewIter()
		if err != nil {
			return own{}, err
		}
		o.files = &groups{writes: w, at: w.step, iter: iter}
	}
	return o, nil
}

// seekGE goes forward from the first entry whose key is at least key.
func (o *own) seekGE(key []byte) {
	o.forward, o.node = true, o.list.seekGE(key)
	if o.files != nil {
		o.files.seekGE(key)
	}
	o.settle()
}

// seekLT goes backward from the last entry whose key is less than key.
func (o *own) seekLT(key []byte) {
	o.forward, o.node = false, o.list.before(key)
	if o.files != nil {
		o.files.seekLT(key)
	}
	o.settle()
}

// advance goes on from the current entry in the direction of travel.
func (o *own) advance() {
	switch {
	case !o.onNode:
	case o.forward:
		o.node = o.node.next[0]
	default:
		o.node = o.list.before(o.node.key)
	}
	if o.onGroup {
		o.files.advance()
	}
	o.settle()
}

// settle makes the entry that comes first the current one.
func (o *own) settle() {
	inFiles := o.files != nil && o.files.valid
	o.onNode, o.onGroup = o.node != nil, inFiles
	if o.node != nil && inFiles {
		order := bytes.Compare(o.node.key, o.files.key)
		if !o.forward {
			order = -order
		}
		o.onNode, o.onGroup = order <= 0, order >= 0
	}
	o.valid = o.onNode || o.onGroup
	switch {
	case o.onNode:
		o.key = o.node.key
	case o.onGroup:
		o.key = o.files.key
	default:
		o.key = nil
	}
}

// says returns the newest version of the entry, nil if there is none, and what
// it comes to.
func (o *own) says() (*version, Outcome) {
	var v *version
	if o.onNode {
		v = o.writes.newestSeen(o.node.newest, o.at)
	}
	if v == nil && o.onGroup {
		v = o.files.newest
	}
	return v, v.outcome(o.deleted.newest(o.key))
}

// operands appends those of an entry that is Merged, the newest first.
func (o *own) operands(to [][]byte) [][]byte {
	if o.onNode {
		v := o.writes.newestSeen(o.node.newest, o.at)
		for ; v != nil; v = o.writes.newestSeen(v.older, o.at) {
			to = append(to, v.value)
		}
	}
	if o.onGroup {
		to = o.files.newest.appendValues(to)
	}
	return to
}

// err says why the walk cannot go on.
func (o *own) err() error {
	if o.files == nil {
		return nil
	}
	return o.files.err
}

func (o *own) close() error {
	if o.files == nil {
		return nil
	}
	return o.files.close()
}
