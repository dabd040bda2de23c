package keyenc

import "slices"

// PrefixEnd returns the smallest key after all keys that begin with prefix, or
// nil if there is none: if prefix is empty or has only bytes of 0xff.
//
// The strings that begin with a text are those between the encoding of the
// text without its last byte, and PrefixEnd of that. The key is a copy, which belongs
// to the caller.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := slices.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// Range returns the bounds of all tuples that begin with these elements, the
// tuple of just them included: from lo, which is the encoding of that, up to
// but not including hi. Without elements both are nil, which stands for all
// keys. Both belong to the caller. It fails as Append does.
func Range(elems ...any) (lo, hi []byte, err error) {
	lo, err = Append(nil, elems...)
	if err != nil {
		return nil, nil, err
	}
	return lo, PrefixEnd(lo), nil
}
