package ranked

import (
	"reflect"
	"sync"
	"testing"
	"unsafe"
)

func TestOrderIsComplete(t *testing.T) {
	names := map[string]bool{}
	ranks := map[Rank]bool{}
	for _, l := range Order() {
		if l.Name == "" || l.Guards == "" || names[l.Name] || ranks[l.Rank] {
			t.Errorf("%T is there twice, or not described", l.Rank)
		}
		names[l.Name], ranks[l.Rank] = true, true
		if size := reflect.TypeOf(l.Rank).Size(); size != 0 {
			t.Errorf("%T takes %d bytes", l.Rank, size)
		}
	}
}

// TestFilesAreTouchedUnderOuterLocksOnly looks that no lock under which files must
// not be touched comes before one under which they may.
func TestFilesAreTouchedUnderOuterLocksOnly(t *testing.T) {
	order := Order()
	last := 0
	for i, l := range order {
		if l.IO {
			last = i
		}
	}
	for _, l := range order[:last] {
		if !l.IO {
			t.Errorf("%T comes before %T, under which files are touched", l.Rank, order[last].Rank)
		}
	}
}

func TestZeroValuesWork(t *testing.T) {
	var table struct {
		outer Mutex[State]
		inner Mutex[Cache]
		leads Token[Leader]
	}
	for range 3 {
		table.leads.Enter()
		AssertIO("write", "a file")
		table.outer.Lock()
		table.inner.Lock()
		if table.inner.TryLock() {
			t.Fatal("taken twice")
		}
		table.outer.Unlock() // in any order
		table.inner.Unlock()
		table.leads.Leave()
	}
	var locker sync.Locker = &table.outer
	locker.Lock()
	locker.Unlock()
}

// TestReleaseBuildPaysNothing looks that a Mutex is a sync.Mutex.
func TestReleaseBuildPaysNothing(t *testing.T) {
	if Checked {
		t.Skip("the order is checked in this build")
	}
	if got, want := reflect.TypeFor[Mutex[State]](), reflect.TypeFor[sync.Mutex](); got != want {
		t.Errorf("a mutex is a %v", got)
	}
	var token Token[Leader]
	if size := unsafe.Sizeof(token); size != 0 {
		t.Errorf("a token takes %d bytes", size)
	}
}

func BenchmarkMutex(b *testing.B) {
	b.Run("ranked", func(b *testing.B) {
		var mu Mutex[State]
		for b.Loop() {
			mu.Lock()
			mu.Unlock()
		}
	})
	b.Run("sync", func(b *testing.B) {
		var mu sync.Mutex
		for b.Loop() {
			mu.Lock()
			mu.Unlock()
		}
	})
	b.Run("token", func(b *testing.B) {
		var token Token[Leader]
		for b.Loop() {
			token.Enter()
			token.Leave()
		}
	})
	b.Run("io", func(b *testing.B) {
		for b.Loop() {
			AssertIO("write", "a file")
		}
	})
}
