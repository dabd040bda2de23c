package sstable

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/filter"
)

// MayContain asks the filter about a key with this hash: false means that no
// version of it is in the table. It is true where there is no filter, or none
// that can be read. The caller is inside an epoch guard.
func (r *Reader) MayContain(hash uint64) (bool, error) {
	if r.footer.filter == (blockRef{}) {
		return true, nil
	}
	if r.table == nil {
		if f := r.filter.Load(); f != nil {
			return filter.MayContain(*f, hash), nil
		}
	} else if b := r.table.Get(r.filterSlot()); b != nil {
		return filter.MayContain(b[:len(b)-r.layout.trailerBytes], hash), nil
	}
	return r.loadAndAsk(hash), nil
}

// loadAndAsk loads the filter and asks it. Where the cache has no room
// the filter is not worth reading: it is far larger than the block it would
// save. One that is damaged is not tried again.
func (r *Reader) loadAndAsk(hash uint64) bool {
	if r.filterBroken.Load() {
		return true
	}
	ref := r.footer.filter
	f := r.allocate(ref.rawBytes)
	if r.table != nil && !f.cached {
		f.release()
		return true
	}
	err := r.fill(f.memory, kindFilter, ref, nil)
	if err == nil {
		err = filter.Check(f.payload())
	}
	if err != nil {
		f.release()
		_, failed := err.(*readError)
		r.filterBroken.Store(!failed)
		return true
	}
	may := filter.MayContain(f.payload(), hash)
	if f.cached {
		r.table.Publish(r.filterSlot(), f.handle).Release()
	} else {
		payload := f.payload()
		r.filter.Store(&payload)
	}
	return may
}

// Get returns the newest version of key that is not newer than seq; hash is
// base.Hash(key). The filter is not asked, and range deletes are not applied.
// The caller is inside an epoch guard, and value is valid until it leaves.
func (r *Reader) Get(key []byte, hash uint64, seq base.SeqNum) (
	tr base.Trailer, value []byte, found bool, err error) {
	if seq < r.o.SeqBase {
		return 0, nil, false, nil
	}
	seq -= r.o.SeqBase // the index and the blocks know what is stored
	var at place
	found, err = r.locate(&at, key, seq)
	if err != nil || !found {
		return 0, nil, false, err
	}
	data, err := r.data(&at.index, at.partition, at.entry)
	if err != nil {
		return 0, nil, false, err
	}
	// No other block can hold the version: see index.go.
	slot, found, _ := data.Find(key, block.Fingerprint(hash), seq)
	if !found {
		return 0, nil, false, nil
	}
	return data.Trailer(slot) + base.MakeTrailer(r.o.SeqBase, 0), data.Value(slot), true, nil
}

// place is where a data block is to be found: an entry of an index partition.
type place struct {
	index            block.View
	partition, entry int
}

// locate finds the one data block that can hold a version of key that is not newer
// than a stored sequence number. It reads the index and not the block, so that
// whoever wants many can know them all before he reads the first. The view is valid
// until the end of the caller's epoch guard.
func (r *Reader) locate(at *place, key []byte, seq base.SeqNum) (found bool, err error) {
	p, err := r.seekTop(key, seq)
	if err != nil || p == len(r.parts) {
		return false, err
	}
	at.partition = p
	if at.index, err = r.partition(p); err != nil {
		return false, err
	}
	// The last entry of a partition is that of the top index, so there is one.
	at.entry = seekEntry(&at.index, key, seq)
	return true, nil
}

// Before returns how many bytes of the file lie before the data block that can hold key, and which
// share of the data blocks: that is nearer to the share of the records, as blocks shrink differently
// when they are compressed. The caller is inside an epoch guard.
func (r *Reader) Before(key []byte) (sizeBytes int64, share float64, err error) {
	var at place
	found, err := r.locate(&at, key, base.SeqNumMax)
	if err != nil || !found {
		return int64(r.props.SizeBytes), 1, err
	}
	before := r.parts[at.partition].firstBlock + at.entry
	return dataRef(&at.index, at.entry).offset, float64(before) / float64(r.blockCount()), nil
}
