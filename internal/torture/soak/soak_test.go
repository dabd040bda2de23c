//go:build linux && !race

package soak

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/internal/clock"
)

var soakFor = flag.Duration("for", 4*time.Second, "how long to go on")

const (
	// warmCycles come before the memory is looked at for the first time: caches are empty.
	warmCycles = 8
	// growthBytesMax is by how much the resident memory of the last third of the cycles may
	// exceed that of the first: the runtime and the kernel round.
	growthBytesMax = 24 << 20
	// logFilesMax is how many segments of the log may be open more than at another time.
	logFilesMax = 4
	// patience is how long what was given up may take to go, in steps.
	patience, step = 10 * time.Second, 5 * time.Millisecond
)

// process is what the process has at some moment.
type process struct {
	goroutines, files int
	residentBytes     int64
}

// look returns what the process has, without garbage.
func look(t *testing.T) (p process) {
	t.Helper()
	debug.FreeOSMemory()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	p.goroutines, p.files = runtime.NumGoroutine(), len(entries)
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			must(t, err)
			p.residentBytes = n << 10
		}
	}
	return p
}

// settle waits until the process has no more goroutines and files than before.
func settle(t *testing.T, what string, before process) process {
	t.Helper()
	for waited := time.Duration(0); ; waited += step {
		now := look(t)
		if now.goroutines <= before.goroutines && now.files <= before.files {
			return now
		}
		if waited > patience {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s: %+v, and %+v before\n%s", what, now, before, stacks[:runtime.Stack(stacks, true)])
		}
		pause()
	}
}

// pause waits a step.
func pause() {
	over := make(chan struct{})
	clock.System.AfterFunc(step, func() { close(over) })
	<-over
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soak is what the cycles have in common.
type soak struct {
	t         *testing.T
	rng       *rand.Rand
	dir       string
	lasting   *lightning.DB
	abandoned lightning.HandleCounts // of the lasting database
}

func options() *lightning.Options {
	return &lightning.Options{
		MemoryBudget: 16 << 20, Durability: lightning.DurabilityAsync,
		Tree: lightning.TreeOptions{MemtableBytes: 256 << 10, FileBytes: 256 << 10},
	}
}

// Nothing grows, however long the database is used.
func TestNothingGrows(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &soak{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir()}
	outside := look(t)
	var err error
	s.lasting, err = lightning.Open(filepath.Join(s.dir, "lasting"), options())
	must(t, err)
	s.cycle()
	s.collect()
	start := look(t)
	start.files += logFilesMax - openTables(s.lasting)

	var resident []int64
	for began := clock.System.Now(); clock.System.Now().Sub(began) < *soakFor || len(resident) < 2*warmCycles; {
		s.cycle()
		s.collect()
		now := settle(t, fmt.Sprintf("cycle %d", len(resident)), process{
			goroutines: start.goroutines, files: start.files + openTables(s.lasting),
		})
		resident = append(resident, now.residentBytes)
	}
	report(t, resident[warmCycles:])
	must(t, s.lasting.Close())
	settle(t, "closed", outside)
}

// openTables is how many files a database has open for its tables, which come and go.
func openTables(db *lightning.DB) int { return db.Metrics().Files.Open }

// report compares the memory of the first cycles with that of the last ones.
func report(t *testing.T, resident []int64) {
	third := max(1, len(resident)/3)
	mean := func(part []int64) (sum int64) {
		for _, n := range part {
			sum += n / int64(len(part))
		}
		return sum
	}
	first, last := mean(resident[:third]), mean(resident[len(resident)-third:])
	t.Logf("%d cycles: %d KiB resident in the first third, %d in the last", len(resident), first>>10, last>>10)
	if last > first+growthBytesMax {
		t.Errorf("resident memory grew from %d to %d KiB", first>>10, last>>10)
	}
}

// collect has what was abandoned found, and holds the database to the count.
func (s *soak) collect() {
	for waited := time.Duration(0); ; waited += step {
		runtime.GC()
		m := s.lasting.Metrics().Handles
		if m.Forgotten == s.abandoned && m.Iterators+m.Snapshots+m.Transactions == 0 {
			return
		}
		if waited > patience {
			s.t.Fatalf("%+v; %+v were abandoned", m, s.abandoned)
		}
		pause()
	}
}

// cycle does each thing once.
func (s *soak) cycle() {
	s.write(s.lasting, 2000)
	s.abandon()
	s.keyspaces()
	s.conflicts()
	s.follow()
	s.copies()
	s.shortLived()
	must(s.t, s.lasting.Compact(s.t.Context(), nil, nil))
}

func (s *soak) key() []byte { return fmt.Appendf(nil, "key%05d", s.rng.IntN(20_000)) }

// write writes, overwrites and deletes, also what expires and what goes to tables of its own.
func (s *soak) write(db *lightning.DB, count int) {
	value := make([]byte, 16<<10)
	for range count {
		var err error
		switch s.rng.IntN(20) {
		case 0:
			err = db.DeleteRange(s.key(), nil)
			if errors.Is(err, lightning.ErrInvalidRange) {
				err = nil
			}
		case 1, 2:
			err = db.Delete(s.key())
		case 3:
			err = db.PutWithTTL(s.key(), value[:100], time.Millisecond)
		case 4:
			err = db.Put(s.key(), value)
		default:
			err = db.Put(s.key(), value[:s.rng.IntN(500)])
		}
		must(s.t, err)
	}
}

// abandon leaves handles of each kind to the collector.
func (s *soak) abandon() {
	db := s.lasting
	for range 1 + s.rng.IntN(5) {
		it, err := db.Iterator(lightning.IterOptions{})
		must(s.t, err)
		it.SeekGE(s.key())
		s.abandoned.Iterators++

		_, err = db.Snapshot()
		must(s.t, err)
		s.abandoned.Snapshots++

		tx, err := db.Begin(lightning.TxOptions{})
		must(s.t, err)
		must(s.t, tx.Put(s.key(), nil))
		_, err = tx.Iterator(lightning.IterOptions{})
		must(s.t, err)
		s.abandoned.Transactions++
		s.abandoned.Iterators++

		loader, err := db.BulkLoader()
		must(s.t, err)
		must(s.t, loader.Put(s.key(), nil))
		s.abandoned.BulkLoaders++
	}
}

// keyspaces makes one, fills it and drops it, with a snapshot of it open.
func (s *soak) keyspaces() {
	ctx := s.t.Context()
	k, err := s.lasting.Keyspace(ctx, "passing", nil)
	must(s.t, err)
	for range 200 {
		must(s.t, k.Put(s.key(), make([]byte, 100)))
	}
	snap, err := k.Snapshot()
	must(s.t, err)
	must(s.t, s.lasting.DropKeyspace(ctx, "passing"))
	must(s.t, snap.Close())
}

// conflicts has transactions of several goroutines meet.
func (s *soak) conflicts() {
	failed := make(chan error)
	const clients = 4
	for range clients {
		go func() {
			var err error
			for range 20 {
				err = cmp.Or(err, s.lasting.Update(func(tx *lightning.Tx) error {
					if _, err := tx.Get([]byte("counter")); err != nil && !errors.Is(err, lightning.ErrNotFound) {
						return err
					}
					return tx.Put([]byte("counter"), make([]byte, 8))
				}))
			}
			failed <- err
		}()
	}
	for range clients {
		must(s.t, <-failed)
	}
}

// follow begins loops over changes and leaves them in all ways that there are.
func (s *soak) follow() {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	next, stop := iter.Pull2(s.lasting.Watch(ctx, lightning.WatchOptions{From: s.lasting.Metrics().VisibleSeq + 1}))
	must(s.t, s.lasting.Put([]byte("seen"), nil))
	if _, err, ok := next(); !ok {
		s.t.Fatal("a watcher has ended")
	} else {
		must(s.t, err)
	}
	stop()
	must(s.t, s.lasting.Put([]byte("seen"), nil))
	for batch, err := range s.lasting.Changes(ctx, s.lasting.Metrics().VisibleSeq) {
		must(s.t, err)
		_ = batch
		break
	}
	for _, err := range s.lasting.Watch(ctx, lightning.WatchOptions{From: s.lasting.Metrics().VisibleSeq}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				s.t.Fatal(err)
			}
			break
		}
		cancel()
	}
}

// copies makes a checkpoint and a backup, and gives older ones up.
func (s *soak) copies() {
	ctx := s.t.Context()
	point := filepath.Join(s.dir, "checkpoint")
	must(s.t, s.lasting.Checkpoint(ctx, point))
	must(s.t, os.RemoveAll(point))
	target := backup.Dir(filepath.Join(s.dir, "backups"))
	_, err := s.lasting.Backup(ctx, target, backup.Options{})
	must(s.t, err)
	_, err = backup.Prune(ctx, target, backup.Keep{Last: 2}, backup.PruneOptions{})
	must(s.t, err)
}

// shortLived opens a database, uses it, and closes it with handles open, which are forgotten
// later.
func (s *soak) shortLived() {
	dir := filepath.Join(s.dir, "short")
	db, err := lightning.Open(dir, options())
	must(s.t, err)
	s.write(db, 300)
	var it *lightning.Iterator
	if s.rng.IntN(2) == 0 {
		it, err = db.Iterator(lightning.IterOptions{})
		must(s.t, err)
		it.First()
	}
	err = db.Close()
	if open := it != nil; open != errors.Is(err, lightning.ErrLeaked) {
		s.t.Fatalf("an iterator is open: %v; %v", open, err)
	}
	if s.rng.IntN(4) == 0 {
		must(s.t, os.RemoveAll(dir))
	}
}
