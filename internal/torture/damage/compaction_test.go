package damage

import (
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// TestCompactionOfDamage damages one byte in each region of the tables and
// compacts everything: what is damaged stays where it is, nothing else is lost,
// and the next open shows the same.
func TestCompactionOfDamage(t *testing.T) {
	all, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		s    *specimen
		file string
		at   int64
	}
	var places []place
	for _, s := range all {
		for _, file := range s.image.names() {
			if kind(file) != kindTable {
				continue
			}
			regions, err := s.regions[file]()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range regions {
				places = append(places, place{s, file, r.lo + (r.hi-r.lo)/2})
			}
		}
	}
	every := 11
	if testing.Short() {
		every = 200
	}
	var tally ledger.Tally
	inParallel(len(places)/every, func(i int) {
		p := places[i*every]
		r := round{rng: rand.New(rand.NewPCG(uint64(i), 0)), tally: &tally}
		fsys := flip(p.s.image, p.file)
		fsys.content[p.at] ^= 1
		in := inspection{
			specimen: p.s, mount: p.s.withFile(p.file, fsys.content), damaged: []string{p.file},
			allowed: p.s.allowed(p.s.image), scope: p.s.truth().everything(), write: true, compact: true,
		}
		if err := r.inspect(&in); err != nil {
			t.Errorf("%q, %s at %d: %v", p.s.name, p.file, p.at, err)
		}
	})
	t.Log(tally.Counts())
}
