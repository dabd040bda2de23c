package compress

import (
	"math/rand/v2"
	"testing"
)

// write has a chooser store blocks, each as made, and returns how many were tried and kept by
// each codec.
func write(c *Chooser, blocks int, block func() []byte) (tried, kept map[Codec]int) {
	tried, kept = map[Codec]int{}, map[Codec]int{}
	for range blocks {
		codec, src := c.Next(), block()
		if codec == None {
			continue
		}
		tried[codec]++
		out, done := Append(nil, codec, src, len(src))
		if !done {
			out = src
		} else {
			kept[codec]++
		}
		c.Saw(len(src), len(out))
	}
	return tried, kept
}

func TestChooserStopsWhereNothingIsGivenBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	incompressible := func() []byte { return random(rng, 2<<10) }
	text := func() []byte { return compressible(rng, 2<<10) }
	for _, p := range []Policy{{Codec: Fast}, {Codec: Small}, {Codec: Fast, OrSmall: true}} {
		c := NewChooser(p)
		const blocks = 1600
		tried, kept := write(&c, blocks, incompressible)
		if n := tried[Fast] + tried[Small]; n > fruitlessMax+blocks/retryEvery || n < blocks/retryEvery-1 {
			t.Errorf("%v: %d of %d incompressible blocks were compressed", p, n, blocks)
		}
		if len(kept) > 0 {
			t.Errorf("%v: kept %v of incompressible blocks", p, kept)
		}
		// The data becomes better, and all but the first of it is stored compressed.
		_, kept = write(&c, 100, text)
		if n := kept[Fast] + kept[Small]; n < 100-retryEvery {
			t.Errorf("%v: %d of 100 blocks were kept once they compress", p, n)
		}
		// And worse again.
		tried, _ = write(&c, blocks, incompressible)
		if n := tried[Fast] + tried[Small]; n > fruitlessMax+blocks/retryEvery {
			t.Errorf("%v: then %d of %d incompressible blocks were compressed", p, n, blocks)
		}
	}
}

// A block now and then that compresses, among others that do not, keeps the tries up.
func TestChooserGoesOnWithMixedBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	c := NewChooser(Policy{Codec: Fast})
	i, good := 0, 0
	_, kept := write(&c, 700, func() []byte {
		if i++; i%(fruitlessMax-1) == 0 {
			good++
			return compressible(rng, 2<<10)
		}
		return random(rng, 2<<10)
	})
	if kept[Fast] != good {
		t.Errorf("%d of %d blocks that compress were kept", kept[Fast], good)
	}
}

func TestChooserNone(t *testing.T) {
	c := NewChooser(Policy{})
	if tried, _ := write(&c, 100, func() []byte { return make([]byte, 8<<10) }); len(tried) > 0 {
		t.Errorf("tried %v", tried)
	}
}

// TestChooserOfTwo has data of which Small makes far less than Fast, and data where it does not.
func TestChooserOfTwo(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	words := make([][]byte, 200)
	for i := range words {
		words[i] = make([]byte, 3+rng.IntN(6))
		for j := range words[i] {
			words[i][j] = "etaoinshrdlu"[rng.IntN(12)]
		}
	}
	text := func() (b []byte) {
		for len(b) < 8<<10 {
			b = append(append(b, words[rng.IntN(len(words))]...), ' ')
		}
		return b
	}
	// Half of it is noise, and the rest the same over and over: the slower codec adds little.
	noise := func() (b []byte) {
		for len(b) < 8<<10 {
			b = append(append(b, random(rng, 50)...), "the half of every value that is always the same as"...)
		}
		return b
	}
	c := NewChooser(Policy{Codec: Fast, OrSmall: true})
	const blocks = 1000
	for round, data := range []struct {
		small bool
		block func() []byte
	}{{true, text}, {false, noise}, {true, text}, {false, noise}} {
		tried, _ := write(&c, blocks, data.block)
		wrong := tried[Small]
		if data.small {
			wrong = tried[Fast]
		}
		t.Logf("round %d: tried %v", round, tried)
		if most := 5*probeEvery + blocks/probeEvery; wrong > most {
			t.Errorf("round %d: %d of %d blocks went to the wrong codec, which may be %d", round, wrong, blocks, most)
		}
	}
}
