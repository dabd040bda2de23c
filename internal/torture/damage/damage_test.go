package damage

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"

	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

func specimenOf(t testing.TB, name string) *specimen {
	t.Helper()
	all, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no specimen %q", name)
	return nil
}

// inParallel runs n pieces of work on all cores.
func inParallel(n int, work func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	running.Wait()
}

var (
	seeds    = flag.Uint64("seeds", 0, "run the rounds of so many seeds, instead of a few")
	seedFrom = flag.Uint64("from", 0, "the first of those seeds")
)

// TestRounds runs rounds spread over the tape and over the ways to change it.
func TestRounds(t *testing.T) {
	full, err := FullPass()
	if err != nil {
		t.Fatal(err)
	}
	count := uint64(8)
	if testing.Short() {
		count = 1
	}
	seedOf := func(i uint64) uint64 { return i%6*full + (i*full+full/2)/count }
	if *seeds > 0 {
		count, seedOf = *seeds, func(i uint64) uint64 { return *seedFrom + i }
	}
	var tally ledger.Tally
	inParallel(int(count), func(i int) {
		if err := Round(context.Background(), seedOf(uint64(i)), &tally); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d of %d rounds of a pass: %v", count, full, tally.Counts())
	if tally.Count(ledger.Flips) < int64(count)*sliceBytes*9/10 {
		t.Errorf("only %d flips", tally.Count(ledger.Flips))
	}
}

// TestFullPassChangesEveryByte adds up the slices of one pass.
func TestFullPassChangesEveryByte(t *testing.T) {
	all, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	full, _ := FullPass()
	runs := tape(all)
	changed := map[*specimen]image{}
	for _, s := range all {
		changed[s] = image{}
		for file, content := range s.image {
			changed[s][file] = make([]byte, len(content))
		}
	}
	total := int64(0)
	for i := range full {
		for _, part := range cut(runs, int64(i)*sliceBytes, sliceBytes) {
			counts := changed[part.specimen][part.file]
			for at := part.lo; at < part.hi; at += part.step {
				counts[at]++
				total++
			}
		}
	}
	for _, s := range all {
		for file, content := range s.image {
			used := content
			if kind(file) == kindLog {
				used = content[:min(int64(len(content)), s.usedBytes(file)+sectorBytes)]
			}
			for at := range used {
				if n := changed[s][file][at]; n != 1 {
					t.Fatalf("%q, %s: byte %d is changed %d times", s.name, file, at, n)
				}
			}
		}
	}
	var largest int64
	for _, b := range all[0].image {
		largest += int64(len(b))
	}
	if largest < 1<<20 {
		t.Errorf("the large specimen has only %d bytes", largest)
	}
	t.Logf("%d bytes in %d rounds, %d of them in %q", total, full, largest, all[0].name)
}

// TestSpecimensRepeat: files have the same sizes whenever they are
// made, so that a seed means the same bytes in every process.
func TestSpecimensRepeat(t *testing.T) {
	shapes := []func(uint64) (*specimen, error){liveLog, reopened, smallBlocks, levels}
	if testing.Short() {
		shapes = shapes[:3]
	}
	for _, shape := range shapes {
		var sizes []string
		for range 2 {
			s, err := shape(1)
			if err != nil {
				t.Fatal(err)
			}
			list := s.name
			for _, name := range s.image.names() {
				list += fmt.Sprintf(" %s:%d", kind(name), len(s.image[name]))
			}
			sizes = append(sizes, list)
		}
		if sizes[0] != sizes[1] {
			t.Errorf("%s\n%s", sizes[0], sizes[1])
		}
	}
}

// TestUndamaged: without damage every specimen says the truth.
func TestUndamaged(t *testing.T) {
	all, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, write := range []bool{false, true} {
			in := inspection{
				specimen: s, mount: s.withFile(kindLock, nil), allowed: s.allowed(s.image),
				scope: make(scope, len(s.truth())), whole: true, write: write,
			}
			if got, err := in.run(); got != unharmed || err != nil {
				t.Errorf("%q, opened for writing %v: %v, %v", s.name, write, got, err)
			}
		}
	}
}

// TestTailOfLiveLog changes every byte of the live logs that have one, and
// demands that the newest group can be lost and no other.
func TestTailOfLiveLog(t *testing.T) {
	for _, name := range []string{"reopened", "live log"} {
		if testing.Short() && name == "live log" {
			continue
		}
		s := specimenOf(t, name)
		file := s.groups[0].file
		fsys := flip(s.image, file)
		var ended [outcomes]int
		for at := range s.groups[len(s.groups)-1].hi {
			fsys.content[at] ^= 1 << (at % 8)
			in := inspection{
				specimen: s, mount: fsys.mounted, damaged: []string{file},
				allowed: s.allowed(s.image.with(file, fsys.content)), scope: s.truth().everything(),
			}
			got, err := in.run()
			fsys.content[at] ^= 1 << (at % 8)
			ended[got]++
			if at >= preparedHeaderBytes && at < logHeaderBytes { // which the groups make up for
				if got != unharmed || err != nil {
					t.Fatalf("%q: byte %d of %s, where it begins: %v, %v", name, at, file, got, err)
				}
				continue
			}
			newest := at >= s.groups[len(s.groups)-1].lo
			if err != nil || (got == shortened) != newest || (got == refusal) == newest {
				t.Fatalf("%q: byte %d of %s, in the newest group %v: %v, %v", name, at, file, newest, got, err)
			}
		}
		t.Logf("%q: %v", name, ended)
	}
}

// TestEveryByteOfManifests changes every byte of the manifest and of CURRENT of
// small databases, of which the few rounds above see little.
func TestEveryByteOfManifests(t *testing.T) {
	all, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	var parts []run
	for _, part := range tape(all[1:]) {
		if k := kind(part.file); k != kindManifest && k != kindCurrent {
			continue
		}
		if testing.Short() && part.specimen.name != "reopened" {
			continue
		}
		for at := part.lo; at < part.hi; at += 64 {
			piece := part
			piece.lo, piece.hi = at, min(at+64, part.hi)
			parts = append(parts, piece)
		}
	}
	var tally ledger.Tally
	inParallel(len(parts), func(i int) {
		r := round{rng: rand.New(rand.NewPCG(uint64(i), 0)), tally: &tally}
		if err := errors.Join(r.flips(t.Context(), parts[i]), r.worse(t.Context(), parts[i])); err != nil {
			t.Error(err)
		}
	})
	t.Log(tally.Counts())
}

// TestInspectionBites shows inspections what they must not accept.
func TestInspectionBites(t *testing.T) {
	s, other := specimenOf(t, "small blocks"), specimenOf(t, "zstandard")
	var table string
	for _, name := range s.image.names() {
		if kind(name) == kindTable {
			table = name
		}
	}
	damaged := bytes.Clone(s.image[table])
	damaged[70] ^= 1
	nothing, all := make(scope, len(s.truth())), s.truth().everything()
	for what, in := range map[string]inspection{
		"another database": {
			mount: s.withFile(kindLock, nil), allowed: []answers{other.truth()}, scope: all,
		},
		"an error that names another file": {
			mount: s.withFile(table, nil), allowed: s.states, scope: all, damaged: []string{"000777.sst"},
		},
		"an error where nothing depends on the damage": {
			mount: s.withFile(table, damaged), allowed: s.states, scope: nothing, damaged: []string{table}, whole: true,
		},
		"a panic": {mount: s.withFile(kindLock, nil), allowed: s.states},
	} {
		in.specimen = s
		if got, err := in.run(); err == nil {
			t.Errorf("%s was accepted as %v", what, got)
		}
	}
}

// TestFilesGoAstray goes through the table: all lines of the small specimens,
// and samples of the lines of the large one and of exchanged blocks.
func TestFilesGoAstray(t *testing.T) {
	lines, err := strays()
	if err != nil {
		t.Fatal(err)
	}
	every := 40
	if testing.Short() {
		every = 100
	}
	var chosen []*stray
	for i := range lines {
		if sample := lines[i].many || testing.Short(); !sample || i%every == 0 {
			chosen = append(chosen, &lines[i])
		}
	}
	var tally ledger.Tally
	inParallel(len(chosen), func(i int) {
		r := round{rng: rand.New(rand.NewPCG(uint64(i), 0)), tally: &tally}
		if err := r.stray(chosen[i]); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d of %d lines", tally.Count(ledger.Astray), len(lines))
}

// TestRoundEndsWithItsContext: a round that is told to stop is no failure.
func TestRoundEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var tally ledger.Tally
	if err := Round(ctx, 1, &tally); err != nil || tally.Count(ledger.Flips) > 0 {
		t.Errorf("%v, after %v", err, tally.Counts())
	}
}
