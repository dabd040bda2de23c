package txn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// request asks for [lo, hi), given as two letters, in a goroutine of its own.
func request(l *Locks, o *Owner, span string, timeout time.Duration) <-chan error {
	answer := make(chan error, 1)
	go func() {
		answer <- l.Lock(context.Background(), o, []byte(span[:1]), []byte(span[1:]), timeout)
	}()
	synctest.Wait()
	return answer
}

// state says what became of a request: "waits", "granted" or its error.
func state(answer <-chan error) string {
	synctest.Wait()
	select {
	case err := <-answer:
		if err == nil {
			return "granted"
		}
		return err.Error()
	default:
		return "waits"
	}
}

func wantState(t *testing.T, answer <-chan error, want string) {
	t.Helper()
	if got := state(answer); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestLocksExclude(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a, b, c := &Locks{}, &Owner{}, &Owner{}, &Owner{}
		wantState(t, request(l, a, "bd", 0), "granted")
		wantState(t, request(l, b, "ab", 0), "granted")
		wantState(t, request(l, b, "df", 0), "granted")
		wantState(t, request(l, a, "bc", 0), "granted") // again
		first := request(l, b, "ce", 0)
		second := request(l, c, "ef", 0)
		wantState(t, first, "waits")
		wantState(t, second, "waits")
		l.Release(a)
		wantState(t, first, "granted")
		wantState(t, second, "waits")
		l.Release(b)
		wantState(t, second, "granted")
		l.Release(c)
		if locks, waiting := l.Held(); locks+waiting != 0 {
			t.Errorf("%d locks and %d waiters are left", locks, waiting)
		}
	})
}

// A later request does not overtake an earlier one that it overlaps, and does
// pass one that it has nothing to do with.
func TestLocksAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Locks{}
		var o [5]Owner
		wantState(t, request(l, &o[0], "ab", 0), "granted")
		wide := request(l, &o[1], "ad", 0)
		behind := request(l, &o[2], "cd", 0) // free, but wide comes first
		beside := request(l, &o[3], "xy", 0)
		wantState(t, wide, "waits")
		wantState(t, behind, "waits")
		wantState(t, beside, "granted")
		l.Release(&o[0])
		wantState(t, wide, "granted")
		wantState(t, behind, "waits")
		l.Release(&o[1])
		wantState(t, behind, "granted")
	})
}

func TestDeadlocksAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Locks{}
		var o [3]Owner
		for i, span := range []string{"ab", "bc", "cd"} {
			wantState(t, request(l, &o[i], span, 0), "granted")
		}
		first := request(l, &o[0], "bc", 0)
		second := request(l, &o[1], "cd", 0)
		wantState(t, request(l, &o[2], "ab", 0), ErrDeadlock.Error())
		wantState(t, first, "waits")
		wantState(t, second, "waits")
		l.Release(&o[2])
		wantState(t, second, "granted")
		l.Release(&o[1])
		wantState(t, first, "granted")
	})
}

// The holder of a lock that others wait for gets it again, and may widen it.
func TestHolderIsNotInTheWayOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a, b := &Locks{}, &Owner{}, &Owner{}
		wantState(t, request(l, a, "bd", 0), "granted")
		waits := request(l, b, "bd", 0)
		wantState(t, request(l, a, "bc", 0), "granted")
		wantState(t, request(l, a, "ae", 0), "granted")
		l.Release(a)
		wantState(t, waits, "granted")
	})
}

func TestLocksGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a, b, c := &Locks{}, &Owner{}, &Owner{}, &Owner{}
		wantState(t, request(l, a, "ab", 0), "granted")
		late := request(l, b, "ac", time.Second)
		behind := request(l, c, "bc", time.Hour)
		time.Sleep(999 * time.Millisecond)
		wantState(t, late, "waits")
		time.Sleep(time.Millisecond)
		wantState(t, late, ErrLockTimeout.Error())
		wantState(t, behind, "granted") // nobody is before it any more
		ctx, cancel := context.WithCancelCause(t.Context())
		answer := make(chan error, 1)
		go func() { answer <- l.LockKey(ctx, b, []byte("a"), 0) }()
		wantState(t, answer, "waits")
		cancel(errors.New("enough"))
		wantState(t, answer, "enough")
		closed := request(l, b, "ab", 0)
		l.Close()
		wantState(t, closed, base.ErrClosed.Error())
		wantState(t, request(l, b, "yz", 0), base.ErrClosed.Error())
		if _, waiting := l.Held(); waiting != 0 {
			t.Errorf("%d still wait", waiting)
		}
	})
}

// Whatever many owners ask for, no two hold the same key, and all get through.
func TestLocksUnderLoad(t *testing.T) {
	l := &Locks{}
	var holders [26]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	var deadlocks int
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 4))
			for range 300 {
				o := &Owner{}
				var mine [26]bool
				for range 1 + r.IntN(3) {
					lo := r.IntN(26)
					hi := min(lo+1+r.IntN(4), 26)
					err := l.Lock(context.Background(), o, []byte{byte('a' + lo)}, []byte{byte('a' + hi)}, 0)
					mu.Lock()
					if err != nil {
						deadlocks++
						mu.Unlock()
						break
					}
					for n := lo; n < hi; n++ {
						if holders[n] != 0 && !mine[n] {
							t.Errorf("%c is held twice", 'a'+n)
						}
						holders[n], mine[n] = g+1, true
					}
					mu.Unlock()
				}
				mu.Lock()
				for n := range mine {
					if mine[n] {
						holders[n] = 0
					}
				}
				mu.Unlock()
				l.Release(o)
			}
		})
	}
	wg.Wait()
	if locks, waiting := l.Held(); locks+waiting != 0 {
		t.Errorf("%d locks and %d waiters are left", locks, waiting)
	}
	t.Logf("%d deadlocks", deadlocks)
}

func BenchmarkLockRelease(b *testing.B) {
	l := &Locks{}
	for n := range 1000 {
		key := fmt.Appendf(nil, "held%05d", n)
		_ = l.LockKey(context.Background(), &Owner{}, key, 0)
	}
	o, key := &Owner{}, []byte("held00500x")
	b.ReportAllocs()
	for b.Loop() {
		_ = l.LockKey(context.Background(), o, key, 0)
		l.Release(o)
	}
}
