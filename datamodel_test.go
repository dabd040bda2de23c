package lightning_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// These tests drive expiring keys and merge operators through every way in and
// out of the database, beside a model that is a map. They run in bubbles of
// testing/synctest, so that the model knows the time to the nanosecond.

// modelValue is a value of the model; until is zero where it does not expire.
type modelValue struct {
	value string
	until time.Time
}

type modelRows map[string]modelValue

// at returns the rows that one who looks at a moment sees.
func (m modelRows) at(moment time.Time) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		if v.until.IsZero() || v.until.After(moment) {
			out[k] = v.value
		}
	}
	return out
}

// The keyspaces of the tests. The operator of "list" cannot combine operands.
const (
	spacePlain = "" // the default one
	spaceShort = "short"
	spaceSum   = "sum"
	spaceText  = "text"
	spaceList  = "list"

	shortTTL = 7 * time.Second
)

var modelSpaces = []string{spacePlain, spaceShort, spaceSum, spaceText, spaceList}

func modelOptions(disk *memfs.FS) *lightning.Options {
	o := small(disk)
	o.LogArchive.SizeBytes = 1 << 30
	o.MergeOperators = []lightning.MergeOperator{{
		Name: "list",
		Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			if value == nil {
				value = []byte("nil")
			}
			dst = append(dst, value...)
			for _, op := range operands {
				dst = append(append(dst, ','), op...)
			}
			return dst, nil
		},
	}}
	return o
}

// mergeModel is what the operators do, written once more.
func mergeModel(space, value string, exists bool, operand string) string {
	switch space {
	case spaceSum:
		var sum uint64
		if exists {
			sum = binary.LittleEndian.Uint64([]byte(value))
		}
		sum += binary.LittleEndian.Uint64([]byte(operand))
		return string(binary.LittleEndian.AppendUint64(nil, sum))
	case spaceText:
		return value + operand
	}
	if !exists {
		value = "nil"
	}
	return value + "," + operand
}

// dataWorld is a database and its model.
type dataWorld struct {
	t      *testing.T
	rng    *rand.Rand
	disk   *memfs.FS
	db     *lightning.DB
	spaces map[string]*lightning.Keyspace
	model  map[string]modelRows
	views  []*dataView
	// spillBytes is when the writes of a transaction go to files.
	spillBytes int64
}

// dataView is a snapshot and what it must show.
type dataView struct {
	snap *lightning.Snapshot
	rows map[string]map[string]string
}

func (w *dataWorld) open() {
	w.t.Helper()
	w.db, w.spaces = openDataModel(w.t, w.disk)
	lightning.SpillAt(w.db, w.spillBytes)
}

func openDataModel(t *testing.T, disk *memfs.FS) (*lightning.DB, map[string]*lightning.Keyspace) {
	t.Helper()
	db, err := lightning.Open("db", modelOptions(disk))
	must(t, err)
	spaces := map[string]*lightning.Keyspace{}
	for name, o := range map[string]*lightning.KeyspaceOptions{
		spaceShort: {TTL: shortTTL},
		spaceSum:   {Merge: lightning.MergeAddInt64},
		spaceText:  {Merge: lightning.MergeAppend},
		spaceList:  {Merge: "list"},
	} {
		spaces[name], err = db.Keyspace(context.Background(), name, o)
		must(t, err)
	}
	return db, spaces
}

func (w *dataWorld) key() []byte { return fmt.Appendf(nil, "k%02d", w.rng.IntN(12)) }

func (w *dataWorld) value(space string) []byte {
	if space == spaceSum {
		return binary.LittleEndian.AppendUint64(nil, uint64(w.rng.IntN(100)))
	}
	return fmt.Appendf(nil, "%c%d", 'a'+w.rng.IntN(26), w.rng.IntN(100))
}

// modelWriter is what a batch, a transaction and the database have in common.
type modelWriter interface {
	Put(key, value []byte) error
	PutWithTTL(key, value []byte, ttl time.Duration) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
}

type merger interface {
	Merge(key, operand []byte) error
}

// write does one random write, to both.
func (w *dataWorld) write(space string, to modelWriter, model modelRows) {
	w.t.Helper()
	key := w.key()
	now := time.Now()
	m, merges := to.(merger)
	merges = merges && space != spacePlain && space != spaceShort
	switch n := w.rng.IntN(10); {
	case merges && n < 6:
		operand := w.value(space)
		must(w.t, m.Merge(key, operand))
		old, exists := model.at(now)[string(key)]
		model[string(key)] = modelValue{value: mergeModel(space, old, exists, string(operand))}
	case !merges && n < 4:
		ttl := []time.Duration{1, time.Second, 10 * time.Second, time.Hour, lightning.Forever}[w.rng.IntN(5)]
		value := w.value(space)
		must(w.t, to.PutWithTTL(key, value, ttl))
		v := modelValue{value: string(value)}
		if ttl != lightning.Forever {
			v.until = now.Add(ttl)
		}
		model[string(key)] = v
	case n < 8:
		value := w.value(space)
		must(w.t, to.Put(key, value))
		v := modelValue{value: string(value)}
		if space == spaceShort {
			v.until = now.Add(shortTTL)
		}
		model[string(key)] = v
	case n < 9:
		must(w.t, to.Delete(key))
		delete(model, string(key))
	default:
		lo, hi := w.key(), w.key()
		if bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		must(w.t, to.DeleteRange(lo, hi))
		maps.DeleteFunc(model, func(k string, _ modelValue) bool { return k >= string(lo) && k < string(hi) })
	}
}

// single is the database or a keyspace of it.
func (w *dataWorld) single(space string) modelWriter {
	if space == spacePlain {
		return w.db
	}
	return w.spaces[space]
}

func (w *dataWorld) batch() {
	b := w.db.NewBatch()
	for range 1 + w.rng.IntN(6) {
		space := modelSpaces[w.rng.IntN(len(modelSpaces))]
		to := b
		if space != spacePlain {
			to = b.In(w.spaces[space])
		}
		w.write(space, to, w.model[space])
	}
	must(w.t, b.Commit())
}

// transaction writes and reads in a transaction, and commits it or not.
func (w *dataWorld) transaction() {
	tx, err := w.db.Begin(lightning.TxOptions{})
	must(w.t, err)
	defer tx.Rollback()
	model := map[string]modelRows{}
	for name, rows := range w.model {
		model[name] = maps.Clone(rows)
	}
	for range w.rng.IntN(12) {
		space := modelSpaces[w.rng.IntN(len(modelSpaces))]
		in := tx
		if space != spacePlain {
			in = tx.In(w.spaces[space])
		}
		switch w.rng.IntN(4) {
		case 0:
			w.look("transaction", in, model[space].at(time.Now()))
		case 1:
			before, rows := in.Savepoint(), maps.Clone(model[space])
			w.write(space, in, model[space])
			if w.rng.IntN(2) == 0 {
				must(w.t, in.RollbackTo(before))
				model[space] = rows
			}
		default:
			w.write(space, in, model[space])
		}
	}
	if w.rng.IntN(3) > 0 {
		must(w.t, tx.Commit())
		w.model = model
	}
}

// viewer is all that can be read from.
type viewer interface {
	Get(key []byte) ([]byte, error)
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
}

// look compares gets and a walk with what must be there.
func (w *dataWorld) look(what string, from viewer, want map[string]string) {
	w.t.Helper()
	for range 4 {
		key := w.key()
		value, err := from.Get(key)
		expected, exists := want[string(key)]
		if exists && (err != nil || string(value) != expected) || !exists && !errors.Is(err, lightning.ErrNotFound) {
			w.t.Fatalf("%s: get %s = %q, %v; want %q, %v", what, key, value, err, expected, exists)
		}
	}
	it, err := from.Iterator(lightning.IterOptions{})
	must(w.t, err)
	defer it.Close()
	w.walk(what, it, want)
}

// walk moves an iterator at random, beside a position in the sorted keys.
func (w *dataWorld) walk(what string, it *lightning.Iterator, want map[string]string) {
	w.t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	at := -1
	var trace []string
	for range 25 {
		var ok bool
		key := string(w.key())
		first, _ := slices.BinarySearch(keys, key)
		move := w.rng.IntN(8)
		switch move {
		case 0:
			ok, at = it.First(), 0
		case 1:
			ok, at = it.Last(), len(keys)-1
		case 2:
			ok, at = it.SeekGE([]byte(key)), first
		case 3:
			ok, at = it.SeekLT([]byte(key)), first-1
		case 4, 5:
			ok, at = it.Next(), min(at+1, len(keys))
		default:
			ok, at = it.Prev(), max(at-1, -1)
		}
		trace = append(trace, fmt.Sprintf("%d(%s)", move, key))
		exists := at >= 0 && at < len(keys)
		if ok != exists || it.Err() != nil {
			w.t.Fatalf("%s: walk %v landed %v, want %v: %v", what, trace, ok, exists, it.Err())
		}
		if ok && (string(it.Key()) != keys[at] || string(it.Value()) != want[keys[at]]) {
			w.t.Fatalf("%s: walk %v is at %q = %q, want %q = %q",
				what, trace, it.Key(), it.Value(), keys[at], want[keys[at]])
		}
	}
}

func (w *dataWorld) compare() {
	w.t.Helper()
	now := time.Now()
	for _, space := range modelSpaces {
		from := viewer(w.db)
		if space != spacePlain {
			from = w.spaces[space]
		}
		w.look("keyspace "+space, from, w.model[space].at(now))
	}
	for i, v := range w.views {
		space := modelSpaces[w.rng.IntN(len(modelSpaces))]
		from := v.snap
		if space != spacePlain {
			from = v.snap.In(w.spaces[space])
		}
		w.look(fmt.Sprintf("snapshot %d of %q", i, space), from, v.rows[space])
	}
}

func (w *dataWorld) snapshot() {
	snap, err := w.db.Snapshot()
	must(w.t, err)
	v := &dataView{snap, map[string]map[string]string{}}
	for space, rows := range w.model {
		v.rows[space] = rows.at(time.Now())
	}
	w.views = append(w.views, v)
}

func (w *dataWorld) dropViews(n int) {
	for _, v := range w.views[:n] {
		must(w.t, v.snap.Close())
	}
	w.views = w.views[n:]
}

func (w *dataWorld) step() {
	w.t.Helper()
	switch w.rng.IntN(16) {
	default:
		space := modelSpaces[w.rng.IntN(len(modelSpaces))]
		w.write(space, w.single(space), w.model[space])
	case 0, 1:
		w.batch()
	case 2, 3:
		w.transaction()
	case 4:
		time.Sleep([]time.Duration{1, time.Second, shortTTL, time.Minute}[w.rng.IntN(4)])
	case 5:
		must(w.t, w.db.Flush(w.t.Context()))
	case 6:
		must(w.t, w.db.Compact(w.t.Context(), nil, nil))
	case 7:
		if len(w.views) < 3 {
			w.snapshot()
		} else {
			w.dropViews(1 + w.rng.IntN(3))
		}
	case 8:
		if w.rng.IntN(3) == 0 {
			w.dropViews(len(w.views))
			must(w.t, w.db.Close())
			w.open()
		}
	}
}

// replicate applies the feed of all changes to another database, and compares it
// with the model.
func (w *dataWorld) replicate() {
	w.t.Helper()
	replica := &dataWorld{t: w.t, rng: w.rng, disk: memfs.New(), model: w.model}
	replica.open()
	defer func() { must(w.t, replica.db.Close()) }()
	last := w.db.Metrics().VisibleSeq
	for batch, err := range w.db.Changes(w.t.Context(), 0) {
		must(w.t, err)
		b := replica.db.NewBatch()
		for c := range batch.All() {
			if c.Kind == lightning.ChangeKeyspace {
				_, err := replica.db.Keyspace(context.Background(), c.Keyspace, c.Options) // which is as it was made
				must(w.t, err)
				continue
			}
			to := b
			if c.Keyspace != spacePlain {
				to = b.In(replica.spaces[c.Keyspace])
			}
			must(w.t, apply(c, to))
		}
		must(w.t, errors.Join(batch.Err(), b.Commit()))
		if batch.Last >= last {
			break
		}
	}
	replica.compare()
}

func apply(c lightning.Change, to *lightning.Batch) error {
	switch c.Kind {
	case lightning.ChangePut:
		ttl := lightning.Forever
		if !c.ExpiresAt.IsZero() {
			if ttl = time.Until(c.ExpiresAt); ttl <= 0 {
				return to.Delete(c.Key)
			}
		}
		return to.PutWithTTL(c.Key, c.Value, ttl)
	case lightning.ChangeMerge:
		return to.Merge(c.Key, c.Value)
	case lightning.ChangeDelete:
		return to.Delete(c.Key)
	case lightning.ChangeDeleteRange:
		return to.DeleteRange(c.Key, c.End)
	}
	return fmt.Errorf("change %v", c.Kind)
}

func TestDataModel(t *testing.T) {
	seeds := 120
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			w := &dataWorld{
				t: t, rng: rand.New(rand.NewPCG(uint64(seed), 5)), disk: memfs.New(),
				model: map[string]modelRows{},
			}
			for _, space := range modelSpaces {
				w.model[space] = modelRows{}
			}
			w.spillBytes = []int64{1 << 20, 0, 400, 1000}[seed%4]
			w.open()
			defer func() {
				w.dropViews(len(w.views))
				must(t, w.db.Close())
			}()
			for range 150 {
				w.step()
				w.compare()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			if w.db.Metrics().VisibleSeq > 0 {
				w.replicate()
			}
		})
	}
}

// The records of expired keys go, without anybody asking for it.
func TestExpiredRecordsArePurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t, small(memfs.New()))
		value := bytes.Repeat([]byte("v"), 100)
		for i := range 3000 {
			must(t, db.PutWithTTL(fmt.Appendf(nil, "key%05d", i), value, time.Duration(1+i%60)*time.Minute))
		}
		must(t, db.Flush(t.Context()))
		must(t, db.Compact(t.Context(), nil, nil))
		m := db.Metrics()
		if n := expiring(&m); n != 3000 {
			t.Fatalf("%d expiring records, want 3000", n)
		}
		full := m.DiskBytes()
		time.Sleep(45 * time.Minute)
		synctest.Wait()
		m = db.Metrics()
		if m.DiskBytes() > full/2 || m.Compactions.RecordsExpired < 1500 {
			t.Errorf("after most have expired: %d of %d bytes, %d purged", m.DiskBytes(), full, m.Compactions.RecordsExpired)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		m = db.Metrics()
		if n := expiring(&m); n != 0 || m.DiskBytes() != 0 || m.Compactions.RecordsExpired != 3000 {
			t.Errorf("after all have expired: %d records, %d bytes, %d purged", n, m.DiskBytes(), m.Compactions.RecordsExpired)
		}
	})
}

func wantValue(t testing.TB, from viewer, key, want string) {
	t.Helper()
	if value, err := from.Get([]byte(key)); err != nil || string(value) != want {
		t.Errorf("get %s = %q, %v; want %q", key, value, err, want)
	}
}

func expiring(m *lightning.Metrics) (n uint64) {
	for _, l := range m.Levels {
		n += l.Expiring
	}
	return n
}

// A snapshot keeps what it sees, expired or not; when it is closed it goes.
func TestSnapshotHoldsUpThePurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t, small(memfs.New()))
		must(t, db.PutWithTTL([]byte("k"), []byte("v"), time.Minute))
		must(t, db.Flush(t.Context()))
		snap, err := db.Snapshot()
		must(t, err)
		time.Sleep(time.Hour)
		must(t, db.Compact(t.Context(), nil, nil))
		wantValue(t, snap, "k", "v")
		_, err = db.Get([]byte("k"))
		wantErr(t, err, lightning.ErrNotFound)
		must(t, snap.Close())
		synctest.Wait()
		if m := db.Metrics(); expiring(&m) != 0 || m.DiskBytes() != 0 {
			t.Errorf("%d expiring records in %d bytes", expiring(&m), m.DiskBytes())
		}
	})
}

// What a transaction saw alive, and others by now see expired, is a conflict.
func TestExpiryOfWhatWasReadIsAConflict(t *testing.T) {
	reads := map[string]func(tx *lightning.Tx) error{
		"get": func(tx *lightning.Tx) error {
			_, err := tx.Get([]byte("k"))
			return err
		},
		"iterator": func(tx *lightning.Tx) error {
			it, err := tx.Iterator(lightning.IterOptions{})
			if err != nil {
				return err
			}
			it.First()
			return it.Close()
		},
		"nothing": func(*lightning.Tx) error { return nil },
	}
	for name, read := range reads {
		for _, wait := range []time.Duration{time.Minute - 1, time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				db := open(t, small(memfs.New()))
				must(t, db.PutWithTTL([]byte("k"), []byte("v"), time.Minute))
				tx, err := db.Begin(lightning.TxOptions{})
				must(t, err)
				defer tx.Rollback()
				must(t, read(tx))
				must(t, tx.Put([]byte("other"), nil))
				time.Sleep(wait)
				err = tx.Commit()
				if conflict := errors.Is(err, lightning.ErrConflict); conflict != (name != "nothing" && wait == time.Minute) {
					t.Errorf("%s, %v before the commit: %v", name, wait, err)
				}
			})
		}
	}
}

func TestTTLMisuse(t *testing.T) {
	db := open(t, modelOptions(memfs.New()))
	sums, err := db.Keyspace(context.Background(), "sums", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	must(t, err)
	wantErr(t, db.PutWithTTL([]byte("k"), nil, 0), lightning.ErrTTL)
	wantErr(t, db.PutWithTTL([]byte("k"), nil, -1), lightning.ErrTTL)
	wantErr(t, db.NewBatch().PutWithTTL([]byte("k"), nil, -1), lightning.ErrTTL)
	wantErr(t, sums.PutWithTTL([]byte("k"), nil, time.Minute), lightning.ErrNoExpiry)
	wantErr(t, db.NewBatch().Merge([]byte("k"), nil), lightning.ErrNoMergeOperator)
	if err := sums.Merge([]byte("k"), []byte("short")); !errors.Is(err, lightning.ErrMergeRefused) || !strings.Contains(err.Error(), "8 bytes") {
		t.Errorf("a malformed operand: %v", err)
	}
	_, err = db.Keyspace(context.Background(), "sums", &lightning.KeyspaceOptions{Merge: lightning.MergeMax})
	wantErr(t, err, lightning.ErrKeyspaceDiffers)
	_, err = db.Keyspace(context.Background(), "sums", &lightning.KeyspaceOptions{TTL: time.Minute})
	wantErr(t, err, lightning.ErrKeyspaceDiffers)
	_, err = db.Keyspace(context.Background(), "new", &lightning.KeyspaceOptions{Merge: "unheard of"})
	wantErr(t, err, lightning.ErrUnknownOperator)
	var option *lightning.OptionError
	if _, err = db.Keyspace(context.Background(), "new", &lightning.KeyspaceOptions{Merge: "list", TTL: 1}); !errors.As(err, &option) {
		t.Errorf("merge and TTL: %v", err)
	}
}

// A copy of a record expires when the record does, to the nanosecond.
func TestPutUntil(t *testing.T) {
	db := open(t, modelOptions(memfs.New()))
	short, err := db.Keyspace(context.Background(), "short", &lightning.KeyspaceOptions{TTL: time.Minute})
	must(t, err)
	sums, err := db.Keyspace(context.Background(), "sums", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	must(t, err)
	at := time.Now().Add(time.Hour).Round(0)
	b := short.NewBatch()
	must(t, short.Put([]byte("passed"), nil))
	must(t, b.PutUntil([]byte("later"), nil, at))
	must(t, b.PutUntil([]byte("never"), nil, time.Time{}))
	must(t, b.PutUntil([]byte("passed"), nil, time.Unix(1000, 0)))
	must(t, b.PutUntil([]byte("long passed"), nil, time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)))
	must(t, b.PutUntil([]byte("last"), nil, time.Unix(0, math.MaxInt64)))
	wantErr(t, b.PutUntil([]byte("k"), nil, time.Unix(0, math.MaxInt64).Add(1)), lightning.ErrTTL)
	wantErr(t, b.In(sums).PutUntil([]byte("k"), make([]byte, 8), at), lightning.ErrNoExpiry)
	must(t, b.In(sums).PutUntil([]byte("k"), make([]byte, 8), time.Time{}))
	must(t, b.Commit())
	for key, want := range map[string]time.Time{"later": at, "never": {}, "last": time.Unix(0, math.MaxInt64)} {
		got, err := short.ExpiresAt([]byte(key))
		must(t, err)
		if !got.Equal(want) {
			t.Errorf("%s expires at %v, want %v", key, got, want)
		}
	}
	for _, key := range []string{"passed", "long passed"} {
		_, err := short.Get([]byte(key))
		wantErr(t, err, lightning.ErrNotFound)
	}
}

// A database whose operator is missing says which, and is as it was.
func TestOpenWithoutAnOperator(t *testing.T) {
	disk := memfs.New()
	db, err := lightning.Open("db", modelOptions(disk))
	must(t, err)
	list, err := db.Keyspace(context.Background(), "lists", &lightning.KeyspaceOptions{Merge: "list"})
	must(t, err)
	must(t, list.Merge([]byte("k"), []byte("a")))
	must(t, db.Close())
	_, err = lightning.Open("db", small(disk))
	var unknown *lightning.UnknownOperatorError
	if !errors.As(err, &unknown) || unknown.Operator != "list" || unknown.Keyspace != "lists" {
		t.Fatalf("open: %v", err)
	}
	wantErr(t, err, lightning.ErrUnknownOperator)
	db = open(t, modelOptions(disk))
	list, err = db.Keyspace(context.Background(), "lists", nil)
	must(t, err)
	wantValue(t, list, "k", "nil,a")
}

// An operator that fails is an error for who reads the key, in every state of
// the data, and for nobody else.
func TestFailingOperator(t *testing.T) {
	disk := memfs.New()
	o := small(disk)
	broken := false
	o.MergeOperators = []lightning.MergeOperator{{
		Name: "moody",
		Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			if broken {
				panic("not today")
			}
			return append(append(dst, value...), operands[len(operands)-1]...), nil
		},
	}}
	db := open(t, o)
	k, err := db.Keyspace(context.Background(), "k", &lightning.KeyspaceOptions{Merge: "moody"})
	must(t, err)
	must(t, k.Put([]byte("a"), []byte("1")))
	must(t, k.Put([]byte("b"), []byte("1")))
	broken = true
	must(t, k.Merge([]byte("a"), []byte("2")))
	must(t, k.Merge([]byte("c"), []byte("2")))
	for _, settle := range []func() error{
		func() error { return nil },
		func() error { return db.Flush(t.Context()) },
		func() error { return db.Compact(t.Context(), nil, nil) },
	} {
		must(t, settle())
		for _, key := range []string{"a", "c"} {
			_, err := k.Get([]byte(key))
			var failed *lightning.MergeError
			if !errors.As(err, &failed) || failed.Operator != "moody" || !strings.HasSuffix(string(failed.Key), key) {
				t.Errorf("get %s: %v", key, err)
			}
			wantErr(t, err, lightning.ErrMerge)
		}
		wantValue(t, k, "b", "1")
		it, err := k.Iterator(lightning.IterOptions{})
		must(t, err)
		if it.First() {
			t.Errorf("iterator shows %q", it.Key())
		}
		wantErr(t, it.Close(), lightning.ErrMerge)
	}
	broken = false
	wantValue(t, k, "a", "12")
	must(t, db.Compact(t.Context(), nil, nil))
	wantValue(t, k, "a", "12")
	wantValue(t, k, "c", "2")
}
