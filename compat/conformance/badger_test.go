package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	real "github.com/dgraph-io/badger/v4"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/compat/badger"
)

// Random programs of Badger's verbs: whatever one engine answers, the other one answers.
func TestBadgerAnswersAlike(t *testing.T) {
	theirs, err := real.Open(real.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	must(t, err)
	defer theirs.Close()
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			must(t, theirs.DropAll())
			runBadger(t, theirs, seed)
		})
	}
}

// badgerPair are the two databases.
type badgerPair struct {
	t      *testing.T
	rng    *rand.Rand
	theirs *real.DB
	ours   *badger.DB
	trace  []string
}

// txnPair is a transaction in both.
type txnPair struct {
	theirs *real.Txn
	ours   *badger.Txn
}

func runBadger(t *testing.T, theirs *real.DB, seed uint64) {
	ours, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLightning(&lightning.Options{MemoryBudget: 8 << 20}))
	must(t, err)
	defer func() { _ = ours.Close() }() // transactions are open where the test has failed
	p := &badgerPair{t: t, rng: rand.New(rand.NewPCG(seed, 2)), theirs: theirs, ours: ours}
	for range 40 {
		p.round()
	}
}

// round runs two transactions side by side, so that they meet each other.
func (p *badgerPair) round() {
	update := p.rng.IntN(4) > 0
	both := [2]txnPair{p.begin(update), p.begin(true)}
	for range p.rng.IntN(30) {
		p.step(both[p.rng.IntN(2)])
	}
	if p.rng.IntN(2) == 0 {
		both[0], both[1] = both[1], both[0]
	}
	for i, txn := range both {
		if p.rng.IntN(4) == 0 {
			p.say("discard %d", i)
			txn.theirs.Discard()
			txn.ours.Discard()
			continue
		}
		p.say("commit %d", i)
		p.sameErr("commit", txn.theirs.Commit(), txn.ours.Commit())
	}
	reader := p.begin(false)
	p.walk(reader, false)
	p.walk(reader, true)
	reader.theirs.Discard()
	reader.ours.Discard()
}

func (p *badgerPair) begin(update bool) txnPair {
	p.say("begin %v", update)
	return txnPair{p.theirs.NewTransaction(update), p.ours.NewTransaction(update)}
}

func (p *badgerPair) say(format string, args ...any) {
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *badgerPair) fail(what string, theirs, ours any) {
	p.t.Helper()
	for _, line := range p.trace {
		p.t.Log(line)
	}
	p.t.Fatalf("%s: Badger says %v, compat/badger %v", what, theirs, ours)
}

func (p *badgerPair) same(what string, theirs, ours any) {
	p.t.Helper()
	if fmt.Sprintf("%q", theirs) != fmt.Sprintf("%q", ours) {
		p.fail(what, theirs, ours)
	}
}

var badgerErrors = []struct{ theirs, ours error }{
	{real.ErrKeyNotFound, badger.ErrKeyNotFound},
	{real.ErrConflict, badger.ErrConflict},
	{real.ErrReadOnlyTxn, badger.ErrReadOnlyTxn},
	{real.ErrEmptyKey, badger.ErrEmptyKey},
}

func (p *badgerPair) sameErr(what string, theirs, ours error) {
	p.t.Helper()
	if theirs == nil && ours == nil {
		return
	}
	for _, c := range badgerErrors {
		if errors.Is(theirs, c.theirs) && errors.Is(ours, c.ours) {
			return
		}
	}
	p.fail(what, theirs, ours)
}

func (p *badgerPair) key() []byte {
	if p.rng.IntN(40) == 0 {
		return nil
	}
	return fmt.Appendf(nil, "%c%d", 'a'+p.rng.IntN(3), p.rng.IntN(8))
}

// step does one thing in a transaction.
func (p *badgerPair) step(txn txnPair) {
	key := p.key()
	switch p.rng.IntN(6) {
	case 0, 1:
		value, meta := fmt.Appendf(nil, "v%d", p.rng.IntN(1000)), byte(p.rng.IntN(256))
		p.say("set %q", key)
		theirs, ours := real.NewEntry(key, value).WithMeta(meta), badger.NewEntry(key, value).WithMeta(meta)
		switch p.rng.IntN(6) {
		case 0:
			theirs.ExpiresAt = uint64(time.Now().Add(time.Hour).Unix())
		case 1:
			theirs.ExpiresAt = 1 // long ago
		}
		ours.ExpiresAt = theirs.ExpiresAt
		p.sameErr("set", txn.theirs.SetEntry(theirs), txn.ours.SetEntry(ours))
	case 2:
		p.say("delete %q", key)
		p.sameErr("delete", txn.theirs.Delete(key), txn.ours.Delete(key))
	default:
		p.say("get %q", key)
		item, err := txn.theirs.Get(key)
		own, ownErr := txn.ours.Get(key)
		p.sameErr("get", err, ownErr)
		if err == nil {
			p.sameItem(item, own)
		}
	}
}

func (p *badgerPair) sameItem(theirs *real.Item, ours *badger.Item) {
	p.t.Helper()
	value, err := theirs.ValueCopy(nil)
	must(p.t, err)
	own, err := ours.ValueCopy(nil)
	must(p.t, err)
	p.same("key", theirs.KeyCopy(nil), ours.KeyCopy(nil))
	p.same("value", value, own)
	p.same("user meta", int(theirs.UserMeta()), int(ours.UserMeta()))
	p.same("expiry", int(theirs.ExpiresAt()), int(ours.ExpiresAt()))
	p.same("whether it has expired", theirs.IsDeletedOrExpired(), ours.IsDeletedOrExpired())
}

// walk walks over all keys, and over those behind some key or with some prefix.
func (p *badgerPair) walk(txn txnPair, reverse bool) {
	values := p.rng.IntN(2) == 0
	theirs := txn.theirs.NewIterator(real.IteratorOptions{Reverse: reverse, PrefetchValues: values, PrefetchSize: 10})
	defer theirs.Close()
	ours := txn.ours.NewIterator(badger.IteratorOptions{Reverse: reverse, PrefetchValues: values})
	defer ours.Close()
	for _, from := range [][]byte{nil, p.key(), []byte("b"), []byte("zz")} {
		p.say("walk from %q, %v", from, reverse)
		theirs.Seek(from)
		ours.Seek(from)
		for theirs.Valid() || ours.Valid() {
			p.same("valid", theirs.Valid(), ours.Valid())
			p.same("with a prefix", theirs.ValidForPrefix([]byte("b")), ours.ValidForPrefix([]byte("b")))
			p.sameItem(theirs.Item(), ours.Item())
			theirs.Next()
			ours.Next()
		}
	}
	must(p.t, ours.Err())
}

// Sequences give out the same numbers, through leases and releases.
func TestBadgerSequencesAlike(t *testing.T) {
	theirs, err := real.Open(real.DefaultOptions("").WithInMemory(true).WithLogger(nil))
	must(t, err)
	defer theirs.Close()
	ours, err := badger.Open(badger.DefaultOptions("").WithInMemory(true))
	must(t, err)
	defer ours.Close()
	rng := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		bandwidth := uint64(1 + rng.IntN(5))
		s, err := theirs.GetSequence([]byte("seq"), bandwidth)
		must(t, err)
		own, err := ours.GetSequence([]byte("seq"), bandwidth)
		must(t, err)
		for range rng.IntN(10) {
			n, err := s.Next()
			must(t, err)
			ownN, err := own.Next()
			must(t, err)
			if n != ownN {
				t.Fatalf("Badger says %d, compat/badger %d", n, ownN)
			}
		}
		if rng.IntN(2) == 0 {
			must(t, s.Release())
			must(t, own.Release())
		}
	}
}
