package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/compat/bolt"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Random programs of bbolt's verbs: whatever one engine answers, the other one answers.
func TestBoltAnswersAlike(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runBolt(t, seed) })
	}
}

// boltPair are the two databases, and the transaction that is open in both.
type boltPair struct {
	t      *testing.T
	rng    *rand.Rand
	theirs *bbolt.DB
	ours   *bolt.DB
	tx     *bbolt.Tx
	own    *bolt.Tx
	trace  []string
}

func runBolt(t *testing.T, seed uint64) {
	theirs, err := bbolt.Open(filepath.Join(t.TempDir(), "bolt"), 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	defer theirs.Close()
	ours, err := bolt.Open("db", &bolt.Options{NoSync: true, Lightning: &lightning.Options{FS: memfs.New(), MemoryBudget: 8 << 20}})
	must(t, err)
	defer ours.Close()
	p := &boltPair{t: t, rng: rand.New(rand.NewPCG(seed, 1)), theirs: theirs, ours: ours}
	for range 25 {
		p.transaction()
	}
}

// transaction runs one, of either kind, and ends it in either way.
func (p *boltPair) transaction() {
	writable := p.rng.IntN(4) > 0
	var err error
	p.tx, err = p.theirs.Begin(writable)
	must(p.t, err)
	p.own, err = p.ours.Begin(writable)
	must(p.t, err)
	p.say("begin %v", writable)
	for range p.rng.IntN(40) {
		theirs, ours := p.bucket()
		p.same("a bucket", theirs == nil, ours == nil)
		p.step(theirs, ours)
	}
	p.compare(p.tx.Cursor(), p.own.Cursor())
	if writable && p.rng.IntN(3) > 0 {
		p.sameErr("commit", p.tx.Commit(), p.own.Commit())
		return
	}
	p.sameErr("rollback", p.tx.Rollback(), p.own.Rollback())
	p.sameErr("again", p.tx.Rollback(), p.own.Rollback())
}

func (p *boltPair) say(format string, args ...any) {
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *boltPair) fail(what string, theirs, ours any) {
	p.t.Helper()
	for _, line := range p.trace {
		p.t.Log(line)
	}
	_, _ = p.tx.Rollback(), p.own.Rollback() // or they could not be closed
	p.t.Fatalf("%s: bbolt says %v, compat/bolt %v", what, theirs, ours)
}

func (p *boltPair) same(what string, theirs, ours any) {
	p.t.Helper()
	if fmt.Sprintf("%q", theirs) != fmt.Sprintf("%q", ours) || fmt.Sprintf("%#v", theirs) != fmt.Sprintf("%#v", ours) {
		p.fail(what, fmt.Sprintf("%#v", theirs), fmt.Sprintf("%#v", ours))
	}
}

// alike are the errors of both, pair by pair.
var alike = []struct{ theirs, ours error }{
	{berrors.ErrTxNotWritable, bolt.ErrTxNotWritable},
	{berrors.ErrTxClosed, bolt.ErrTxClosed},
	{berrors.ErrBucketNotFound, bolt.ErrBucketNotFound},
	{berrors.ErrBucketExists, bolt.ErrBucketExists},
	{berrors.ErrBucketNameRequired, bolt.ErrBucketNameRequired},
	{berrors.ErrKeyRequired, bolt.ErrKeyRequired},
	{berrors.ErrKeyTooLarge, bolt.ErrKeyTooLarge},
	{berrors.ErrIncompatibleValue, bolt.ErrIncompatibleValue},
	{berrors.ErrSameBuckets, bolt.ErrSameBuckets},
}

func (p *boltPair) sameErr(what string, theirs, ours error) {
	p.t.Helper()
	if theirs == nil && ours == nil {
		return
	}
	for _, c := range alike {
		if errors.Is(theirs, c.theirs) && errors.Is(ours, c.ours) {
			return
		}
	}
	p.fail(what, theirs, ours)
}

// key returns one of few keys, so that programs meet what they did before.
func (p *boltPair) key() []byte {
	if p.rng.IntN(30) == 0 {
		return []byte{}
	}
	return fmt.Appendf(nil, "k%d", p.rng.IntN(12))
}

// bucket returns a bucket that both have, up to three deep, or nil.
func (p *boltPair) bucket() (*bbolt.Bucket, *bolt.Bucket) {
	name := p.key()
	theirs, ours := p.tx.Bucket(name), p.own.Bucket(name)
	for depth := 0; theirs != nil && ours != nil && depth < 2 && p.rng.IntN(2) == 0; depth++ {
		name = p.key()
		deeper, ownDeeper := theirs.Bucket(name), ours.Bucket(name)
		p.same("a bucket within", deeper == nil, ownDeeper == nil)
		if deeper == nil {
			break
		}
		theirs, ours = deeper, ownDeeper
	}
	return theirs, ours
}

// step does one thing in a bucket or, where there is none, in the root.
func (p *boltPair) step(theirs *bbolt.Bucket, ours *bolt.Bucket) {
	key := p.key()
	if theirs == nil {
		p.say("create %q in the root", key)
		_, err := p.tx.CreateBucket(key)
		_, ownErr := p.own.CreateBucket(key)
		p.sameErr("create", err, ownErr)
		return
	}
	switch p.rng.IntN(16) {
	case 0:
		p.say("create %q", key)
		_, err := theirs.CreateBucket(key)
		_, ownErr := ours.CreateBucket(key)
		p.sameErr("create", err, ownErr)
	case 1:
		p.say("create %q if there is none", key)
		_, err := theirs.CreateBucketIfNotExists(key)
		_, ownErr := ours.CreateBucketIfNotExists(key)
		p.sameErr("create if there is none", err, ownErr)
	case 2:
		if len(key) == 0 {
			return // which an empty bucket takes for a value
		}
		p.say("delete bucket %q", key)
		p.sameErr("delete a bucket", theirs.DeleteBucket(key), ours.DeleteBucket(key))
	case 3:
		p.say("delete bucket %q of the root", key)
		p.sameErr("delete a bucket of the root", p.tx.DeleteBucket(key), p.own.DeleteBucket(key))
	case 4, 5, 6, 7:
		value := make([]byte, p.rng.IntN(40))
		p.say("put %q", key)
		p.sameErr("put", theirs.Put(key, value), ours.Put(key, value))
	case 8:
		p.say("delete %q", key)
		p.sameErr("delete", theirs.Delete(key), ours.Delete(key))
	case 9:
		p.say("get %q", key)
		p.same("get", theirs.Get(key), ours.Get(key))
	case 10:
		p.say("sequence")
		n, err := theirs.NextSequence()
		own, ownErr := ours.NextSequence()
		p.sameErr("sequence", err, ownErr)
		p.same("the sequence", []uint64{n, theirs.Sequence()}, []uint64{own, ours.Sequence()})
	case 11:
		if p.tx.Writable() {
			return // bbolt counts what is on its pages
		}
		s, own := theirs.Stats(), ours.Stats()
		p.same("buckets", s.BucketN, own.BucketN)
		p.same("keys", s.KeyN, own.KeyN)
	case 12:
		if len(key) == 0 {
			return
		}
		p.say("move %q to the root", key)
		p.sameErr("move", p.tx.MoveBucket(key, theirs, nil), p.own.MoveBucket(key, ours, nil))
	case 13:
		n := p.rng.Uint64N(100)
		p.say("set the sequence to %d", n)
		p.sameErr("set the sequence", theirs.SetSequence(n), ours.SetSequence(n))
	case 14:
		p.say("for each bucket")
		var names, own []string
		p.sameErr("for each bucket", theirs.ForEachBucket(func(k []byte) error { names = append(names, string(k)); return nil }),
			ours.ForEachBucket(func(k []byte) error { own = append(own, string(k)); return nil }))
		p.same("names", names, own)
	default:
		p.walk(theirs.Cursor(), ours.Cursor())
	}
}

// walk moves cursors at random.
func (p *boltPair) walk(theirs *bbolt.Cursor, ours *bolt.Cursor) {
	positioned := false
	for range 1 + p.rng.IntN(10) {
		var k, v, ok, ov []byte
		move := p.rng.IntN(5)
		if !positioned {
			move = p.rng.IntN(3)
		}
		switch move {
		case 0:
			p.say("first")
			k, v = theirs.First()
			ok, ov = ours.First()
		case 1:
			p.say("last")
			k, v = theirs.Last()
			ok, ov = ours.Last()
		case 2:
			to := p.key()
			p.say("seek %q", to)
			k, v = theirs.Seek(to)
			ok, ov = ours.Seek(to)
		case 3:
			p.say("next")
			k, v = theirs.Next()
			ok, ov = ours.Next()
		case 4:
			p.say("prev")
			k, v = theirs.Prev()
			ok, ov = ours.Prev()
		}
		p.same("key of the cursor", k, ok)
		p.same("value of the cursor", v, ov)
		positioned = k != nil
	}
}

// compare walks over all that there is.
func (p *boltPair) compare(theirs *bbolt.Cursor, ours *bolt.Cursor) {
	p.t.Helper()
	k, v := theirs.First()
	ok, ov := ours.First()
	for k != nil || ok != nil {
		p.same("key", k, ok)
		p.same("value", v, ov)
		if v == nil {
			within, own := theirs.Bucket().Bucket(k), ours.Bucket().Bucket(ok)
			p.same("sequence", within.Sequence(), own.Sequence())
			p.compare(within.Cursor(), own.Cursor())
		}
		k, v = theirs.Next()
		ok, ov = ours.Next()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
