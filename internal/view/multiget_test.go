package view

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/vfs"
)

// Behind the first miss a MultiGet reads blocks as batches: what takes
// a while is under way together.
func TestMultiGetReadsBlocksTogether(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the checks read blocks too")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, 0)
		var keys [][]byte
		for i := range 600 {
			key := fmt.Sprintf("\x00%04d", i)
			r.write(set(key, fmt.Sprint("value ", i)))
			if i%15 == 0 { // more than a block
				keys = append(keys, []byte(key))
			}
		}
		r.seal()
		r.flush()
		r.write(set("\x000015", "value 15")) // in the memtable too: nothing to read

		// Time moves on only when all that can begin has begun.
		var mu sync.Mutex
		begun, underWay, most := 0, 0, 0
		count := func(change int) {
			mu.Lock()
			defer mu.Unlock()
			underWay += change
			begun, most = begun+max(change, 0), max(most, underWay)
		}
		r.fs.SetHook(func(op vfs.Op) error {
			if op.Kind == vfs.OpRead {
				count(+1)
				time.Sleep(time.Millisecond)
				count(-1)
			}
			return nil
		})
		calls := 0
		must(t, r.MultiGet(keys, func(i int, value []byte, err error) error {
			if want := fmt.Sprint("value ", i*15); err != nil || string(value) != want {
				t.Errorf("key %d: %q, %v", i, value, err)
			}
			calls++
			return nil
		}))
		r.fs.SetHook(nil)
		if calls != len(keys) || begun > len(keys)+5 || most < 32 {
			t.Errorf("%d calls for %d keys, %d reads, at most %d at once",
				calls, len(keys), begun, most)
		}
	})
}
