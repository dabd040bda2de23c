package process

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
)

// A history is what the writers of a database do. Each writer is a stream of
// operations with numbers from 1, and an operation follows from the seed, the
// stream and its number alone. Streams write to keys of their own, so what one
// stream has done can be told without knowing how they were interleaved.
//
// Every stream writes to three spaces: the default keyspace, one that all
// streams share, and one of its own, which it sometimes drops. What comes first to
// an own space that is not there makes it: so keyspaces are made and dropped all the
// time, in order with commits of every durability.

const (
	sharedName = "shared"
	ownPrefix  = "own-"
)

func ownName(stream int) string { return fmt.Sprint(ownPrefix, stream) }

// ownerOf returns the stream that a space is of, if it is of one.
func ownerOf(space string) (stream int, owned bool) {
	n, owned := strings.CutPrefix(space, ownPrefix)
	stream, err := strconv.Atoi(n)
	return stream, owned && err == nil
}

// promised says how an acknowledged operation survives: Sync means a power cut,
// Flush the end of the process, Async neither. single is the durability of
// operations that do not say.
func promised(op *script.Op, single lightning.Durability) lightning.Durability {
	switch {
	case op.Kind <= script.Batch:
		return op.Wait.Or(single)
	case op.Kind == script.Compact:
		return lightning.DurabilityAsync // it promises nothing about what is in memory
	}
	return lightning.DurabilitySync
}

// durabilityMixes are how often Sync, Flush and Async are chosen.
var durabilityMixes = [...][3]int{{1, 1, 1}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 4, 12}}

func durabilityOf(seed uint64, rng *rand.Rand) lightning.Durability {
	mix := durabilityMixes[seed%uint64(len(durabilityMixes))]
	at := rng.IntN(mix[0] + mix[1] + mix[2])
	switch {
	case at < mix[0]:
		return lightning.DurabilitySync
	case at < mix[0]+mix[1]:
		return lightning.DurabilityBuffered
	}
	return lightning.DurabilityAsync
}

// operationAt returns operation n of a stream.
func operationAt(seed uint64, stream int, n uint32) *script.Op {
	op, rng := headAt(seed, stream, n)
	switch op.Kind {
	case script.Put:
		*op = writeAt(rng, stream, n, 0)
	case script.Batch:
		for i := range 1 + rng.IntN(8) {
			op.Parts = append(op.Parts, writeAt(rng, stream, n, i))
		}
	}
	return op
}

// headAt returns an operation without its writes, which take long to make, and
// the source of randomness for them. A Put stands for any single write, with the
// durability of the database.
func headAt(seed uint64, stream int, n uint32) (*script.Op, *rand.Rand) {
	rng := rand.New(rand.NewPCG(seed, uint64(stream)<<32|uint64(n)))
	switch at := rng.IntN(200); {
	case at < 3:
		return &script.Op{Kind: script.Flush}, rng
	case at < 4:
		return &script.Op{Kind: script.Compact}, rng
	case at < 7:
		return &script.Op{Kind: script.SyncLog}, rng
	case at < 13:
		return &script.Op{Kind: script.DropSpace, Space: ownName(stream)}, rng
	case at < 80:
		return &script.Op{Kind: script.Put}, rng
	}
	return &script.Op{Kind: script.Batch, Wait: script.WaitFor(durabilityOf(seed, rng))}, rng
}

const keysPerSpace = 60

func keyOf(stream, i int) string { return fmt.Sprintf("%c%02d", 'a'+stream, i) }

// streamOf returns the stream that a key belongs to.
func streamOf(key string) int { return int(key[0]) - 'a' }

func writeAt(rng *rand.Rand, stream int, n uint32, i int) script.Op {
	spaces := [...]string{"", sharedName, ownName(stream)}
	w := script.Op{Kind: script.Put, Space: spaces[rng.IntN(len(spaces))]}
	first := rng.IntN(keysPerSpace)
	w.Key.Text = keyOf(stream, first)
	switch at := rng.IntN(20); {
	case at == 0:
		w.Kind, w.Upper.Text = script.DeleteRange, keyOf(stream, first+1+rng.IntN(keysPerSpace/4))
	case at < 4:
		w.Kind = script.Delete
	default:
		w.Value.Text = string(valueAt(rng, stream, n, i))
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
// key, with a digest that does not depend on their order. Its own space, where that
// is there, is a row without a key.
type content struct {
	rows   map[string]string
	digest uint64
}

func newContent() *content { return &content{rows: map[string]string{}} }

func rowName(space, key string) string { return cmp.Or(space, "default") + "/" + key }

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

// makeSpaces does the first step of op, a commit of its own: it makes the stream's
// space. It reports whether that was not there.
func (c *content) makeSpaces(op *script.Op) (made bool) {
	for i := range op.Parts {
		made = c.makeSpaces(&op.Parts[i]) || made
	}
	name := rowName(op.Space, "")
	_, exists := c.rows[name]
	if _, owned := ownerOf(op.Space); !owned || exists {
		return made
	}
	c.put(name, "")
	return true
}

// apply does to the rows what op does to the database.
func (c *content) apply(op *script.Op) {
	c.makeSpaces(op)
	name := rowName(op.Space, op.Key.Text)
	switch op.Kind {
	case script.Put:
		c.put(name, op.Value.Text)
	case script.Delete:
		c.remove(name)
	case script.DeleteRange:
		upper := rowName(op.Space, op.Upper.Text)
		c.removeWhere(func(row string) bool { return row >= name && row < upper })
	case script.DropSpace:
		c.removeWhere(func(row string) bool { return strings.HasPrefix(row, name) })
	case script.Batch:
		for i := range op.Parts {
			c.apply(&op.Parts[i])
		}
	}
}

func (c *content) removeWhere(gone func(name string) bool) {
	for name := range c.rows {
		if gone(name) {
			c.remove(name)
		}
	}
}

// performer does the operations of a history to a database. Each stream is used
// by one goroutine at a time.
type performer struct {
	seed    uint64
	streams []*script.Session
}

func newPerformer(db *lightning.DB, seed uint64, streams int) (*performer, error) {
	p := &performer{seed: seed}
	for range streams {
		s := script.Attach(db)
		if _, err := s.Space(sharedName); err != nil {
			return nil, fmt.Errorf("keyspace %s: %w", sharedName, err)
		}
		p.streams = append(p.streams, s)
	}
	return p, nil
}

// perform does operation n of a stream.
func (p *performer) perform(ctx context.Context, stream int, n uint32) error {
	op, s := operationAt(p.seed, stream, n), p.streams[stream]
	var err error
	if op.Kind == script.DropSpace {
		_, err = s.Space(op.Space) // so that there is something to drop
	}
	if err == nil {
		err = s.Do(ctx, op)
	}
	if err != nil {
		return fmt.Errorf("operation %d of stream %d (%v): %w", n, stream, op.Kind, err)
	}
	return nil
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
		Debug: lightning.DebugOptions{NoIOUring: rng.IntN(2) == 0},
	}
}
