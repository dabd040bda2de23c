package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

var iterAll = sstable.IterOptions{NoFill: true}

// get asks a tree inside a guard.
func (r *room) get(t *Tree, key string, seq base.SeqNum) (string, error) {
	g := r.epochs.Enter()
	defer g.Exit()
	l := Lookup{Key: []byte(key), Hash: base.Hash([]byte(key)), Seq: seq}
	tr, value, found, err := t.Get(&l, seq)
	if err != nil || !found {
		return "-", err
	}
	return fmt.Sprintf("%s@%d", value, tr.Seq()), nil
}

// A file goes when the last tree that has it goes and it was given up; which comes
// first does not matter. Until then it can be read.
func TestTablesGoWithTheirLastTree(t *testing.T) {
	r := newRoom(t)
	a := r.table([]base.Record{rec("\x00a", 1, "a")})
	b := r.table([]base.Record{rec("\x00b", 2, "b")})
	first := r.NewTree(r.version([]*manifest.FileMeta{a, b}))
	second := r.NewTree(r.version([]*manifest.FileMeta{b}))
	if first.Find(0, []*manifest.FileMeta{b})[0] != second.Levels[0][0] {
		t.Error("two trees have tables of their own for one file")
	}
	read := func(tree *Tree, key, want string) {
		t.Helper()
		if got, err := r.get(tree, key, base.SeqNumMax); err != nil || got != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
	}
	read(first, "\x00a", "a@1")
	r.GiveUp([]manifest.LevelNum{{Num: a.Num}, {Num: 999}})
	if r.Named(a.Num) || !r.Named(b.Num) {
		t.Error("not what was given up is not live")
	}
	r.expectFiles(a, b)
	read(first, "\x00a", "a@1")

	first.Ref()
	if unused := first.Unref(); unused != nil {
		t.Errorf("%d tables are unused, though the tree is in use", len(unused))
	}
	unused := first.Unref()
	if len(unused) != 1 || unused[0].Meta != a {
		t.Fatalf("%d tables are unused", len(unused))
	}
	r.Dispose(unused)
	r.expectFiles(b)
	read(second, "\x00b", "b@2")

	// Of what is still live the file stays: the database was closed, and is opened
	// again.
	r.drop(second)
	r.expectFiles(b)
	r.Store = New(r.cfg)
	third := r.NewTree(r.version([]*manifest.FileMeta{b}))
	read(third, "\x00b", "b@2")
	r.GiveUp([]manifest.LevelNum{{Num: b.Num}})
	r.drop(third)
	r.expectFiles()
	r.expectQuiet()
}

// What is kept for the log archive stays when no tree has it any more, and what trees
// have when it is not kept any more; which comes first does not matter.
func TestKeptTables(t *testing.T) {
	for name, c := range map[string]struct {
		named, kept bool // at the end
		steps       func(r *room, meta *manifest.FileMeta)
	}{
		"neither": {false, false, func(r *room, meta *manifest.FileMeta) {
			tree := r.NewTree(r.version([]*manifest.FileMeta{meta}))
			kept := r.Keep([]*manifest.FileMeta{meta})
			if kept[0] != tree.Levels[0][0] {
				r.t.Error("archive and tree have tables of their own for one file")
			}
			r.GiveUp([]manifest.LevelNum{{Num: meta.Num}})
			r.drop(tree)
			r.expectFiles(meta)
			r.ForgetKept(kept)
			r.Unref(kept)
		}},
		"a reader is left": {false, false, func(r *room, meta *manifest.FileMeta) {
			kept := r.Keep([]*manifest.FileMeta{meta}) // before the tree, as at an ingest
			tree := r.NewTree(r.version([]*manifest.FileMeta{meta}))
			if kept[0] != tree.Levels[0][0] {
				r.t.Error("archive and tree have tables of their own for one file")
			}
			r.GiveUp([]manifest.LevelNum{{Num: meta.Num}})
			r.ForgetKept(kept)
			r.Unref(kept)
			r.expectFiles(meta)
			r.drop(tree)
		}},
		"the tree": {true, true, func(r *room, meta *manifest.FileMeta) {
			kept := r.Keep([]*manifest.FileMeta{meta})
			tree := r.NewTree(r.version([]*manifest.FileMeta{meta}))
			r.ForgetKept(kept)
			r.Unref(kept)
			if got, err := r.get(tree, "\x00a", base.SeqNumMax); err != nil || got != "a@1" {
				r.t.Errorf("read %q, %v", got, err)
			}
			r.drop(tree)
		}},
		"the archive, when the tree has given it up": {true, true, func(r *room, meta *manifest.FileMeta) {
			kept := r.Keep([]*manifest.FileMeta{meta})
			tree := r.NewTree(r.version([]*manifest.FileMeta{meta}))
			r.GiveUp([]manifest.LevelNum{{Num: meta.Num}})
			r.drop(tree)
			r.Unref(kept) // the database is closed
		}},
		"the archive": {true, true, func(r *room, meta *manifest.FileMeta) {
			kept := r.Keep([]*manifest.FileMeta{meta})
			reader, err := kept[0].OpenApart()
			must(r.t, err)
			must(r.t, reader.Close())
			r.Unref(kept) // the database is closed
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			meta := r.table([]base.Record{rec("\x00a", 1, "a")})
			c.steps(r, meta)
			if c.kept {
				r.expectFiles(meta)
			} else {
				r.expectFiles()
			}
			if r.Named(meta.Num) != c.named {
				t.Errorf("named: %v", !c.named)
			}
			r.expectQuiet()
		})
	}
}

// A file that cannot be deleted is told of, and left.
func TestDisposeThatFails(t *testing.T) {
	r := newRoom(t)
	meta := r.table([]base.Record{rec("\x00a", 1, "a")})
	table := r.Unlisted(meta)
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpRemove, Err: errInjected})
	r.Dispose([]*Table{table})
	r.expectFiles(meta)
	if !strings.Contains(r.log.String(), "clean-up failed") || !strings.Contains(r.log.String(), TableName(meta.Num)) {
		t.Errorf("told %q", &r.log)
	}
	r.RemoveOutputs([]*manifest.FileMeta{meta})
	r.expectFiles()
}

// A table is opened by the first who needs it, and once; an error is not kept.
func TestTablesAreOpenedOnce(t *testing.T) {
	r := newRoom(t)
	meta := r.table([]base.Record{rec("\x00a", 1, "a")})
	tree := r.NewTree(r.version([]*manifest.FileMeta{meta}))
	defer r.drop(tree)
	fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpOpen, Err: errInjected})
	if _, err := r.get(tree, "\x00a", 1); !errors.Is(err, errInjected) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
	if _, err := tree.Levels[0][0].Reader(); err != nil || fault.Seen() != 2 {
		t.Errorf("opened %d times: %v", fault.Seen(), err)
	}
	var wg sync.WaitGroup
	again := r.table([]base.Record{rec("\x00b", 2, "b")})
	table := r.Unlisted(again)
	before := fault.Seen()
	readers := make([]*sstable.Reader, 8)
	for i := range readers {
		wg.Go(func() {
			reader, err := table.Reader()
			if err != nil {
				t.Error(err)
			}
			readers[i] = reader
		})
	}
	wg.Wait()
	if fault.Seen() != before+1 || len(slices.Compact(readers)) != 1 {
		t.Errorf("opened %d times", fault.Seen()-before)
	}
	r.Dispose([]*Table{table})
}

// TestTreeGetAgainstAModel spreads the versions of keys over the levels, the newer
// ones higher, and asks for each at each number.
// approach prepares for some gets, which has no effect, not even a file that is opened, but
// that they go on from there. It returns how many of them had nothing to look up.
func (r *room) approach(t *testing.T, tree *Tree, rng *rand.Rand, newest base.SeqNum) (known int) {
	t.Helper()
	var ways [ApproachMax]Way
	var keys [][]byte
	var hashes []uint64
	for range rng.IntN(ApproachMax + 2) {
		key := fmt.Appendf(nil, "\x00%02d", rng.IntN(32))
		keys, hashes = append(keys, key), append(hashes, base.Hash(key))
	}
	g := r.cfg.Epochs.Enter()
	defer g.Exit()
	misses, opened := tree.CacheMisses(), r.cfg.Files.Count()
	at := base.SeqNum(rng.Uint64N(uint64(newest) + 2))
	tree.Approach(&ways, keys, hashes, at)
	if tree.CacheMisses() != misses || r.cfg.Files.Count() != opened {
		t.Errorf("%d misses and %d open files became %d and %d", misses, opened, tree.CacheMisses(), r.cfg.Files.Count())
	}
	for i, key := range keys[:min(len(keys), ApproachMax)] {
		from, fresh := Lookup{Key: key, Hash: hashes[i], Seq: at, Way: &ways[i]}, Lookup{Key: key, Hash: hashes[i], Seq: at}
		if _, _, _, ok := ways[i].take(&from, at); ok {
			known++
		}
		tr, value, found, err := tree.Get(&from, at)
		wantTr, want, wantFound, wantErr := tree.Get(&fresh, at)
		if tr != wantTr || !bytes.Equal(value, want) || found != wantFound || err != nil || wantErr != nil ||
			from.Covering != fresh.Covering || from.Way != nil {
			t.Errorf("%q at %d, from where its way has come to: %v, %q, %v, %v under %d; want %v, %q, %v, %v under %d", key, at,
				tr, value, found, err, from.Covering, wantTr, want, wantFound, wantErr, fresh.Covering)
		}
	}
	return known
}

func TestTreeGetAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	known := 0
	defer func() {
		if known < 100 {
			t.Errorf("%d gets had nothing to look up", known)
		}
	}()
	for range 10 {
		r := newRoom(t)
		var all []base.Record
		seq := base.SeqNum(0)
		some := func() (records []base.Record) {
			seen := map[string]bool{}
			for range 1 + rng.IntN(40) {
				key := fmt.Sprintf("\x00%02d", rng.IntN(30))
				seq++
				if !seen[key] || rng.IntN(2) == 0 {
					records = append(records, rec(key, seq, fmt.Sprint(seq)))
				}
				seen[key] = true
			}
			all = append(all, records...)
			return records
		}
		levels := make([][]*manifest.FileMeta, 4)
		for level := 3; level > 0; level-- {
			outputs, err := r.write(Output{Level: level, FileBytes: 200}, some())
			must(t, err)
			levels[level] = outputs
		}
		for range 1 + rng.IntN(4) {
			lo, hi := fmt.Sprintf("\x00%02d", rng.IntN(30)), fmt.Sprintf("\x00%02d", rng.IntN(30))
			if seq++; lo < hi && rng.IntN(2) == 0 {
				levels[0] = append(levels[0], r.table(some(), rangedel.Tombstone{Lo: []byte(lo), Hi: []byte(hi), Seq: seq}))
				continue
			}
			levels[0] = append(levels[0], r.table(some()))
		}
		tree := r.NewTree(r.version(levels...))
		for i := range 32 {
			key := fmt.Sprintf("\x00%02d", i)
			known += r.approach(t, tree, rng, seq)
			for at := base.SeqNum(0); at <= seq; at += 1 + base.SeqNum(rng.IntN(5)) {
				want, newest := "-", base.SeqNum(0)
				for _, record := range all {
					if s := record.Trailer.Seq(); string(record.Key) == key && s <= at && s > newest {
						want, newest = fmt.Sprintf("%s@%d", record.Value, s), s
					}
				}
				if got, err := r.get(tree, key, at); err != nil || got != want {
					t.Fatalf("%s at %d is %q, %v; want %q", key, at, got, err, want)
				}
			}
		}
		for level, files := range levels {
			newest := base.SeqNum(0)
			for _, meta := range files {
				newest = max(newest, meta.LargestSeq)
			}
			if tree.MaxSeq[level] != newest {
				t.Errorf("the newest number of level %d is %d, want %d", level, tree.MaxSeq[level], newest)
			}
		}
		r.drop(tree)
	}
}

// What covers a key is asked of those tables only whose tombstones lie around it; the
// others are not even opened. An error is not kept.
func TestOnlyTablesWithTombstonesAreAsked(t *testing.T) {
	r := newRoom(t)
	tomb := func(lo, hi string, seq base.SeqNum) rangedel.Tombstone {
		return rangedel.Tombstone{Lo: []byte(lo), Hi: []byte(hi), Seq: seq}
	}
	plain := r.table([]base.Record{rec("\x00a", 6, "x"), rec("\x00x", 7, "x")})
	upper := r.table(nil, tomb("\x00c", "\x00m", 5))
	left := r.table([]base.Record{rec("\x00a", 2, "a")}, tomb("\x00b", "\x00d", 3), tomb("\x00e", "\x00f", 3))
	middle := r.table([]base.Record{rec("\x00g", 2, "g")})
	right := r.table([]base.Record{rec("\x00n", 2, "n")}, tomb("\x00q", "\x00z", 3))
	tree := r.NewTree(r.version([]*manifest.FileMeta{plain, upper}, []*manifest.FileMeta{left, middle, right}))
	defer func() { r.drop(tree) }()
	opens := r.fs.Add(faultfs.Rule{Kinds: vfs.OpOpen, Nth: 1, Err: errInjected})
	covering := func(key string) (base.SeqNum, error) {
		g := r.epochs.Enter()
		defer g.Exit()
		return tree.Covering([]byte(key), base.SeqNumMax)
	}
	if _, err := covering("\x00d"); !errors.Is(err, errInjected) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
	sources := tree.AppendDeletes(nil, nil, nil)
	for _, c := range []struct {
		key   string
		seq   base.SeqNum
		opens int64 // at most so far
	}{
		{"\x00a", 0, 1}, {"\x00n", 0, 1}, {"\x00zz", 0, 1}, {"\x00l", 5, 2},
		{"\x00b", 3, 3}, {"\x00c", 5, 3}, {"\x00d", 5, 3}, {"\x00m", 0, 3}, {"\x00q", 3, 4}, {"\x00z", 0, 4},
	} {
		seq, err := covering(c.key)
		around, lo, hi := base.SeqNum(0), []byte(nil), []byte(nil)
		for i := range sources {
			p, err := sources[i].Around([]byte(c.key), base.SeqNumMax)
			must(t, err)
			around = max(around, p.Seq)
			if lo, hi = p.Lo, p.Hi; string(lo) > c.key || hi != nil && string(hi) <= c.key {
				t.Errorf("%q..%q is not around %q", lo, hi, c.key)
			}
		}
		if seq != c.seq || around != c.seq || err != nil {
			t.Errorf("%q is covered by %d and %d, %v, want %d", c.key, seq, around, err, c.seq)
		}
		if opens.Seen() > c.opens {
			t.Errorf("up to %q %d tables were opened, want %d", c.key, opens.Seen(), c.opens)
		}
	}
	for _, tab := range []*Table{tree.Levels[0][0], tree.Levels[1][1]} {
		if tab.reader.Load() != nil {
			t.Error("a table without tombstones was opened for them")
		}
	}
}

// An iterator gets the tombstones that may lie within its bounds, and no others.
func TestAppendDeletes(t *testing.T) {
	r := newRoom(t)
	table := func(lo, hi string) *manifest.FileMeta {
		return r.table([]base.Record{rec("\x00"+lo+lo, 1, "")}, rangedel.Tombstone{Lo: []byte("\x00" + lo), Hi: []byte("\x00" + hi), Seq: 3})
	}
	plain := r.table([]base.Record{rec("\x00h", 1, "")})
	tree := r.NewTree(r.version(
		[]*manifest.FileMeta{table("b", "d"), table("c", "e"), plain}, []*manifest.FileMeta{table("a", "c"), table("e", "g"), table("p", "q")}))
	defer func() { r.drop(tree) }()
	var sources []RunDeletes
	for _, c := range []struct{ lo, hi, want string }{
		{"", "", "1 1 3"}, {"c", "", "1 1 2"}, {"e", "", "2"}, {"", "c", "1 1"}, {"g", "p", ""}, {"f", "pp", "2"}, {"d", "e", "1"},
	} {
		var lo, hi []byte
		if c.lo != "" {
			lo = []byte("\x00" + c.lo)
		}
		if c.hi != "" {
			hi = []byte("\x00" + c.hi)
		}
		sources = tree.AppendDeletes(sources[:0], lo, hi)
		var counts []string
		for i := range sources {
			counts = append(counts, fmt.Sprint(len(sources[i].tables)))
		}
		if got := strings.Join(counts, " "); got != c.want {
			t.Errorf("%q..%q: tombstones of %q tables, want %q", c.lo, c.hi, got, c.want)
		}
	}
}

// The files of level 0 that come from one commit past the log are one run.
func TestLevelZeroRuns(t *testing.T) {
	meta := func(num base.FileNum, lo, hi string, seq, seqBase base.SeqNum) *manifest.FileMeta {
		return &manifest.FileMeta{
			Num: num, Lo: []byte(lo), Hi: []byte(hi), SmallestSeq: seq, LargestSeq: seq, SeqBase: seqBase,
		}
	}
	r := newRoom(t)
	for want, files := range map[string][]*manifest.FileMeta{
		"":          nil,
		"1":         {meta(1, "a", "b", 1, 0)},
		"2 1":       {meta(1, "a", "b", 1, 0), meta(2, "a", "b", 2, 0)},
		"3+2+1":     {meta(1, "a", "b", 7, 7), meta(2, "b", "c", 8, 7), meta(3, "c", "d", 9, 7)},
		"4 3+2 1":   {meta(1, "a", "b", 1, 0), meta(2, "a", "b", 7, 7), meta(3, "b", "c", 8, 7), meta(4, "a", "z", 9, 0)},
		"4+3 2+1":   {meta(1, "a", "b", 7, 7), meta(2, "b", "c", 8, 7), meta(3, "a", "b", 9, 9), meta(4, "b", "c", 10, 9)},
		"3 2 1":     {meta(1, "a", "b", 7, 7), meta(2, "a", "b", 8, 8), meta(3, "a", "b", 9, 0)},
		"12 11":     {meta(11, "a", "b", 5, 0), meta(12, "b", "c", 5, 0)},
		"9 8+7 6+5": {meta(5, "a", "b", 1, 1), meta(6, "b", "c", 1, 1), meta(7, "a", "b", 2, 2), meta(8, "b", "c", 2, 2), meta(9, "a", "b", 3, 3)},
	} {
		tree := r.NewTree(r.version(files))
		var runs []string
		must(t, tree.LevelZeroRuns(func(run []*Table) error {
			var nums []string
			for _, table := range run {
				nums = append(nums, fmt.Sprint(uint64(table.Meta.Num)))
			}
			runs = append(runs, strings.Join(nums, "+"))
			return nil
		}))
		if got := strings.Join(runs, " "); got != want || tree.Runs != len(runs) {
			t.Errorf("runs %q, counted %d; want %q", got, tree.Runs, want)
		}
		calls := 0
		err := tree.LevelZeroRuns(func([]*Table) error { calls++; return errInjected })
		if len(files) > 0 && (err != errInjected || calls != 1) {
			t.Errorf("%d calls after an error: %v", calls, err)
		}
		tree.Unref()
		r.Store = New(r.cfg)
	}
}

// The inputs of a merge are shown in internal order, with the tombstones of them and
// of no others; where one cannot be opened all are closed again.
func TestMergeInputs(t *testing.T) {
	r := newRoom(t)
	tomb := rangedel.Tombstone{Lo: []byte("\x00a"), Hi: []byte("\x00c"), Seq: 9}
	other := rangedel.Tombstone{Lo: []byte("\x00a"), Hi: []byte("\x00z"), Seq: 8}
	newest := r.table([]base.Record{rec("\x00a", 7, "n"), rec("\x00d", 6, "n")}, tomb)
	older := r.table([]base.Record{rec("\x00a", 5, "o"), rec("\x00b", 4, "o")})
	left := r.table([]base.Record{rec("\x00a", 3, "l"), rec("\x00b", 2, "l")})
	right := r.table([]base.Record{rec("\x00d", 1, "r")})
	aside := r.table([]base.Record{rec("\x00x", 1, "x")}, other)
	all := r.version([]*manifest.FileMeta{newest, older, aside}, []*manifest.FileMeta{left, right})
	inputs := [2][]*manifest.FileMeta{{newest, older}, {left, right}}
	for nth := range int64(20) {
		r.Store = New(r.cfg) // whose tables are not open yet
		tree := r.NewTree(all)
		fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpOpen | vfs.OpRead, Nth: nth + 1, Err: errInjected})
		it, _, err := tree.MergeInputs(0, 1, inputs, 1)
		fault.Disarm()
		if fault.Fired() == 1 && !errors.Is(err, errInjected) {
			t.Errorf("failure %d: %v", nth, err)
		}
		if err == nil {
			must(t, it.Close())
		}
		r.drop(tree) // nothing may be in use
	}
	r.Store = New(r.cfg)
	tree := r.NewTree(all)
	it, deletes, err := tree.MergeInputs(0, 1, inputs, 1)
	must(t, err)
	if got, want := text(it), "\x00a@7=n \x00a@5=o \x00a@3=l \x00b@4=o \x00b@2=l \x00d@6=n \x00d@1=r"; got != want {
		t.Errorf("the merge shows %q, want %q", got, want)
	}
	must(t, it.Close())
	if f, err := deletes.Next(); err != nil || f == nil || string(f.Lo) != "\x00a" || string(f.Hi) != "\x00c" || f.Seqs[0] != 9 {
		t.Errorf("the first tombstone is %v, %v", f, err)
	}
	if f, err := deletes.Next(); f != nil || err != nil {
		t.Errorf("another tombstone is %v, %v", f, err)
	}
	it, deletes, err = tree.MergeInputs(0, 1, [2][]*manifest.FileMeta{{older}, {left}}, 1)
	must(t, err)
	if got, want := text(it), "\x00a@5=o \x00a@3=l \x00b@4=o \x00b@2=l"; got != want {
		t.Errorf("the merge shows %q, want %q", got, want)
	}
	if f, err := deletes.Next(); f != nil || err != nil {
		t.Errorf("a tombstone is %v, %v", f, err)
	}
	must(t, it.Close())
	r.drop(tree)
}

func TestFirstEndingAfterAndOverlaps(t *testing.T) {
	var tables []*Table
	for _, span := range []string{"bd", "df", "hk"} {
		tables = append(tables, &Table{Meta: &manifest.FileMeta{Lo: []byte(span[:1]), Hi: []byte(span[1:])}})
	}
	for i, want := range []int{0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 3, 3} {
		key := []byte{byte('a' + i)}
		if got := FirstEndingAfter(tables, key); got != want {
			t.Errorf("the first that ends after %s is %d, want %d", key, got, want)
		}
	}
	for _, c := range []struct {
		lo, hi string
		want   bool
	}{{"", "", true}, {"a", "b", false}, {"a", "c", true}, {"d", "e", false}, {"c", "", true}, {"", "b", false}, {"d", "", false}} {
		bound := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		if got := tables[0].Overlaps(bound(c.lo), bound(c.hi)); got != c.want {
			t.Errorf("[b, d) overlaps [%s, %s): %v", c.lo, c.hi, got)
		}
	}
}

func BenchmarkTreeGet(b *testing.B) {
	r := newRoom(b)
	outputs, err := r.write(Output{Level: 1, FileBytes: 1 << 10}, someRecords())
	must(b, err)
	tree := r.NewTree(r.version(nil, outputs))
	defer r.drop(tree)
	key := []byte("\x00050")
	hash := base.Hash(key)
	b.ReportAllocs()
	for b.Loop() {
		g := r.epochs.Enter()
		_, _, found, err := tree.Get(&Lookup{Key: key, Hash: hash, Seq: base.SeqNumMax}, base.SeqNumMax)
		g.Exit()
		if !found || err != nil {
			b.Fatal(found, err)
		}
	}
}
