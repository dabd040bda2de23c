// Package leak makes the tests of a package fail that leave goroutines behind.
// Only tests import it:
//
//	func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }
//
// A goroutine is left behind if it was not there before and has not ended some
// time after. The stacks are all that is looked at; goroutines of the runtime
// itself do not show in them. It is safe for concurrent use, but then those who
// use it see one another's goroutines.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// patience is how long goroutines may take to end.
const patience = 2 * time.Second

// lasting are functions of goroutines that are started once and never end.
var lasting = []string{"os/signal.signal_recv", "os/signal.loop", "runtime.ReadTrace"}

// Run runs tests and returns the code to exit with.
func Run(tests interface{ Run() int }) int {
	before := Here()
	code := tests.Run()
	if code != 0 {
		return code
	}
	if err := before.Check(patience); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Goroutines maps the names of goroutines ("goroutine 7") to their stacks.
type Goroutines map[string]string

// Here returns the goroutines there are, but for the one that calls it.
func Here() Goroutines {
	text := make([]byte, 1<<16)
	n := runtime.Stack(text, true)
	for n == len(text) { // it may have been cut
		text = make([]byte, 2*n)
		n = runtime.Stack(text, true)
	}
	found := Goroutines{}
	for i, stack := range strings.Split(string(text[:n]), "\n\n") {
		if name, _, ok := strings.Cut(stack, " ["); ok && i > 0 { // the caller's is the first
			found[name] = stack
		}
	}
	return found
}

// Check returns nil as soon as nothing runs beside g, or else after that time an
// error with the stacks of what does.
func (g Goroutines) Check(patience time.Duration) error {
	for pause := time.Millisecond; ; pause *= 2 {
		left := g.left()
		if len(left) == 0 {
			return nil
		}
		if patience -= pause; patience < 0 {
			return fmt.Errorf("%d goroutines are left behind:\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
		time.Sleep(pause)
	}
}

// left returns the stacks of what runs beside g.
func (g Goroutines) left() (stacks []string) {
next:
	for name, stack := range Here() {
		if _, ok := g[name]; ok {
			continue
		}
		for _, function := range lasting {
			if strings.Contains(stack, function+"(") {
				continue next
			}
		}
		stacks = append(stacks, stack)
	}
	return stacks
}
