package script

import (
	"math"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Minimize takes operations out as long as fails says yes to the rest: halves,
// quarters and so on down to single ones, again and again until nothing more
// can go (delta debugging, after Zeller and Hildebrandt 2002). fails is called
// at most maxRuns times; it must say yes to ops as given, which stay as they
// are.
func Minimize[T any](ops []T, maxRuns int, fails func([]T) bool) []T {
	runs := 0
	for again := true; again; {
		before := len(ops)
		for size := (len(ops) + 1) / 2; size > 0; size /= 2 {
			for at := 0; at < len(ops) && runs < maxRuns; runs++ {
				end := min(at+size, len(ops))
				if rest := slices.Concat(ops[:at], ops[end:]); fails(rest) {
					ops = rest
				} else {
					at = end
				}
			}
		}
		again = len(ops) < before && runs < maxRuns
	}
	return ops
}

// Shrink returns a script as short as it finds for which fails still says yes.
// It does what Minimize does, then the same inside batches, makes values small,
// and begins again, until nothing more can go or the time is over that it may
// take. fails must say yes to the script as given.
func Shrink(s Script, limit time.Duration, fails func(Script) bool) Script {
	sh := shrinker{fails: fails, end: clock.System.Now().Add(limit)}
	for again := true; again; {
		before := s.String()
		s = Minimize(s, math.MaxInt, func(ops []Op) bool { return sh.try(ops) })
		for i := range s {
			s[i].Batch = Minimize(s[i].Batch, math.MaxInt, func(ops []Op) bool {
				return sh.try(replaced(s, i, func(o *Op) { o.Batch = ops }))
			})
			s = sh.simplify(s, i, func(o *Op) { o.Value.Bytes = 0 })
			s = sh.simplify(s, i, func(o *Op) { o.Space = "" })
			s = sh.simplify(s, i, func(o *Op) {
				o.Batch = slices.Clone(o.Batch)
				for j := range o.Batch {
					o.Batch[j].Value.Bytes = 0
				}
			})
		}
		again = !sh.over() && s.String() != before
	}
	return s
}

type shrinker struct {
	fails func(Script) bool
	end   time.Time
}

func (sh *shrinker) over() bool { return clock.System.Now().After(sh.end) }

// try reports whether a smaller script fails too.
func (sh *shrinker) try(s Script) bool {
	return !sh.over() && len(s.Possible()) == len(s) && sh.fails(s)
}

func (sh *shrinker) simplify(s Script, i int, change func(o *Op)) Script {
	simpler := replaced(s, i, change)
	if s.String() != simpler.String() && sh.try(simpler) {
		return simpler
	}
	return s
}

// replaced returns a copy of s in which one operation is changed.
func replaced(s Script, i int, change func(o *Op)) Script {
	out := slices.Clone(s)
	change(&out[i])
	return out
}
