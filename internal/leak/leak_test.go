package leak

import (
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

type tests func() int

func (t tests) Run() int { return t() }

// begin starts a goroutine that lasts until end is closed.
func begin(end chan struct{}) {
	begun := make(chan struct{})
	go func() {
		close(begun)
		<-end
	}()
	<-begun
}

func TestCheckNoticesWhatIsLeft(t *testing.T) {
	before, end := Here(), make(chan struct{})
	if err := before.Check(0); err != nil {
		t.Errorf("nothing was started: %v", err)
	}
	begin(end)
	err := before.Check(10 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "leak.begin") || strings.Contains(err.Error(), "TestCheck") {
		t.Errorf("one goroutine was left behind; Check says: %v", err)
	}
	if err := Here().Check(0); err != nil {
		t.Errorf("it was there before: %v", err)
	}
	close(end)
	if err := before.Check(patience); err != nil {
		t.Errorf("it has ended: %v", err)
	}
}

func TestCheckWaits(t *testing.T) {
	before, end := Here(), make(chan struct{})
	begin(end)
	time.AfterFunc(20*time.Millisecond, func() { close(end) })
	if err := before.Check(patience); err != nil {
		t.Error(err)
	}
}

func TestCheckKnowsWhatLasts(t *testing.T) {
	before, signals := Here(), make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	if err := before.Check(100 * time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	end := make(chan struct{})
	for _, c := range []struct {
		what string
		run  tests
		want int
	}{
		{"clean", func() int { return 0 }, 0},
		{"failing", func() int { return 2 }, 2},
		{"leaking", func() int { begin(end); return 0 }, 1},
	} {
		if got := Run(c.run); got != c.want {
			t.Errorf("%s tests exit with %d, want %d", c.what, got, c.want)
		}
	}
	close(end)
}
