package view

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sort"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
)

// Sorter makes sorted batches of groups of commits: they stay encoded as the log has
// them, and only references to their records are sorted, all at the end. That takes
// a fraction of the time in which they would go into a memtable one by one. It is
// used by one goroutine at a time.
type Sorter struct {
	memory  *offheap.Accountant
	sorted  *sortedBatches
	added   [][]sortedEntry // in the order of writing; but the last of them full
	deletes []sortedDelete
	group   base.SeqNum // the first number of the group at hand
	last    base.SeqNum
	expires bool
}

// NewSorter returns a Sorter for groups that take together, with the references,
// about capBytes, or for one that is larger and takes firstBytes. Memory is committed,
// and accounted for, as it is used; without an accountant a large group is on Go's heap.
// To sort takes the memory of the references once more.
func NewSorter(memory *offheap.Accountant, capBytes, firstBytes int) (s *Sorter, err error) {
	s = &Sorter{memory: memory, sorted: &sortedBatches{large: firstBytes > capBytes}}
	switch {
	case !s.sorted.large:
		s.sorted.arena, err = newSorterArena(memory, capBytes)
	case memory != nil && firstBytes <= arenaMaxBytes:
		s.sorted.arena, err = newSorterArena(memory, firstBytes)
	default:
		s.sorted.buf = make([]byte, 0, firstBytes)
	}
	return s, err
}

// NewAdoptingSorter returns a Sorter for one large group, encoded in an arena, which the
// Sorter owns from here on.
func NewAdoptingSorter(memory *offheap.Accountant, arena *offheap.Arena) *Sorter {
	return &Sorter{memory: memory, sorted: &sortedBatches{arena: arena, large: true}}
}

// arenaMaxBytes is the largest group that is put into an arena: a larger one might not
// fit there.
const arenaMaxBytes = 1 << 30 * 7 / 4

func newSorterArena(memory *offheap.Accountant, sizeBytes int) (*offheap.Arena, error) {
	const spareBytes = 128 // more than what an arena takes for itself, and for alignment
	return offheap.NewArena(memory, offheap.OwnerMemtable, sizeBytes+spareBytes)
}

// Fits reports whether there is room for one more group. A large group is alone.
func (s *Sorter) Fits(sizeBytes int) bool {
	b := s.sorted
	return !b.large && sizeBytes <= b.arena.Cap()-b.arena.Used()
}

// Add takes up a copy of a group of encoded batches, whose first record has sequence
// number first, and returns that of the last. There must be room. After an error the
// Sorter can only be freed.
func (s *Sorter) Add(first base.SeqNum, payload []byte) (last base.SeqNum, err error) {
	return s.take(first, s.sorted.put(payload))
}

// Adopt is Add for what is in the arena of an adopting Sorter: payload lies there.
func (s *Sorter) Adopt(first base.SeqNum, payload []byte) (last base.SeqNum, err error) {
	s.sorted.buf = payload
	return s.take(first, 0)
}

// take takes up the batches that begin at a place of the memory.
func (s *Sorter) take(first base.SeqNum, at int) (last base.SeqNum, err error) {
	if s.group == 0 || s.sorted.large {
		s.group = first // nobody reads a part of what recovery has found
	}
	r := batch.NewReader(s.sorted.buf[at:])
	for s.last = first; ; s.last++ {
		ok, err := r.Next()
		if err != nil || !ok {
			s.last--
			return s.last, err
		}
		if err := s.add(&r); err != nil {
			return s.last, err
		}
	}
}

// add takes up the current record of a reader of the end of the batches.
func (s *Sorter) add(r *batch.Reader) error {
	b := s.sorted
	switch r.Kind {
	case base.KindKeyspace:
		act, err := keyspace.DecodeAct(r.Key, r.Value)
		act.Seq = s.last
		b.acts = append(b.acts, act)
		return err
	case base.KindRangeDelete:
		place := uint64(len(b.buf) - r.TailBytes())
		s.deletes = append(s.deletes, sortedDelete{at: place, seq: s.last, group: s.group})
		return nil
	}
	s.expires = s.expires || r.Kind == base.KindSetExpiring
	b.narrowPrefix(r.Key)
	e := sortedEntry{trailer: base.MakeTrailer(s.last, r.Kind)}
	e.place = uint64(len(b.buf)-r.TailBytes()) << entrySumBits
	e.place |= uint64(base.RecordSum(base.Hash(r.Key), e.trailer, r.Value).Short() & entrySumMask)
	s.addEntry(e)
	return nil
}

// addedEntries is the length of a list of entries. Few, long lists would have to be
// copied where they grow.
const addedEntries = 2048

func (s *Sorter) addEntry(e sortedEntry) {
	last := len(s.added) - 1
	if last < 0 || len(s.added[last]) == addedEntries {
		s.added = append(s.added, s.sorted.newEntries())
		last++
	}
	s.added[last] = append(s.added[last], e)
}

// Acts returns the acts on keyspaces that were added, in their order.
func (s *Sorter) Acts() []keyspace.Act { return s.sorted.acts }

// HeapBytes is about what the range deletes take of Go's heap until Flushable.
func (s *Sorter) HeapBytes() int { return offheap.SliceBytes[sortedDelete](len(s.deletes)) }

// Expires reports whether a record that was added expires.
func (s *Sorter) Expires() bool { return s.expires }

// Flushable returns what was added as a part of the read state. The Sorter must not
// be used any more, but for Free after an error.
func (s *Sorter) Flushable() (*Flushable, error) {
	b := s.sorted
	if err := s.gather(); err != nil {
		return nil, err
	}
	b.sort()
	if err := s.gatherDeletes(); err != nil {
		return nil, err
	}
	return &Flushable{sorted: b, Acts: b.acts, LastSeq: s.last}, nil
}

// gather brings all entries together.
func (s *Sorter) gather() (err error) {
	b, count := s.sorted, 0
	for _, list := range s.added {
		count += len(list)
	}
	if b.large || count == 0 {
		b.entries = make([]sortedEntry, count)
	} else if b.entryArena, err = newSorterArena(s.memory, offheap.SliceBytes[sortedEntry](count)); err != nil {
		return err
	} else {
		b.entries = offheap.Slice[sortedEntry](b.entryArena, count)
	}
	rest := b.entries
	for _, list := range s.added {
		rest = rest[copy(rest, list):]
	}
	s.added = nil
	return nil
}

// sortedDelete is a range delete on its way to a memtable.
type sortedDelete struct {
	at         uint64 // where in buf batch.Record finds the bounds
	seq, group base.SeqNum
}

// rangeDelete returns the bounds of a range delete.
func (b *sortedBatches) rangeDelete(d *sortedDelete) (lo, hi []byte) {
	return batch.Record(b.buf[d.at:], base.KindRangeDelete)
}

// gatherDeletes brings the range deletes together in a memtable, as readers of groups see
// them.
func (s *Sorter) gatherDeletes() error {
	if len(s.deletes) == 0 {
		return nil
	}
	b, keyBytes := s.sorted, 0
	for i := range s.deletes {
		lo, hi := b.rangeDelete(&s.deletes[i])
		keyBytes += len(lo) + len(hi)
	}
	// That is enough for one group, but many may have to copy what is there.
	for capBytes := memtable.LoadBound(len(s.deletes), keyBytes); ; capBytes *= 2 {
		t, err := memtable.New(s.memory, capBytes)
		if err != nil {
			return err
		}
		for i := range s.deletes {
			d := &s.deletes[i]
			lo, hi := b.rangeDelete(d)
			if err = t.AddRangeDelete(lo, hi, d.seq, d.group); err != nil {
				break
			}
		}
		if err == nil {
			b.deletes, s.deletes = t, nil
			return nil
		}
		t.Free()
		if !errors.Is(err, memtable.ErrFull) {
			return err
		}
	}
}

// Free gives up what was added.
func (s *Sorter) Free() { s.sorted.free() }

// sortedBatches are committed batches in sorted order, over their encoded bytes. They
// are immutable once they are sorted.
type sortedBatches struct {
	// buf has the encoded batches, one behind the other; with an arena there is
	// something else between some.
	buf        []byte
	arena      *offheap.Arena // that has buf; nil: Go's heap
	large      bool           // of a commit, as opposed to a replay
	entryArena *offheap.Arena // that has entries; nil: Go's heap

	entries []sortedEntry   // in internal order
	prefix  []byte          // that all keys begin with
	deletes *memtable.Table // the range deletes; nil: none
	acts    []keyspace.Act
}

// sortedEntry is a reference to a record. It has no pointers.
type sortedEntry struct {
	head    uint64 // of the key behind the common prefix, so that few keys are compared
	trailer base.Trailer
	// place is where in buf batch.Record finds key and value, and below that the low
	// bits of base.RecordSum.
	place uint64
}

const (
	entrySumBits = 24
	entrySumMask = 1<<entrySumBits - 1
)

func (e *sortedEntry) at() uint64  { return e.place >> entrySumBits }
func (e *sortedEntry) sum() uint32 { return uint32(e.place & entrySumMask) }

// sizeBytes is what the batches take, wherever that is.
func (b *sortedBatches) sizeBytes() int64 {
	return int64(len(b.buf)) + int64(offheap.SliceBytes[sortedEntry](len(b.entries)))
}

// heapBytes is what of it lies on Go's heap, where the batches are large.
func (b *sortedBatches) heapBytes() int64 {
	if b.arena == nil {
		return b.sizeBytes()
	}
	return int64(offheap.SliceBytes[sortedEntry](len(b.entries)))
}

// committedBytes is what of it the arenas have of the system.
func (b *sortedBatches) committedBytes() (n int64) {
	for _, arena := range []*offheap.Arena{b.arena, b.entryArena} {
		if arena != nil {
			n += int64(arena.Committed())
		}
	}
	if b.deletes != nil {
		n += int64(b.deletes.CommittedBytes())
	}
	return n
}

// shrink gives back the memory of all but some places in it.
func (b *sortedBatches) shrink(keep [][]byte) {
	for _, arena := range []*offheap.Arena{b.arena, b.entryArena} {
		if arena != nil {
			arena.Shrink(keep)
		}
	}
	if b.deletes != nil {
		b.deletes.Shrink(nil)
	}
}

func (b *sortedBatches) free() {
	if b.deletes != nil {
		b.deletes.Free()
	}
	for _, arena := range []*offheap.Arena{b.arena, b.entryArena} {
		if arena != nil {
			arena.Free()
		}
	}
}

// put appends encoded batches to buf and returns where they begin.
func (b *sortedBatches) put(encoded []byte) (at int) {
	if b.arena == nil {
		at = len(b.buf)
		b.buf = append(b.buf, encoded...)
		return at
	}
	offset, ok := b.arena.Alloc(uint32(len(encoded)), 1)
	invariant.Check(ok, "arena has no %d bytes although they did fit", len(encoded))
	b.buf = b.arena.Bytes(0, offset+uint32(len(encoded)))
	copy(b.buf[offset:], encoded)
	return int(offset)
}

// newEntries returns an empty list of entries, on Go's heap where the arena is full.
func (b *sortedBatches) newEntries() []sortedEntry {
	if !b.large {
		if list := offheap.Slice[sortedEntry](b.arena, addedEntries); list != nil {
			return list[:0]
		}
	}
	return make([]sortedEntry, 0, addedEntries)
}

// narrowPrefix notes that there is a key.
func (b *sortedBatches) narrowPrefix(key []byte) {
	switch {
	case b.prefix == nil:
		b.prefix = key
	case !bytes.HasPrefix(key, b.prefix):
		b.prefix = b.prefix[:commonBytes(b.prefix, key)]
	}
}

// commonBytes returns how many bytes a and b have in common at their start.
func commonBytes(a, b []byte) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func (b *sortedBatches) record(e *sortedEntry) (key, value []byte) {
	return batch.Record(b.buf[e.at():], e.trailer.Kind())
}

// sort brings the entries into internal order.
func (b *sortedBatches) sort() {
	half := len(b.entries) / 2
	inParallel(len(b.entries), func() { b.setHeads(b.entries[:half]) }, func() { b.setHeads(b.entries[half:]) })
	if !slices.IsSortedFunc(b.entries, b.compare) {
		b.sortByHead(b.entries, 64-radixBits)
	}
}

// parallelMin is for how many entries it is worth while to ask for a second processor.
const parallelMin = 1 << 16

// inParallel calls two functions that do something to entries, at once if there are
// many.
func inParallel(entries int, first, second func()) {
	var other sync.WaitGroup
	if entries < parallelMin {
		second()
	} else {
		other.Go(second)
	}
	first()
	other.Wait()
}

func (b *sortedBatches) setHeads(entries []sortedEntry) {
	for i := range entries {
		key, _ := b.record(&entries[i])
		entries[i].head = base.Head(key[len(b.prefix):])
	}
}

func (b *sortedBatches) compare(x, y sortedEntry) int {
	if x.head != y.head {
		return cmp.Compare(x.head, y.head)
	}
	xKey, _ := b.record(&x)
	yKey, _ := b.record(&y)
	return base.Compare(xKey, x.trailer, yKey, y.trailer)
}

const (
	radixBits = 8
	// radixMin is how many entries are distributed by the next digit of their heads;
	// fewer are faster compared with one another.
	radixMin = 128
)

// sortByHead sorts entries whose heads agree in all bits above shift+radixBits: it
// puts each into the place of its next digit, and sorts those with the same one.
func (b *sortedBatches) sortByHead(entries []sortedEntry, shift int) {
	if len(entries) < radixMin || shift < 0 {
		slices.SortFunc(entries, b.compare)
		return
	}
	ends := distribute(entries, shift)
	sortFrom := func(from, to int) {
		begin := 0
		if from > 0 {
			begin = ends[from-1]
		}
		for _, end := range ends[from:to] {
			b.sortByHead(entries[begin:end], shift-radixBits)
			begin = end
		}
	}
	middle, _ := slices.BinarySearch(ends[:], len(entries)/2)
	inParallel(len(entries), func() { sortFrom(0, middle) }, func() { sortFrom(middle, len(ends)) })
}

// distribute orders entries by the digit of their heads at shift, and returns where
// those with each digit end.
func distribute(entries []sortedEntry, shift int) (ends [1 << radixBits]int) {
	digit := func(e *sortedEntry) uint8 { return uint8(e.head >> shift) }
	for i := range entries {
		ends[digit(&entries[i])]++
	}
	var next [1 << radixBits]int // the place of the next entry with a digit
	sum := 0
	for d, count := range ends {
		next[d] = sum
		sum += count
		ends[d] = sum
	}
	for d, end := range ends {
		for next[d] < end {
			e := &entries[next[d]]
			to := digit(e)
			other := &entries[next[to]]
			*e, *other = *other, *e
			next[to]++
		}
	}
	return ends
}

// seekGE returns the index of the first entry whose key is >= key.
func (b *sortedBatches) seekGE(key []byte) int {
	return sort.Search(len(b.entries), func(i int) bool {
		other, _ := b.record(&b.entries[i])
		return bytes.Compare(other, key) >= 0
	})
}

func (b *sortedBatches) get(key []byte, seq base.SeqNum) (base.Trailer, []byte, bool) {
	for i := b.seekGE(key); i < len(b.entries); i++ {
		e := &b.entries[i]
		other, value := b.record(e)
		if !bytes.Equal(other, key) {
			break
		}
		if e.trailer.Seq() <= seq {
			return e.trailer, value, true
		}
	}
	return 0, nil, false
}

func (b *sortedBatches) borders(spans int) [][]byte {
	var keys [][]byte
	for i := 1; i < spans; i++ {
		at := len(b.entries) * i / spans
		if at == 0 {
			continue
		}
		if key, _ := b.record(&b.entries[at]); len(keys) == 0 || !bytes.Equal(key, keys[len(keys)-1]) {
			keys = append(keys, key)
		}
	}
	return keys
}

// sortedIter walks sorted batches; pos is -1 before the first entry and
// len(entries) past the last.
type sortedIter struct {
	batches *sortedBatches
	pos     int
	rec     base.Record
	warmed  byte // see warm
}

const (
	warmEntries    = 16 // for so many entries ahead the bytes are fetched
	cacheLineBytes = 64
)

func (it *sortedIter) at(pos int) *base.Record {
	it.pos = min(max(pos, -1), len(it.batches.entries))
	if it.pos < 0 || it.pos == len(it.batches.entries) {
		return nil
	}
	e := &it.batches.entries[it.pos]
	it.rec.Trailer = e.trailer
	it.rec.Key, it.rec.Value = it.batches.record(e)
	return &it.rec
}

// warm touches the records of the next entries, all at once: they lie anywhere, and to
// wait for the memory of one after the other would take most of the time of a walk.
func (it *sortedIter) warm() {
	b := it.batches
	for i := it.pos; i < min(it.pos+warmEntries, len(b.entries)); i++ {
		at := b.entries[i].at()
		it.warmed += b.buf[at] + b.buf[min(at+cacheLineBytes, uint64(len(b.buf)-1))]
	}
}

func (it *sortedIter) First() *base.Record { return it.at(0) }
func (it *sortedIter) Last() *base.Record  { return it.at(len(it.batches.entries) - 1) }
func (it *sortedIter) Prev() *base.Record  { return it.at(it.pos - 1) }
func (it *sortedIter) Err() error          { return nil }

// Sum returns the checksum that the current record was added with, as far as there is
// one.
func (it *sortedIter) Sum() uint32 { return it.batches.entries[it.pos].sum() }

func (it *sortedIter) Close() error { return nil }

func (it *sortedIter) Next() *base.Record {
	if it.pos%warmEntries == 0 {
		it.warm()
	}
	return it.at(it.pos + 1)
}

func (it *sortedIter) SeekGE(key []byte) *base.Record { return it.at(it.batches.seekGE(key)) }

func (it *sortedIter) SeekLT(key []byte) *base.Record { return it.at(it.batches.seekGE(key) - 1) }
