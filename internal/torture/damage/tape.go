package damage

// The bytes of all specimens, one file behind the other, are one long tape. A
// round damages rangeBytes of them in turn; FullPass rounds go over the tape
// once. So rising seeds prove that every byte was changed: round n changes each
// byte of slice n mod FullPass, in the manner of pass n div FullPass.
//
// Of the end of a log segment that was never written to, whose zeroes nothing
// refers to, the tape has one byte in each sector.

// sliceBytes is how much of the tape one round damages.
const sliceBytes = 1024

// sectorBytes is the unit in which disks lose, tear and misplace.
const sectorBytes = 512

// run is a part of the tape: bytes of one file, step apart.
type run struct {
	specimen *specimen
	file     string
	lo, hi   int64
	step     int64
}

func (r run) len() int64 { return (r.hi - r.lo + r.step - 1) / r.step }

// tape lays out the files.
func tape(all []*specimen) []run {
	var runs []run
	for _, s := range all {
		for _, file := range s.image.names() {
			size := int64(len(s.image[file]))
			used := size
			if kind(file) == kindLog {
				used = min(size, s.usedBytes(file)+sectorBytes)
			}
			runs = append(runs, run{s, file, 0, used, 1})
			if used < size {
				runs = append(runs, run{s, file, used, size, sectorBytes})
			}
		}
	}
	return runs
}

// usedBytes is how much of a file comes before the zeroes at its end.
func (s *specimen) usedBytes(file string) int64 {
	b := s.image[file]
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return int64(n)
}

func tapeBytes(runs []run) int64 {
	var n int64
	for _, r := range runs {
		n += r.len()
	}
	return n
}

// cut returns the n bytes of the tape from position at on.
func cut(runs []run, at, n int64) []run {
	var out []run
	for _, r := range runs {
		size := r.len()
		lo, hi := max(at, 0), min(at+n, size)
		if lo < hi {
			part := r
			part.lo, part.hi = r.lo+lo*r.step, min(r.lo+hi*r.step, r.hi)
			out = append(out, part)
		}
		at -= size
	}
	return out
}

// FullPass returns the number of rounds, at successive seeds, that change every
// byte of every specimen once.
func FullPass() (rounds uint64, err error) {
	all, err := specimens()
	if err != nil {
		return 0, err
	}
	return fullPass(tape(all)), nil
}

func fullPass(runs []run) uint64 {
	return uint64((tapeBytes(runs) + sliceBytes - 1) / sliceBytes)
}
