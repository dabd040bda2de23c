package damage

import (
	"encoding/binary"
	"testing"

	"github.com/lightningdb/lightning/vfs"
)

// An edit of the fuzzer takes fuzzEditBytes: which file, where, what to do and
// with which value.
const fuzzEditBytes = 8

// fuzzEdits decodes edits and makes them: the bytes of the first few are
// changed, set, zeroed or filled in runs, or the file is cut or grown there.
func fuzzEdits(m image, program []byte) image {
	names := m.names()
	damaged := m
	for range 8 {
		if len(program) < fuzzEditBytes {
			break
		}
		name := names[int(program[0])%len(names)]
		at := int(binary.LittleEndian.Uint32(program[1:]))
		op, value, length := program[5], program[6], 1<<(program[7]%13)
		program = program[fuzzEditBytes:]
		b := damaged[name]
		if len(b) == 0 {
			continue
		}
		at %= len(b)
		end := min(at+length, len(b))
		c := append([]byte(nil), b...)
		switch op % 6 {
		case 0:
			c[at] ^= value
		case 1:
			c[at] = value
		case 2:
			for i := at; i < end; i++ {
				c[i] = value
			}
		case 3:
			c = c[:at]
		case 4:
			c = append(c, make([]byte, length)...)
		case 5:
			copy(c[at:], b[int(value)*len(b)/256:][:min(end-at, len(b)-int(value)*len(b)/256)])
		}
		damaged = damaged.with(name, c)
	}
	return damaged
}

// FuzzDamagedDatabase makes the edits that the fuzzer writes, of any file of a
// small database, and demands what the suite demands.
func FuzzDamagedDatabase(f *testing.F) {
	for which := range byte(6) {
		for file := range byte(10) {
			f.Add(which, []byte{file, 70, 0, 0, 0, file % 6, which | 1, 9})
			f.Add(which, []byte{file, 16, 1, 0, 0, 1, 0xff, 0, file + 1, 5, 0, 0, 0, 0, 1, 0})
		}
	}
	all, err := specimens()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which byte, program []byte) {
		s := all[1:][int(which)%(len(all)-1)] // the small ones
		files := fuzzEdits(s.image, program)
		line := stray{specimen: s}
		for _, write := range []bool{false, true} {
			in := inspection{
				specimen: s, damaged: line.changed(files), allowed: s.allowed(files),
				scope: s.truth().everything(), write: write,
			}
			in.mount = func() (vfs.FS, error) { return line.mount(files) }
			if got, err := in.run(); err != nil {
				t.Fatalf("specimen %q, %v damaged, opened for writing %v: %v: %v", s.name, in.damaged, write, got, err)
			}
		}
	})
}
