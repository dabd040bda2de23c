package store

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/vfs"
)

// Pace bounds how many bytes are read or written in a second, by all who share it. What is not used is
// gone: nothing goes faster later. It is safe for concurrent use, without a lock.
type Pace struct {
	clock          clock.Clock
	bytesPerSecond int64
	start          time.Time    // so that nobody minds when the wall clock is set
	due            atomic.Int64 // when what was written is paid for, nanoseconds from then on
}

// NewPace returns a Pace; nil, which is no bound, for 0 bytes.
func NewPace(c clock.Clock, bytesPerSecond int64) *Pace {
	if bytesPerSecond == 0 {
		return nil
	}
	return &Pace{clock: c, bytesPerSecond: bytesPerSecond, start: c.Now()}
}

// Await returns when so many bytes may be read or written, or false when ctx ends before.
func (p *Pace) Await(ctx context.Context, sizeBytes int) bool {
	costNS := int64(float64(sizeBytes) / float64(p.bytesPerSecond) * float64(time.Second))
	for {
		now, due := int64(p.clock.Now().Sub(p.start)), p.due.Load()
		from := max(due, now)
		if !p.due.CompareAndSwap(due, from+costNS) {
			continue
		}
		if from == now {
			return ctx.Err() == nil
		}
		return signal.Sleep(ctx, p.clock, time.Duration(from-now))
	}
}

// pacedFile is a file that is written at a pace.
type pacedFile struct {
	vfs.File
	ctx  context.Context // of the write
	pace *Pace
}

// WriteAt implements vfs.File.
func (f *pacedFile) WriteAt(b []byte, offset int64) (int, error) {
	if !f.pace.Await(f.ctx, len(b)) {
		return 0, context.Cause(f.ctx)
	}
	return f.File.WriteAt(b, offset)
}
