package writer

import (
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/view"
)

// applier puts the records of commits into the memtable, and tells the hot-record
// cache: each key is marked there before its write becomes visible and until it
// is. It belongs to the leader of the commits.
type applier struct {
	memory    *offheap.Accountant
	reads     *view.Reader
	keyspaces *keyspace.Registry
	hot       *hotcache.Cache // nil: none

	// hotWrites are the hashes of the keys that the hot-record cache knows to
	// be written; hotSets those that were in use there, and which are set to a value.
	hotWrites []uint64
	hotSets   []hotSet
	under     []byte      // a copy of what an operand is applied to
	joined    []byte      // what an operand comes to, before it is in the memtable
	joinFloor base.SeqNum // operands that are not newer are not joined
	run       deleteRun
	upcoming  upcoming
	ranges    rangeRun
}

// hotSetsMax is how many of them a group may have: each write to a bucket that the group has
// marked looks through them, and in a group of many the writer has better things to do.
const hotSetsMax = 64

// hotSet is a record in use of the hot-record cache that a group gives another value. The
// slices are the group's.
type hotSet struct {
	key, value []byte
	hash       uint64
}

// expect is called with a group that goes to a memtable, before the log is written.
func (a *applier) expect(g *commit.Group) {
	mem := a.reads.State().Mem.Table
	if g.Sole != nil {
		if kind, key, value, ok := g.Sole.Only(); ok {
			a.upcoming.beginOne(kind, key, value, mem, a.hot)
			return
		}
	}
	a.upcoming.begin(g.Payloads, mem, a.hot)
}

// apply puts the records of the group that is expected into the memtable, which has room
// for them, and makes them visible. merges says whether there are operands among them.
func (a *applier) apply(first, last base.SeqNum, merges bool) error {
	if !merges {
		return a.applyAll(first, last)
	}
	return a.reads.KeepSnapshotsOut(func(newest base.SeqNum) error {
		a.joinFloor = newest
		return a.applyAll(first, last)
	})
}

func (a *applier) applyAll(first, last base.SeqNum) error {
	defer a.endGroup()
	if err := a.applyRecords(first); err != nil {
		return err
	}
	invariant.Yield()
	a.reads.Publish(last)
	invariant.Yield()
	a.endWrites()
	a.putBack(last)
	return nil
}

func (a *applier) applyRecords(first base.SeqNum) error {
	part := a.reads.State().Mem
	for seq := first; ; seq++ {
		r, err := a.upcoming.next(part.Table, a.hot)
		if err != nil || r == nil {
			return err
		}
		if err := a.applyRecord(part, r, seq, first); err != nil {
			return err
		}
	}
}

// applyRecord applies a record of the group that begins at first.
func (a *applier) applyRecord(part *view.Flushable, r *record, seq, first base.SeqNum) error {
	mem := part.Table
	switch r.kind {
	case base.KindKeyspace:
		return a.applyAct(part, r, seq)
	case base.KindRangeDelete:
		a.ranges.add(r.key, r.value, a.reads.Dead)
		if a.hot != nil {
			a.hot.BeginAll()
		}
		return mem.AddRangeDelete(r.key, r.value, seq, first)
	case base.KindDelete:
		a.run.add(r.key, a.reads.Dead)
		a.beginWrite(r)
		return mem.Add(r.key, r.hash, base.MakeTrailer(seq, r.kind), r.value)
	default:
		return a.add(mem, r, seq)
	}
}

// add puts a record that is no delete into the memtable, and then cuts it out of what is
// known to be dead: whoever is proving a range that it lies in sees one or the other.
func (a *applier) add(mem *memtable.Table, r *record, seq base.SeqNum) (err error) {
	a.beginWrite(r)
	if r.kind == base.KindMerge {
		err = a.addOperand(mem, r.key, r.hash, r.value, seq)
	} else {
		err = mem.Add(r.key, r.hash, base.MakeTrailer(seq, r.kind), r.value)
	}
	invariant.Yield()
	a.reads.Dead.Wrote(r.key)
	return err
}

// applyAct has an act on a keyspace take effect, and keeps it for the flush.
func (a *applier) applyAct(part *view.Flushable, r *record, seq base.SeqNum) error {
	act, err := keyspace.DecodeAct(r.key, r.value)
	if err != nil {
		return err
	}
	act.Seq = seq
	part.Acts = append(part.Acts, act)
	return a.keyspaces.Apply(act)
}

// applyLarge makes a group that is too large for a memtable a part of the read
// state in its own right.
func (a *applier) applyLarge(g *commit.Group) error {
	s, err := a.takeLarge(g)
	if err == nil {
		err = a.applyActs(s.Acts())
	}
	var part *view.Flushable
	if err == nil {
		part, err = s.Flushable()
	}
	if err != nil {
		if s != nil {
			s.Free()
		}
		return err
	}
	part.Lent = true
	a.reads.Dead.Upset()
	defer a.reads.Dead.Calm()
	if a.hot != nil {
		a.hot.BeginAll()
		defer a.hot.EndAll()
	}
	a.install(part, g.Last)
	return nil
}

// takeLarge gives a large group to a Sorter. The bytes of a single write in an arena are
// taken over; others are copied, since the batches stay the callers'.
func (a *applier) takeLarge(g *commit.Group) (*view.Sorter, error) {
	if g.Sole != nil {
		if arena := g.Sole.TakeArena(); arena != nil {
			s := view.NewAdoptingSorter(a.memory, arena)
			_, err := s.Adopt(g.First, g.Payloads[0])
			return s, err
		}
	}
	s, err := view.NewSorter(a.memory, 0, int(g.SizeBytes))
	if err != nil {
		return nil, err
	}
	next := g.First
	for _, payload := range g.Payloads {
		end, err := s.Add(next, payload)
		if err != nil {
			return s, err
		}
		next = end + 1
	}
	return s, nil
}

func (a *applier) applyActs(acts []keyspace.Act) error {
	for _, act := range acts {
		if err := a.keyspaces.Apply(act); err != nil {
			return err
		}
	}
	return nil
}

// install makes a full part the newest of those that wait for their flush.
func (a *applier) install(part *view.Flushable, last base.SeqNum) {
	a.reads.Update(func(c *view.Change) {
		part.FirstLog, part.FirstPosition = c.Mem.FirstLog, c.Mem.FirstPosition
		c.Immutables = append([]*view.Flushable{part}, c.Immutables...)
		c.Visible = last
	})
}

// beginWrite tells the hot-record cache of a key that is about to be written.
func (a *applier) beginWrite(r *record) {
	if a.hot == nil {
		return
	}
	used, again := a.hot.BeginWrite(r.hash)
	a.hotWrites = append(a.hotWrites, r.hash)
	if again && a.takeSet(r.hash) {
		used = true
	}
	if used && r.kind == base.KindSet && len(a.hotSets) < hotSetsMax {
		a.hotSets = append(a.hotSets, hotSet{r.key, r.value, r.hash})
	}
	invariant.Yield()
}

// takeSet takes back what an earlier record of the group sets a key to, if it does.
func (a *applier) takeSet(hash uint64) bool {
	i := slices.IndexFunc(a.hotSets, func(s hotSet) bool { return s.hash == hash })
	if i < 0 {
		return false
	}
	a.hotSets = slices.Delete(a.hotSets, i, i+1)
	return true
}

// Distrust forgets what was learned from memory that was overwritten. It is called around
// the change, by which readers see what was written instead: nobody who sees that is
// answered from what was learned before. Only the hot-record cache may answer so for a
// moment more.
func (a *applier) Distrust(change func()) {
	a.reads.Dead.Upset()
	defer a.reads.Dead.Calm()
	a.forgetHot()
	defer a.forgetHot()
	change()
}

func (a *applier) forgetHot() {
	if a.hot != nil {
		a.hot.Forget()
	}
}

// endGroup tells it that they are visible, or will never be.
func (a *applier) endGroup() {
	a.upcoming.end()
	a.endWrites()
	if len(a.hotSets) > 0 {
		clear(a.hotSets)
		a.hotSets = a.hotSets[:0]
	}
	if a.hot != nil {
		a.hot.EndAll()
	}
}

func (a *applier) endWrites() {
	for _, hash := range a.hotWrites {
		a.hot.EndWrite(hash)
	}
	invariant.Yield()
	a.hotWrites = a.hotWrites[:0]
}

// putBack gives the hot-record cache the values that records which it had were set to. The
// group is visible up to last, and its writes have ended there. Where it has range deletes as
// well, which may have ended what it set, the cache takes nothing.
func (a *applier) putBack(last base.SeqNum) {
	if len(a.hotSets) == 0 {
		return
	}
	stay := a.reads.Epochs.Enter() // an index that is given up may be looked at
	defer stay.Exit()
	for i := range a.hotSets {
		s := &a.hotSets[i]
		a.hot.PutBack(s.key, s.value, s.hash, last)
	}
}

// addOperand puts an operand, in its stored form, into the memtable: where it
// can, as what it makes together with the version that is there, so that a counter
// which is counted up a million times is read as fast as any key. That version
// stays for the snapshots that see it. The new one must not be longer than the
// operand, for which there is room. What the log holds is the operand, so a replay
// comes to the same. A version that is not what was added is left to the flush, which
// will find it.
func (a *applier) addOperand(
	mem *memtable.Table, key []byte, keyHash uint64, stored []byte, seq base.SeqNum,
) error {
	kind, value := base.KindMerge, stored
	tr, under, found := mem.AppendNewest(a.under[:0], key)
	a.under = under[:0]
	if found && mem.RangeDeletes().Covering(key, base.SeqNumMax) <= tr.Seq() {
		if joined, out := a.joinOperand(key, tr, under, stored, seq); joined.Valid() && len(out) <= len(stored) {
			kind, value = joined, out
		}
	}
	return mem.Add(key, keyHash, base.MakeTrailer(seq, kind), value)
}

// joinOperand returns the kind and stored value of what an operand and the
// version under it are together; the kind is not valid if they are to stay apart.
// The value is in memory of the applier.
func (a *applier) joinOperand(key []byte, tr base.Trailer, under, stored []byte, seq base.SeqNum) (base.Kind, []byte) {
	op := a.keyspaces.MergeOperator(key)
	out := &a.joined
	operand := stored[base.ReachBytes:]
	var err error
	switch tr.Kind() {
	case base.KindSet:
		if *out, err = op.Fold((*out)[:0], key, under, [][]byte{operand}); err == nil {
			return base.KindSet, *out
		}
	case base.KindMerge:
		older, err := base.Decode(tr, under)
		if err != nil || tr.Seq() <= a.joinFloor {
			break
		}
		var ok bool
		*out, ok = op.Join(base.AppendReach((*out)[:0], older.Oldest, seq), [][]byte{operand, older.Value})
		if ok {
			return base.KindMerge, *out
		}
	}
	return 0, nil
}
