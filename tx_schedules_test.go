package lightning_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// This file runs small transactions in every order in which their steps can
// follow one another, and compares what the committed ones have read, and what
// is there in the end, with what they would have done one after the other. It
// finds what random load misses.

// act is a step of a transaction: it reads or writes keys a to d of a view and
// says what it has seen.
type act struct {
	name string
	do   func(v view, unique string) string
}

// view is what a step works on: a transaction, or the model.
type view interface {
	get(key string) string // "-" if absent
	gets(keys ...string) string
	put(key, value string)
	del(key string)
	delRange(lo, hi string)
	scan(lo, hi string, reverse bool, limit int) string
	seek(key string) string
}

func acts() []act {
	read := func(k string) act {
		return act{"r" + k, func(v view, _ string) string { return v.get(k) }}
	}
	write := func(k string) act {
		return act{"w" + k, func(v view, u string) string { v.put(k, u); return "" }}
	}
	return []act{
		read("a"), {"rb,c", func(v view, _ string) string { return v.gets("b", "c") }}, write("a"), write("b"),
		{"da", func(v view, _ string) string { v.del("a"); return "" }},
		{"wc", func(v view, u string) string { v.put("c", u); return "" }},
		{"db-d", func(v view, _ string) string { v.delRange("b", "d"); return "" }},
		{"scan", func(v view, _ string) string { return v.scan("a", "z", false, 9) }},
		{"scan b-d", func(v view, _ string) string { return v.scan("b", "d", false, 9) }},
		{"first", func(v view, _ string) string { return v.scan("a", "z", false, 1) }},
		{"last", func(v view, _ string) string { return v.scan("a", "z", true, 1) }},
		{"seek b", func(v view, _ string) string { return v.seek("b") }},
		{"a:=b", func(v view, u string) string { got := v.get("b"); v.put("a", got+u); return got }},
		{"b:=count", func(v view, u string) string {
			got := v.scan("a", "z", false, 9)
			v.put("b", fmt.Sprint(strings.Count(got, "="))+u)
			return got
		}},
	}
}

// modelView is a view of a plain map.
type modelView map[string]string

func (m modelView) get(key string) string {
	if v, ok := m[key]; ok {
		return v
	}
	return "-"
}
func (m modelView) gets(keys ...string) (seen string) {
	for _, key := range keys {
		seen += m.get(key)
	}
	return seen
}
func (m modelView) put(key, value string) { m[key] = value }
func (m modelView) del(key string)        { delete(m, key) }
func (m modelView) delRange(lo, hi string) {
	maps.DeleteFunc(m, func(k, _ string) bool { return lo <= k && k < hi })
}

func (m modelView) scan(lo, hi string, reverse bool, limit int) string {
	keys := slices.Sorted(maps.Keys(m))
	if reverse {
		slices.Reverse(keys)
	}
	var out []string
	for _, k := range keys {
		if lo <= k && k < hi && len(out) < limit {
			out = append(out, k+"="+m[k])
		}
	}
	return strings.Join(out, " ")
}

func (m modelView) seek(key string) string { return m.scan(key, "z", false, 1) }

// txView is a view of a transaction, below a prefix of its own. It panics with
// what goes wrong.
type txView struct {
	tx     *lightning.Tx
	prefix string
}

func (v txView) key(k string) []byte { return []byte(v.prefix + k) }

func orPanic(err error) {
	if err != nil {
		panic(err)
	}
}

func (v txView) get(key string) string {
	value, err := v.tx.Get(v.key(key))
	if errors.Is(err, lightning.ErrNotFound) {
		return "-"
	}
	orPanic(err)
	return string(value)
}

func (v txView) gets(keys ...string) (seen string) {
	var all [][]byte
	for _, key := range keys {
		all = append(all, v.key(key))
	}
	orPanic(v.tx.MultiGet(all, func(_ int, value []byte, err error) error {
		if errors.Is(err, lightning.ErrNotFound) {
			value, err = []byte("-"), nil
		}
		seen += string(value)
		return err
	}))
	return seen
}
func (v txView) put(key, value string)  { orPanic(v.tx.Put(v.key(key), []byte(value))) }
func (v txView) del(key string)         { orPanic(v.tx.Delete(v.key(key))) }
func (v txView) delRange(lo, hi string) { orPanic(v.tx.DeleteRange(v.key(lo), v.key(hi))) }

func (v txView) scan(lo, hi string, reverse bool, limit int) string {
	var out []string
	o := lightning.ScanOptions{Reverse: reverse}
	o.Lower, o.Upper = v.key(lo), v.key(hi)
	orPanic(v.tx.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for key, value := range rows {
			out = append(out, strings.TrimPrefix(string(key), v.prefix)+"="+string(value))
			if len(out) == limit {
				break
			}
		}
		return nil
	}))
	return strings.Join(out, " ")
}

func (v txView) seek(key string) string {
	it, err := v.tx.Iterator(lightning.IterOptions{Upper: v.key("z")})
	orPanic(err)
	defer it.Close()
	if !it.SeekGE(v.key(key)) {
		orPanic(it.Err())
		return ""
	}
	return strings.TrimPrefix(string(it.Key()), v.prefix) + "=" + string(it.Value())
}

// schedule is an order of steps: the number of the transaction that goes next.
// Each begins with its first step and commits behind its last.
type schedule []int

// schedules yields every order of the steps of transactions of the given
// lengths.
func schedules(lengths []int, fn func(schedule)) {
	left := slices.Clone(lengths)
	var order schedule
	var next func()
	next = func() {
		done := true
		for i := range left {
			if left[i] == 0 {
				continue
			}
			done = false
			left[i]--
			order = append(order, i)
			next()
			order = order[:len(order)-1]
			left[i]++
		}
		if done {
			fn(order)
		}
	}
	next()
}

// outcome is what became of the transactions of a schedule.
type outcome struct {
	committed  []bool
	seen       [][]string // by transaction and step
	begin, end []int      // steps of the schedule
	state      string
}

var initial = map[string]string{"a": "0", "c": "0"}

func unique(tx, step int) string { return fmt.Sprintf("%c%d", 'p'+tx, step) }

// play runs a schedule on the database, on keys below a prefix that nobody else
// uses.
func play(t *testing.T, db *lightning.DB, prefix string, programs [][]act, order schedule) outcome {
	t.Helper()
	for k, v := range initial {
		must(t, db.Put([]byte(prefix+k), []byte(v)))
	}
	n := len(programs)
	o := outcome{make([]bool, n), make([][]string, n), make([]int, n), make([]int, n), ""}
	txs := make([]*lightning.Tx, n)
	at := make([]int, n)
	for now, i := range order {
		if txs[i] == nil {
			tx, err := db.Begin(lightning.TxOptions{})
			must(t, err)
			txs[i], o.begin[i] = tx, now
		}
		step := programs[i][at[i]]
		o.seen[i] = append(o.seen[i], step.do(txView{txs[i], prefix}, unique(i, at[i])))
		if at[i]++; at[i] == len(programs[i]) {
			err := txs[i].CommitWith(lightning.DurabilityAsync)
			if err != nil && !errors.Is(err, lightning.ErrConflict) {
				t.Fatal(err)
			}
			o.committed[i], o.end[i] = err == nil, now
		}
	}
	must(t, db.View(func(tx *lightning.Tx) error {
		o.state = txView{tx, prefix}.scan("a", "z", false, 99)
		return nil
	}))
	return o
}

// explained says whether some order of the committed transactions, one after
// the other, that agrees with real time gives the same outcome.
func explained(programs [][]act, o outcome) bool {
	var todo []int
	for i := range programs {
		if o.committed[i] {
			todo = append(todo, i)
		}
	}
	var try func(state modelView, left []int) bool
	try = func(state modelView, left []int) bool {
		if len(left) == 0 {
			return state.scan("a", "z", false, 99) == o.state
		}
		for at, i := range left {
			if slices.ContainsFunc(left, func(j int) bool { return j != i && o.end[j] < o.begin[i] }) {
				continue // that one had ended before this one began
			}
			next := maps.Clone(state)
			same := true
			for s, step := range programs[i] {
				same = same && step.do(next, unique(i, s)) == o.seen[i][s]
			}
			if same && try(next, slices.Delete(slices.Clone(left), at, at+1)) {
				return true
			}
		}
		return false
	}
	return try(maps.Clone(modelView(initial)), todo)
}

func describe(programs [][]act, order schedule, o outcome) string {
	var b strings.Builder
	at := make([]int, len(programs))
	for _, i := range order {
		fmt.Fprintf(&b, "T%d %-8s %s\n", i, programs[i][at[i]].name, o.seen[i][at[i]])
		at[i]++
	}
	return fmt.Sprintf("%scommitted %v, then %s", b.String(), o.committed, o.state)
}

// runAll plays every schedule of the programs.
func runAll(t *testing.T, db *lightning.DB, counter *int, programs [][]act) {
	t.Helper()
	lengths := make([]int, len(programs))
	for i, p := range programs {
		lengths[i] = len(p)
	}
	schedules(lengths, func(order schedule) {
		*counter++
		o := play(t, db, fmt.Sprintf("%08d/", *counter), programs, order)
		if !explained(programs, o) {
			t.Fatalf("no serial order explains\n%s", describe(programs, order, o))
		}
		if serial(order) && slices.Contains(o.committed, false) {
			t.Fatalf("a transaction without company did not commit\n%s", describe(programs, order, o))
		}
	})
}

// serial says whether the transactions of a schedule follow one another.
func serial(order schedule) bool {
	return len(slices.Compact(slices.Clone(order))) == len(countOf(order))
}

func countOf(order schedule) map[int]int {
	counts := map[int]int{}
	for _, i := range order {
		counts[i]++
	}
	return counts
}

// Every pair of transactions of two steps, in every order.
func TestEveryScheduleOfTwoTransactions(t *testing.T) {
	db := open(t, &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
	all, counter := acts(), 0
	var programs [][]act
	for _, x := range all {
		for _, y := range all {
			programs = append(programs, []act{x, y})
		}
	}
	for i, p := range programs {
		if testing.Short() && i%61 != 0 {
			continue
		}
		for _, q := range programs[i:] {
			runAll(t, db, &counter, [][]act{p, q})
		}
	}
	t.Logf("%d schedules", counter)
}

// Random transactions of up to four steps, up to three at a time, in every
// order of their steps.
func TestSchedulesOfThreeTransactions(t *testing.T) {
	db := open(t, small(memfs.New()))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	all, counter := acts(), 0
	most, steps := 40_000, 4
	if testing.Short() {
		most, steps = 2_000, 3 // three of four steps have 34,650 orders
	}
	for counter < most {
		var programs [][]act
		for range 2 + r.IntN(2) {
			p := make([]act, 1+r.IntN(steps-r.IntN(2)))
			for i := range p {
				p[i] = all[r.IntN(len(all))]
			}
			programs = append(programs, p)
		}
		runAll(t, db, &counter, programs)
	}
	t.Logf("%d schedules", counter)
}
