package writer

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/memtable"
)

// upcoming reads the records of a group some ahead of their turn and asks the processor
// for the memory that they need: the place in the memtable and the line of the hot-record
// cache are far away, and each would be waited for by itself. The first ones are read
// before the log is written, which gives them time. It belongs to the leader of the
// commits.
type upcoming struct {
	payloads [][]byte // that were not begun
	reader   batch.Reader
	err      error // of the reader, behind the records
	records  [memtable.ExpectMax]record
	keys     [memtable.ExpectMax][]byte
	count    int // of the records that are read
	taken    int // of those
	most     int // that count was in this group
}

// record is one of a batch; the slices alias that.
type record struct {
	kind       base.Kind
	key, value []byte
	hash       uint64 // of the key
}

// begin begins with a group.
func (u *upcoming) begin(payloads [][]byte, mem *memtable.Table, hot *hotcache.Cache) {
	u.payloads, u.reader = payloads, batch.Reader{}
	u.readOn(mem, hot)
}

// beginOne begins with a group of one record, which need not be read.
func (u *upcoming) beginOne(kind base.Kind, key, value []byte, mem *memtable.Table, hot *hotcache.Cache) {
	u.payloads, u.reader, u.err = nil, batch.Reader{}, nil
	u.count, u.taken, u.most, u.keys[0] = 1, 0, max(u.most, 1), key
	u.records[0] = record{kind, key, value, base.Hash(key)}
	if hot != nil {
		hot.Expect(u.records[0].hash)
	}
	mem.Expect(u.keys[:1])
}

// next returns the next record, nil at the end. It is valid until the next call.
func (u *upcoming) next(mem *memtable.Table, hot *hotcache.Cache) (*record, error) {
	if u.taken == u.count && u.err == nil && u.isMore() {
		u.readOn(mem, hot)
	}
	if u.taken == u.count {
		return nil, u.err
	}
	u.taken++
	return &u.records[u.taken-1], nil
}

// isMore reports whether something was not read yet.
func (u *upcoming) isMore() bool {
	return len(u.payloads) > 0 || u.reader.Left() > 0 || len(u.reader.Rest()) > 0
}

// readOn reads as many records as there is room for.
func (u *upcoming) readOn(mem *memtable.Table, hot *hotcache.Cache) {
	u.count, u.taken = 0, 0
	for u.count < len(u.records) && u.read() {
		r := &u.records[u.count]
		r.kind, r.key, r.value = u.reader.Kind, u.reader.Key, u.reader.Value
		r.hash = base.Hash(r.key)
		if hot != nil {
			hot.Expect(r.hash)
		}
		u.keys[u.count] = r.key
		u.count++
	}
	u.most = max(u.most, u.count)
	mem.Expect(u.keys[:u.count])
}

// read moves the reader to the next record. It returns false at the end, and where that
// cannot be read.
func (u *upcoming) read() bool {
	for {
		var ok bool
		if ok, u.err = u.reader.Next(); ok || u.err != nil {
			return ok
		}
		if len(u.payloads) == 0 {
			return false
		}
		u.reader, u.payloads = batch.NewReader(u.payloads[0]), u.payloads[1:]
	}
}

// end lets go of the group.
func (u *upcoming) end() {
	for i := range u.most { // few: each is cheaper than a call to clear them
		u.records[i], u.keys[i] = record{}, nil
	}
	u.payloads, u.reader, u.err, u.count, u.taken, u.most = nil, batch.Reader{}, nil, 0, 0, 0
}
