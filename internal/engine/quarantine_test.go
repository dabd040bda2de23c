package engine

import (
	"context"
	"errors"
	iofs "io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// rottingFS flips a bit of each table that is made while rot is set.
type rottingFS struct {
	vfs.FS
	rot     atomic.Bool
	created atomic.Int64
}

type rottingFile struct{ vfs.File }

func (f *rottingFS) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	if err != nil || !strings.HasSuffix(name, ".sst") || !f.rot.Load() {
		return file, err
	}
	f.created.Add(1)
	return rottingFile{file}, nil
}

func (f rottingFile) WriteAt(p []byte, off int64) (int, error) {
	const at = 200 // in the first data block
	if off <= at && at < off+int64(len(p)) {
		p = append([]byte(nil), p...)
		p[at-off] ^= 1
	}
	return f.File.WriteAt(p, off)
}

// An output that reads back damaged makes the compaction wait and try again.
// It was taken for a damaged input: its number went into quarantine for good,
// and the same job ran again at once and forever, which rewrote the inputs some
// thousand times a second.
func TestDamagedOutputIsRetriedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &rottingFS{FS: memfs.New()}
		opts := testOptions(fs)
		retries := retryClock{clock.System, make(chan struct{}, 1)}
		opts.Clock = retries
		db := openTest(t, opts)
		defer db.Close()
		fillFile(t, db, "a", 300)
		fillFile(t, db, "a", 300)
		fs.rot.Store(true)
		err := db.Compact(context.Background(), nil, nil)
		if !errors.Is(err, base.ErrCorrupted) {
			t.Errorf("compaction into a rotten file: %v", err)
		}
		<-retries.retry
		fs.rot.Store(false)
		if n := fs.created.Load(); n > 4 {
			t.Errorf("%d outputs were written before the first wait", n)
		}
		if n := db.Metrics().QuarantinedFiles; n != 0 {
			t.Errorf("%d files are in quarantine, of which none is damaged", n)
		}
		must(t, db.Compact(context.Background(), nil, nil))
	})
}

// Compact of a range with a quarantined file says why it cannot do its work,
// each time. The second call used to return nil without having done anything,
// and with many files in level 0 it waited without end for a job that is never
// run.
func TestCompactReportsQuarantine(t *testing.T) {
	fs := memfs.New()
	opts := testOptions(fs)
	opts.L0Files = 1
	db := openTest(t, opts)
	defer db.Close()
	ctx := context.Background()
	fillFile(t, db, "a", 300)
	must(t, db.Compact(ctx, nil, nil))
	for _, name := range fileNames(t, fs, ".sst") {
		f, err := fs.OpenReadWrite(filepath.Join("db", name))
		if errors.Is(err, iofs.ErrNotExist) {
			continue // obsolete, and gone since
		}
		must(t, err)
		_, err = f.WriteAt([]byte("rot"), 300)
		must(t, errors.Join(err, f.Close()))
	}
	for range 4 {
		fillFile(t, db, "a", 300)
		if err := db.Compact(ctx, nil, nil); !errors.Is(err, base.ErrCorrupted) {
			t.Errorf("compaction of a damaged file: %v", err)
		}
	}
}
