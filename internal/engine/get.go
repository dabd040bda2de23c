package engine

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// AppendGet appends the newest value of key to dst. It allocates only what dst
// lacks.
func (db *DB) AppendGet(dst, key []byte) ([]byte, error) {
	g := db.epochs.Enter()
	if db.closed.Load() { // looked at inside the guard, which Close waits for
		g.Exit()
		return dst, base.ErrClosed
	}
	dst, err := db.appendNewest(dst, key)
	g.Exit()
	return dst, err
}

// appendNewest is AppendGet inside a guard: from the hot-record cache if it has
// the key, or else from the tree, in which case the cache may take it.
func (db *DB) appendNewest(dst, key []byte) ([]byte, error) {
	hash := base.Hash(key)
	var ticket hotcache.Ticket
	if db.hot != nil {
		ticket = db.hot.Ticket(hash) // before the view is chosen
		found, ok := db.hot.Get(dst, key, hash)
		if ok {
			if invariant.Enabled {
				db.checkHit(ticket, key, found[len(dst):], hash)
			}
			return found, nil
		}
	}
	rs, seq := db.view()
	invariant.Yield()
	value, err := db.getAt(rs, key, hash, seq)
	if err != nil {
		return dst, err
	}
	if db.hot != nil {
		invariant.Yield()
		db.hot.Fill(ticket, key, value, hash)
	}
	return append(dst, value...), nil
}

// checkHit compares what the hot-record cache answered with the tree. The
// comparison counts only if no write to the slot began meanwhile.
func (db *DB) checkHit(ticket hotcache.Ticket, key, value []byte, hash uint64) {
	rs, seq := db.view()
	want, err := db.getAt(rs, key, hash, seq)
	if db.hot.Ticket(hash) != ticket || err != nil && err != base.ErrNotFound {
		return
	}
	invariant.Check(err == nil && bytes.Equal(want, value),
		"hot-record cache says %q for %q, the tree %q, %v", value, key, want, err)
}

// GetFunc calls fn with the newest value of key, in place: the value is valid
// only during the call. What fn reads stays alive meanwhile, so fn must not
// wait for anything that waits for memory to be freed.
func (db *DB) GetFunc(key []byte, fn func(value []byte) error) error {
	g := db.epochs.Enter()
	defer g.Exit()
	if db.closed.Load() {
		return base.ErrClosed
	}
	rs, seq := db.view()
	value, err := db.getAt(rs, key, base.Hash(key), seq)
	if err != nil {
		return err
	}
	return fn(value)
}

// getAt finds the value of key as of seq. The caller is in an epoch guard or
// holds a reference on rs; in either case it must be in a guard while it uses
// the value.
// hash is base.Hash(key).
func (db *DB) getAt(rs *readState, key []byte, hash uint64, seq base.SeqNum) ([]byte, error) {
	// A record is hidden by any newer range tombstone, wherever that stands.
	covering := coveringSeq(rs.mem.rangeDeletes(), key, seq)
	for _, m := range rs.imms {
		covering = max(covering, coveringSeq(m.rangeDeletes(), key, seq))
	}
	deletes, err := db.rangeDeletesOf(rs.tree)
	if err != nil {
		return nil, err
	}
	covering = max(covering, coveringSeq(deletes, key, seq))

	if tr, value, ok := rs.mem.table.Get(key, seq); ok {
		return visibleValue(tr, value, covering)
	}
	for _, m := range rs.imms {
		if tr, value, ok := m.get(key, seq); ok {
			return visibleValue(tr, value, covering)
		}
	}
	tr, value, ok, err := db.getFromTree(rs.tree, key, hash, seq)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, base.ErrNotFound
	}
	return visibleValue(tr, value, covering)
}

func coveringSeq(l *rangedel.List, key []byte, seq base.SeqNum) base.SeqNum {
	if l == nil {
		return 0
	}
	return l.Covering(key, seq)
}

func visibleValue(tr base.Trailer, value []byte, covering base.SeqNum) ([]byte, error) {
	if tr.Kind() == base.KindDelete || tr.Seq() < covering {
		return nil, base.ErrNotFound
	}
	return value, nil
}

// getFromTree looks for the newest version of key that seq sees, from the
// newest files to the oldest. The sources above hold newer versions of a key
// than those below, so the first hit is the answer.
func (db *DB) getFromTree(t *tree, key []byte, hash uint64, seq base.SeqNum) (
	tr base.Trailer, value []byte, found bool, err error) {
	for _, tab := range t.levels[0] {
		if bytes.Compare(key, tab.meta.Lo) < 0 || bytes.Compare(key, tab.meta.Hi) >= 0 {
			continue
		}
		if tr, value, found, err = db.getFromTable(tab, key, hash, seq); found || err != nil {
			return tr, value, found, err
		}
	}
	for _, tables := range t.levels[1:] {
		i := firstEndingAfter(tables, key)
		if i == len(tables) || bytes.Compare(key, tables[i].meta.Lo) < 0 {
			continue
		}
		tr, value, found, err = db.getFromTable(tables[i], key, hash, seq)
		if found || err != nil {
			return tr, value, found, err
		}
	}
	return 0, nil, false, nil
}

func (db *DB) getFromTable(tab *table, key []byte, hash uint64, seq base.SeqNum) (
	tr base.Trailer, value []byte, found bool, err error) {
	r := tab.reader.Load()
	if r == nil {
		if r, err = db.openTable(tab); err != nil {
			return 0, nil, false, err
		}
	}
	may, err := r.MayContain(hash)
	if err != nil || !may {
		return 0, nil, false, err
	}
	return r.Get(key, hash, seq)
}

// firstEndingAfter returns the index of the first table whose span ends after
// key, len(tables) if there is none.
func firstEndingAfter(tables []*table, key []byte) int {
	lo, hi := 0, len(tables)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(tables[mid].meta.Hi, key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
