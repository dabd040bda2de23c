package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/lightningdb/lightning"
)

// A history is what the writers of a database do. Each writer is a stream of
// operations with numbers from 1, and an operation follows from the seed, the
// stream and its number alone. Streams write to keys of their own, so what one
// stream has done can be told without knowing how they were interleaved.
//
// Every stream writes to three spaces: the default keyspace, one that all
// streams share, and one of its own, which it sometimes drops.

// opKind says what an operation calls.
type opKind uint8

const (
	opBatch  opKind = iota
	opSingle        // a Put, Delete or DeleteRange, with the durability of the database
	opFlush
	opCompact
	opSyncLog
	opDrop // of the keyspace of the stream
)

func (k opKind) String() string {
	return [...]string{"batch", "single write", "flush", "compact", "sync log", "drop keyspace"}[k]
}

// The spaces of a stream.
const (
	spaceDefault = iota
	spaceShared
	spaceOwn
	spaceCount
)

const sharedName = "shared"

func ownName(stream int) string { return fmt.Sprintf("own-%d", stream) }

// spaceName is how rows of a space are named in the oracle.
func spaceName(space, stream int) string {
	return [...]string{"default", sharedName, ownName(stream)}[space]
}

// write is a part of an operation: a put, a delete, or, where hi is not empty,
// the delete of a range.
type write struct {
	space   int
	key, hi string
	value   []byte
	remove  bool
}

// operation is one step of a stream.
type operation struct {
	kind       opKind
	durability lightning.Durability // of a batch
	writes     []write
}

// promised says how an acknowledged operation survives: Sync means a power cut,
// Flush the end of the process, Async neither. single is the durability of
// operations that do not say.
func (op operation) promised(single lightning.Durability) lightning.Durability {
	switch op.kind {
	case opBatch:
		return op.durability
	case opSingle:
		return single
	case opCompact:
		return lightning.Async // it promises nothing about what is in memory
	}
	return lightning.Sync
}

// durabilityMixes are how often Sync, Flush and Async are chosen.
var durabilityMixes = [...][3]int{{1, 1, 1}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 4, 12}}

func durabilityOf(seed uint64, rng *rand.Rand) lightning.Durability {
	mix := durabilityMixes[seed%uint64(len(durabilityMixes))]
	at := rng.IntN(mix[0] + mix[1] + mix[2])
	switch {
	case at < mix[0]:
		return lightning.Sync
	case at < mix[0]+mix[1]:
		return lightning.Flush
	}
	return lightning.Async
}

// operationAt returns operation n of a stream.
func operationAt(seed uint64, stream int, n uint32) operation {
	op, rng := headAt(seed, stream, n)
	switch op.kind {
	case opSingle:
		op.writes = []write{writeAt(rng, stream, n, 0)}
	case opBatch:
		for i := range 1 + rng.IntN(8) {
			op.writes = append(op.writes, writeAt(rng, stream, n, i))
		}
	}
	return op
}

// headAt returns an operation without its writes, which take long to make, and
// the source of randomness for them.
func headAt(seed uint64, stream int, n uint32) (operation, *rand.Rand) {
	rng := rand.New(rand.NewPCG(seed, uint64(stream)<<32|uint64(n)))
	switch at := rng.IntN(200); {
	case at < 3:
		return operation{kind: opFlush}, rng
	case at < 4:
		return operation{kind: opCompact}, rng
	case at < 7:
		return operation{kind: opSyncLog}, rng
	case at < 9:
		return operation{kind: opDrop}, rng
	case at < 80:
		return operation{kind: opSingle}, rng
	}
	return operation{kind: opBatch, durability: durabilityOf(seed, rng)}, rng
}

const keysPerSpace = 60

func keyOf(stream, i int) string { return fmt.Sprintf("%c%02d", 'a'+stream, i) }

// streamOf returns the stream that a key belongs to.
func streamOf(key string) int { return int(key[0]) - 'a' }

func writeAt(rng *rand.Rand, stream int, n uint32, i int) write {
	w := write{space: rng.IntN(spaceCount)}
	first := rng.IntN(keysPerSpace)
	w.key = keyOf(stream, first)
	switch at := rng.IntN(20); {
	case at == 0:
		w.remove, w.hi = true, keyOf(stream, first+1+rng.IntN(keysPerSpace/4))
	case at < 4:
		w.remove = true
	default:
		w.value = valueAt(rng, stream, n, i)
	}
	return w
}

// valueAt makes a value that no other write of the history has, unless it is
// empty. Some can be compressed; a few are larger than a memtable.
func valueAt(rng *rand.Rand, stream int, n uint32, i int) []byte {
	var sizeBytes int
	switch at := rng.IntN(400); {
	case at < 4:
		return nil
	case at < 6:
		sizeBytes = 70<<10 + rng.IntN(80<<10)
	case at < 20:
		sizeBytes = 4<<10 + rng.IntN(12<<10)
	case at < 120:
		sizeBytes = 500 + rng.IntN(3500)
	default:
		sizeBytes = 8 + rng.IntN(200)
	}
	value := fmt.Appendf(make([]byte, 0, sizeBytes+32), "%c%d.%d:", 'a'+stream, n, i)
	period := 1 + rng.IntN(2*sizeBytes) // half of them never repeat
	start := len(value)
	for len(value) < start+sizeBytes {
		if at := len(value) - start; at >= period {
			value = append(value, value[start+at%period])
			continue
		}
		value = append(value, byte(rng.Uint32()))
	}
	return value
}

// content is the rows of a stream, each under the name of its space and its
// key, with a digest that does not depend on their order.
type content struct {
	rows   map[string]string
	digest uint64
}

func newContent() *content { return &content{rows: map[string]string{}} }

func rowName(space, key string) string { return space + "/" + key }

func rowDigest(name, value string) uint64 { return xxh3.HashStringSeed(value, xxh3.HashString(name)) }

func (c *content) put(name, value string) {
	c.remove(name)
	c.rows[name] = value
	c.digest ^= rowDigest(name, value)
}

func (c *content) remove(name string) {
	if old, ok := c.rows[name]; ok {
		c.digest ^= rowDigest(name, old)
		delete(c.rows, name)
	}
}

// apply does to the rows what op does to the database.
func (c *content) apply(op operation, stream int) {
	if op.kind == opDrop {
		prefix := rowName(ownName(stream), "")
		for name := range c.rows {
			if strings.HasPrefix(name, prefix) {
				c.remove(name)
			}
		}
	}
	for _, w := range op.writes {
		space := spaceName(w.space, stream)
		switch {
		case w.hi != "":
			lo, hi := rowName(space, w.key), rowName(space, w.hi)
			for name := range c.rows {
				if name >= lo && name < hi {
					c.remove(name)
				}
			}
		case w.remove:
			c.remove(rowName(space, w.key))
		default:
			c.put(rowName(space, w.key), string(w.value))
		}
	}
}

// performer does the operations of a history to a database. Each stream is used
// by one goroutine at a time.
type performer struct {
	db     *lightning.DB
	seed   uint64
	shared *lightning.Keyspace
	own    []*lightning.Keyspace // by stream; nil where it has to be asked for
}

func newPerformer(db *lightning.DB, seed uint64, streams int) (*performer, error) {
	shared, err := db.Keyspace(sharedName, nil)
	if err != nil {
		return nil, fmt.Errorf("keyspace %s: %w", sharedName, err)
	}
	return &performer{db: db, seed: seed, shared: shared, own: make([]*lightning.Keyspace, streams)}, nil
}

// perform does operation n of a stream.
func (p *performer) perform(ctx context.Context, stream int, n uint32) error {
	op := operationAt(p.seed, stream, n)
	if err := p.call(ctx, stream, op); err != nil {
		return fmt.Errorf("operation %d of stream %d (%v): %w", n, stream, op.kind, err)
	}
	return nil
}

func (p *performer) call(ctx context.Context, stream int, op operation) error {
	switch op.kind {
	case opFlush:
		return p.db.Flush(ctx)
	case opCompact:
		return p.db.Compact(ctx, nil, nil)
	case opSyncLog:
		return p.db.SyncWAL()
	case opDrop:
		own, err := p.ownSpace(stream)
		if err != nil {
			return err
		}
		p.own[stream] = nil
		return p.db.DropKeyspace(own.Name())
	case opSingle:
		return p.single(stream, op.writes[0])
	}
	batch := p.db.NewBatch()
	for _, w := range op.writes {
		in := batch
		if w.space != spaceDefault {
			keyspace, err := p.space(stream, w.space)
			if err != nil {
				return err
			}
			in = batch.In(keyspace)
		}
		if err := writeTo(in, w); err != nil {
			return err
		}
	}
	return batch.CommitWith(op.durability)
}

func (p *performer) single(stream int, w write) error {
	if w.space == spaceDefault {
		return writeTo(p.db, w)
	}
	keyspace, err := p.space(stream, w.space)
	if err != nil {
		return err
	}
	return writeTo(keyspace, w)
}

func (p *performer) space(stream, space int) (*lightning.Keyspace, error) {
	if space == spaceShared {
		return p.shared, nil
	}
	return p.ownSpace(stream)
}

func (p *performer) ownSpace(stream int) (*lightning.Keyspace, error) {
	if p.own[stream] == nil {
		keyspace, err := p.db.Keyspace(ownName(stream), nil)
		if err != nil {
			return nil, err
		}
		p.own[stream] = keyspace
	}
	return p.own[stream], nil
}

// writer is what DB, Keyspace and Batch have in common.
type writer interface {
	Put(key, value []byte) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
}

func writeTo(to writer, w write) error {
	switch {
	case w.hi != "":
		return to.DeleteRange([]byte(w.key), []byte(w.hi))
	case w.remove:
		return to.Delete([]byte(w.key))
	}
	return to.Put([]byte(w.key), w.value)
}

// databaseOptions are the options of one life of a database: small, so that
// memtables, logs and files turn over all the time.
func databaseOptions(seed, life uint64) *lightning.Options {
	rng := rand.New(rand.NewPCG(seed, ^life))
	return &lightning.Options{
		MemoryBudget: 4 << 20,
		Durability:   durabilityOf(seed, rng),
		Compression:  lightning.Compression(rng.IntN(4)),
		Tree: lightning.TreeOptions{
			MemtableBytes: (64 + rng.IntN(64)) << 10,
			BlockBytes:    512 << rng.IntN(5),
			FileBytes:     int64(8+rng.IntN(120)) << 10,
			L0Files:       1 + rng.IntN(4),
		},
	}
}
