package damage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/lightningdb/lightning"
)

// junk returns lines with files and directories in the database's directory
// that others put there, or that a crash of ours left.
func (s *specimen) junk() []stray {
	noise := bytes.Repeat([]byte("not ours\n"), 100)
	var lines []stray
	for _, name := range []string{
		"README", "notes.txt", "core", ".DS_Store", "CURRENT.bak", "CURRENT~", "LOCK.old", "lost+found.txt",
		"000005.sst.bak", "000005.SST", "5.sst", "-00005.sst", "+00005.sst", "0x0005.sst", " 000005.sst",
		"000005.sst ", "000005.sst.tmp", "000005.wal.tmp", "000002.manifest.tmp", "000005.log", "000005.ldb",
		"MANIFEST-000001", "OPTIONS-000005", "18446744073709551616.sst", "00000a.wal", "a.manifest",
		"000777.sst", // by name, but without our header
	} {
		line := s.line("a foreign file "+name, s.image.with(name, noise))
		line.foreign = []string{name}
		lines = append(lines, line)
	}
	for name, content := range map[string][]byte{
		"CURRENT.tmp": noise, "000777.wal": noise, "000778.wal": nil, "000777.manifest": noise,
		"000778.manifest": nil, "000778.sst": nil,
	} {
		lines = append(lines, s.line("an orphan "+name, s.image.with(name, content)))
	}
	for _, name := range []string{
		"000888.sst", "000888.wal", "000888.manifest", "000000.sst", "archive", "lost+found", "CURRENT.tmp",
	} {
		line := s.line("a directory "+name, s.image)
		line.folders = []string{name}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b stray) int { return bytes.Compare([]byte(a.what), []byte(b.what)) })
	return slices.Concat(lines, s.oldLogs(), s.oldPointers(), s.recordStrays())
}

// oldLogs puts back log segments of earlier times, under their own names where
// those are free, and exchanges them with the live ones.
func (s *specimen) oldLogs() []stray {
	var lines []stray
	back := maps.Clone(s.image)
	for i, older := range s.older {
		for _, name := range older.names() {
			if _, there := s.image[name]; there || kind(name) != kindLog {
				continue
			}
			back[name] = older[name]
			lines = append(lines, s.line(fmt.Sprintf("an old log segment, %s of %d", name, i),
				s.image.with(name, older[name])))
			if len(s.groups) > 0 {
				live := s.groups[0].file
				lines = append(lines, s.line(fmt.Sprintf("the log and %s of %d exchanged", name, i),
					s.image.with(name, s.image[live]).with(live, older[name])))
			}
		}
	}
	return append(lines, s.line("all old log segments", back))
}

// oldPointers puts an old CURRENT back together with the manifest that it names,
// beside the manifest in force.
func (s *specimen) oldPointers() []stray {
	var lines []stray
	for i, older := range s.older {
		both := s.image.with(kindCurrent, older[kindCurrent])
		for _, name := range older.names() {
			if kind(name) == kindManifest {
				both[name] = older[name]
			}
		}
		lines = append(lines, s.line(fmt.Sprintf("CURRENT and its manifest of %d put back", i), both))
	}
	return lines
}

// recordStrays leaves records of the manifest and groups of the log out, repeats
// them, and exchanges them with the next: intact pieces in the wrong place.
func (s *specimen) recordStrays() []stray {
	var lines []stray
	pieces := slices.Clone(s.groups)
	for _, file := range s.image.names() {
		if kind(file) == kindManifest {
			pieces = append(pieces, manifestRecords(file, s.image[file])...)
		}
	}
	for i, x := range pieces {
		b := s.image[x.file]
		add := func(what string, parts ...[]byte) {
			content := slices.Concat(parts...)
			line := s.line(fmt.Sprintf("%s: piece at %d %s", x.file, x.lo, what), s.image.with(x.file, content))
			line.shortens = true
			lines = append(lines, line)
		}
		add("left out", b[:x.lo], b[x.hi:])
		add("twice", b[:x.hi], b[x.lo:])
		if i+1 < len(pieces) && pieces[i+1].file == x.file {
			y := pieces[i+1]
			add("exchanged with the next", b[:x.lo], b[y.lo:y.hi], b[x.lo:x.hi], b[y.hi:])
		}
	}
	return lines
}

// manifestRecords returns where the records of a manifest are, as
// docs/format/manifest.md has it.
func manifestRecords(file string, b []byte) []group {
	const headerBytes, recordHeaderBytes = 64, 24
	var records []group
	for at := int64(headerBytes); at+recordHeaderBytes <= int64(len(b)); {
		size := (recordHeaderBytes + int64(binary.LittleEndian.Uint32(b[at+4:])) + 7) / 8 * 8
		records = append(records, group{file, at, at + size})
		at += size
	}
	return records
}

// blockStrays exchanges blocks, at the borders that the engine itself reads by:
// neighbours in a file, and blocks at the same place of different files.
func (s *specimen) blockStrays() ([]stray, error) {
	blocks, err := s.findBlocks()
	if err != nil {
		return nil, err
	}
	var lines []stray
	add := func(what string, file string, content func() []byte) {
		lines = append(lines, stray{specimen: s, what: file + what, many: true, files: func() image {
			return s.image.with(file, content())
		}})
	}
	for _, file := range s.image.names() {
		list, b := blocks[file], s.image[file]
		for i := range list {
			if i+1 < len(list) && list[i].hi == list[i+1].lo {
				x, y := list[i], list[i+1]
				add(fmt.Sprintf(": block at %d exchanged with the next", x.lo), file, func() []byte {
					return slices.Concat(b[:x.lo], b[y.lo:y.hi], b[x.lo:x.hi], b[y.hi:])
				})
			}
			for _, other := range s.image.names() {
				n := len(blocks[other])
				if other == file || n == 0 || i >= n {
					continue
				}
				x, y, o := list[i], blocks[other][i], s.image[other]
				add(fmt.Sprintf(": block at %d as in %s", x.lo, other), file, func() []byte {
					c := bytes.Clone(b)
					copy(c[x.lo:], o[y.lo:y.hi])
					return c
				})
				break // one other file will do
			}
		}
	}
	return lines, nil
}

// findBlocks returns where the tables have their blocks: what Gets read.
func (s *specimen) findBlocks() (map[string][]group, error) {
	found := map[string]map[int64]int64{}
	fsys := flip(s.image, "LOCK")
	fsys.onRead = func(name string, offset int64, length int) {
		if kind(name) != kindTable {
			return
		}
		if found[name] == nil {
			found[name] = map[int64]int64{}
		}
		end := min((offset+int64(length)+7)/8*8, int64(len(s.image[name])))
		if old, ok := found[name][offset]; !ok || end < old {
			found[name][offset] = end
		}
	}
	options := s.options
	options.FS, options.ReadOnly = fsys, true
	db, err := lightning.Open(dir, &options)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	in := inspection{specimen: s}
	for i := range s.truth() {
		a := &s.truth()[i]
		r, err := spaceOf(db, a.space)
		if err != nil {
			return nil, err
		}
		if _, err := in.gets(r, a, span{0, len(a.probes)}, span{}); err != nil {
			return nil, err
		}
	}
	blocks := map[string][]group{}
	for name, ends := range found {
		for _, lo := range slices.Sorted(maps.Keys(ends)) {
			blocks[name] = append(blocks[name], group{name, lo, ends[lo]})
		}
	}
	return blocks, nil
}
