//go:build invariants && !race

package ranked

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/invariant"
)

// Checked says whether the order is checked.
const Checked = true

// Mutex is a sync.Mutex with a rank. Its zero value is ready to be used.
type Mutex[R Rank] struct {
	mu     sync.Mutex
	holder atomic.Uintptr // the goroutine that has it; 0: none
}

// Lock takes the mutex. Locks of the same or an outer rank must not be held.
func (m *Mutex[R]) Lock() {
	g := goroutine()
	at := positionOf[R]()
	checkOrder(g, at)
	m.mu.Lock()
	m.holder.Store(g)
	hold(g, m, at)
}

// TryLock takes the mutex if nobody has it. It waits for nobody, so it may come
// out of order.
func (m *Mutex[R]) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	g := goroutine()
	m.holder.Store(g)
	hold(g, m, positionOf[R]())
	return true
}

// Unlock gives the mutex back; the goroutine that took it calls it.
func (m *Mutex[R]) Unlock() {
	g := goroutine()
	letGo(g, m.holder.Load(), m, positionOf[R]())
	m.holder.Store(0)
	m.mu.Unlock()
}

// Token is a right with a rank that one goroutine has at a time and that is no
// mutex: something else makes sure that there is one holder, which is checked.
type Token[R Rank] struct{ holder atomic.Uintptr }

// Enter says that this goroutine has the token now.
func (t *Token[R]) Enter() {
	g := goroutine()
	at := positionOf[R]()
	checkOrder(g, at)
	if !t.holder.CompareAndSwap(0, g) {
		invariant.Check(false, "a goroutine enters the %s, and another one has it", order[at].Name)
	}
	hold(g, t, at)
}

// Leave says that it has it no more. It comes before another goroutine can get it.
func (t *Token[R]) Leave() {
	letGo(goroutine(), t.holder.Load(), t, positionOf[R]())
	t.holder.Store(0)
}

// AssertIO says that this goroutine is about to touch a file. It must hold no
// lock under which that is not allowed.
func AssertIO(operation, name string) {
	if h, ok := firstHeld(func(l *Lock) bool { return !l.IO }); ok {
		invariant.Check(false, "%s of %s under the lock of the %s, taken at\n%s",
			operation, name, order[h.position].Name, h.place())
	}
}

// AssertWait says that this goroutine is about to wait until readers have gone on.
// It must hold no lock for which they may have to wait.
func AssertWait(event string) {
	if h, ok := firstHeld(func(l *Lock) bool { return l.Readers }); ok {
		invariant.Check(false, "wait for %s under the lock of the %s, taken at\n%s",
			event, order[h.position].Name, h.place())
	}
}

// firstHeld returns the first lock of this goroutine of which wrong is true.
func firstHeld(wrong func(*Lock) bool) (held, bool) {
	g := goroutine()
	s := shardOf(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held[g] {
		if wrong(&order[h.position]) {
			return h, true
		}
	}
	return held{}, false
}

// Outside runs fn as if this goroutine held nothing. The file systems for tests
// call their hooks with it: a test may crash a database in the middle of a write,
// and recover what a crash would leave, before it lets the write go on.
func Outside(fn func()) {
	g := goroutine()
	before := swapHeld(g, nil)
	defer swapHeld(g, before)
	fn()
}

// swapHeld replaces what a goroutine holds.
func swapHeld(g uintptr, now []held) (before []held) {
	s := shardOf(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.held[g]
	if delete(s.held, g); len(now) > 0 {
		s.held[g] = now
	}
	return before
}

var order = Order()

// positions are the indexes into order.
var positions = func() map[Rank]int {
	found := make(map[Rank]int, len(order))
	for i, l := range order {
		found[l.Rank] = i
	}
	return found
}()

func positionOf[R Rank]() int {
	var r R
	return positions[r]
}

// held is one lock that a goroutine has.
type held struct {
	lock     any // the *Mutex or *Token
	position int
	callers  [8]uintptr
}

// place is where the lock was taken, a line for each caller.
func (h *held) place() string {
	var text strings.Builder
	frames := runtime.CallersFrames(slices.DeleteFunc(h.callers[:], func(pc uintptr) bool { return pc == 0 }))
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&text, "\t%s %s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			return text.String()
		}
	}
}

// shard holds what some of the goroutines have. Only its own goroutine looks
// into an entry; the mutex is for the map.
type shard struct {
	mu   sync.Mutex
	held map[uintptr][]held
}

var shards [64]shard

// goroutineStep is about how far apart two goroutines are in memory.
const goroutineStep = 512

func shardOf(g uintptr) *shard { return &shards[g/goroutineStep%uintptr(len(shards))] }

// checkOrder reports a lock that the goroutine holds and that is not further out
// than the one that it wants.
func checkOrder(g uintptr, wanted int) {
	s := shardOf(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held[g] {
		if h.position >= wanted {
			invariant.Check(false, "the lock of the %s is wanted under that of the %s, taken at\n%s",
				order[wanted].Name, order[h.position].Name, h.place())
		}
	}
}

// hold notes that the goroutine has a lock.
func hold(g uintptr, lock any, position int) {
	h := held{lock: lock, position: position}
	runtime.Callers(3, h.callers[:])
	s := shardOf(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[uintptr][]held{}
	}
	s.held[g] = append(s.held[g], h)
}

// letGo notes that the goroutine gives a lock back, which it must have.
func letGo(g, holder uintptr, lock any, position int) {
	s := shardOf(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.held[g], func(h held) bool { return h.lock == lock })
	if i < 0 {
		invariant.Check(false, "the lock of the %s is given back by a goroutine that does not have it%s",
			order[position].Name, placeOf(holder, g, lock))
	}
	if s.held[g] = slices.Delete(s.held[g], i, i+1); len(s.held[g]) == 0 {
		delete(s.held, g)
	}
}

// placeOf is where another goroutine took a lock. The caller has the shard of g.
func placeOf(holder, g uintptr, lock any) string {
	s := shardOf(holder)
	if s != shardOf(g) {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	for _, h := range s.held[holder] {
		if h.lock == lock {
			return "; another one took it at\n" + h.place()
		}
	}
	return ""
}
