package script

import (
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Shrink returns a script as short as it finds for which fails still says yes.
// It takes out halves, quarters and so on down to single operations, again and
// again until nothing more can go (delta debugging, after Zeller and Hildebrandt
// 2002), then does the same inside batches and makes values small. It stops
// when the time is over that it may take; fails must say yes to the script as
// given.
func Shrink(s Script, limit time.Duration, fails func(Script) bool) Script {
	sh := shrinker{fails: fails, end: clock.System.Now().Add(limit)}
	for again := true; again; {
		before := s.String()
		s = remove(&sh, s, func(ops []Op) Script { return ops })
		for i := range s {
			s[i].Batch = remove(&sh, s[i].Batch, func(ops []Op) Script {
				return replaced(s, i, func(o *Op) { o.Batch = ops })
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

// remove takes pieces out of ops as long as the script that whole makes of the
// rest fails.
func remove(sh *shrinker, ops []Op, whole func([]Op) Script) []Op {
	for size := (len(ops) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len(ops); {
			end := min(at+size, len(ops))
			rest := slices.Concat(ops[:at], ops[end:])
			if sh.try(whole(rest)) {
				ops = rest
			} else {
				at = end
			}
		}
	}
	return ops
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
