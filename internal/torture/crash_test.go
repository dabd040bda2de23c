package torture

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/model"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A script is a short life of a database: a list of steps, each a commit or
// something that makes files move. It runs on the strict in-memory file
// system. Before each operation of the file system that can matter, the states
// that a crash could leave there are taken; each is opened, and must hold the
// history up to some commit: not before the last one that was acknowledged as
// synced, not after the last one that had begun. And it must stay writable.

type scriptStep struct {
	name string
	do   func(db *lightning.DB) error
	// model is what the step makes of the store; nil for steps that are no
	// commits.
	model  func(model.Store) model.Store
	synced bool // an acknowledgement promises that the commit survives
}

func commitStep(k, v string, d lightning.Durability) scriptStep {
	return scriptStep{
		name: fmt.Sprintf("put %s (%v)", k, d),
		do: func(db *lightning.DB) error {
			b := db.NewBatch()
			if err := b.Put([]byte(k), []byte(v)); err != nil {
				return err
			}
			return b.CommitWith(d)
		},
		model:  func(s model.Store) model.Store { return s.Put(k, v) },
		synced: d == lightning.Sync,
	}
}

func deleteRangeStep(lo, hi string) scriptStep {
	return scriptStep{
		name: fmt.Sprintf("delete [%s, %s)", lo, hi),
		do: func(db *lightning.DB) error {
			return db.DeleteRange([]byte(lo), []byte(hi))
		},
		model:  func(s model.Store) model.Store { return s.DeleteRange(lo, hi) },
		synced: true,
	}
}

func batchStep(valueBytes int, keys ...string) scriptStep {
	value := string(make([]byte, valueBytes))
	return scriptStep{
		name: fmt.Sprintf("batch of %d", len(keys)),
		do: func(db *lightning.DB) error {
			b := db.NewBatch()
			for _, k := range keys {
				if err := b.Put([]byte(k), []byte(value)); err != nil {
					return err
				}
			}
			return b.Commit()
		},
		model: func(s model.Store) model.Store {
			for _, k := range keys {
				s = s.Put(k, value)
			}
			return s
		},
		synced: true,
	}
}

func flushStep() scriptStep {
	return scriptStep{name: "flush", do: func(db *lightning.DB) error {
		return db.Flush(context.Background())
	}}
}

func compactStep() scriptStep {
	return scriptStep{name: "compact", do: func(db *lightning.DB) error {
		return db.Compact(context.Background(), nil, nil)
	}}
}

func syncStep() scriptStep {
	return scriptStep{name: "sync log", do: (*lightning.DB).SyncWAL, synced: true}
}

// reopenStep is handled by the runner.
const reopenName = "reopen"

func scripts() map[string][]scriptStep {
	put := func(k, v string) scriptStep { return commitStep(k, v, lightning.Sync) }
	async := func(k, v string) scriptStep { return commitStep(k, v, lightning.Async) }
	toOS := func(k, v string) scriptStep { return commitStep(k, v, lightning.Flush) }
	reopen := scriptStep{name: reopenName}
	return map[string][]scriptStep{
		"first open": {},
		"one put":    {put("a", "1")},
		"flush":      {put("a", "1"), put("b", "2"), flushStep(), put("a", "3")},
		"durability mix": {async("a", "1"), toOS("b", "2"), put("c", "3"), async("a", "4"),
			toOS("b", "5"), syncStep(), async("d", "6")},
		"compaction": {put("a", "1"), put("b", "1"), flushStep(), put("a", "2"), flushStep(),
			compactStep(), put("c", "3")},
		"range delete": {put("a", "1"), put("b", "2"), put("c", "3"), flushStep(),
			deleteRangeStep("a", "c"), flushStep(), put("b", "4"), compactStep()},
		"reopen": {put("a", "1"), async("b", "2"), reopen, put("a", "3"), flushStep(), reopen,
			put("d", "4")},
		"large batch": {put("a", "1"), batchStep(20<<10, "b", "c", "d", "a"), async("b", "2"),
			flushStep(), reopen},
		"rotation": {async("a", "1"), flushStep(), async("b", "2"), flushStep(), toOS("c", "3"),
			flushStep(), put("d", "4")},
	}
}

// crashRun runs one script and judges every crash state on the way.
type crashRun struct {
	t         *testing.T
	opts      lightning.Options
	maxStates int

	mu      sync.Mutex
	history []model.Store // history[i] is the store after i commits
	begun   int           // commits begun
	durable int           // commits that must survive
	judged  int
	sampled int // operations where not every state was taken
}

func TestCrashStates(t *testing.T) {
	maxStates := 24
	if testing.Short() {
		maxStates = 6
	}
	for name, steps := range scripts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &crashRun{t: t, maxStates: maxStates, history: []model.Store{{}}}
			r.opts = lightning.Options{
				MemoryBudget: 4 << 20,
				Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
			}
			r.run(steps)
			t.Logf("%d crash states judged; at %d operations only samples", r.judged, r.sampled)
			if r.judged == 0 {
				t.Fatal("no crash state was judged")
			}
		})
	}
}

func (r *crashRun) run(steps []scriptStep) {
	fs := memfs.New()
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) {
			r.judge(fs, op)
		}
		return nil
	})
	db := r.open(fs)
	for _, s := range steps {
		if s.name == reopenName {
			if err := db.Close(); err != nil {
				r.t.Fatalf("close: %v", err)
			}
			r.acknowledge(true)
			db = r.open(fs)
			continue
		}
		if s.model != nil {
			r.begin(s)
		}
		if err := s.do(db); err != nil {
			r.t.Fatalf("%s: %v", s.name, err)
		}
		// After a sync everything before it is durable too.
		r.acknowledge(s.synced)
	}
	if err := db.Close(); err != nil {
		r.t.Fatalf("close: %v", err)
	}
	r.acknowledge(true)
	r.judge(fs, vfs.Op{})
}

func (r *crashRun) open(fs *memfs.FS) *lightning.DB {
	opts := r.opts
	opts.FS = fs
	db, err := lightning.Open("db", &opts)
	if err != nil {
		r.t.Fatalf("open: %v", err)
	}
	return db
}

func (r *crashRun) begin(s scriptStep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, s.model(r.history[len(r.history)-1]))
	r.begun++
}

func (r *crashRun) acknowledge(durable bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if durable {
		r.durable = r.begun
	}
}

// judge opens every state that a crash before op could leave.
func (r *crashRun) judge(fs *memfs.FS, op vfs.Op) {
	r.mu.Lock()
	history, durable := r.history, r.durable
	r.mu.Unlock()
	states, complete := fs.CrashStates(r.maxStates)
	n := 0
	for state := range states {
		n++
		r.judgeState(state, history[durable:], fmt.Sprintf("crash before %v, state %d", op, n))
		if r.t.Failed() {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judged += n
	if !complete {
		r.sampled++
	}
}

// judgeState opens a crash state, looks for its rows among those allowed, and
// sees whether it can be written to and opened again.
func (r *crashRun) judgeState(fs *memfs.FS, allowed []model.Store, where string) {
	t := r.t
	opts := r.opts
	opts.FS = fs
	db, err := lightning.Open("db", &opts)
	if err != nil {
		t.Errorf("%s: open: %v", where, err)
		return
	}
	got := readAll(t, db)
	match := false
	for _, s := range allowed {
		match = match || got.Equal(s)
	}
	if !match {
		t.Errorf("%s: recovered %v, which is none of the %d allowed states from %v to %v", where,
			got.Rows("", ""), len(allowed), allowed[0].Rows("", ""), allowed[len(allowed)-1].Rows("", ""))
	}
	if err := db.Put([]byte("after"), []byte("crash")); err != nil {
		t.Errorf("%s: put after recovery: %v", where, err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("%s: close after recovery: %v", where, err)
	}
	db, err = lightning.Open("db", &opts)
	if err != nil {
		t.Errorf("%s: second open: %v", where, err)
		return
	}
	defer db.Close()
	if again := readAll(t, db); !again.Equal(got.Put("after", "crash")) {
		t.Errorf("%s: second open shows %v", where, again.Rows("", ""))
	}
}

func readAll(t *testing.T, db *lightning.DB) model.Store {
	var s model.Store
	err := db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			s = s.Put(string(k), string(v))
		}
		return nil
	})
	if err != nil {
		t.Errorf("scan: %v", err)
	}
	return s
}

// TestCrashInRecovery crashes again at every operation of the recovery from
// random crashes.
func TestCrashInRecovery(t *testing.T) {
	r := &crashRun{t: t, maxStates: 3, history: []model.Store{{}}}
	r.opts = lightning.Options{
		MemoryBudget: 4 << 20,
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
	}
	fs := memfs.New()
	db := r.open(fs)
	for i := range 20 {
		s := commitStep(fmt.Sprintf("k%d", i%7), fmt.Sprint(i), lightning.Durability(i%3))
		r.begin(s)
		if err := s.do(db); err != nil {
			t.Fatal(err)
		}
		r.acknowledge(s.synced)
		if i == 9 {
			if err := db.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for seed := range uint64(8) {
		crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed})
		crashed.SetHook(func(op vfs.Op) error {
			if vfs.OpMutations.Has(op.Kind) {
				r.judge(crashed, op)
			}
			return nil
		})
		if err := r.open(crashed).Close(); err != nil {
			t.Fatalf("seed %d: close: %v", seed, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states judged", r.judged)
}

// TestFailedOperation fails each operation of a short life once and then
// checks that nothing acknowledged is lost and that the database opens again.
func TestFailedOperation(t *testing.T) {
	steps := scripts()["compaction"]
	for n := int64(1); ; n++ {
		fs := memfs.New()
		injected := errors.New("injected")
		hit := false
		fs.SetHook(func(op vfs.Op) error {
			if op.N == n && op.Kind != vfs.OpClose {
				hit = true
				return injected
			}
			return nil
		})
		acked := lifeWithFaults(fs, steps)
		ended := fs.Ops() < n
		fs.SetHook(nil)
		r := &crashRun{t: t, opts: lightning.Options{MemoryBudget: 4 << 20}}
		for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll} {
			r.judgeState(fs.Crash(memfs.CrashOptions{Keep: keep}), acked,
				fmt.Sprintf("operation %d failed, keep %v", n, keep))
		}
		if t.Failed() {
			return
		}
		if ended && !hit {
			t.Logf("%d operations failed in turn", n-1)
			return
		}
	}
}

// lifeWithFaults runs steps, ignoring errors, and returns the states that may
// be found afterwards.
func lifeWithFaults(fs vfs.FS, steps []scriptStep) []model.Store {
	allowed := []model.Store{{}}
	db, err := lightning.Open("db", &lightning.Options{FS: fs, MemoryBudget: 4 << 20})
	if err != nil {
		return allowed
	}
	defer db.Close()
	for _, s := range steps {
		err := s.do(db)
		if s.model == nil {
			if err != nil {
				break // it would wait for a retry, and the fault has been seen
			}
			continue
		}
		next := s.model(allowed[len(allowed)-1])
		if err == nil {
			allowed = []model.Store{next}
			continue
		}
		allowed = append(allowed, next) // the outcome is unknown
	}
	return allowed
}

// TestRandomCrashes runs longer random lives, crashes at random moments and
// goes on from what was recovered.
func TestRandomCrashes(t *testing.T) {
	lives := uint64(60)
	if testing.Short() {
		lives = 15
	}
	for seed := range lives {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 2))
			fs := memfs.New()
			var base model.Store
			for crash := range 4 {
				r := &crashRun{t: t, history: []model.Store{base}}
				r.opts = randomOptions(rng, fs)
				db := r.open(fs)
				r.randomSteps(db, rng, 40)
				crashed := fs.Crash(memfs.CrashOptions{
					Keep: memfs.KeepRandom, Seed: rng.Uint64(), Stale: rng.IntN(2) == 0,
				})
				_ = db.Close()
				fs = crashed
				r.opts.FS = fs
				db = r.open(fs)
				base = readAll(t, db)
				match := false
				for _, s := range r.history[r.durable:] {
					match = match || base.Equal(s)
				}
				if !match {
					t.Fatalf("crash %d: recovered none of the %d allowed states", crash,
						len(r.history)-r.durable)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func (r *crashRun) randomSteps(db *lightning.DB, rng *rand.Rand, n int) {
	for range n {
		key := fmt.Sprintf("k%02d", rng.IntN(30))
		var s scriptStep
		switch rng.IntN(12) {
		case 0:
			s = flushStep()
		case 1:
			s = compactStep()
		case 2:
			s = deleteRangeStep(key, key+"z")
			s.synced = r.opts.Durability == lightning.Sync
		case 3:
			s = batchStep(rng.IntN(9000), key, key+"x", "k05")
			s.synced = r.opts.Durability == lightning.Sync
		default:
			s = commitStep(key, fmt.Sprint(rng.Uint32()), lightning.Durability(rng.IntN(3)))
		}
		if s.model != nil {
			r.begin(s)
		}
		if err := s.do(db); err != nil {
			r.t.Fatalf("%s: %v", s.name, err)
		}
		r.acknowledge(s.synced)
	}
}

func smallOptions(fs vfs.FS) *lightning.Options {
	return &lightning.Options{
		FS:           fs,
		MemoryBudget: 4 << 20,
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
	}
}

func list(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	return names
}
