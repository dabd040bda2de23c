package lightning_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestBatchAll reads a batch back, in order, over all its keyspaces, before and
// after it was committed; a second batch made of it does the same.
func TestBatchAll(t *testing.T) {
	db := open(t, small(memfs.New()))
	named, err := db.Keyspace(context.Background(), "named", nil)
	must(t, err)
	counts, err := db.Keyspace(context.Background(), "counts", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	must(t, err)
	b := db.NewBatch()
	for range b.All() {
		t.Error("an empty batch has an operation")
	}
	must(t, b.Put([]byte("a"), []byte("1")))
	must(t, b.In(named).Delete([]byte{}))
	must(t, b.DeleteRange([]byte("b"), []byte("c")))
	must(t, b.In(named).DeleteRange([]byte("d"), nil))
	must(t, b.PutWithTTL([]byte("e"), nil, time.Hour))
	must(t, b.In(counts).Merge([]byte("n"), make([]byte, 8)))
	text := func() (lines []string) {
		for op := range b.All() {
			lines = append(lines, fmt.Sprintf("%v %q %q-%q=%q %v", op.Kind, op.Keyspace, op.Key, op.End, op.Value, !op.Expires.IsZero()))
		}
		return lines
	}
	want := []string{
		`put "" "a"-""="1" false`, `delete "named" ""-""="" false`, `delete-range "" "b"-"c"="" false`,
		`delete-range "named" "d"-""="" false`, `put "" "e"-""="" true`,
		`merge "counts" "n"-""="\x00\x00\x00\x00\x00\x00\x00\x00" false`,
	}
	if got := text(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	must(t, b.Commit())
	if got := text(); !slices.Equal(got, want) {
		t.Errorf("after the commit: %v", got)
	}
	for range b.All() {
		break // ends early
	}
	b.Reset()
	if got := text(); got != nil {
		t.Errorf("after a reset: %v", got)
	}
}

// TestKeyspaceOptionsChange: the TTL and the compression of a keyspace can be changed,
// for what is written from then on, and the change is there after a reopen; its merge
// operator cannot. Who asks for other options is told which differ, and both values.
func TestKeyspaceOptionsChange(t *testing.T) {
	fs := memfs.New()
	db := open(t, small(fs))
	k, err := db.Keyspace(context.Background(), "k", &lightning.KeyspaceOptions{TTL: time.Hour})
	must(t, err)
	must(t, k.Put([]byte("old"), nil))
	must(t, db.SetKeyspaceOptions(context.Background(), "k", lightning.KeyspaceOptions{Compression: lightning.CompressionSmall}))
	must(t, k.Put([]byte("new"), nil))
	check := func(k *lightning.Keyspace) {
		t.Helper()
		for key, expires := range map[string]bool{"old": true, "new": false} {
			if at, err := k.ExpiresAt([]byte(key)); err != nil || at.IsZero() == expires {
				t.Errorf("%s expires at %v, %v", key, at, err)
			}
		}
	}
	check(k)
	_, err = db.Keyspace(context.Background(), "k", &lightning.KeyspaceOptions{TTL: time.Minute})
	wantErr(t, err, lightning.ErrKeyspaceDiffers)
	if want := `"k" has TTL 0s, not 1m0s`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %s", err, want)
	}
	wantErr(t, db.SetKeyspaceOptions(context.Background(), "k", lightning.KeyspaceOptions{Merge: lightning.MergeMax}), lightning.ErrKeyspaceDiffers)
	wantErr(t, db.SetKeyspaceOptions(context.Background(), "none", lightning.KeyspaceOptions{}), lightning.ErrKeyspaceNotFound)
	must(t, db.Close())
	db = open(t, small(fs))
	k, err = db.Keyspace(context.Background(), "k", &lightning.KeyspaceOptions{Compression: lightning.CompressionSmall})
	must(t, err)
	check(k)
}

// TestTTLBeyondTime: a time to live that ends after what instants can say is refused.
// It silently meant for ever.
func TestTTLBeyondTime(t *testing.T) {
	db := open(t, small(memfs.New()))
	const ttl = 280 * 365 * 24 * time.Hour
	wantErr(t, db.PutWithTTL([]byte("k"), nil, ttl), lightning.ErrTTL)
	wantErr(t, db.NewBatch().PutWithTTL([]byte("k"), nil, ttl), lightning.ErrTTL)
	wantErr(t, db.Update(func(tx *lightning.Tx) error { return tx.PutWithTTL([]byte("k"), nil, ttl) }), lightning.ErrTTL)
	k, err := db.Keyspace(context.Background(), "long", &lightning.KeyspaceOptions{TTL: ttl})
	must(t, err)
	wantErr(t, k.Put([]byte("k"), nil), lightning.ErrTTL)
	must(t, k.PutWithTTL([]byte("k"), nil, lightning.Forever))
}
