package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/lightningdb/lightning"
)

// scene is what the clients of one database share. Its fields are set before
// they start.
type scene struct {
	db       *lightning.DB
	clock    *atomic.Int64 // ticks at each call and return
	families int
	life     int64 // makes the numbers of values differ between lives
	// durabilities are those that writes are made with.
	durabilities []lightning.Durability
	// sessions makes every write a batch that also counts its client's writes
	// in a key, so that what survives a crash tells exactly which writes did.
	sessions bool
	// allowed says which errors leave the outcome of a write unknown instead
	// of failing the round.
	allowed func(error) bool
	// after, if set, is called after each operation of a client.
	after func()
}

func familyKey(family, i int) []byte { return fmt.Appendf(nil, "f%02d/%d", family, i) }

func sessionKey(client int) []byte { return fmt.Appendf(nil, "session/%d", client) }

// client does one operation after the other and records them. It belongs to
// one goroutine, and once that is done to whoever waited for it.
type client struct {
	*scene
	id     int
	rng    *rand.Rand
	events []*event
	kept   []*keptView

	writes  int64 // number of the last write
	session int64 // what its session key holds when all its writes are there
	ended   bool  // the database was closed
	mute    bool  // a write failed; more of them would only blur the history
}

func newClient(s *scene, id int, seed uint64) *client {
	return &client{scene: s, id: id, rng: newRand(seed, uint64(id)+10)}
}

// work does n operations.
func (c *client) work(crew *crew, n int) error {
	for range n {
		if crew.over() || c.ended {
			return nil
		}
		if err := c.step(); err != nil {
			return fmt.Errorf("client %d: %w", c.id, err)
		}
		if c.after != nil {
			c.after()
		}
	}
	return nil
}

func (c *client) step() error {
	family := c.rng.IntN(c.families)
	switch n := c.rng.IntN(100); {
	case n < 2 && c.sessions && !c.mute:
		return c.syncLog()
	case n < 45 && !c.mute:
		return c.writeTo(family)
	case n < 85:
		return c.readOnce(family)
	case n < 94:
		return c.keepView(family)
	default:
		return c.readKept()
	}
}

// nextNumber returns a number for a value that no other write has.
func (c *client) nextNumber() int64 {
	c.writes++
	return c.life<<40 | int64(c.id+1)<<32 | c.writes
}

// begin starts the clock of an operation.
func (c *client) begin(name string, family int) *event {
	return &event{client: c.id, family: family, name: name, call: c.clock.Add(1), ret: open}
}

// end records an operation whose call returned err. What failed for a reason
// that is allowed stays open.
func (c *client) end(e *event, err error) error {
	now := c.clock.Add(1)
	if err == nil {
		e.ret = now
		c.events = append(c.events, e)
		return nil
	}
	if !c.allowed(err) {
		return fmt.Errorf("%s of family %d: %w", e.name, e.family, err)
	}
	c.ended = errors.Is(err, lightning.ErrClosed)
	if e.write {
		c.mute = true
		c.events = append(c.events, e)
	}
	return nil
}

const syncName = "sync of the log"

// syncLog makes what was acknowledged durable. As an operation of a history it
// reads nothing.
func (c *client) syncLog() error {
	e := c.begin(syncName, 0)
	err := c.db.SyncLog(context.Background())
	if err != nil && !errors.Is(err, lightning.ErrClosed) && c.allowed(err) {
		c.mute = true // as a write that failed
	}
	return c.end(e, err)
}

// writeTo writes some keys of a family.
func (c *client) writeTo(family int) error {
	e := &event{client: c.id, family: family, write: true, mask: 1 << c.rng.IntN(familyKeys),
		durability: c.durabilities[c.rng.IntN(len(c.durabilities))], ret: open}
	number := c.nextNumber()
	i := lowest(e.mask)
	single := !c.sessions && e.durability == c.durabilities[0]
	switch n := c.rng.IntN(14); {
	case n >= 10 && single:
		return c.conditional(e, i, number)
	case n < 4 && single:
		e.name = "put"
		e.values[i] = number
		e.call = c.clock.Add(1)
		return c.end(e, c.db.Put(familyKey(family, i), encodeValue(number)))
	case n < 5 && single:
		e.name = "delete"
		e.call = c.clock.Add(1)
		return c.end(e, c.db.Delete(familyKey(family, i)))
	case n < 6 && single:
		e.name = "delete range"
		to := i + 1 + c.rng.IntN(familyKeys-i)
		for at := i; at < to; at++ {
			e.mask |= 1 << at
		}
		e.call = c.clock.Add(1)
		return c.end(e, c.db.DeleteRange(familyKey(family, i), familyKey(family, to)))
	}
	return c.commitBatch(e, number)
}

func lowest(mask uint) (i int) {
	for mask&(1<<i) == 0 {
		i++
	}
	return i
}

// commitBatch writes a random set of the family's keys at once, some with two
// steps of which the later one counts.
func (c *client) commitBatch(e *event, number int64) error {
	e.name = "batch"
	b := c.db.NewBatch()
	var err error
	if c.rng.IntN(3) == 0 {
		e.mask = 1<<familyKeys - 1
	}
	if c.rng.IntN(6) == 0 {
		e.mask = 1<<familyKeys - 1
		err = b.DeleteRange(familyKey(e.family, 0), familyKey(e.family, familyKeys))
	}
	for i := range familyKeys {
		if e.mask&(1<<i) == 0 {
			continue
		}
		key := familyKey(e.family, i)
		if c.rng.IntN(8) == 0 {
			err = errors.Join(err, b.Delete(key))
			continue
		}
		e.values[i] = number
		err = errors.Join(err, b.Put(key, encodeValue(number)))
	}
	if c.sessions {
		c.session++
		e.session = c.session
		err = errors.Join(err, b.Put(sessionKey(c.id), encodeValue(e.session)))
	}
	if c.rng.IntN(60) == 0 { // too large for a memtable
		err = errors.Join(err, b.Put(fillerKey(c.rng), make([]byte, 130<<10)))
	}
	if err != nil {
		return fmt.Errorf("fill batch: %w", err)
	}
	e.call = c.clock.Add(1)
	return c.end(e, b.CommitWith(e.durability))
}
