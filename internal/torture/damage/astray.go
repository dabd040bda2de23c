package damage

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs"
)

// What careless copying, restoring and repairing do to whole files, as a table
// with one line for each file and each mishap. Every line is opened read-only
// and for writing: what is shown is right or refused with the name of a file
// that does not fit, and files that are not ours are there afterwards.

// stray is a line of the table.
type stray struct {
	specimen *specimen
	what     string
	files    func() image
	// folders are directories among the files.
	folders []string
	// foreign are names that are not ours to delete.
	foreign []string
	// shortens says that it can cost the newest groups of the log, as damage to
	// their bytes can. It cannot where files only changed their places.
	shortens bool
	many     bool // one of thousands of a kind, of which samples will do
}

// strays returns the table, the same in every process but for its contents.
var strays = sync.OnceValues(func() ([]stray, error) {
	all, err := specimens()
	if err != nil {
		return nil, err
	}
	var lines []stray
	for _, s := range all {
		for _, file := range s.image.names() {
			of := slices.Concat(s.lone(file), s.paired(file))
			for i := range of {
				of[i].many = s == all[0] && kind(file) == kindTable
			}
			lines = append(lines, of...)
		}
		blocks, err := s.blockStrays()
		if err != nil {
			return nil, err
		}
		lines = append(lines, blocks...)
		lines = append(lines, s.junk()...)
	}
	return lines, nil
})

// straysPerRound is how many lines one round takes, in turn.
const straysPerRound = 5

func (r *round) astray(ctx context.Context) error {
	lines, err := strays()
	if err != nil {
		return err
	}
	for i := range uint64(straysPerRound) {
		if ctx.Err() != nil {
			return nil
		}
		line := &lines[(r.seed*straysPerRound+i)%uint64(len(lines))]
		if err := r.stray(line); err != nil {
			return fmt.Errorf("damage, seed %d: %w", r.seed, err)
		}
	}
	return nil
}

// stray inspects one line, read-only and for writing.
func (r *round) stray(line *stray) error {
	s, files := line.specimen, line.files()
	allowed := []answers{s.truth()}
	if line.shortens {
		allowed = s.allowed(files)
	}
	r.tally.Add(ledger.Astray, 1)
	for _, write := range []bool{false, true} {
		in := inspection{
			specimen: s, damaged: line.changed(files), folders: line.folders, allowed: allowed,
			scope: s.truth().everything(), write: write,
		}
		in.mount = func() (vfs.FS, error) { return line.mount(files) }
		err := r.inspect(&in)
		if err == nil {
			err = line.keptForeign(in.fs, files)
		}
		if err != nil {
			return fmt.Errorf("specimen %q, %s, opened for writing %v: %w", s.name, line.what, write, err)
		}
	}
	return nil
}

// changed returns the names that are not as they were.
func (l *stray) changed(files image) []string {
	var names []string
	for _, name := range files.names() {
		if b, ok := l.specimen.image[name]; !ok || !bytes.Equal(b, files[name]) {
			names = append(names, name)
		}
	}
	for _, name := range l.specimen.image.names() {
		if _, ok := files[name]; !ok {
			names = append(names, name)
		}
	}
	return append(names, l.folders...)
}

func (l *stray) mount(files image) (vfs.FS, error) {
	disk, err := files.mount()
	for _, name := range l.folders {
		if err == nil {
			err = disk.MkdirAll(inDir(name))
		}
	}
	return disk, err
}

// keptForeign checks that opening deleted and changed nothing that is not ours.
func (l *stray) keptForeign(fsys vfs.FS, files image) error {
	for _, name := range l.foreign {
		if b, err := readFile(fsys, name); err != nil || !bytes.Equal(b, files[name]) {
			return fmt.Errorf("%s, which is not ours, is gone or changed: %w", name, err)
		}
	}
	for _, name := range l.folders {
		if info, err := fsys.Stat(inDir(name)); err != nil || !info.IsDir() {
			return fmt.Errorf("the directory %s, which is not ours, is gone: %w", name, err)
		}
	}
	return nil
}

// line makes a line of which the content is there already.
func (s *specimen) line(what string, files image) stray {
	return stray{specimen: s, what: what, files: func() image { return files }}
}

// lone returns what can become of one file by itself.
func (s *specimen) lone(file string) []stray {
	b, k := s.image[file], kind(file)
	lines := []stray{s.line("missing", s.image.without(file))}
	if len(b) > 0 {
		lines = append(lines,
			s.line("empty", s.image.with(file, nil)),
			s.line("one byte", s.image.with(file, b[:1])),
			s.line("first 64 bytes only", s.image.with(file, b[:min(64, len(b)-1)])),
			s.line("half of it", s.image.with(file, b[:len(b)/2])),
			s.line("without its last byte", s.image.with(file, b[:len(b)-1])),
			s.line("without its first byte", s.image.with(file, b[1:])),
			s.line("zeroes", s.image.with(file, make([]byte, len(b)))),
			s.line("100 zeroes longer", s.image.with(file, slices.Concat(b, make([]byte, 100)))),
			s.line("twice, in itself", s.image.with(file, slices.Concat(b, b))),
		)
	}
	if k == kindLog {
		noise := newContentSource(uint64(len(file))).noise
		lines = append(lines,
			s.line("noise", s.image.with(file, noise(len(b)))),
			s.line("with noise over its first 64 bytes", s.image.with(file, slices.Concat(noise(64), b[64:]))),
			s.line("with noise over its first 128 bytes", s.image.with(file, slices.Concat(noise(128), b[128:]))),
			s.line("without its last 512 bytes", s.image.with(file, b[:len(b)-512])),
		)
	}
	for i := range lines[1:] {
		lines[i+1].shortens = true
	}
	folder := s.line("is a directory", s.image.without(file))
	folder.folders = []string{file}
	lines = append(lines, folder)
	for i, older := range s.older {
		if o, ok := older[file]; ok {
			line := s.line(fmt.Sprintf("an older copy, %d", i), s.image.with(file, o))
			line.shortens = true
			lines = append(lines, line)
		}
	}
	if f, ok := s.foreign[file]; ok {
		lines = append(lines, s.line("that of another database", s.image.with(file, f)))
	}
	if k != kindCurrent && k != kindLock {
		for _, num := range []string{"000000", "000099", "999999", "18446744073709551615", "18446744073709551616"} {
			lines = append(lines,
				s.line("there twice, also as "+num, s.image.with(num+k, b)),
				s.line("under the name "+num, s.image.without(file).with(num+k, b)))
		}
	}
	if k == kindCurrent {
		for _, text := range []string{
			"000001.manifest", "000001.manifest\n", "000001.manifest\r\n", "MANIFEST-000001\n",
			"\n", string(b) + "\n", string(b) + "\r\n", "\ufeff" + string(b), string(b[:63]),
		} {
			lines = append(lines, s.line(fmt.Sprintf("as %.20q", text), s.image.with(file, []byte(text))))
		}
	}
	for i := range lines {
		lines[i].what = file + " " + lines[i].what
	}
	return lines
}

// paired returns what can become of a file together with another one.
func (s *specimen) paired(file string) []stray {
	var lines []stray
	b, k := s.image[file], kind(file)
	for _, other := range s.image.names() {
		o := s.image[other]
		if other == file || kind(other) == kindLock || k == kindLock {
			continue
		}
		if kind(other) == k || len(lines) == 0 { // one of another kind will do
			line := s.line("is a copy of "+other, s.image.with(file, o))
			line.shortens = true
			lines = append(lines, line)
		}
		if k == kindLog { // which is known by its size too
			long := slices.Concat(o, make([]byte, max(0, len(b)-len(o))))
			line := s.line("is a copy of "+other+", made as long", s.image.with(file, long))
			line.shortens = true
			lines = append(lines, line)
		}
		if kind(other) == k && other > file {
			lines = append(lines,
				s.line("and "+other+" exchanged", s.image.with(file, o).with(other, b)),
				s.line("and "+other+" missing", s.image.without(file).without(other)))
		}
	}
	for i := range lines {
		lines[i].what = file + " " + lines[i].what
	}
	return lines
}
