package fault

import (
	"context"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func parse(t *testing.T, text string) script.Script {
	t.Helper()
	s, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func smallOptions() lightning.Options {
	return lightning.Options{
		MemoryBudget: 4 << 20,
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
	}
}

const compactionScript = `
put key="a" value="1" wait=sync
put key="b" value="1" wait=sync
flush
put key="a" value="2" wait=async
flush
compact
create-space in="s"
put in="s" key="c" value="3" wait=sync
drop-space in="s"
reopen
put key="d" value="4" wait=sync
`

// failEach runs the script with a fault at each of its places of the given
// kinds and files, once and for good, with both ways to fail a sync.
func failEach(t *testing.T, kinds vfs.OpKind, file string, errs []error) {
	t.Helper()
	s, o := parse(t, compactionScript), smallOptions()
	places, err := Places(s, o)
	if err != nil {
		t.Fatal(err)
	}
	var faults []Fault
	for _, p := range places {
		if !kinds.Has(p.Kind) || file != "" && file != p.File {
			continue
		}
		for _, err := range errs {
			faults = append(faults,
				Fault{Place: p, Err: err},
				Fault{Place: p, Err: err, Sticky: true, SyncFailure: memfs.FailRevert},
				Fault{Place: p, Err: err, Done: true})
			if p.Kind == vfs.OpWrite || p.Kind == vfs.OpRead {
				faults = append(faults, Fault{Place: p, Err: err, Short: true})
			}
		}
	}
	if len(faults) == 0 {
		t.Fatal("no place for a fault")
	}
	if testing.Short() {
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		faults = faults[:min(len(faults), 60)]
	}
	var tally ledger.Tally
	if _, err := Each(context.Background(), s, o, faults, &tally); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d faults in %d runs", tally.Count(ledger.Faults), len(faults))
}

// TestEachOperationFails fails every operation of a short life.
func TestEachOperationFails(t *testing.T) {
	t.Parallel()
	failEach(t, vfs.OpAll, "", []error{syscall.EIO})
}

// TestDiskFillsAtEachOperation fails what needs space or descriptors.
func TestDiskFillsAtEachOperation(t *testing.T) {
	t.Parallel()
	failEach(t, vfs.OpCreate|vfs.OpWrite|vfs.OpPreallocate|vfs.OpMkdirAll, "",
		[]error{errFull, errQuota})
	failEach(t, vfs.OpCreate|vfs.OpOpen|vfs.OpOpenReadWrite|vfs.OpLock, "", []error{syscall.EMFILE})
}

// TestFailedManifestSyncKeepsTables fails each sync of the manifest in turn.
// After a failed sync the edit may be on the disk all the same, and is in the
// cache of the operating system. A flush or compaction once deleted the tables
// that such an edit names; the next open then found an edit without its tables
// and refused the whole database, with everything that was acknowledged.
func TestFailedManifestSyncKeepsTables(t *testing.T) {
	t.Parallel()
	failEach(t, vfs.OpSyncData, "*.manifest", []error{syscall.EIO})
}

// TestFailedDirectorySyncLosesNoTable fails each sync of the directory in turn.
// One failed sync takes with it the names that other workers have made
// meanwhile: a failed recycling of a log segment once took the name of a table
// that a compaction was writing, whose own sync of the directory succeeded
// after it. The manifest then named a table that was gone.
func TestFailedDirectorySyncLosesNoTable(t *testing.T) {
	t.Parallel()
	for range 3 { // the workers meet in different ways
		failEach(t, vfs.OpSyncDir, script.Dir, []error{syscall.EIO})
	}
}

// TestFailedSyncOfParentDirectory fails the sync that makes the name of a new
// database durable. The next open once found the directory there, synced its
// parent with success, which after a failure means nothing, and acknowledged
// writes that a power cut took away with the directory.
func TestFailedSyncOfParentDirectory(t *testing.T) {
	t.Parallel()
	failEach(t, vfs.OpSyncDir, ".", []error{syscall.EIO})
}

// TestFailedDropLeavesTheKeyspaceUsable fails the manifest while a keyspace is
// dropped. The name stayed in the list, but every read of it, also through new
// handles, said that it was dropped.
func TestFailedDropLeavesTheKeyspaceUsable(t *testing.T) {
	t.Parallel()
	failEach(t, vfs.OpWrite, "*.manifest", []error{syscall.EIO})
}

func TestRounds(t *testing.T) {
	t.Parallel()
	rounds := uint64(6)
	if testing.Short() {
		rounds = 2
	}
	var tally ledger.Tally
	for seed := range rounds {
		if err := Round(context.Background(), seed, &tally); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d faults", tally.Count(ledger.Faults))
}

// TestSlowDisk makes every kind of operation slow in turn.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	var faults []Fault
	for kind := vfs.OpCreate; kind <= vfs.OpAll; kind <<= 1 {
		faults = append(faults, Fault{Place: Place{Kind: kind, Nth: 1}, Sticky: true, Slow: 3 * time.Millisecond})
	}
	var tally ledger.Tally
	if _, err := Each(context.Background(), parse(t, compactionScript), smallOptions(), faults, &tally); err != nil {
		t.Fatal(err)
	}
	if tally.Count(ledger.Faults) < 12 {
		t.Errorf("only %d kinds of operations were slow", tally.Count(ledger.Faults))
	}
}
