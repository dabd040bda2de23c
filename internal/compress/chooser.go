package compress

// This file learns, block after block, what the codecs give back for the data of one file, so
// that a writer does not compress for nothing, and uses the slower codec only where it pays.

// Policy says what the blocks of a file may be stored by.
type Policy struct {
	Codec Codec
	// OrSmall says that Small may take the place of Codec, where it takes far less.
	OrSmall bool
}

const (
	// fruitlessMax is after how many blocks in a row that gave nothing back blocks are stored
	// as they are, but for one in retryEvery.
	fruitlessMax = 8
	retryEvery   = 16
	// probesFirst is how many blocks go to each of two codecs before one is chosen, and
	// probeEvery how often the other one is tried from then on.
	probesFirst = 4
	probeEvery  = 32
	// averaged is about how many blocks what the chosen codec gives back is an average of.
	averaged = 8
	// smallerPercent is what Small takes at most, of what Codec takes, to be worth its time:
	// it takes three times as long to make, and twice as long to read.
	smallerPercent = 67
)

// share is what blocks take of what they take raw, in 1/65536; 0 where none is known.
type share int64

// of returns the share of one block.
func of(rawBytes, storedBytes int) share {
	return share(max(int64(storedBytes)<<16/int64(max(rawBytes, 1)), 1))
}

// A Chooser says for each block of a file which codec to try, and is told what came of it. It
// belongs to one goroutine.
type Chooser struct {
	policy    Policy
	tried     Codec // on the current block
	small     bool  // Small is the better one of two
	fruitless int   // blocks in a row that gave nothing back
	asked     int   // blocks since the last try while there are too many of these
	tries     int
	first     share // that policy.Codec leaves
	second    share // that Small leaves
}

// NewChooser returns a Chooser that knows nothing yet.
func NewChooser(p Policy) Chooser { return Chooser{policy: p} }

// Next returns the codec to try on the next block; None: none. Saw follows.
func (c *Chooser) Next() Codec {
	c.tried = c.next()
	return c.tried
}

func (c *Chooser) next() Codec {
	if c.policy == (Policy{}) {
		return None
	}
	if c.fruitless >= fruitlessMax {
		if c.asked++; c.asked%retryEvery != 0 {
			return None
		}
	}
	if !c.policy.OrSmall {
		return c.policy.Codec
	}
	c.tries++
	other := c.tries%probeEvery == 0
	if c.tries <= 2*probesFirst {
		other = c.small != (c.tries%2 == 0) // they take turns
	}
	if c.small != other {
		return Small
	}
	return c.policy.Codec
}

// Saw notes that the block of rawBytes takes storedBytes, which is as many if nothing came of the
// codec.
func (c *Chooser) Saw(rawBytes, storedBytes int) {
	if c.tried == None {
		return
	}
	if storedBytes < rawBytes {
		c.fruitless, c.asked = 0, 0
	} else {
		c.fruitless++
	}
	if !c.policy.OrSmall {
		return
	}
	known, chosen := &c.first, !c.small
	if c.tried == Small {
		known, chosen = &c.second, c.small
	}
	if now := of(rawBytes, storedBytes); chosen && *known > 0 {
		*known += (now - *known) / averaged
	} else {
		*known = now // what is seldom tried has to be learnt at once
	}
	if c.first > 0 && c.second > 0 {
		c.small = c.second*100 <= c.first*smallerPercent
	}
}
