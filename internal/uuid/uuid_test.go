package uuid

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/keyenc"
)

// fixedClock says what it is told.
type fixedClock struct {
	clock.Clock
	now time.Time
}

func (c *fixedClock) Now() time.Time { return c.now }

// They ascend whatever the clock does, and have the form of RFC 9562.
func TestUUIDsAscend(t *testing.T) {
	c := &fixedClock{now: time.UnixMilli(1_700_000_000_000)}
	g := &Generator{Clock: c}
	var before keyenc.UUID
	for n := range 20_000 {
		switch n {
		case 10_000: // more than the count holds have been made by then
			c.now = c.now.Add(-time.Hour)
		case 15_000:
			c.now = c.now.Add(2 * time.Hour)
		}
		id := g.New()
		if bytes.Compare(before[:], id[:]) >= 0 {
			t.Fatalf("%x is followed by %x", before, id)
		}
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%x is not of version 7", id)
		}
		before = id
	}
	id := g.New()
	made := time.UnixMilli(int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5]))
	if d := made.Sub(c.now); d < 0 || d > 10*time.Millisecond {
		t.Errorf("made at %v, says %v", c.now, made)
	}
}

// Those of many goroutines differ.
func TestUUIDsDiffer(t *testing.T) {
	var g Generator
	var wg sync.WaitGroup
	made := make([][]keyenc.UUID, 4)
	for i := range made {
		wg.Go(func() {
			for range 5000 {
				made[i] = append(made[i], g.New())
			}
		})
	}
	wg.Wait()
	met := map[[8]byte]bool{} // the part that is not random
	for _, ids := range made {
		for _, id := range ids {
			if head := [8]byte(id[:8]); met[head] {
				t.Fatalf("%x was made twice", id)
			} else {
				met[head] = true
			}
		}
	}
}
