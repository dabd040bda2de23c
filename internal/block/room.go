package block

// entryOverheadBytes is at least what the block layout adds to one record:
// head, trailer, offset, length and fingerprint, and their alignment.
const entryOverheadBytes = 8 + 8 + 4 + 3 + 1 + 1

// Room keeps track of how much more fits into a block under construction. It
// charges each record what it can take at most and asks the builder for the
// true size only when that seems too much, as the question costs more than
// the rest of it.
//
// The one thing it does not foresee is that a record makes a field of all
// records in the block wider; a block can be too large by a few hundred bytes
// when that happens just before its end.
type Room struct {
	limitBytes int
	leftBytes  int
	prefixLen  int // common prefix of the keys in the block
}

// Begin starts a block of at most limitBytes with its first record, which always fits.
func (r *Room) Begin(limitBytes, keyLen, valueLen int) {
	r.limitBytes = limitBytes
	r.leftBytes = r.limitBytes - keyLen - valueLen - entryOverheadBytes
	r.prefixLen = keyLen
}

// Take makes room for another record in b, if there is any. shared is the
// length of the common prefix of its key and the key before it.
func (r *Room) Take(b *Builder, shared, keyLen, valueLen int) bool {
	need := keyLen + valueLen + entryOverheadBytes
	if shared < r.prefixLen {
		// What the common prefix loses is added to each of the keys.
		need += b.Len() * (r.prefixLen - shared)
	}
	if need > r.leftBytes {
		r.leftBytes = r.limitBytes - b.SizeBytes()
		if need > r.leftBytes {
			return false
		}
	}
	r.leftBytes -= need
	r.prefixLen = min(r.prefixLen, shared)
	return true
}

// Taken is about what the block takes so far.
func (r *Room) Taken() int { return r.limitBytes - r.leftBytes }
