package iterate

import "bytes"

// This file takes a walk on to other sources, which show the same: those of a newer
// state of the database.

// Mark is where a UserIter stands.
type Mark struct {
	position position
	key      []byte // of the row
	err      error
}

// Mark returns where v stands. The key is put into buf.
func (v *UserIter) Mark(buf []byte) Mark {
	m := Mark{position: v.position, err: v.err}
	if v.rec != nil {
		m.key = append(buf, v.rec.Key...)
	}
	return m
}

// Resume brings v, which was just made, to where another one stood that showed the
// same. It reports whether it could.
func (v *UserIter) Resume(m Mark) bool {
	switch m.position {
	case atStart:
		return true
	case atEnd, failed:
		v.err = m.err
		v.stop(m.position)
		return true
	}
	if v.SeekGE(m.key) && bytes.Equal(v.rec.Key, m.key) {
		return true
	}
	if v.err == nil {
		v.err = rowLost(m.key)
	}
	v.stop(failed)
	return false
}

// Fail ends the walk with an error. Only absolute positioning leads out.
func (v *UserIter) Fail(err error) {
	v.err = err
	v.plain.begin() // the sources may be gone
	v.stop(failed)
}

// ShownBy returns which source the row lies in, the sources in the order in which they
// were given; -1 if there is no row, or one in memory of v.
func (v *UserIter) ShownBy() int {
	switch {
	case v.rec == nil || v.position != atRow:
		return -1
	case v.merging.single():
		return 0
	}
	return v.merging.top
}
