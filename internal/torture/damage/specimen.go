package damage

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A specimen is a database at rest and everything that is known about it: its
// files, what it must answer, and what it may answer when the end of its log is
// damaged. It is built once and only read afterwards, by any number of
// goroutines.
type specimen struct {
	name    string
	options lightning.Options // without a file system
	image   image
	disk    *memfs.FS // holds the image; cloned for openings that write

	// states[i] is what the database shows when the first i groups of its live
	// log are left; the last one is the truth. A closed database has one.
	states []answers
	groups []group

	older   []image // the same database at earlier times
	foreign image   // a database of the same shape, with other values

	// regions tells for each table which of its bytes decide which answers.
	regions map[string]func() ([]region, error)
}

// group is where one group of the live log lies.
type group struct {
	file   string
	lo, hi int64
}

// answers are what a database must say: one entry for each keyspace, that of
// the default one, without a name, first.
type answers []spaceAnswers

type spaceAnswers struct {
	space  string
	probes []probe // ascending
}

// probe is a key that is asked for: one that is there, was there, or never was.
type probe struct {
	key, value []byte
	found      bool
}

// truth is what the undamaged database shows.
func (s *specimen) truth() answers { return s.states[len(s.states)-1] }

// allowed returns what a database may show whose log files are those of the
// image. The log is good up to the newest group that is intact, for that one
// says that the groups before it were durable: if one of those is damaged, the
// only right answer is to say so. A log file that is shorter than it was, or does
// not begin with the header that it was prepared with, says by that that it is
// damaged.
func (s *specimen) allowed(m image) []answers {
	k := len(s.groups)
	for k > 0 && !s.intact(m, s.groups[k-1]) {
		k--
	}
	lost := slices.ContainsFunc(s.groups, func(g group) bool { return !s.identical(m, g.file) })
	if k == len(s.groups) || lost {
		return []answers{s.truth()}
	}
	return []answers{s.truth(), s.states[k]}
}

// A log segment has two headers: that which it was prepared with, by which the
// manifest knows it, and that which says where it begins, which the groups say too.
const (
	preparedHeaderBytes = 64
	logHeaderBytes      = 128
)

// identical reports whether a log file is the one that the manifest names, and is
// not shorter.
func (s *specimen) identical(m image, file string) bool {
	is, was := m[file], s.image[file]
	return len(is) >= len(was) && bytes.Equal(is[:preparedHeaderBytes], was[:preparedHeaderBytes])
}

func (s *specimen) intact(m image, g group) bool {
	b := m[g.file]
	return int64(len(b)) >= g.hi && bytes.Equal(b[g.lo:g.hi], s.image[g.file][g.lo:g.hi])
}

// withFile returns what mounts the specimen, for writing, with a damaged file.
func (s *specimen) withFile(name string, content []byte) func() (vfs.FS, error) {
	return func() (vfs.FS, error) {
		disk := s.disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
		return disk, writeFile(disk, name, content)
	}
}
