package lightning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// stalledRows is how many rows the tests of stalled disks have in the caches.
const stalledRows = 500

// TestStalledDiskStallsNoReader lets each kind of file operation take for ever, in
// turn, under a load that meets it. Gets, transactions that read, snapshots and
// iterators of what is in memory go on meanwhile. A rotation of the log used to
// hold a lock that they take, while it wrote.
func TestStalledDiskStallsNoReader(t *testing.T) {
	met := 0
	for kind := vfs.OpKind(1); kind&vfs.OpAll != 0; kind <<= 1 {
		t.Run(kind.String(), func(t *testing.T) {
			if stallOne(t, kind) {
				met++
			}
		})
	}
	if met < 8 {
		t.Errorf("the load has met %d kinds of operations: the test shows nothing", met)
	}
}

// stallOne stalls one kind; it reports whether the load has met it.
func stallOne(t *testing.T, kind vfs.OpKind) bool {
	disk := faultfs.New(memfs.New())
	opts := Options{FS: disk, MemoryBudget: 8 << 20}
	opts.Tree.MemtableBytes = 64 << 10
	db, err := Open("db", &opts)
	if err != nil {
		t.Fatal(err)
	}
	prepareStall(t, db)
	reached, release := make(chan struct{}, 1), make(chan struct{})
	disk.Add(faultfs.Rule{Kinds: kind, Sticky: true, Before: func(vfs.Op) {
		select {
		case reached <- struct{}{}:
		default:
		}
		<-release
	}})
	loaded := make(chan error, 1)
	go func() { loaded <- loadWhileStalled(db, kind) }()
	met := false
	select {
	case <-reached:
		met = true
	case err := <-loaded:
		loaded <- err
	}
	read := make(chan error, 1)
	go func() { read <- readWhileStalled(db) }()
	select {
	case err := <-read:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a read waits for the disk")
	}
	close(release)
	if err := errors.Join(<-loaded, db.Close()); err != nil {
		t.Error(err)
	}
	return met
}

// prepareStall writes rows and has them in the caches.
func prepareStall(t *testing.T, db *DB) {
	t.Helper()
	for i := range stalledRows {
		if err := db.Put(fmt.Appendf(nil, "a%05d", i), []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(db.Compact(t.Context(), nil, nil), readWhileStalled(db)); err != nil {
		t.Fatal(err)
	}
}

// loadWhileStalled writes, rotates logs, flushes and makes keyspaces, all beside the
// rows that are read.
func loadWhileStalled(db *DB, kind vfs.OpKind) error {
	value := make([]byte, 1000)
	for round := range 6 {
		for i := range 100 {
			d := []Durability{DurabilitySync, DurabilityBuffered, DurabilityAsync}[i%3]
			b := db.NewBatch()
			if err := errors.Join(b.Put(fmt.Appendf(nil, "z%05d", i), value), b.CommitWith(d)); err != nil {
				return err
			}
		}
		_, err := db.Keyspace(context.Background(), fmt.Sprint("k", round), nil)
		if err := errors.Join(err, db.SyncLog(context.Background()), db.Flush(context.Background())); err != nil {
			return fmt.Errorf("stalled %v: %w", kind, err)
		}
	}
	return nil
}

// readWhileStalled reads the rows in every way.
func readWhileStalled(db *DB) error {
	var errs []error
	for i := range stalledRows {
		key := fmt.Appendf(nil, "a%05d", i)
		_, err := db.Get(key)
		errs = append(errs, err, db.GetFunc(key, func([]byte) error { return nil }),
			db.MultiGet([][]byte{key}, func(_ int, _ []byte, err error) error { return err }))
	}
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	_, err = s.Get([]byte("a00001"))
	errs = append(errs, err, s.Close())
	errs = append(errs, db.View(func(tx *Tx) error {
		_, err := tx.Get([]byte("a00002"))
		return err
	}))
	it, err := db.Iterator(IterOptions{Prefix: []byte("a")})
	if err != nil {
		return err
	}
	rows := 0
	for it.Next() {
		rows++
	}
	for it.Prev() {
		rows++
	}
	if errs = append(errs, it.Close()); rows != 2*stalledRows {
		errs = append(errs, fmt.Errorf("%d rows there and back", rows))
	}
	db.Metrics()
	db.Keyspaces()
	return errors.Join(errs...)
}

// stallCommit begins a commit that the disk keeps until release is called; first has its
// outcome then.
func stallCommit(disk *faultfs.FS, db *DB) (first <-chan error, release func()) {
	reached, released := make(chan struct{}), make(chan struct{})
	disk.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Before: func(vfs.Op) {
		close(reached)
		<-released
	}})
	done := make(chan error, 1)
	go func() { done <- db.Put([]byte("first"), nil) }()
	<-reached
	return done, func() { close(released) }
}

// TestCommitContext lets a commit wait behind one that the disk keeps, and gives up.
// What was given up was not written.
func TestCommitContext(t *testing.T) {
	disk := faultfs.New(memfs.New())
	db, err := Open("db", &Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	first, release := stallCommit(disk, db)
	tired := errors.New("waited long enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	given := make(chan error, 1)
	b := db.NewBatch()
	go func() { given <- errors.Join(b.Put([]byte("given up"), nil), b.CommitContext(ctx, DurabilitySync)) }()
	cancel(tired)
	if err := <-given; !errors.Is(err, tired) {
		t.Errorf("given up: %v", err)
	}
	if err := b.CommitContext(ctx, DurabilitySync); !errors.Is(err, tired) {
		t.Errorf("given up before it began: %v", err)
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if has, err := db.Has([]byte("given up")); has || err != nil {
		t.Errorf("what was given up is there: %v, %v", has, err)
	}
	if err := b.CommitContext(t.Context(), DurabilityAsync); err != nil {
		t.Error(err)
	}
	if has, err := db.Has([]byte("given up")); !has || err != nil {
		t.Errorf("what was committed later is not there: %v", err)
	}
	if err := b.CommitContext(nil, DurabilityAsync); !errors.Is(err, ErrNilArgument) {
		t.Errorf("without a context: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestActsEndWithTheirContext lets what else waits behind a commit that the disk keeps
// give up. What was given up was not done.
func TestActsEndWithTheirContext(t *testing.T) {
	disk := faultfs.New(memfs.New())
	db, err := Open("db", &Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Keyspace(t.Context(), "old", &KeyspaceOptions{TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	first, release := stallCommit(disk, db)
	tired := errors.New("waited long enough")
	acts := map[string]func(ctx context.Context) error{
		"Keyspace":           func(ctx context.Context) error { _, err := db.Keyspace(ctx, "new", nil); return err },
		"SetKeyspaceOptions": func(ctx context.Context) error { return db.SetKeyspaceOptions(ctx, "old", KeyspaceOptions{}) },
		"DropKeyspace":       func(ctx context.Context) error { return db.DropKeyspace(ctx, "old") },
		"SyncLog":            db.SyncLog,
		"Flush":              db.Flush,
	}
	for name, act := range acts {
		ctx, cancel := context.WithCancelCause(t.Context())
		given := make(chan error, 1)
		go func() { given <- act(ctx) }()
		cancel(tired)
		if err := <-given; !errors.Is(err, tired) {
			t.Errorf("%s, given up: %v", name, err)
		}
		if err := act(ctx); !errors.Is(err, tired) {
			t.Errorf("%s, given up before it began: %v", name, err)
		}
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if names := db.Keyspaces(); len(names) != 1 || names[0] != "old" {
		t.Errorf("keyspaces %q", names)
	}
	if k, err := db.Keyspace(t.Context(), "old", nil); err != nil || k.Options().TTL != time.Hour {
		t.Errorf("the options were changed: %v", err)
	}
	for name, act := range acts {
		if err := act(nil); !errors.Is(err, ErrNilArgument) {
			t.Errorf("%s without a context: %v", name, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// stallMemory makes a database whose memory is full, while the disk keeps the tables until
// release is called, so that commits of large values wait for room. lists is one of its keyspaces.
func stallMemory(t *testing.T) (db *DB, lists *Keyspace, release func()) {
	t.Helper()
	disk := faultfs.New(memfs.New())
	begun := make(chan struct{}, 1)
	opts := Options{FS: disk, MemoryBudget: 8 << 20, Durability: DurabilityAsync, EventListener: &EventListener{
		StallBegin: func(StallInfo) {
			select {
			case begun <- struct{}{}:
			default:
			}
		},
	}}
	opts.Tree.MemtableBytes = 64 << 10
	db, err := Open("db", &opts)
	if err != nil {
		t.Fatal(err)
	}
	if lists, err = db.Keyspace(t.Context(), "lists", &KeyspaceOptions{Merge: MergeAppend}); err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	disk.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Before: func(vfs.Op) { <-released }})
	ctx, cancel := context.WithCancel(t.Context())
	filled := make(chan error, 1)
	go func() {
		within := db.WithContext(ctx)
		for i := 0; ; i++ {
			if err := within.Put(fmt.Appendf(nil, "fill%05d", i), make([]byte, 1000)); err != nil {
				filled <- err
				return
			}
		}
	}()
	<-begun
	cancel()
	if err := <-filled; !errors.Is(err, context.Canceled) {
		t.Errorf("who has filled memory: %v", err)
	}
	return db, lists, func() { close(released) }
}

var errTired = errors.New("waited long enough")

// giveUp runs a verb that has to wait, beside a commit that does, has both wait, and then ends
// their context.
func giveUp(t *testing.T, db *DB, name string, verb func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	given := make(chan error, 2)
	go func() { given <- verb(ctx) }()
	go func() { given <- db.WithContext(ctx).Put([]byte("beside"), make([]byte, 10<<10)) }()
	for db.engine.Commits().Waiting() == 0 {
		runtime.Gosched() // one leads, or is kept by the disk, and the other stands in line
	}
	cancel(errTired)
	for range 2 {
		if err := <-given; !errors.Is(err, errTired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verb(ctx); !errors.Is(err, errTired) {
		t.Errorf("%s after the end of its context: %v", name, err)
	}
}

// large are the verbs that write a large value, under their names.
func large(lists *Keyspace, value []byte) map[string]func(k *Keyspace) error {
	return map[string]func(k *Keyspace) error{
		"Put":         func(k *Keyspace) error { return k.Put([]byte("Put"), value) },
		"PutWithTTL":  func(k *Keyspace) error { return k.PutWithTTL([]byte("PutWithTTL"), value, time.Hour) },
		"PutIfAbsent": func(k *Keyspace) error { _, err := k.PutIfAbsent([]byte("PutIfAbsent"), value); return err },
		"CompareAndSwap": func(k *Keyspace) error {
			_, err := k.CompareAndSwap([]byte("fill00000"), make([]byte, 1000), value)
			return err
		},
		"Merge": func(k *Keyspace) error { return lists.WithContext(k.space.ctx).Merge([]byte("Merge"), value) },
		"Commit": func(k *Keyspace) error {
			b := k.NewBatch()
			if err := b.Put([]byte("Commit"), value); err != nil {
				return err
			}
			return b.Commit()
		},
		"CommitWith": func(k *Keyspace) error {
			b := k.NewBatch()
			if err := b.Put([]byte("CommitWith"), value); err != nil {
				return err
			}
			return b.CommitWith(DurabilitySync)
		},
		"PutReader": func(k *Keyspace) error {
			_, err := k.db.PutReader(k.space.ctx, []byte("PutReader"), bytes.NewReader(value))
			return err
		},
		"transaction": func(k *Keyspace) error {
			return k.db.UpdateWith(TxOptions{Context: k.space.ctx}, func(tx *Tx) error { return tx.Put([]byte("transaction"), value) })
		},
	}
}

// TestVerbsGiveUpWaitingForRoom lets each verb that writes wait for room in memory, which the disk
// keeps from being made, and give up. What was given up was not written.
func TestVerbsGiveUpWaitingForRoom(t *testing.T) {
	db, lists, release := stallMemory(t)
	verbs := large(lists, make([]byte, 10<<10))
	for name, verb := range verbs {
		giveUp(t, db, name, func(ctx context.Context) error { return verb(db.WithContext(ctx)) })
	}
	release()
	for name := range verbs {
		has, err := db.Has([]byte(name))
		inLists, listsErr := lists.Has([]byte(name))
		if has || inLists || err != nil || listsErr != nil {
			t.Errorf("%s was given up and is there: %v, %v, %v", name, has || inLists, err, listsErr)
		}
	}
	if first, err := db.Get([]byte("fill00000")); err != nil || len(first) != 1000 {
		t.Errorf("a swap was given up: %d bytes, %v", len(first), err)
	}
	for name, verb := range verbs { // and in time they do what they do
		if err := verb(db.WithContext(t.Context())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestVerbsGiveUpInLine does the same with verbs that write little, and with loads, behind a commit
// that the disk keeps.
func TestVerbsGiveUpInLine(t *testing.T) {
	disk := faultfs.New(memfs.New())
	db, err := Open("db", &Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	number, key := []byte("number"), []byte("key")
	_, err = db.Increment(number, 7)
	if err := errors.Join(err, db.PutWithTTL(key, []byte("value"), time.Hour)); err != nil {
		t.Fatal(err)
	}
	before, err := db.ExpiresAt(key)
	if err != nil {
		t.Fatal(err)
	}
	first, release := stallCommit(disk, db)
	for name, verb := range map[string]func(k *Keyspace) error{
		"Delete":           func(k *Keyspace) error { return k.Delete(key) },
		"DeleteRange":      func(k *Keyspace) error { return k.DeleteRange(key, nil) },
		"Increment":        func(k *Keyspace) error { _, err := k.Increment(number, 1); return err },
		"Touch":            func(k *Keyspace) error { return k.Touch(key, 2*time.Hour) },
		"GetAndDelete":     func(k *Keyspace) error { _, err := k.GetAndDelete(key); return err },
		"CompareAndDelete": func(k *Keyspace) error { _, err := k.CompareAndDelete(key, []byte("value")); return err },
		"BulkLoader": func(k *Keyspace) error {
			load, err := k.BulkLoader()
			if err != nil {
				return err
			}
			defer load.Close()
			if err := load.Put([]byte("loaded"), nil); err != nil {
				return err
			}
			return load.Commit()
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		given := make(chan error, 1)
		go func() { given <- verb(db.WithContext(ctx)) }()
		cancel(errTired)
		if err := <-given; !errors.Is(err, errTired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	after, err := db.ExpiresAt(key)
	n, numberErr := db.Increment(number, 0)
	loaded, loadedErr := db.Has([]byte("loaded"))
	if err := errors.Join(err, numberErr, loadedErr); err != nil || !after.Equal(before) || n != 7 || loaded {
		t.Errorf("something was done: expires %v and not %v, %d, loaded %v, %v", after, before, n, loaded, err)
	}
	if err := db.WithContext(nil).Put(key, nil); !errors.Is(err, ErrNilArgument) {
		t.Errorf("without a context: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
