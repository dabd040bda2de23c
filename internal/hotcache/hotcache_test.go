package hotcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/offheap"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func newCache(t testing.TB, sizeBytes int64) *Cache {
	t.Helper()
	var acct offheap.Accountant
	c, err := New(Config{SizeBytes: sizeBytes, MaxBytes: 4 * sizeBytes, Memory: &acct, Epochs: &epoch.Domain{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Free)
	return c
}

// Get is GetAt for who reads the newest state.
func (c *Cache) Get(dst, key []byte, hash uint64) ([]byte, Answer) {
	return c.GetAt(dst, key, hash, base.SeqNumMax)
}

// RecordMaxBytes is the most that a key, padded to a multiple of eight, and its value may
// have together.
func (c *Cache) RecordMaxBytes() int { return (c.rings.recordMaxWords() - recordHeaderWords) * 8 }

// alone is for tests in which nobody writes.
func alone(change func()) error {
	change()
	return nil
}

func checkNoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// changeSize makes the next step of a cache that grows and shrinks. Nobody writes.
func changeSize(t testing.TB, c *Cache, rng *rand.Rand) {
	t.Helper()
	if c.IsMoving() {
		checkNoError(t, c.DropBefore(alone))
		return
	}
	if rng.IntN(2) == 0 {
		c.Grow()
		return
	}
	checkNoError(t, c.Resize(rng.Int64N(c.cfg.MaxBytes), false, alone))
}

// fill puts a record in, past the admission.
func fill(c *Cache, key, value []byte) {
	hash := base.Hash(key)
	for range 1000 {
		c.Fill(c.Ticket(hash), key, value, hash, 1)
		if got, answer := c.Get(nil, key, hash); answer == Found && bytes.Equal(got, value) {
			return
		}
	}
}

func TestRecordsOfAllSizes(t *testing.T) {
	c := newCache(t, 64<<10)
	rng := rand.New(rand.NewPCG(1, 1))
	tooLarge := 0
	for range 20_000 {
		key, value := make([]byte, rng.IntN(240)), make([]byte, rng.IntN(4<<rng.IntN(11)))
		for _, b := range [][]byte{key, value} {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
		hash := base.Hash(key)
		c.BeginWrite(hash)
		c.EndWrite(hash)
		fill(c, key, value)
		got, answer := c.Get([]byte("dst"), key, hash)
		fits := (len(key)+7)/8*8+len(value) <= c.RecordMaxBytes()
		if (answer == Found) != fits || answer == Absent {
			t.Fatalf("key of %d and value of %d bytes: answer %d", len(key), len(value), answer)
		}
		if want := append([]byte("dst"), value...); fits && !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if !fits && string(got) != "dst" {
			t.Fatalf("a miss changed dst to %q", got)
		}
		if !fits {
			tooLarge++
		}
		if len(key) == 0 {
			continue
		}
		other := bytes.Clone(key)
		other[rng.IntN(len(other))] ^= 1
		if _, answer := c.Get(nil, other, hash); answer != Unknown { // as if the hashes were equal
			t.Fatalf("found %x as %x", key, other)
		}
	}
	if tooLarge == 0 {
		t.Error("all records fit")
	}
}

// What is absent is remembered as well, until it is written.
func TestAbsence(t *testing.T) {
	c := newCache(t, 4<<10)
	key := []byte("nothing here")
	hash := base.Hash(key)
	early := c.Ticket(hash)
	c.FillAbsent(early, key, hash, 1)
	if got, answer := c.Get([]byte("dst"), key, hash); answer != Absent || string(got) != "dst" {
		t.Fatalf("answer %d, %q", answer, got)
	}
	c.BeginWrite(hash)
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Errorf("answer %d beside a write", answer)
	}
	c.EndWrite(hash)
	c.FillAbsent(early, key, hash, 1)
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Errorf("answer %d from before a write", answer)
	}
	fill(c, key, nil)
	if got, answer := c.Get(nil, key, hash); answer != Found || len(got) != 0 {
		t.Errorf("an empty value is answered with %d, %q", answer, got)
	}
}

// Who reads as of an older number does not see what was read later.
func TestSequenceNumbers(t *testing.T) {
	c := newCache(t, 4<<10)
	for name, fill := range map[string]func(ticket Ticket, key []byte, hash uint64){
		"present": func(ticket Ticket, key []byte, hash uint64) { c.Fill(ticket, key, []byte("v"), hash, 7) },
		"absent":  func(ticket Ticket, key []byte, hash uint64) { c.FillAbsent(ticket, key, hash, 7) },
	} {
		key := []byte(name)
		hash := base.Hash(key)
		fill(c.Ticket(hash), key, hash)
		for seq, known := range map[base.SeqNum]bool{6: false, 7: true, 8: true} {
			if _, answer := c.GetAt(nil, key, hash, seq); (answer != Unknown) != known {
				t.Errorf("%s as of %d: answer %d", name, seq, answer)
			}
		}
	}
}

// While an entry is added to a bucket, nothing is answered from there: it may have to go
// again.
func TestBucketBeingFilledIsAMiss(t *testing.T) {
	c := newCache(t, 4<<10)
	key := []byte("key")
	hash := base.Hash(key)
	fill(c, key, []byte("value"))
	b := c.now.Load().bucket(hash)
	b[wordState].Or(stateFilling)
	if got, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Fatalf("got %q from a bucket that is being filled", got)
	}
	b[wordState].And(^uint64(stateFilling))
	if _, answer := c.Get(nil, key, hash); answer != Found {
		t.Error("the record is lost")
	}
}

// The rings consist of records and gaps without a rest, each entry refers to a record of
// its own hash, and what is answered is what was filled last, whatever is filled,
// written and forgotten.
func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 7))
		c := newCache(t, 4<<(10+seed*2))
		model, hits := map[string]string{}, 0
		for step := range 30_000 {
			key := fmt.Appendf(nil, "%d", rng.IntN(100<<seed))
			hash := base.Hash(key)
			switch n := rng.IntN(100); {
			case n < 40:
				got, answer := c.Get(nil, key, hash)
				want, there := model[string(key)]
				if answer == Found && (!there || string(got) != want) || answer == Absent && there {
					t.Fatalf("step %d: %q is %q, answer %d; want %q", step, key, got, answer, want)
				}
				if answer != Unknown {
					hits++
				}
				for range admitOneIn { // past the admission
					if there {
						c.Fill(c.Ticket(hash), key, []byte(want), hash, 1)
					} else {
						c.FillAbsent(c.Ticket(hash), key, hash, 1)
					}
				}
			case n < 99:
				had, _ := c.BeginWrite(hash)
				if delete(model, string(key)); n < 80 {
					model[string(key)] = fmt.Sprintf("%*d", 1+rng.IntN(c.RecordMaxBytes()), step)
				}
				c.EndWrite(hash)
				if n < 70 && had {
					c.PutBack(key, []byte(model[string(key)]), hash, 1)
				}
			case rng.IntN(2) == 0:
				c.BeginAll()
				clear(model)
				c.EndAll()
			default:
				c.Forget()
			}
			if step%64 == 0 {
				checkWhole(t, c)
			}
			if rng.IntN(300) == 0 {
				changeSize(t, c, rng)
			}
		}
		checkWhole(t, c)
		if hits < 100 {
			t.Errorf("only %d hits", hits)
		}
	}
}

// checkWhole checks the structure of a cache that nobody uses.
func checkWhole(t *testing.T, c *Cache) {
	t.Helper()
	at := map[uint64]uint64{} // hashes of records by place
	for i := range c.rings.all {
		r := c.rings.all[i].Load()
		if r == nil {
			continue
		}
		hand := r.hand == 0
		for place := uint64(0); place < uint64(len(r.words)); {
			rec := record(r.words[place:])
			if !rec.isGap() {
				at[r.place+place] = rec.hash()
			}
			if rec.words() == 0 || place+rec.words() > uint64(len(r.words)) {
				t.Fatalf("%d words at %d of %d", rec.words(), place, len(r.words))
			}
			hand = hand || r.hand == place
			place += rec.words()
		}
		if !hand {
			t.Fatalf("the hand is inside of a record, at %d", r.hand)
		}
	}
	for _, x := range c.indexes() {
		if x == nil {
			continue
		}
		for i := range x.buckets {
			b := &x.buckets[i]
			if b.state()&stateFlags != 0 {
				t.Fatalf("state %x", b.state())
			}
			for j := firstEntry; j < bucketWords; j++ {
				e := entry(b[j].Load())
				if e == 0 {
					continue
				}
				if hash, ok := at[e.place()]; !ok || !e.isOf(hash) || x.bucket(hash) != b {
					t.Fatalf("an entry refers to %d, where there is no record of its own", e.place())
				}
			}
		}
	}
}

// What was in use comes back with the value that was written.
func TestPutBack(t *testing.T) {
	c := newCache(t, 64<<10)
	key := []byte("key")
	hash := base.Hash(key)
	if used, again := c.BeginWrite(hash); used || again {
		t.Errorf("in use in an empty cache: %v; again: %v", used, again)
	}
	if _, again := c.BeginWrite(hash); !again {
		t.Error("the second write of a group is not known")
	}
	c.EndWrite(hash)
	c.Fill(c.Ticket(hash), key, []byte("old value"), hash, 1)
	if used, _ := c.BeginWrite(hash); used {
		t.Error("what nobody has asked for is in use")
	}
	c.EndWrite(hash)
	fill(c, key, []byte("old value"))
	for _, value := range []string{"new value", "a longer value", "short", ""} {
		if used, again := c.BeginWrite(hash); !used || again {
			t.Errorf("in use: %v; again: %v", used, again)
		}
		c.EndWrite(hash)
		c.PutBack(key, []byte(value), hash, 7)
		if got, answer := c.GetAt(nil, key, hash, 7); answer != Found || string(got) != value {
			t.Errorf("%q, answer %d instead of %q", got, answer, value)
		}
		if _, answer := c.GetAt(nil, key, hash, 6); answer != Unknown {
			t.Errorf("who reads as of before is told %d", answer)
		}
		checkWhole(t, c)
	}
	for name, beside := range map[string][2]func(){
		"the next write": {func() { c.BeginWrite(hash) }, func() { c.EndWrite(hash) }},
		"a range delete": {func() { c.BeginWrite(hash); c.EndWrite(hash); c.BeginAll() }, c.EndAll},
	} {
		beside[0]()
		c.PutBack(key, []byte("late"), hash, 7)
		beside[1]()
		if _, answer := c.Get(nil, key, hash); answer != Unknown {
			t.Errorf("put back beside %s", name)
		}
		fill(c, key, []byte("value"))
	}
	c.BeginWrite(hash)
	c.EndWrite(hash)
	c.PutBack(key, make([]byte, c.RecordMaxBytes()+1), hash, 7)
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Error("put back what is too large")
	}
}

// Of many used records in a row some have to go; nothing refers to them any more.
func TestManyUsedInARow(t *testing.T) {
	c := newCache(t, 64<<10)
	for i := range 2000 {
		key := fmt.Appendf(nil, "%05d", i)
		c.Fill(c.Ticket(base.Hash(key)), key, []byte("value"), base.Hash(key), 1)
	}
	for i := range 2000 { // what is there is used
		key := fmt.Appendf(nil, "%05d", i)
		c.Get(nil, key, base.Hash(key))
	}
	for i := range 200 {
		fill(c, fmt.Appendf(nil, "more %d", i), []byte("value"))
		checkWhole(t, c)
	}
}

// What is used stays, when more comes than there is room for.
func TestUsedRecordsStay(t *testing.T) {
	c := newCache(t, 64<<10)
	hot := make([][]byte, 50)
	value := make([]byte, 100)
	for i := range hot {
		hot[i] = fmt.Appendf(nil, "hot %d", i)
		fill(c, hot[i], value)
	}
	for i := range 20_000 {
		cold := fmt.Appendf(nil, "cold %d", i)
		hash := base.Hash(cold)
		c.Fill(c.Ticket(hash), cold, value, hash, 1)
		key := hot[i%len(hot)]
		c.Get(nil, key, base.Hash(key))
	}
	left := 0
	for _, key := range hot {
		if _, answer := c.Get(nil, key, base.Hash(key)); answer == Found {
			left++
		}
	}
	if left < len(hot)*8/10 {
		t.Errorf("%d of %d are left", left, len(hot))
	}
}

func TestWhatInvalidates(t *testing.T) {
	c := newCache(t, 0)
	key, value := []byte("key"), []byte("value")
	hash := base.Hash(key)
	cached := func() bool { _, answer := c.Get(nil, key, hash); return answer != Unknown }
	for name, write := range map[string][2]func(){
		"write":        {func() { c.BeginWrite(hash) }, func() { c.EndWrite(hash) }},
		"double write": {func() { c.BeginWrite(hash); c.BeginWrite(hash) }, func() { c.EndWrite(hash); c.EndWrite(hash) }},
		"all":          {c.BeginAll, c.EndAll},
		"all twice":    {func() { c.BeginAll(); c.BeginAll() }, c.EndAll},
	} {
		fill(c, key, value)
		if !cached() {
			t.Fatalf("%s: not filled", name)
		}
		before := c.Ticket(hash)
		write[0]()
		if cached() {
			t.Errorf("%s: found while it is under way", name)
		}
		during := c.Ticket(hash)
		for range 100 { // past the admission
			c.Fill(during, key, value, hash, 1)
		}
		if cached() {
			t.Errorf("%s: filled while it is under way", name)
		}
		write[1]()
		if cached() {
			t.Errorf("%s: found after it", name)
		}
		for range 100 { // past the admission
			c.Fill(before, key, value, hash, 1)
			c.Fill(during, key, value, hash, 1)
		}
		if cached() {
			t.Errorf("%s: filled with a ticket from before its end", name)
		}
		fill(c, key, value)
		if !cached() {
			t.Errorf("%s: not to be filled any more", name)
		}
	}
	c.EndAll() // without a begin
	if !cached() {
		t.Error("an end without a begin invalidates")
	}
}

// TestFillOvertakenByWrite stops a fill in the middle, lets a write pass, and sees that
// the old record does not become valid.
func TestFillOvertakenByWrite(t *testing.T) {
	c := newCache(t, 0)
	key := []byte("key")
	hash := base.Hash(key)
	b := c.now.Load().bucket(hash)
	fill(c, key, []byte("old"))
	var old entry
	for i := firstEntry; i < bucketWords; i++ {
		if e := entry(b[i].Load()); e.isOf(hash) {
			old = e
		}
	}
	c.BeginWrite(hash)
	c.EndWrite(hash)
	ticket := c.Ticket(hash)
	if !b.beginFill(ticket.state) || b.beginFill(ticket.state) {
		t.Fatal("two fills of one bucket")
	}
	c.BeginWrite(hash)
	i := b.roomFor(old)
	b[i].Store(uint64(old))
	if c.Ticket(hash).valid {
		t.Error("a ticket for a bucket that is being written")
	}
	c.EndWrite(hash)
	if c.Ticket(hash).valid {
		t.Error("a ticket for a bucket that is being filled")
	}
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Error("found in an overtaken fill")
	}
	if b.endFill(ticket.state, i, old) {
		t.Error("the end of a fill that was overtaken")
	}
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Error("an overtaken fill became valid")
	}
	if b.publish(ticket.state, old) {
		t.Error("published with the ticket from before")
	}
	fill(c, key, []byte("value"))
	if _, answer := c.Get(nil, key, hash); answer != Found {
		t.Error("the bucket is lost")
	}
}

// TestNeverStale has one writer that raises the values of a few keys and
// readers that fill the cache from what is published: nobody may get a value
// older than one that was published before the get began.
func TestNeverStale(t *testing.T) {
	const keys = 24
	for _, sizeBytes := range []int64{4 << 10, 64 << 10, 4 << 20} {
		c := newCache(t, sizeBytes)
		var tree, published [keys]atomic.Uint64
		names, hashes := make([][]byte, keys), make([]uint64, keys)
		for i := range names {
			names[i] = fmt.Appendf(nil, "key number %d", i)
			hashes[i] = base.Hash(names[i])
		}
		stop := make(chan bool)
		var readers sync.WaitGroup
		var hits atomic.Int64
		for r := range 3 {
			readers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(r), 2))
				buf := make([]byte, 0, 64)
				for {
					select {
					case <-stop:
						return
					default:
					}
					stay := c.cfg.Epochs.Enter()
					i := rng.IntN(keys)
					atLeast := published[i].Load()
					ticket := c.Ticket(hashes[i])
					got, answer := c.Get(buf[:0], names[i], hashes[i])
					if answer == Found {
						hits.Add(1)
						if v := binary.LittleEndian.Uint64(got); v < atLeast || len(got) != 40 ||
							!bytes.Equal(got[8:16], got[:8]) || !bytes.Equal(got[32:], got[:8]) {
							t.Errorf("%d bytes: stale or torn: %x, want at least %d", sizeBytes, got, atLeast)
							stay.Exit()
							return
						}
						stay.Exit()
						continue
					}
					v := tree[i].Load()
					value := make([]byte, 40)
					for at := 0; at < 40; at += 8 {
						binary.LittleEndian.PutUint64(value[at:], v)
					}
					c.Fill(ticket, names[i], value, hashes[i], 1)
					stay.Exit()
				}
			})
		}
		rng := rand.New(rand.NewPCG(9, 9))
		for v := uint64(1); v < 30_000 || hits.Load() < 1000; v++ {
			if v%64 == 0 {
				c.BeginAll()
			}
			if v%1501 == 0 && v%64 != 0 {
				changeSize(t, c, rng)
			}
			group := []int{rng.IntN(keys), rng.IntN(keys)}
			var had [2]bool
			for n, i := range group {
				if v%64 != 0 {
					had[n], _ = c.BeginWrite(hashes[i])
				}
				tree[i].Store(v)
			}
			for _, i := range group {
				published[i].Store(v)
				if v%64 != 0 {
					c.EndWrite(hashes[i])
				}
			}
			value := make([]byte, 40)
			for at := 0; at < 40; at += 8 {
				binary.LittleEndian.PutUint64(value[at:], v)
			}
			for n, i := range group {
				if had[n] {
					c.PutBack(names[i], value, hashes[i], 1)
				}
			}
			if v%64 == 0 {
				c.EndAll()
			}
		}
		close(stop)
		readers.Wait()
	}
}

// TestCopyIsWhole reads records while their memory is used again and again for others:
// a copy that was overtaken half way is no answer.
func TestCopyIsWhole(t *testing.T) {
	c := newCache(t, 4<<10)
	keys := make([][]byte, 20)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key%d", i)
	}
	var stop atomic.Bool
	var hits atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var buf []byte
			for i := 0; !stop.Load(); i++ {
				key := keys[i%len(keys)]
				stay := c.cfg.Epochs.Enter()
				got, answer := c.Get(buf[:0], key, base.Hash(key))
				stay.Exit()
				if answer == Found && (bytes.Count(got, got[:1]) != len(got) || int(got[0])%len(keys) != i%len(keys)) {
					t.Errorf("a copy of two records: %x", got)
					stop.Store(true)
				}
				if answer == Found {
					hits.Add(1)
				}
				buf = got
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, c.RecordMaxBytes()-8)
	for n := 0; !stop.Load() && (n < 300_000 || hits.Load() < 30_000); n++ {
		k := rng.IntN(len(keys))
		size := 1 + rng.IntN(len(value))
		for i := range value[:size] {
			value[i] = byte(k + len(keys)*rng.IntN(2))
			value[i] = value[0]
		}
		hash := base.Hash(keys[k])
		c.BeginWrite(hash)
		c.EndWrite(hash)
		c.Fill(c.Ticket(hash), keys[k], value[:size], hash, 1)
	}
	stop.Store(true)
	readers.Wait()
}

func TestSize(t *testing.T) {
	var acct offheap.Accountant
	for _, size := range []int64{0, 1, 4096, 5000, 1 << 20, 1<<20 + 12345} {
		c, err := New(Config{SizeBytes: size, Memory: &acct})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.SizeBytes(); got > max(size, sizeMinBytes) || got < size/3 || size >= tinyMaxBytes && got < size*2/3 {
			t.Errorf("asked for %d bytes, got %d", size, got)
		}
		if acct.Bytes(offheap.OwnerHotCache) < c.SizeBytes() {
			t.Errorf("%d bytes are counted as %d", c.SizeBytes(), acct.Bytes(offheap.OwnerHotCache))
		}
		c.Free()
	}
	if n := acct.Total(); n != 0 {
		t.Errorf("%d bytes are left after Free", n)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, records := range []int{1000, 10_000} {
		b.Run(fmt.Sprint("records=", records), func(b *testing.B) {
			c := newCache(b, 16<<20)
			keys := make([][]byte, records)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "key%013d", i)
				fill(c, keys[i], make([]byte, 100))
			}
			rng := rand.New(rand.NewPCG(1, 1))
			buf := make([]byte, 0, 100)
			b.ReportAllocs()
			for b.Loop() {
				key := keys[rng.IntN(records)]
				buf, _ = c.Get(buf[:0], key, base.Hash(key))
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	c := newCache(b, 16<<20)
	hash := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		hash = hash*0x9e3779b97f4a7c15 + 1
		c.BeginWrite(hash >> 20)
		c.EndWrite(hash >> 20)
	}
}
