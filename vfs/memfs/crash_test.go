package memfs_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestCrashStates lists for each rule a short script and every state that may
// be found after a crash at its end. States are joined by "|"; "-" is the empty
// file system.
func TestCrashStates(t *testing.T) {
	for name, c := range map[string]struct{ script, states string }{
		"nothing":          {"", "-"},
		"new file":         {"new:f=AB", "-|f=|f=..|f=.B|f=A.|f=AB"},
		"data synced":      {"new:f=AB sync:f", "-|f=AB"},
		"name synced":      {"new:f=AB dir:/", "f=|f=..|f=.B|f=A.|f=AB"},
		"both synced":      {"new:f=AB sync:f dir:/", "f=AB"},
		"overwrite":        {"new:f=AA sync:f dir:/ put:f@0=BB", "f=AA|f=AB|f=BA|f=BB"},
		"overwrite twice":  {"new:f=A sync:f dir:/ put:f@0=B put:f@0=C", "f=A|f=B|f=C"},
		"append":           {"new:f=A sync:f dir:/ put:f@1=B", "f=A|f=A.|f=AB"},
		"far append":       {"new:f=A sync:f dir:/ put:f@2=B", "f=A|f=A..|f=A.B"},
		"preallocate":      {"new:f=A sync:f dir:/ grow:f=1536", "f=A|f=A.."},
		"write in reserve": {"new:f= grow:f=1024 sync:f dir:/ put:f@0=A", "f=..|f=A."},
		"truncate":         {"new:f=AB sync:f dir:/ cut:f=512", "f=AB|f=A"},
		"truncate inside":  {"new:f=AB sync:f dir:/ cut:f=100", "f=AB|f=A/100|f=?B"},
		"truncate, write":  {"new:f=AB sync:f dir:/ cut:f=0 put:f@0=C", "f=|f=.|f=AB|f=C"},
		"create again":     {"new:f=A sync:f dir:/ new:f=B", "f=|f=.|f=A|f=B"},
		"remove":           {"new:f=A sync:f dir:/ rm:f", "-|f=A"},
		"remove synced":    {"new:f=A sync:f dir:/ rm:f dir:/", "-"},
		"replace": {"new:f=A sync:f dir:/ rm:f new:f=B sync:f",
			"-|f=A|f=B"},
		"rename":           {"new:f=A sync:f new:t=B sync:t dir:/ mv:t,f", "f=A t=B|f=B"},
		"rename, new name": {"new:t=B sync:t dir:/ mv:t,f", "f=B|t=B"},
		"create, rename":   {"new:f=A sync:f dir:/ new:t=B sync:t mv:t,f", "f=A|f=A t=B|f=B"},
		"rename before data": {"new:f=A sync:f new:t= dir:/ put:t@0=B mv:t,f",
			"f=|f=.|f=A t=|f=A t=.|f=A t=B|f=B"},
		"rename synced":   {"new:f=A sync:f new:t=B sync:t mv:t,f dir:/", "f=B"},
		"rename and back": {"new:f=A sync:f dir:/ mv:f,g mv:g,f", "f=A|g=A"},
		"make directory":  {"mk:d new:d/f=A sync:d/f dir:d", "-|d/ d/f=A"},
		"make directories": {"mk:d/e new:d/e/f=A sync:d/e/f dir:d/e",
			"-|d/|d/ d/e/ d/e/f=A"},
		"across directories": {"mk:d mk:e new:d/f=A sync:d/f dir:d dir:/ mv:d/f,e/f",
			"d/ d/f=A e/|d/ e/ e/f=A"},
		"across, old side synced": {"mk:d mk:e new:d/f=A sync:d/f dir:d dir:/ mv:d/f,e/f dir:d",
			"d/ e/ e/f=A"},
		"across, new side synced": {"mk:d mk:e new:d/f=A sync:d/f dir:d dir:/ mv:d/f,e/f dir:e",
			"d/ e/ e/f=A"},
		"move directory": {"mk:d new:d/f=A sync:d/f dir:d dir:/ mv:d,e", "d/ d/f=A|e/ e/f=A"},
		"other directory synced": {"mk:d dir:/ new:f=A sync:f new:d/f=B sync:d/f dir:/",
			"d/ f=A|d/ d/f=B f=A"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := memfs.New()
			script(t, fsys, c.script)
			want := strings.Split(strings.Replace(c.states, "-", "", 1), "|")
			slices.Sort(want)
			if got := allStates(t, fsys); !slices.Equal(got, want) {
				t.Fatalf("after %s\ngot  %q\nwant %q", c.script, got, want)
			}
			checkPolicies(t, fsys, want)
		})
	}
}

// checkPolicies checks that a crash by policy is one of the possible states,
// and that random ones find all of them when there are few.
func checkPolicies(t fataler, fsys *memfs.FS, states []string) {
	t.Helper()
	all := describeFS(t, fsys)
	if got := describeFS(t, fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})); got != all {
		t.Fatalf("keeping all gives %q, not %q", got, all)
	}
	found := map[string]bool{}
	for seed := range uint64(400) {
		o := memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed}
		got := describeFS(t, fsys.Crash(o))
		if !slices.Contains(states, got) {
			t.Fatalf("seed %d gives %q, which is none of %q", seed, got, states)
		}
		found[got] = true
	}
	if len(states) <= 6 && len(found) < len(states) {
		t.Fatalf("400 seeds found only %d of %d states", len(found), len(states))
	}
	none := describeFS(t, fsys.Crash(memfs.CrashOptions{}))
	if !slices.Contains(states, none) {
		t.Fatalf("keeping nothing gives %q, which is none of %q", none, states)
	}
}

func TestKeepNone(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "mk:d new:d/f=A sync:d/f dir:d dir:/ put:d/f@0=B put:d/f@1=C new:d/g=A mv:d/g,d/h")
	expect(t, fsys.Crash(memfs.CrashOptions{}), "d/ d/f=A")
	expect(t, fsys, "d/ d/f=BC d/h=A")
}

func TestCrashedFileSystemIsDurable(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=A mk:d new:d/g=BC")
	crashed := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	if got := allStates(t, crashed); !slices.Equal(got, []string{"d/ d/g=BC f=A"}) {
		t.Fatalf("a second crash finds %q", got)
	}
}

// TestCopiesAreIndependent changes the original and two copies after a crash,
// in shared pages and in new ones.
func TestCopiesAreIndependent(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=AAAA sync:f dir:/ put:f@1=B")
	one := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	two := fsys.Crash(memfs.CrashOptions{})
	three := one.Crash(memfs.CrashOptions{})
	script(t, fsys, "put:f@0=X put:f@4=Y")
	script(t, one, "put:f@2=D cut:f=1536")
	script(t, two, "rm:f new:g=G")
	expect(t, fsys, "f=XBAAY")
	expect(t, one, "f=ABD")
	expect(t, two, "g=G")
	expect(t, three, "f=ABAA")
	expect(t, fsys.Crash(memfs.CrashOptions{}), "f=AAAA")
}

func TestStatesAreOfTheMoment(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=A sync:f dir:/ put:f@0=B")
	states, complete := fsys.CrashStates(10)
	script(t, fsys, "put:f@0=C sync:f rm:f dir:/")
	var got []string
	for state := range states {
		got = append(got, describeFS(t, state))
	}
	if !complete || !slices.Equal(got, []string{"f=A", "f=B"}) {
		t.Fatalf("got %q, complete %v", got, complete)
	}
}

func TestTooManyStates(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f="+strings.Repeat("A", 30)+" sync:f dir:/ put:f@0="+strings.Repeat("B", 30))
	states, complete := fsys.CrashStates(50)
	if complete {
		t.Fatal("2^30 states are said to be 50")
	}
	distinct := map[string]bool{}
	count := 0
	for state := range states {
		distinct[describeFS(t, state)] = true
		count++
	}
	if count != 50 || len(distinct) < 20 {
		t.Fatalf("%d states, %d of them distinct", count, len(distinct))
	}
	if !distinct["f="+strings.Repeat("A", 30)] || !distinct["f="+strings.Repeat("B", 30)] {
		t.Fatal("keeping nothing or everything is not among them")
	}
	for range 21 {
		script(t, fsys, "new:x= rm:x")
	}
	if _, complete := fsys.CrashStates(1 << 30); complete {
		t.Fatal("42 entry operations were enumerated")
	}
}

// TestCountOfStates checks that states which do not differ are not counted.
func TestCountOfStates(t *testing.T) {
	for words, count := range map[string]int{
		"new:f=AB dir:/":                      5,
		"new:f= rm:f":                         2,
		"new:f=A sync:f dir:/ put:f@0=BCD":    2 + 8,
		"new:f=AB sync:f dir:/ cut:f=0 dir:/": 2,
	} {
		fsys := memfs.New()
		script(t, fsys, words)
		if _, complete := fsys.CrashStates(count); !complete {
			t.Errorf("%s: more than %d states", words, count)
		}
		if _, complete := fsys.CrashStates(count - 1); complete {
			t.Errorf("%s: fewer than %d states", words, count)
		}
	}
}

func TestEarlyEndOfStates(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=AB")
	for _, max := range []int{100, 3} {
		states, _ := fsys.CrashStates(max)
		count := 0
		for range states {
			if count++; count == 2 {
				break
			}
		}
		if count != 2 {
			t.Fatalf("%d states", count)
		}
	}
}

func TestSameSeedSameState(t *testing.T) {
	run := func(seed uint64) []string {
		fsys := memfs.New()
		script(t, fsys, "mk:d new:d/f=AAAAAAAA new:d/g=B mv:d/g,d/h dir:d put:d/f@3=CCC grow:d/f=9000 new:i=J")
		var got []string
		for depth := range uint64(3) {
			fsys = fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed + depth, Stale: true})
			got = append(got, describeFS(t, fsys))
			script(t, fsys, "mk:d new:d/k=KKKK new:d/l=L put:d/k@1=M rm:d/l")
		}
		return got
	}
	for seed := range uint64(50) {
		if a, b := run(seed), run(seed); !slices.Equal(a, b) {
			t.Fatalf("seed %d gives %q and then %q", seed, a, b)
		}
	}
}

// TestStale checks that old bytes show up only in space whose length was not
// synced and that was not written, by comparison with the same crash without.
func TestStale(t *testing.T) {
	const before = "new:o=OOOO sync:o new:f=AXX cut:f=512 sync:f grow:f=1024 sync:f dir:/ "
	stale := 0
	for seed := range uint64(300) {
		fsys := memfs.New()
		after := []string{"put:f@2=CD grow:f=4096", "cut:f=0 put:f@1=CD", "put:f@3=C/"}[seed%3]
		script(t, fsys, before+after)
		o := memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed}
		clean := describe(read(t, fsys.Crash(o), "f"))
		o.Stale = true
		crashed := fsys.Crash(o)
		got := describe(read(t, crashed, "f"))
		if len(got) != len(clean) {
			t.Fatalf("seed %d: %q became %q", seed, clean, got)
		}
		for i := range got {
			isDurable := i < 2 && seed%3 != 1
			if got[i] != clean[i] && (isDurable || clean[i] != '.') {
				t.Fatalf("seed %d: %q became %q", seed, clean, got)
			}
			if got[i] == 'O' || got[i] == '?' {
				stale++
			}
		}
		if got := describe(read(t, crashed, "o")); got != "OOOO" {
			t.Fatalf("seed %d: the other file became %q", seed, got)
		}
	}
	if stale < 100 {
		t.Fatalf("only %d sectors show stale bytes", stale)
	}
}

// TestStaleAfterShrink checks that space which was given up and taken again
// counts as new.
func TestStaleAfterShrink(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=AAAA sync:f dir:/ cut:f=0 grow:f=2048")
	for seed := range uint64(100) {
		o := memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed, Stale: true}
		if strings.Contains(describe(read(t, fsys.Crash(o), "f")), "?") {
			return
		}
	}
	t.Fatal("100 crashes show no stale bytes")
}

func TestStaleInLonelyFile(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=A sync:f dir:/ put:f@1=B rm:f")
	for seed := range uint64(50) {
		fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed, Stale: true})
	}
}

// TestCrashInsideAnOperation takes crashes in the hook, before each operation
// that changes something.
func TestCrashInsideAnOperation(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=A sync:f dir:/")
	var got []string
	var ops []vfs.OpKind
	fsys.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) {
			ops = append(ops, op.Kind)
			got = append(got, describeFS(t, fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})),
				describeFS(t, fsys.Crash(memfs.CrashOptions{})))
		}
		return nil
	})
	script(t, fsys, "put:f@0=B sync:f new:g=C dir:/")
	want := []string{"f=A", "f=A", "f=B", "f=A", "f=B", "f=B", "f=B g=", "f=B", "f=B g=C", "f=B"}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	wantOps := []vfs.OpKind{vfs.OpWrite, vfs.OpSyncData, vfs.OpCreate, vfs.OpWrite, vfs.OpSyncDir}
	if !slices.Equal(ops, wantOps) {
		t.Fatalf("the hook saw %v", ops)
	}
}

func TestConcurrentCrashes(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f="+strings.Repeat("A", 64)+" sync:f dir:/")
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 100 {
				words := []string{"put:f@8=BBBB", "sync:f", "put:f@60=CCCCCC", "cut:f=32768", "dir:/"}
				if err := step(fsys, words[(i+w)%len(words)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for w := range uint64(2) {
		wg.Go(func() {
			for seed := range uint64(50) {
				c := fsys.Crash(memfs.CrashOptions{Keep: memfs.Policy(seed % 3), Seed: seed + w})
				err := errors.Join(step(c, "put:f@3=D"), step(c, "cut:f=1024"), step(c, "sync:f"))
				if err != nil {
					t.Error(err)
				}
				if got := describe(read(t, c, "f")); got != "AA" {
					t.Errorf("a copy became %q", got)
				}
			}
		})
	}
	wg.Wait()
}
