package damage

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// builder leads a database through its life. The first error sticks: it is
// looked at once, at the end.
type builder struct {
	fs      *memfs.FS
	options lightning.Options
	db      *lightning.DB
	rng     *contentSource
	sizes   *rand.Rand                   // the same for a database and its foreign sibling
	rows    map[string]map[string]string // by keyspace
	asked   map[string]map[string]bool   // keys worth asking for
	names   []string                     // keyspaces, "" first
	spaces  map[string]*lightning.Keyspace
	err     error

	sameSize  bool // all values of a fill have the same size
	older     []image
	image     image
	unflushed int // bytes committed since the last flush

	// What was committed since recording began.
	recording bool
	states    []answers
	groups    []group
	logs      image
}

// build makes a specimen; life does with the builder what it likes.
func build(name string, options lightning.Options, seed uint64, life func(b *builder)) (*specimen, error) {
	b := &builder{
		fs: memfs.New(), options: options, rng: newContentSource(seed), sizes: rand.New(rand.NewPCG(1, 0)), names: []string{""},
		rows: map[string]map[string]string{"": {}}, asked: map[string]map[string]bool{"": {}},
		spaces: map[string]*lightning.Keyspace{},
	}
	b.open()
	life(b)
	if b.err != nil {
		return nil, fmt.Errorf("specimen %q: %w", name, b.err)
	}
	s := &specimen{
		name: name, options: options, image: b.image, states: b.states, groups: b.groups, older: b.older,
	}
	if s.disk, b.err = s.image.mount(); b.err != nil {
		return nil, fmt.Errorf("specimen %q: %w", name, b.err)
	}
	s.learnRegions()
	return s, nil
}

// try runs a step unless an earlier one failed.
func (b *builder) try(step func() error) {
	if b.err == nil {
		b.err = step()
	}
}

func (b *builder) open() {
	b.try(func() (err error) {
		options := b.options
		options.FS = b.fs
		if b.db, err = lightning.Open(dir, &options); err != nil {
			return err
		}
		for name := range b.spaces {
			if b.spaces[name], err = b.db.Keyspace(context.Background(), name, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// keyspace makes a keyspace.
func (b *builder) keyspace(name string, c lightning.Compression) {
	b.try(func() (err error) {
		b.spaces[name], err = b.db.Keyspace(context.Background(), name, &lightning.KeyspaceOptions{Compression: c})
		b.names = append(b.names, name)
		b.rows[name], b.asked[name] = map[string]string{}, map[string]bool{}
		return err
	})
}

// in returns the view of a batch on a keyspace.
func (b *builder) in(batch *lightning.Batch, space string) *lightning.Batch {
	if space == "" {
		return batch
	}
	return batch.In(b.spaces[space])
}

// put commits rows as one synced batch.
func (b *builder) put(space string, keys []string, value func() string) {
	b.commit(func(batch *lightning.Batch) error {
		batch = b.in(batch, space)
		for _, k := range keys {
			v := value()
			if err := batch.Put([]byte(k), []byte(v)); err != nil {
				return err
			}
			b.rows[space][k], b.asked[space][k] = v, true
			b.unflushed += len(k) + len(v)
		}
		return nil
	})
	if b.unflushed > flushBytes && !b.recording {
		b.flush()
	}
}

// flushBytes is less than a memtable: no memtable is ever full, for when a full
// one is flushed, and under which number, is up to the scheduler of goroutines.
const flushBytes = 40 << 10

func (b *builder) delete(space string, keys ...string) {
	b.commit(func(batch *lightning.Batch) error {
		batch = b.in(batch, space)
		for _, k := range keys {
			if err := batch.Delete([]byte(k)); err != nil {
				return err
			}
			delete(b.rows[space], k)
			b.asked[space][k] = true
		}
		return nil
	})
}

func (b *builder) deleteRange(space, lo, hi string) {
	b.commit(func(batch *lightning.Batch) error {
		maps.DeleteFunc(b.rows[space], func(k, _ string) bool { return k >= lo && k < hi })
		b.asked[space][lo], b.asked[space][hi] = true, true
		return b.in(batch, space).DeleteRange([]byte(lo), []byte(hi))
	})
}

// commit commits one batch and notes, while recording, where in the log it went
// and what the database shows after it.
func (b *builder) commit(fill func(batch *lightning.Batch) error) {
	b.try(func() error {
		batch := b.db.NewBatch()
		if err := fill(batch); err != nil {
			return err
		}
		if err := batch.CommitWith(lightning.DurabilitySync); err != nil {
			return err
		}
		if !b.recording {
			return nil
		}
		b.states = append(b.states, b.answers())
		logs, err := b.readLogs()
		if err != nil {
			return err
		}
		g, err := b.newestGroup(logs)
		b.groups, b.logs = append(b.groups, g), logs
		return err
	})
}

// record begins to note what is committed: the live log begins here.
func (b *builder) record() {
	b.settle()
	b.try(func() (err error) {
		b.recording = true
		b.states, b.groups = []answers{b.answers()}, nil
		b.logs, err = b.readLogs()
		return err
	})
}

func (b *builder) readLogs() (image, error) {
	all, err := takeImage(b.fs)
	maps.DeleteFunc(all, func(name string, _ []byte) bool { return kind(name) != kindLog })
	return all, err
}

// newestGroup finds what the last commit wrote: from the end of the group before
// it in the same file, or the file's beginning, to the last byte that changed,
// rounded up to where a group can end.
func (b *builder) newestGroup(logs image) (group, error) {
	for _, name := range logs.names() {
		before, after := b.logs[name], logs[name]
		if len(before) != len(after) {
			before = append(slices.Clone(before), make([]byte, max(0, len(after)-len(before)))...)[:len(after)]
		}
		if bytes.Equal(before, after) {
			continue
		}
		g := group{file: name, hi: int64(len(after))}
		for before[g.hi-1] == after[g.hi-1] {
			g.hi--
		}
		g.hi = min((g.hi+7)/8*8, int64(len(after)))
		if n := len(b.groups); n > 0 && b.groups[n-1].file == name {
			g.lo = b.groups[n-1].hi
		}
		return g, nil
	}
	return group{}, fmt.Errorf("a commit changed no log file")
}

// answers is what the database must say now.
func (b *builder) answers() answers {
	var out answers
	for _, name := range b.names {
		s := spaceAnswers{space: name}
		for _, k := range slices.Sorted(maps.Keys(b.asked[name])) {
			v, found := b.rows[name][k]
			s.probes = append(s.probes, probe{key: []byte(k), value: []byte(v), found: found})
		}
		out = append(out, s)
	}
	return out
}

// fill commits rows of about valueBytes each in batches of a few.
func (b *builder) fill(space string, from, to, step, valueBytes int) {
	for i := from; i < to; i += 5 * step {
		var keys []string
		for j := i; j < min(to, i+5*step); j += step {
			keys = append(keys, key(j))
		}
		b.put(space, keys, func() string {
			if b.sameSize {
				return b.rng.text(valueBytes)
			}
			return b.rng.text(valueBytes/2 + b.sizes.IntN(valueBytes))
		})
	}
	for _, k := range []string{"a", key(from) + "5", key(to) + "x", "z"} { // never there
		b.asked[space][k] = true
	}
}

func (b *builder) flush() {
	b.settle()
	b.try(func() error { return b.db.Flush(context.Background()) })
	b.settle()
	b.unflushed = 0
}

func (b *builder) compact(space string, lo, hi []byte) {
	b.flush()
	b.try(func() error {
		if space != "" {
			return b.spaces[space].Compact(context.Background(), lo, hi)
		}
		return b.db.Compact(context.Background(), lo, hi)
	})
	b.settle()
}

// settle waits for what goes on in the background of these lives: until what a log
// brought back at Open is in tables, the next log segment is prepared and the tables
// that were compacted away are deleted.
func (b *builder) settle() {
	b.try(func() error {
		for {
			m := b.db.Metrics()
			live := m.Blobs.Files
			for _, level := range m.Levels {
				live += level.Files
			}
			names, err := b.fs.List(dir)
			if err != nil {
				return err
			}
			tables := 0
			for _, name := range names {
				if kind(name) == kindTable {
					tables++
				}
			}
			if m.Memory.MemtablesWaiting == 0 && m.Log.Files >= 2 && tables == live {
				return nil
			}
			runtime.Gosched()
		}
	})
}

// remember takes the files as a power cut would leave them now: what an old copy
// of one of them says.
func (b *builder) remember() {
	b.settle()
	b.try(func() error {
		m, err := takeImage(b.fs.Crash(memfs.CrashOptions{}))
		b.older = append(b.older, m)
		return err
	})
}

// finishClosed ends the life with a clean close.
func (b *builder) finishClosed() {
	b.try(b.db.Close)
	b.try(func() (err error) {
		b.image, err = takeImage(b.fs)
		return err
	})
	b.states = []answers{b.answers()}
}

// finishCrashed ends the life with a power cut.
func (b *builder) finishCrashed() {
	b.settle()
	b.try(func() (err error) {
		b.image, err = takeImage(b.fs.Crash(memfs.CrashOptions{}))
		return err
	})
	b.dropFreeLogs()
	b.try(b.db.Close)
	// The earlier states are asked for the keys that came later, too.
	for i, s := range b.states {
		b.states[i] = s.askedAs(b.states[len(b.states)-1])
	}
}

// dropFreeLogs takes the log segments out of the image that wait to be used
// again, which the manifest does not name: whether there are any is up to the
// scheduler of goroutines. The table of files gone astray puts such ones back.
func (b *builder) dropFreeLogs() {
	b.try(func() error {
		var logs []string
		for _, name := range b.image.names() {
			if kind(name) == kindLog {
				logs = append(logs, name)
			}
		}
		for range len(logs) - int(b.db.Metrics().Log.Files) {
			delete(b.image, logs[0])
			logs = logs[1:]
		}
		return nil
	})
}

// askedAs returns the answers to the questions of others.
func (a answers) askedAs(others answers) answers {
	out := make(answers, len(others))
	for i, o := range others {
		known := map[string]probe{}
		if i < len(a) {
			for _, p := range a[i].probes {
				known[string(p.key)] = p
			}
		}
		out[i] = spaceAnswers{space: o.space}
		for _, p := range o.probes {
			mine := known[string(p.key)]
			mine.key = p.key
			out[i].probes = append(out[i].probes, mine)
		}
	}
	return out
}

// reopen closes the database and opens it again, which begins a manifest without
// history. What an old copy of the closed one says is remembered.
func (b *builder) reopen() {
	b.settle()
	b.try(b.db.Close)
	b.try(func() error {
		m, err := takeImage(b.fs)
		b.older = append(b.older, m)
		return err
	})
	b.open()
}

// reopenCrashed opens the database as a power cut leaves it.
func (b *builder) reopenCrashed() {
	b.settle()
	b.try(func() error {
		crashed := b.fs.Crash(memfs.CrashOptions{})
		err := b.db.Close()
		b.fs = crashed
		return err
	})
	b.open()
}

// contentSource makes keys' values: text that a codec can make smaller, with
// noise that it cannot.
type contentSource struct{ *rand.Rand }

func newContentSource(seed uint64) *contentSource {
	return &contentSource{rand.New(rand.NewPCG(seed, 0xda3a6e))}
}

var words = [...]string{"lightning ", "thunder ", "rain ", "storm ", "cloud ", "wind "}

func (s *contentSource) text(sizeBytes int) string {
	b := make([]byte, 0, sizeBytes+16)
	for len(b) < sizeBytes {
		b = append(b, words[s.IntN(len(words))]...)
		b = append(b, byte(s.IntN(255))+1, byte(s.IntN(255))+1)
	}
	b = b[:sizeBytes]
	if sizeBytes > 0 {
		b[sizeBytes-1] |= 1 // a group ends with a byte that shows in its extent
	}
	return string(b)
}

func (s *contentSource) noise(sizeBytes int) []byte {
	b := make([]byte, sizeBytes)
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}
