package process

import (
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// pause waits a moment for the kernel or for another process, whose progress
// gives no event to wait for.
func pause() {
	over := make(chan struct{})
	clock.System.AfterFunc(5*time.Millisecond, func() { close(over) })
	<-over
}
