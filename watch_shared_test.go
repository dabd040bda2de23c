package lightning_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Loops that are told of the same change have the same copy of it, which stays as it is: also what a
// loop has kept while it was told of others.
func TestWatchersShareChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", keeping(memfs.New()))
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		const loops, writes = 8, 300
		kept := make([][]lightning.WatchedChange, loops)
		for i := range kept {
			go func() {
				for change, err := range db.Watch(ctx, lightning.WatchOptions{}) {
					if err != nil {
						return
					}
					kept[i] = append(kept[i], change)
				}
			}()
		}
		synctest.Wait()
		for n := range writes {
			must(t, db.Put(fmt.Appendf(nil, "key%d", n), fmt.Appendf(nil, "value%d", n)))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		cancel()
		synctest.Wait()
		for i, changes := range kept {
			if len(changes) != writes {
				t.Fatalf("loop %d was told of %d changes of %d", i, len(changes), writes)
			}
			for n, c := range changes {
				if string(c.Key) != fmt.Sprintf("key%d", n) || string(c.Value) != fmt.Sprintf("value%d", n) {
					t.Fatalf("loop %d has kept %s = %s as number %d", i, c.Key, c.Value, n)
				}
				if &c.Value[0] != &kept[0][n].Value[0] {
					t.Fatalf("loop %d has a copy of its own of number %d", i, n)
				}
			}
		}
		must(t, db.Close())
	})
}

// Watchers that are quick, slow, and that end and come back, are each told of every acknowledged
// commit once and in order; and so are they, from where they stood, after a crash that keeps
// no more than was synced.
func TestWatchersOverCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		const rounds, writes, loops = 4, 1500, 6
		told := make([]int, loops)    // how many commits each was told of
		next := make([]uint64, loops) // where each goes on
		pause := func(i int) time.Duration { return time.Duration(i) * 20 * time.Millisecond }
		for i := range next {
			next[i] = 1
		}
		for round := range rounds {
			db, err := lightning.Open("db", keeping(disk))
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			for i := range loops {
				watching.Go(func() {
					for ctx.Err() == nil { // a loop may end itself, and begins again
						for change, err := range db.Watch(ctx, lightning.WatchOptions{From: next[i]}) {
							if err != nil {
								break
							}
							if want := fmt.Sprintf("key%07d", told[i]); string(change.Key) != want || change.Seq < next[i] {
								t.Errorf("loop %d was told of %s, want %s", i, change.Key, want)
								cancel()
								return
							}
							told[i]++
							next[i] = change.Seq + 1
							if told[i]%100 == 0 {
								time.Sleep(pause(i))
							}
							if told[i]%(251+i) == 0 {
								break
							}
						}
					}
				})
			}
			for n := range writes {
				must(t, db.Put(fmt.Appendf(nil, "key%07d", round*writes+n), make([]byte, n%200)))
				if n%300 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if round == rounds-1 {
				time.Sleep(time.Hour)
			}
			crashed := disk.Crash(memfs.CrashOptions{Seed: uint64(round), Keep: memfs.KeepRandom})
			cancel()
			watching.Wait()
			must(t, db.Close())
			disk = crashed
		}
		for i, n := range told {
			if n != rounds*writes {
				t.Errorf("loop %d was told of %d commits of %d", i, n, rounds*writes)
			}
		}
	})
}
