//go:build !race && !invariants

package lightning_test

import (
	"bytes"
	"context"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// What is here writes into memory that a flush is reading. That is the mistake which
// the database has to survive, and the race detector is right to report it.

// TestOverwrittenMemoryIsRestored does the same to two databases and writes into what
// one of them lends: several memtables, batches larger than one, deletes of ranges,
// operands that the memtable joins, keyspaces that come and go, and a snapshot in the
// midst. Both hold the same in the end.
func TestOverwrittenMemoryIsRestored(t *testing.T) {
	restored := 0
	for seed := range uint64(12) {
		var log bytes.Buffer
		opts := small(memfs.New())
		opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		victim, plain := newPair(t, opts), newPair(t, small(memfs.New()))
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 60 {
			act := randomAct(rng)
			victim.do(t, act)
			plain.do(t, act)
			if rng.IntN(3) == 0 {
				vandaliseAll(t, victim.db, rng.IntN(2) == 0)
			}
		}
		restored += strings.Count(log.String(), "was overwritten")
		must(t, victim.db.Flush(t.Context()))
		must(t, victim.db.Compact(t.Context(), nil, nil)) // out of the blocks that are cached
		want := plain.rows(t)
		for name, rows := range victim.rows(t) {
			if !maps.Equal(rows, want[name]) {
				t.Fatalf("seed %d: %s differs:\n%v\nwant\n%v", seed, name, rows, want[name])
			}
		}
		for _, p := range []*pair{victim, plain} {
			if p.snapshot != nil {
				must(t, p.snapshot.Close())
				p.snapshot = nil
			}
		}
		must(t, victim.db.Close())
		victim.db = open(t, opts)
		want = plain.rows(t)
		for name, rows := range victim.rows(t) {
			if !maps.Equal(rows, want[name]) {
				t.Fatalf("seed %d, reopened: %s differs:\n%v\nwant\n%v", seed, name, rows, want[name])
			}
		}
	}
	if restored < 5 {
		t.Errorf("memory was restored only %d times", restored)
	}
}

// pair is one of two databases to which the same is done.
type pair struct {
	db       *lightning.DB
	snapshot *lightning.Snapshot
}

func newPair(t *testing.T, opts *lightning.Options) *pair {
	opts.Durability = lightning.DurabilityAsync
	opts.MergeOperators = []lightning.MergeOperator{vandalOperator()}
	return &pair{db: open(t, opts)}
}

func (p *pair) do(t *testing.T, act func(t *testing.T, p *pair)) { act(t, p) }

// spaces are the keyspaces that operands go to.
func (p *pair) spaces(t *testing.T) map[string]*lightning.Keyspace {
	spaces := map[string]*lightning.Keyspace{}
	for _, operator := range []string{lightning.MergeAddInt64, lightning.MergeAppend, "vandal"} {
		k, err := p.db.Keyspace(context.Background(), operator, &lightning.KeyspaceOptions{Merge: operator})
		must(t, err)
		spaces[operator] = k
	}
	return spaces
}

// randomAct returns something that can be done to both.
func randomAct(rng *rand.Rand) func(t *testing.T, p *pair) {
	key, other := lentKey(rng.IntN(40)), lentKey(rng.IntN(40))
	value := bytes.Repeat([]byte{byte(rng.IntN(256))}, 8)
	if rng.IntN(4) == 0 {
		value = bytes.Repeat(value, 500)
	}
	switch rng.IntN(9) {
	case 0:
		return func(t *testing.T, p *pair) { must(t, p.db.Delete(key)) }
	case 1:
		lo, hi := key, other
		if bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		return func(t *testing.T, p *pair) { must(t, p.db.DeleteRange(lo, hi)) }
	case 2:
		return func(t *testing.T, p *pair) { // larger than a memtable
			b := p.db.NewBatch()
			for i := range 40 {
				must(t, b.Put(lentKey(i), bytes.Repeat(value[:8], 400)))
			}
			must(t, b.Commit())
		}
	case 3:
		return func(t *testing.T, p *pair) {
			if p.snapshot == nil {
				var err error
				p.snapshot, err = p.db.Snapshot()
				must(t, err)
			}
		}
	case 4:
		return func(t *testing.T, p *pair) {
			_, err := p.db.Keyspace(context.Background(), "passing", nil)
			must(t, err)
			must(t, p.db.DropKeyspace(context.Background(), "passing"))
		}
	case 5, 6:
		return func(t *testing.T, p *pair) {
			for _, k := range p.spaces(t) {
				must(t, k.Merge(key, value[:8]))
			}
		}
	}
	return func(t *testing.T, p *pair) { must(t, p.db.Put(key, value)) }
}

// vandaliseAll writes into all values of all keyspaces, and into the keys.
func vandaliseAll(t *testing.T, db *lightning.DB, keys bool) {
	rows := func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			scribble(v)
			if keys {
				scribble(k)
			}
		}
		return nil
	}
	_ = db.Scan(lightning.ScanOptions{}, rows)
	for _, name := range db.Keyspaces() {
		k, err := db.Keyspace(context.Background(), name, nil)
		must(t, err)
		_ = k.Scan(lightning.ScanOptions{}, rows)
	}
}

// rows are those of all keyspaces, now and in the snapshot.
func (p *pair) rows(t *testing.T) map[string]map[string]string {
	all := map[string]map[string]string{}
	note := func(name string, scan func(lightning.ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error) {
		all[name] = map[string]string{}
		must(t, scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for k, v := range rows {
				all[name][string(k)] = string(v)
			}
			return nil
		}))
	}
	note("default", p.db.Scan)
	for name, k := range p.spaces(t) {
		note(name, k.Scan)
		if p.snapshot != nil {
			note(name+" in the snapshot", p.snapshot.In(k).Scan)
		}
	}
	if p.snapshot != nil {
		note("snapshot", p.snapshot.Scan)
	}
	return all
}
