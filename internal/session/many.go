package session

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/txn"
)

// manyGet is a get of many keys at once in a transaction. The keys that its own writes do
// not answer are looked up in the snapshot together; the others come in between, so that all
// come in their order. Nobody is in the transaction while fn runs, which may use it: of what
// it writes there, keys whose turn is still to come show it.
type manyGet struct {
	tx   *Tx
	in   *Keyspace
	keys [][]byte
	fn   func(i int, value []byte, err error) error

	own    []int // the keys that own writes answer, in the order of their bytes
	under  []int // those that the snapshot is asked for
	buf    []byte
	expiry base.Instant // of the value that the snapshot gives at the moment
	left   bool         // whether fn has the transaction
}

// MultiGet calls fn for each key, all of keyspace k, with its index and its value, or
// base.ErrNotFound or another error, in the order of the keys. The value is valid until fn
// returns. It stops at the first error of fn and returns it.
func MultiGet(tx *Tx, k *Keyspace, keys [][]byte, fn func(i int, value []byte, err error) error) error {
	if err := enter(tx); err != nil {
		return err
	}
	m := manyGet{tx: tx, in: k, keys: keys, fn: fn}
	defer func() {
		if !m.left {
			tx.inUse.Leave()
		}
	}()
	if err := tx.Usable(); err != nil {
		return err
	}
	tx.use(k)
	if err := m.split(); err != nil {
		return err
	}
	asked := make([][]byte, len(m.under))
	for n, i := range m.under {
		asked[n] = keys[i]
	}
	err := tx.snap.MultiGetExpiry(asked, &m.expiry, func(n int, value []byte, err error) error {
		i := m.under[n]
		if err := m.ownBefore(keys[i]); err != nil {
			return err
		}
		value, err = m.over(keys[i], value, err)
		return m.call(i, value, err)
	})
	if err != nil {
		return err
	}
	return m.ownBefore(nil)
}

// split finds out which keys the own writes answer.
func (m *manyGet) split() error {
	if m.tx.changes == nil {
		m.under = make([]int, len(m.keys))
		for i := range m.under {
			m.under[i] = i
		}
		return nil
	}
	for i, key := range m.keys {
		_, outcome, err := m.tx.own.writes.Get(key)
		if err != nil {
			return err
		}
		if outcome == txn.Untouched || outcome == txn.Merged {
			m.under = append(m.under, i)
		} else {
			m.own = append(m.own, i)
		}
	}
	slices.SortFunc(m.own, func(a, b int) int {
		return cmp.Or(bytes.Compare(m.keys[a], m.keys[b]), a-b)
	})
	return nil
}

// ownBefore calls fn for the keys that own writes answer and that come before a key; nil:
// for all.
func (m *manyGet) ownBefore(key []byte) error {
	for len(m.own) > 0 && (key == nil || bytes.Compare(m.keys[m.own[0]], key) < 0) {
		i := m.own[0]
		m.own = m.own[1:]
		value, err := m.tx.get(m.buf[:0], m.in, m.keys[i])
		m.buf = value
		if err != nil {
			value = nil
		}
		if err := m.call(i, value, err); err != nil {
			return err
		}
	}
	return nil
}

// over returns the value of a key which the snapshot says is value, or err, and notes that
// it was read.
func (m *manyGet) over(key, value []byte, err error) ([]byte, error) {
	tx := m.tx
	if tx.changes != nil {
		own, outcome, ownErr := tx.own.writes.Get(key)
		switch {
		case ownErr != nil:
			return nil, ownErr
		case outcome == txn.Present: // fn has written it
			return own, nil
		case outcome == txn.Deleted:
			return nil, base.ErrNotFound
		case outcome == txn.Merged:
			m.buf, err = tx.appendMerged(m.buf[:0], key)
			return m.buf, err
		}
	}
	tx.hasRead = true
	if reads := tx.tracked(); reads != nil {
		reads.AddPoint(key)
		if m.expiry != 0 {
			reads.AddExpiry(key, m.expiry)
		}
	}
	return value, err
}

// call lets fn have the transaction.
func (m *manyGet) call(i int, value []byte, err error) error {
	m.tx.inUse.Leave()
	m.left = true
	if err := m.fn(i, value, err); err != nil {
		return err
	}
	if err := enter(m.tx); err != nil {
		return err
	}
	m.left = false
	return m.tx.Usable()
}

// Expiry returns when a key of keyspace k expires, 0 if never; or base.ErrNotFound.
func Expiry(tx *Tx, k *Keyspace, key []byte) (base.Instant, error) {
	if err := enter(tx); err != nil {
		return 0, err
	}
	defer tx.inUse.Leave()
	if err := tx.Usable(); err != nil {
		return 0, err
	}
	tx.use(k)
	if tx.changes != nil {
		expiry, outcome, err := tx.own.writes.Expiry(key)
		switch {
		case err != nil:
			return 0, err
		case outcome == txn.Deleted:
			return 0, base.ErrNotFound
		case outcome != txn.Untouched:
			return expiry, nil // of a key with operands: never
		}
	}
	tx.hasRead = true
	reads := tx.tracked()
	if reads != nil {
		reads.AddPoint(key)
	}
	expiry, err := tx.snap.Expiry(key)
	if expiry != 0 && reads != nil {
		reads.AddExpiry(key, expiry)
	}
	return expiry, err
}
