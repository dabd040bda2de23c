package memfs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/property"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The models below know the rules in another form than the code: the file model
// keeps every past content as a whole, the directory model every tree.

// fileModel is the contents of one file since its last sync, oldest first.
type fileModel struct{ history [][]byte }

func (m *fileModel) now() []byte { return m.history[len(m.history)-1] }

func (m *fileModel) change(next []byte) { m.history = append(m.history, next) }

func (m *fileModel) write(at int, data []byte) {
	next := slices.Clone(m.now())
	if grow := at + len(data) - len(next); grow > 0 {
		next = append(next, make([]byte, grow)...)
	}
	copy(next[at:], data)
	m.change(next)
}

func (m *fileModel) resize(size int) {
	next := make([]byte, size)
	copy(next, m.now())
	m.change(next)
}

// sectorAt returns sector s of the content at moment v, cut to the given size.
func (m *fileModel) sectorAt(v, s, size int) string {
	sector := make([]byte, min(sectorBytes, size-s*sectorBytes))
	if old := m.history[v]; len(old) > s*sectorBytes {
		copy(sector, old[s*sectorBytes:])
	}
	return string(sector)
}

// allowed says whether sector s may be as of moment v when the length is as of
// moment m.
func (m *fileModel) allowed(v, s, length int) bool {
	for i := 1; i < len(m.history); i++ {
		before, after := len(m.history[i-1]), len(m.history[i])
		start, end := s*sectorBytes, (s+1)*sectorBytes
		if after >= before || end <= after || start >= before {
			continue // no shrink that touches this sector
		}
		if i <= length && v < i || i > length && v >= i && start >= after {
			return false
		}
	}
	return true
}

// states returns what the file may be after a crash.
func (m *fileModel) states() []string {
	var all []string
	for length := range m.history {
		size := len(m.history[length])
		states := []string{""}
		for s := range (size + sectorBytes - 1) / sectorBytes {
			var sectors []string
			for v := range m.history {
				if m.allowed(v, s, length) {
					sectors = append(sectors, m.sectorAt(v, s, size))
				}
			}
			slices.Sort(sectors)
			sectors = slices.Compact(sectors)
			var longer []string
			for _, state := range states {
				for _, sector := range sectors {
					longer = append(longer, state+sector)
				}
			}
			states = longer
		}
		all = append(all, states...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestFileAgainstModel runs random changes on one file, with offsets inside of
// sectors, and compares the set of possible states with the model's.
func TestFileAgainstModel(t *testing.T) {
	property.Check(t, func(t *property.T) {
		fsys := memfs.New()
		f, err := fsys.Create("f")
		must(t, err)
		must(t, fsys.SyncDir("/"))
		m := &fileModel{history: [][]byte{nil}}
		mark := byte(0)
		for range property.Times(t, 1, 8) {
			size := property.SampledFrom([]int{0, 100, 512, 700, 1024, 1300}).Draw(t, "size")
			switch property.SampledFrom([]string{"write", "write", "resize", "sync"}).Draw(t, "step") {
			case "write":
				length := property.SampledFrom([]int{1, 200, 512, 1024}).Draw(t, "length")
				mark++
				data := slices.Repeat([]byte{mark}, length)
				_, err := f.WriteAt(data, int64(size))
				must(t, err)
				m.write(size, data)
			case "resize":
				must(t, f.Truncate(int64(size)))
				m.resize(size)
			case "sync":
				must(t, f.SyncData())
				m.history = [][]byte{m.now()}
			}
		}
		compareStates(t, fsys, m.states())
	})
}

func compareStates(t *property.T, fsys *memfs.FS, want []string) {
	states, complete := fsys.CrashStates(30_000)
	if !complete {
		return
	}
	var got []string
	for state := range states {
		got = append(got, string(read(t, state, "f")))
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Fatalf("%d states, the model has %d", len(got), len(want))
	}
	for seed := range uint64(20) {
		o := memfs.CrashOptions{Keep: memfs.Policy(seed % 3), Seed: seed}
		state := string(read(t, fsys.Crash(o), "f"))
		if _, legal := slices.BinarySearch(want, state); !legal {
			t.Fatalf("%+v gives a state that is not possible", o)
		}
	}
}

// treeModel is the entries of one directory: what is on disk, and the pending
// operations as functions that change a tree.
type treeModel struct {
	disk    map[string]string
	pending []func(tree map[string]string)
}

func (m *treeModel) states() []string {
	var all []string
	for keep := range 1 << len(m.pending) {
		tree := map[string]string{}
		for name, id := range m.disk {
			tree[name] = id
		}
		for i, apply := range m.pending {
			if keep>>i&1 == 1 {
				apply(tree)
			}
		}
		all = append(all, treeText(tree))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func treeText(tree map[string]string) string {
	var parts []string
	for name, id := range tree {
		parts = append(parts, name+"="+id)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// TestEntriesAgainstModel does the same with the entries of a directory. Each
// file has its own content, synced, so that only names can differ.
func TestEntriesAgainstModel(t *testing.T) {
	property.Check(t, func(t *property.T) {
		fsys := memfs.New()
		m := &treeModel{disk: map[string]string{}}
		live := map[string]string{}
		do := func(apply func(tree map[string]string)) {
			apply(live)
			m.pending = append(m.pending, apply)
		}
		names := property.SampledFrom([]string{"a", "b", "c"})
		next := byte('A')
		for range property.Times(t, 1, 12) {
			from, to := names.Draw(t, "name"), names.Draw(t, "to")
			id, exists := live[from]
			switch what := property.IntRange(0, 7).Draw(t, "step"); {
			case what < 3 && !exists:
				id := string(next)
				next++
				script(t, fsys, fmt.Sprintf("new:%s=%s sync:%s", from, id, from))
				do(func(tree map[string]string) { tree[from] = id })
			case what == 3 && exists:
				script(t, fsys, "rm:"+from)
				do(func(tree map[string]string) { delete(tree, from) })
			case what < 6 && exists && live[to] != id:
				script(t, fsys, "mv:"+from+","+to)
				do(func(tree map[string]string) {
					tree[to] = id
					if tree[from] == id {
						delete(tree, from)
					}
				})
			case what == 7 && exists && live[to] == "":
				script(t, fsys, "ln:"+from+","+to)
				do(func(tree map[string]string) { tree[to] = id })
			case what == 6:
				script(t, fsys, "dir:/")
				m.disk, m.pending = map[string]string{}, nil
				for name, id := range live {
					m.disk[name] = id
				}
			}
		}
		if got, want := allStates(t, fsys), m.states(); !slices.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
		checkPolicies(t, fsys, m.states())
	})
}

// TestFailedSyncsAgainstModel checks what holds with failed syncs in between:
// a sector that was written and synced without a failure since holds that, all
// others hold something that was written to them, and readers see the newest.
func TestFailedSyncsAgainstModel(t *testing.T) {
	const sectors = 4
	property.Check(t, func(t *property.T) {
		fsys := memfs.New()
		script(t, fsys, "new:f=.... sync:f dir:/")
		f, err := fsys.OpenReadWrite("f")
		must(t, err)
		live := slices.Repeat([]byte{'.'}, sectors)
		dirty := make([]bool, sectors)
		possible := slices.Repeat([]string{"."}, sectors)
		next := byte('A')
		for range property.Times(t, 1, 15) {
			switch property.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				s := property.IntRange(0, sectors-1).Draw(t, "sector")
				script(t, fsys, fmt.Sprintf("put:f@%d=%c", s, next))
				live[s], dirty[s] = next, true
				possible[s] += string(next)
				next++
			case 2:
				must(t, f.Sync())
				for s := range dirty {
					if dirty[s] {
						possible[s], dirty[s] = string(live[s]), false
					}
				}
			case 3:
				f.(interface{ FailSync() }).FailSync()
				clear(dirty)
			}
		}
		if got := describe(read(t, fsys, "f")); got != string(live) {
			t.Fatalf("readers see %q, not %q", got, live)
		}
		for seed := range uint64(30) {
			o := memfs.CrashOptions{Keep: memfs.Policy(seed % 3), Seed: seed}
			got := describe(read(t, fsys.Crash(o), "f"))
			for s := range sectors {
				if len(got) != sectors || !strings.Contains(possible[s], got[s:s+1]) {
					t.Fatalf("after a crash %q, possible is %q", got, possible)
				}
			}
			if o.Keep == memfs.KeepAll && got != string(live) {
				t.Fatalf("keeping all gives %q, not %q", got, live)
			}
		}
	})
}
