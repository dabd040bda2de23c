package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// newFS returns an empty file system with the database's directory.
func newFS(t testing.TB) *memfs.FS {
	t.Helper()
	m := memfs.New()
	for _, err := range []error{m.MkdirAll(testDir), m.SyncDir("")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// largeEdit is large enough for the manifest to go on in a new file.
func largeEdit(first base.FileNum) *Edit {
	e := &Edit{}
	for i := range base.FileNum(9) {
		bound := strings.Repeat(string('a'+rune(i)), base.MaxKeyBytes)
		e.AddFiles = append(e.AddFiles, LevelFile{0, table(first+i, bound, bound+"z")})
	}
	return e
}

func manifests(t testing.TB, fsys vfs.FS) []base.FileNum {
	t.Helper()
	numbers, err := listManifests(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

func mustAppend(t testing.TB, l *Log, e *Edit) {
	t.Helper()
	if err := l.Append(e); err != nil {
		t.Fatal(err)
	}
}

func TestLogLifeCycle(t *testing.T) {
	fsys := newFS(t)
	if ok, err := Exists(fsys, testDir); ok || err != nil {
		t.Fatalf("Exists in an empty directory: %v, %v", ok, err)
	}
	if ok, err := Exists(fsys, "nowhere"); ok || err != nil {
		t.Fatalf("Exists in no directory: %v, %v", ok, err)
	}
	l, state, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	if state.NextFileNum != 1 || state.NextKeyspaceID != 1 || state != l.State() {
		t.Fatalf("a new database starts as %+v", state)
	}
	if ok, err := Exists(fsys, testDir); !ok || err != nil {
		t.Fatalf("Exists after Create: %v, %v", ok, err)
	}
	if _, _, err := Create(fsys, testDir, testID); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("Create over a database: %v", err)
	}
	ed := newEditor(3)
	for round := range 4 {
		for range 40 {
			mustAppend(t, l, ed.edit(l.State()))
		}
		want := fingerprint(l.State())
		before := fsys.Ops()
		loaded, err := load(fsys)
		if err != nil || fingerprint(loaded) != want {
			t.Fatalf("round %d: Load beside the open log: %v", round, err)
		}
		if fsys.Ops()-before > 10 {
			t.Errorf("Load took %d operations", fsys.Ops()-before)
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(&Edit{}); !errors.Is(err, base.ErrClosed) {
			t.Fatalf("Append after Close: %v", err)
		}
		if l, state, err = reopen(fsys); err != nil || fingerprint(state) != want {
			t.Fatalf("round %d: Open: %v", round, err)
		}
		if got := manifests(t, fsys); !slices.Equal(got, []base.FileNum{base.FileNum(round + 2)}) {
			t.Fatalf("round %d: manifests %v", round, got)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLogRolls(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	var last base.FileNum
	rolls := 0
	for i := range base.FileNum(20) {
		e := largeEdit(1 + 9*i)
		for _, f := range l.State().Version.Levels[0] {
			e.RemoveFiles = append(e.RemoveFiles, LevelNum{0, f.Num})
		}
		mustAppend(t, l, e)
		numbers := manifests(t, fsys)
		if len(numbers) != 1 {
			t.Fatalf("manifests %v", numbers)
		}
		if numbers[0] != last {
			last = numbers[0]
			rolls++
		}
		if loaded, err := load(fsys); err != nil || fingerprint(loaded) != fingerprint(l.State()) {
			t.Fatalf("edit %d: %v", i, err)
		}
	}
	// Each edit has 1.1 MiB, the snapshot as much: about every second rolls.
	if rolls < 7 || rolls > 12 {
		t.Errorf("20 edits rolled %d times", rolls)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedEditHasNoEffect(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, &Edit{AddLogs: logs(1)})
	ops, want := fsys.Ops(), fingerprint(l.State())
	if err := l.Append(&Edit{AddLogs: logs(2), RemoveLogs: []base.FileNum{9}}); err == nil {
		t.Fatal("an edit that does not fit was accepted")
	}
	if fsys.Ops() != ops || fingerprint(l.State()) != want {
		t.Error("a refused edit left a trace")
	}
	mustAppend(t, l, &Edit{AddLogs: logs(2)})
}

func TestConcurrentAppends(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				n := base.FileNum(1 + g*50 + i)
				if err := l.Append(&Edit{AddLogs: logs(n)}); err != nil {
					t.Error(err)
				}
				if indexLog(l.State().Logs, n) < 0 {
					t.Errorf("log %d is missing after its edit", n)
				}
			}
		})
	}
	wg.Wait()
	loaded, err := load(fsys)
	if err != nil || len(loaded.Logs) != 200 {
		t.Fatalf("loaded %d logs, %v", len(loaded.Logs), err)
	}
}

func TestOnlyOwnManifestsAreRemoved(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, _, err = reopen(fsys); err != nil {
			t.Fatal(err)
		}
	}
	other := fileHeader{id: base.DBID{9}, num: 1, salt: 4}.encode()
	own := fileHeader{id: testID, num: 2, salt: 4}.encode()
	writeFile(t, fsys, FileName(1), other)
	writeFile(t, fsys, FileName(2), own)
	writeFile(t, fsys, FileName(3), []byte("junk"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, _, err = reopen(fsys); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(manifests(t, fsys)); got != "[000001 000003 000005]" {
		t.Errorf("manifests left: %s", got)
	}
}

func writeFile(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fsys.Create(testDir + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, f.Sync(), f.Close(), fsys.SyncDir(testDir)); err != nil {
		t.Fatal(err)
	}
}

// State shows an edit only once it is durable: not while its sync is under way,
// and never if that fails.
func TestStateFollowsTheDisk(t *testing.T) {
	fsys := newFS(t)
	l, before, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	device := errors.New("device error")
	for _, failure := range []error{nil, device} {
		syncs := 0
		fsys.SetHook(func(op vfs.Op) error {
			if op.Kind != vfs.OpSyncData {
				return nil
			}
			syncs++
			if l.State() != before {
				t.Error("State shows an edit during its sync")
			}
			return failure
		})
		err := l.Append(&Edit{LastSeq: before.LastSeq + 1})
		if syncs == 0 || !errors.Is(err, failure) {
			t.Fatalf("append with %d syncs: %v", syncs, err)
		}
		if moved := l.State() != before; moved != (failure == nil) {
			t.Errorf("sync ended with %v, State moved: %v", failure, moved)
		}
		before = l.State()
	}
	if err := l.Close(); !errors.Is(err, device) && err != nil {
		t.Fatal(err)
	}
}

// The number of a keyspace is never used again, even if the keyspace went and
// the manifest has been written anew since.
func TestKeyspaceNumbersOutliveTheirKeyspaces(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, &Edit{AddKeyspaces: []Keyspace{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}})
	mustAppend(t, l, &Edit{DropKeyspaces: []uint64{1, 2}})
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, _, err = reopen(fsys); err != nil {
			t.Fatal(err)
		}
		if next := l.State().NextKeyspaceID; next != 3 {
			t.Errorf("keyspaces 1 and 2 were dropped, and the next one is %d", next)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// The proof that a manifest was closed with is durable: what rots in the last
// edit after a power loss is found.
func TestCloseProvesTheLastEdit(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	at := l.sizeBytes
	mustAppend(t, l, &Edit{AddLogs: logs(7)})
	name, edited := filepath.Join(testDir, FileName(l.num)), l.synced
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for offset := at; offset < edited; offset++ {
		crashed := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
		f, err := crashed.OpenReadWrite(name)
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], offset); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := f.WriteAt(b[:], offset); err != nil {
			t.Fatal(err)
		}
		if _, err := load(crashed); !errors.Is(err, base.ErrCorrupted) {
			t.Fatalf("byte %d of the last edit rotted: %v", offset-at, err)
		}
	}
}
