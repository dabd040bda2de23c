//go:build !invariants || race

package ranked

import "sync"

// Checked says whether the order is checked.
const Checked = false

// Mutex is a sync.Mutex with a rank. Its zero value is ready to be used.
type Mutex[R Rank] = sync.Mutex

// Token is a right with a rank that one goroutine has at a time and that is no
// mutex: something else makes sure that there is one holder.
type Token[R Rank] struct{}

// Enter says that this goroutine has the token now.
func (*Token[R]) Enter() {}

// Leave says that it has it no more. It comes before another goroutine can get it.
func (*Token[R]) Leave() {}

// AssertIO says that this goroutine is about to touch a file.
func AssertIO(operation, name string) {}

// AssertWait says that this goroutine is about to wait until readers have gone on.
func AssertWait(event string) {}

// Outside runs fn as if this goroutine held nothing.
func Outside(fn func()) { fn() }
