package engine

import (
	"bytes"
	"errors"

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
	value, expiry, err := db.getAt(rs, key, hash, seq, 0)
	if expiry != 0 {
		return db.appendExpiring(dst, key, value, expiry)
	}
	if err != nil {
		return dst, err
	}
	if db.hot != nil {
		invariant.Yield()
		db.hot.Fill(ticket, key, value, hash)
	}
	return append(dst, value...), nil
}

// appendExpiring goes on with a value that expires, which the hot-record cache
// never takes. If it had not expired after it was found, it had not when the
// view was chosen. If it has, it may have been replaced in time meanwhile: the
// view must be one that was chosen when the time was known.
func (db *DB) appendExpiring(dst, key, value []byte, expiry base.Instant) ([]byte, error) {
	if expiry > db.timeline.now() {
		return append(dst, value...), nil
	}
	value, _, err := db.getNow(key)
	if err != nil {
		return dst, err
	}
	return append(dst, value...), nil
}

// getNow returns the newest value of key and when it expires, from the tree. The
// caller is in an epoch guard.
func (db *DB) getNow(key []byte) (value []byte, expiry base.Instant, err error) {
	at := db.timeline.moment()
	rs, seq := db.view()
	return db.getAt(rs, key, base.Hash(key), seq, at)
}

// checkHit compares what the hot-record cache answered with the tree. The
// comparison counts only if no write to the slot began meanwhile.
func (db *DB) checkHit(ticket hotcache.Ticket, key, value []byte, hash uint64) {
	rs, seq := db.view()
	want, _, err := db.getAt(rs, key, hash, seq, 0)
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
	value, _, err := db.getNow(key)
	if err != nil {
		return err
	}
	return fn(value)
}

// Expiry returns when key expires, 0 if never; or base.ErrNotFound.
func (db *DB) Expiry(key []byte) (base.Instant, error) {
	g := db.epochs.Enter()
	defer g.Exit()
	if db.closed.Load() {
		return 0, base.ErrClosed
	}
	_, expiry, err := db.getNow(key)
	return expiry, err
}

// getAt finds the value of key as of seq, at a moment, and when it expires: 0 if
// never. The caller is in an epoch guard or holds a reference on rs; in either
// case it must be in a guard while it uses the value.
// hash is base.Hash(key).
func (db *DB) getAt(rs *readState, key []byte, hash uint64, seq base.SeqNum, at base.Instant) (
	value []byte, expiry base.Instant, err error) {
	// A record is hidden by any newer range tombstone, wherever that stands.
	covering := coveringSeq(rs.mem.rangeDeletes(), key, seq)
	for _, m := range rs.imms {
		covering = max(covering, coveringSeq(m.rangeDeletes(), key, seq))
	}
	deletes, err := db.rangeDeletesOf(rs.tree)
	if err != nil {
		return nil, 0, err
	}
	covering = max(covering, coveringSeq(deletes, key, seq))

	tr, value, found, err := db.newestVersion(rs, key, hash, seq)
	switch {
	case err != nil:
		return nil, 0, err
	case !found || hidden(tr, covering):
		return nil, 0, base.ErrNotFound
	case tr.Kind() == base.KindSet:
		return value, 0, nil
	case tr.Kind() == base.KindSetExpiring:
		return db.unexpired(value, at)
	}
	value, err = db.fold(rs, key, hash, tr, value, covering, at)
	return value, 0, err
}

// newestVersion finds the newest version of key that seq sees. The sources above
// hold newer versions of a key than those below, so the first hit is the answer.
func (db *DB) newestVersion(rs *readState, key []byte, hash uint64, seq base.SeqNum) (
	tr base.Trailer, value []byte, found bool, err error) {
	if tr, value, found = rs.mem.table.Get(key, seq); found {
		return tr, value, true, nil
	}
	for _, m := range rs.imms {
		if tr, value, found = m.get(key, seq); found {
			return tr, value, true, nil
		}
	}
	return db.getFromTree(rs.tree, key, hash, seq)
}

// unexpired returns the value in a stored one, and when it expires, unless it
// has at a moment.
func (db *DB) unexpired(stored []byte, at base.Instant) ([]byte, base.Instant, error) {
	expiry, value, ok := base.SplitExpiry(stored)
	if !ok {
		return nil, 0, damagedRecord("expiring record")
	}
	if expiry <= at {
		db.timeline.Observe(expiry)
		db.saveMarkLater()
		return nil, 0, base.ErrNotFound
	}
	return value, expiry, nil
}

// fold returns what the operand, the newest version of a key, and the older ones
// make together.
func (db *DB) fold(rs *readState, key []byte, hash uint64, tr base.Trailer, value []byte,
	covering base.SeqNum, at base.Instant) ([]byte, error) {
	var operands [][]byte
	var under []byte
	for found := true; found && !hidden(tr, covering); {
		if tr.Kind() != base.KindMerge {
			under = value
			if tr.Kind() == base.KindSetExpiring {
				var err error
				if under, _, err = db.unexpired(value, at); err != nil && err != base.ErrNotFound {
					return nil, err
				}
			}
			break
		}
		oldest, operand, ok := base.SplitOperand(tr.Seq(), value)
		if !ok {
			return nil, damagedRecord("merge operand")
		}
		operands = append(operands, operand)
		if oldest == 0 {
			break
		}
		var err error
		if tr, value, found, err = db.newestVersion(rs, key, hash, oldest-1); err != nil {
			return nil, err
		}
	}
	return db.MergeOperator(key).Fold(nil, key, under, operands)
}

// damagedRecord says that what comes before the value of a record is not what it
// should be.
func damagedRecord(kind string) error {
	return &base.CorruptionError{Offset: -1, Kind: kind, Err: errors.New("malformed value")}
}

func coveringSeq(l *rangedel.List, key []byte, seq base.SeqNum) base.SeqNum {
	if l == nil {
		return 0
	}
	return l.Covering(key, seq)
}

// hidden reports whether a version stands for no value: it is a delete, or older
// than a range tombstone.
func hidden(tr base.Trailer, covering base.SeqNum) bool {
	return tr.Kind() == base.KindDelete || tr.Seq() < covering
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
