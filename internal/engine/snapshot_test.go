package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A read of a snapshot that runs beside its Close may be refused; it must not
// see another moment. It did: the snapshot was found open, then it was closed,
// a compaction dropped the version it saw and gave the newer one sequence
// number zero, and only then the read loaded the state, which so showed it a
// write from after the snapshot.
func TestSnapshotReadBesideClose(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	defer db.Close()
	key := []byte{0, 'a'}
	for range 300 {
		must(t, db.Commits().Set(nil, nil, key, []byte("old"), commit.Async))
		s, err := db.Reads().Snapshot()
		must(t, err)
		must(t, db.Commits().Set(nil, nil, key, []byte("new"), commit.Async))
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for {
					v, err := s.AppendGet(nil, key)
					if errors.Is(err, base.ErrInvalidHandle) {
						return
					}
					if err != nil || string(v) != "old" {
						t.Errorf("read beside close: %q, %v", v, err)
						return
					}
				}
			})
		}
		runtime.Gosched()
		must(t, s.Close())
		must(t, db.Flush(context.Background()))
		readers.Wait()
	}
}
