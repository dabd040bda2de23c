package script

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/lightningdb/lightning"
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
// It does what Minimize does, then the same with the parts of operations, makes
// each operation simpler, also in the ways that are given, and begins again, until
// nothing more can go or the time is over that it may take. fails must say yes to
// the script as given.
func Shrink(s Script, limit time.Duration, fails func(Script) bool, also ...func(o *Op)) Script {
	end := clock.System.Now().Add(limit)
	over := func() bool { return clock.System.Now().After(end) }
	try := func(smaller Script) bool {
		if over() || !fails(smaller) {
			return false
		}
		s = smaller
		return true
	}
	for again := true; again; {
		before := s.String()
		Minimize(s, math.MaxInt, func(ops []Op) bool { return try(ops) })
		for i := range s {
			replace := func(change func(o *Op)) bool {
				changed := slices.Clone(s)
				change(&changed[i])
				return changed.String() != s.String() && try(changed)
			}
			Minimize(s[i].Parts, math.MaxInt, func(parts []Op) bool {
				return replace(func(o *Op) { o.Parts = parts })
			})
			for _, change := range slices.Concat(simplifications(), also) {
				replace(change)
			}
		}
		again = !over() && s.String() != before
	}
	return s
}

// simplifications are changes that make an operation easier to understand.
func simplifications() []func(o *Op) {
	return []func(o *Op){
		func(o *Op) { o.Space = "" },
		func(o *Op) { o.Fail = false },
		func(o *Op) { o.Reverse = false },
		func(o *Op) { o.Shuffled = false },
		func(o *Op) { o.Prefix = Data{} },
		func(o *Op) { o.Value.Length, o.Value.Noise = 0, false },
		func(o *Op) { o.Value.Length /= 2 },
		func(o *Op) { o.Count /= 2 },
		func(o *Op) {
			o.Parts = slices.Clone(o.Parts)
			for i := range o.Parts {
				o.Parts[i].Space = ""
				o.Parts[i].Value.Length, o.Parts[i].Value.Noise = 0, false
			}
		},
	}
}

// shrinkTime bounds the time that goes into cutting down a script for a report.
const shrinkTime = 20 * time.Second

// Report cuts a script down that fails with err when it is run, and describes the
// failure so that it can be frozen as a regression.
func Report(seed uint64, s Script, o lightning.Options, err error, run func(Script) error) error {
	short := Shrink(s, shrinkTime, func(s Script) bool {
		if s.String() != s.Possible().String() {
			return false
		}
		shorter := run(s)
		if shorter != nil {
			err = shorter
		}
		return shorter != nil
	})
	return fmt.Errorf("seed %d: %w\noptions %s\n%d operations, cut down from %d:\n%s",
		seed, err, Describe(o), len(short), len(s), short)
}
