package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
)

// paced writes about a mebibyte at a pace, and tells how long it took.
func paced(t *testing.T, ctx context.Context, pace *Pace) (took time.Duration, sizeBytes uint64, err error) {
	r := newRoom(t)
	var records []base.Record
	for i := range 1000 {
		records = append(records, rec(fmt.Sprintf("\x00%04d", i), 1, string(make([]byte, 1000))))
	}
	start := time.Now()
	outputs, _, err := r.Write(ctx, newSource(records), Output{FileBytes: 100 << 10, Pace: pace}, compact.Config{})
	for _, meta := range outputs {
		sizeBytes += meta.SizeBytes
	}
	if err != nil {
		r.expectFiles()
	}
	return time.Since(start), sizeBytes, err
}

// What is written takes as long as its pace says, together with what others write meanwhile;
// time in which nobody writes is not made up for.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took, _, err := paced(t, t.Context(), nil); took > 0 || err != nil {
			t.Errorf("without a pace it took %v, %v", took, err)
		}
		pace := NewPace(clock.System, 128<<10)
		for range 2 {
			took, sizeBytes, err := paced(t, t.Context(), pace)
			want := time.Duration(float64(sizeBytes) / (128 << 10) * float64(time.Second))
			if took > want || took < want*3/4 || err != nil {
				t.Errorf("%d bytes took %v, want a little less than %v; %v", sizeBytes, took, want, err)
			}
			time.Sleep(time.Hour)
		}
		start, done := time.Now(), make(chan uint64)
		for range 2 {
			go func() {
				_, sizeBytes, _ := paced(t, t.Context(), pace)
				done <- sizeBytes
			}()
		}
		sizeBytes := <-done + <-done
		want := time.Duration(float64(sizeBytes) / (128 << 10) * float64(time.Second))
		if took := time.Since(start); took > want || took < want*3/4 {
			t.Errorf("two writers took %v, want a little less than %v", took, want)
		}
	})
}

// Who waits for the pace ends when he is told to, and leaves nothing.
func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took, _, err := paced(t, ctx, NewPace(clock.System, 1<<10))
		if took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended after %v: %v", took, err)
		}
	})
}
