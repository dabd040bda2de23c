package ethdb_test

import (
	"errors"
	"strings"
	"testing"

	geth "github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/ethdb/dbtest"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/contrib/ethdb"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func open(tb testing.TB) *ethdb.Store {
	tb.Helper()
	store, err := ethdb.Open("chaindata", &lightning.Options{
		FS: memfs.New(), MemoryBudget: 16 << 20, Durability: lightning.DurabilityAsync,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// The suite that go-ethereum has for its stores.
func TestSuiteOfGoEthereum(t *testing.T) {
	dbtest.TestDatabaseSuite(t, func() geth.KeyValueStore { return open(t) })
}

func BenchmarkSuiteOfGoEthereum(b *testing.B) {
	dbtest.BenchDatabaseSuite(b, func() geth.KeyValueStore { return open(b) })
}

// What the suite does not look at.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	store, err := ethdb.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := store.NewBatchWithSize(1 << 20)
	for _, err := range []error{
		b.Put([]byte("a"), []byte("12")), b.Delete([]byte("bcd")), b.DeleteRange([]byte("e"), []byte("fg")),
		b.DeleteRange([]byte("z"), []byte("a")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := b.ValueSize(); n != 3+3+3+2 {
		t.Errorf("the batch has %d bytes", n)
	}
	if err := errors.Join(b.Write(), store.SyncKeyValue(), store.Compact(nil, nil), store.Compact([]byte("b"), []byte("a"))); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if b.ValueSize() != 0 {
		t.Error("a batch that was closed has something")
	}
	if text, err := store.Stat(); err != nil || !strings.Contains(text, "write amplification") {
		t.Errorf("%q, %v", text, err)
	}
	if n := store.Lightning().DurableSeq(); n < 3 {
		t.Errorf("durable up to %d", n)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	it := store.NewIterator(nil, nil)
	if it.Next() || it.Key() != nil || it.Value() != nil || !errors.Is(it.Error(), lightning.ErrClosed) {
		t.Errorf("an iterator of a store that was closed: %v", it.Error())
	}
	it.Release()
	it.Release()
}

// A batch that deletes ranges cannot be replayed into what does not, and says so.
func TestReplayIntoPoorWriter(t *testing.T) {
	store := open(t)
	defer store.Close()
	b := store.NewBatch()
	if err := b.DeleteRange([]byte("a"), []byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := b.Replay(struct{ geth.KeyValueWriter }{}); err == nil {
		t.Error("no error")
	}
}
