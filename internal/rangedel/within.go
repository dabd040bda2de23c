package rangedel

import "bytes"

// Within returns what lies of an iterator in [lo, hi), nil for no bound.
func Within(it Iterator, lo, hi []byte) Iterator {
	if lo == nil && hi == nil {
		return it
	}
	return &within{inner: it, lo: lo, hi: hi}
}

// within cuts fragments at two bounds.
type within struct {
	inner  Iterator
	lo, hi []byte
	cut    Fragment
}

// Next implements Iterator.
func (w *within) Next() (*Fragment, error) {
	for {
		f, err := w.inner.Next()
		switch {
		case f == nil || err != nil:
			return nil, err
		case w.hi != nil && bytes.Compare(f.Lo, w.hi) >= 0:
			return nil, nil
		case bytes.Compare(f.Hi, w.lo) <= 0:
			continue
		}
		w.cut = *f
		if bytes.Compare(f.Lo, w.lo) < 0 {
			w.cut.Lo = w.lo
		}
		if w.hi != nil && bytes.Compare(f.Hi, w.hi) > 0 {
			w.cut.Hi = w.hi
		}
		return &w.cut, nil
	}
}
