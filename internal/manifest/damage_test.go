package manifest

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// sample is a small database in memory.
type sample struct {
	fs              *memfs.FS
	name            string
	file            []byte   // the manifest in force
	current         []byte   // CURRENT
	states          []string // after each record
	snapshot, proof int      // where the snapshot ends and the last proof begins
}

// newSample makes a database of a few edits; closed, so that even the last one
// is proved durable.
func newSample(t testing.TB) *sample {
	t.Helper()
	s := &sample{fs: newFS(t), name: FileName(1)}
	l, state, err := Create(s.fs, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	s.states = append(s.states, fingerprint(state))
	ed := newEditor(5)
	for range 4 {
		mustAppend(t, l, ed.edit(l.State()))
		s.states = append(s.states, fingerprint(l.State()))
	}
	s.snapshot, s.proof = int(l.snapshotBytes), int(l.synced)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.file, s.current = s.read(t, s.name), s.read(t, CurrentName)
	return s
}

func (s *sample) read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := readFile(s.fs, testDir, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *sample) final() string { return s.states[len(s.states)-1] }

// with returns a copy of the database in which a file has other content.
func (s *sample) with(t testing.TB, name string, b []byte) vfs.FS {
	t.Helper()
	c := s.fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	writeFile(t, c, name, b)
	return c
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*base.CorruptionError](err)
	return ok && errors.Is(err, base.ErrCorrupted)
}

func TestEveryBitFlipIsFound(t *testing.T) {
	s := newSample(t)
	for _, f := range []struct {
		name string
		b    []byte
		safe int // flips from here on may go unnoticed, but change nothing
	}{{CurrentName, s.current, headerBytes}, {s.name, s.file, s.proof}} {
		for i := range f.b {
			for bit := range 8 {
				b := slices.Clone(f.b)
				b[i] ^= 1 << bit
				state, err := load(s.with(t, f.name, b))
				switch {
				case err != nil && !isDamage(err):
					t.Fatalf("%s, byte %d bit %d: %v is not typed as damage", f.name, i, bit, err)
				case err == nil && i < f.safe:
					t.Fatalf("%s, byte %d bit %d: not found", f.name, i, bit)
				case err == nil && fingerprint(state) != s.final():
					t.Fatalf("%s, byte %d bit %d: wrong state", f.name, i, bit)
				}
			}
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	s := newSample(t)
	for n := range s.file {
		state, err := load(s.with(t, s.name, s.file[:n]))
		switch {
		case err != nil && !isDamage(err):
			t.Fatalf("cut to %d: %v is not typed as damage", n, err)
		case err == nil && n < s.snapshot:
			t.Fatalf("cut to %d bytes, inside what CURRENT says was durable: not found", n)
		case err == nil && !slices.Contains(s.states, fingerprint(state)):
			t.Fatalf("cut to %d: a state that never was", n)
		}
	}
	for n := range s.current {
		if _, err := load(s.with(t, CurrentName, s.current[:n])); !isDamage(err) {
			t.Fatalf("CURRENT cut to %d: %v", n, err)
		}
	}
	longer := append(slices.Clone(s.current), 0)
	if _, err := load(s.with(t, CurrentName, longer)); !isDamage(err) {
		t.Errorf("CURRENT with a byte too many: %v", err)
	}
	// A file that grew without its data has zeroes at the end.
	grown := append(slices.Clone(s.file), make([]byte, 4096)...)
	if state, err := load(s.with(t, s.name, grown)); err != nil || fingerprint(state) != s.final() {
		t.Errorf("zeroes at the end: %v", err)
	}
}

// What a new manifest begins with was durable before CURRENT named it.
func TestDamagedSnapshotIsNoTornEnd(t *testing.T) {
	s := &sample{fs: newFS(t), name: FileName(1)}
	if _, _, err := Create(s.fs, testDir, testID); err != nil {
		t.Fatal(err)
	}
	b := s.read(t, s.name)
	b[len(b)-8] ^= 1
	if _, err := load(s.with(t, s.name, b)); !isDamage(err) {
		t.Errorf("snapshot damaged: %v", err)
	}
	few := pointer{id: testID, num: 1, salt: 1, synced: headerBytes}
	if _, err := load(s.with(t, CurrentName, few.encode())); !isDamage(err) {
		t.Errorf("CURRENT that promises nothing: %v", err)
	}
}

func TestAllDamageIsListed(t *testing.T) {
	s := newSample(t)
	b := slices.Clone(s.file)
	var offsets []int
	for off := headerBytes; off < len(b); {
		offsets = append(offsets, off)
		off += (recordHeaderBytes + int(binary.LittleEndian.Uint32(b[off+4:])) + 7) &^ 7
	}
	b[offsets[1]+recordHeaderBytes] ^= 1
	b[offsets[5]+recordHeaderBytes] ^= 1
	_, err := load(s.with(t, s.name, b))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 2 {
		t.Fatalf("two damaged records: %v", err)
	}
	for i, want := range []int{offsets[1], offsets[5]} {
		e, _ := errors.AsType[*base.CorruptionError](joined.Unwrap()[i])
		if e.File != s.name || e.Offset != int64(want) || e.Length <= 0 {
			t.Errorf("damage %d: %+v, want offset %d", i, e, want)
		}
	}
}

// Records that are intact but stand in the wrong place.
func TestMisplacedRecords(t *testing.T) {
	s := newSample(t)
	first, _ := decodeRecord(s.file[headerBytes:], binary.LittleEndian.Uint64(s.file[40:]))
	second := headerBytes + first.sizeBytes
	taken, _ := decodeRecord(s.file[second:], binary.LittleEndian.Uint64(s.file[40:]))
	for _, size := range []int{taken.sizeBytes, taken.sizeBytes + 8, 8} {
		without := append(slices.Clone(s.file[:second]), s.file[second+size:]...)
		if _, err := load(s.with(t, s.name, without)); !isDamage(err) {
			t.Errorf("%d bytes taken out: %v", size, err)
		}
	}
	twice := append(slices.Clone(s.file), s.file[second:]...)
	if state, err := load(s.with(t, s.name, twice)); err == nil && fingerprint(state) != s.final() {
		t.Error("records written twice were applied")
	}
	// The proof behind the second edit replaced by that behind the first: only
	// the chain tells them apart.
	salt := binary.LittleEndian.Uint64(s.file[40:])
	var proofs []int
	for off := headerBytes; off < len(s.file); {
		rec, _ := decodeRecord(s.file[off:], salt)
		if len(rec.payload) == 0 {
			proofs = append(proofs, off)
		}
		off += rec.sizeBytes
	}
	repeated := slices.Clone(s.file)
	copy(repeated[proofs[1]:], s.file[proofs[0]:proofs[0]+recordHeaderBytes])
	if _, err := load(s.with(t, s.name, repeated)); !isDamage(err) {
		t.Errorf("a record repeated in the place of another: %v", err)
	}
	// Another manifest of the same database under this name.
	other := newSample(t)
	if _, err := load(s.with(t, s.name, other.file)); !isDamage(err) {
		t.Errorf("another manifest under the name of this one: %v", err)
	}
}

func TestMissingAndStaleFiles(t *testing.T) {
	s := newSample(t)
	lost := s.fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	if err := lost.Remove(testDir + "/" + CurrentName); err != nil {
		t.Fatal(err)
	}
	if ok, err := Exists(lost, testDir); !ok || !isDamage(err) {
		t.Errorf("CURRENT removed: Exists says %v, %v", ok, err)
	}
	if _, err := load(lost); !isDamage(err) {
		t.Errorf("CURRENT removed: %v", err)
	}
	// Reopened and closed without an edit, the manifest is a snapshot only.
	reopened := s.fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	l, _, err := reopen(reopened)
	if err == nil {
		err = errors.Join(l.Close(), reopened.Remove(testDir+"/"+CurrentName))
	}
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := Exists(reopened, testDir); !ok || !isDamage(err) {
		t.Errorf("CURRENT removed after reopening: Exists says %v, %v", ok, err)
	}

	gone := s.fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	if err := gone.Remove(testDir + "/" + s.name); err != nil {
		t.Fatal(err)
	}
	if _, err := load(gone); !isDamage(err) {
		t.Errorf("manifest removed: %v", err)
	}

	// CURRENT and its manifest put back after the database had gone on.
	stale := s.fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	if l, _, err = reopen(stale); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, &Edit{AddLogs: logs(77)})
	writeFile(t, stale, CurrentName, s.current)
	writeFile(t, stale, s.name, s.file)
	if _, err := load(stale); !isDamage(err) {
		t.Errorf("an older CURRENT: %v", err)
	}
	// The same, but the newer manifest belongs to another database.
	foreign := fileHeader{id: base.DBID{7}, num: 2, salt: 1}.encode()
	foreign = appendRecord(foreign, 1, 1, 0, []byte{})
	foreign = appendRecord(foreign, 1, 1, 0, []byte{})
	if _, err := load(s.with(t, FileName(2), foreign)); err != nil {
		t.Errorf("a foreign manifest beside: %v", err)
	}
}

func TestNewerFormatIsNamed(t *testing.T) {
	s := newSample(t)
	for _, f := range []struct {
		name string
		b    []byte
	}{{CurrentName, s.current}, {s.name, s.file}} {
		b := slices.Clone(f.b)
		binary.LittleEndian.PutUint32(b[8:], 12)
		seal(b[:headerBytes])
		_, err := load(s.with(t, f.name, b))
		format, ok := errors.AsType[*base.FormatError](err)
		if !ok || format.Version != 12 || format.File != f.name || !strings.Contains(err.Error(), "version 12") {
			t.Errorf("%s in format 12: %v", f.name, err)
		}
		if errors.Is(err, base.ErrCorrupted) {
			t.Errorf("%s in format 12 counts as damage", f.name)
		}
	}
}

func TestReservedBytesAreRefused(t *testing.T) {
	s := newSample(t)
	for off, name := range map[int]string{12: CurrentName, 56: CurrentName, 13: s.name, 48: s.name, 59: s.name} {
		b := s.read(t, name)
		b[off] = 1
		seal(b[:headerBytes])
		if _, err := load(s.with(t, name, b)); !isDamage(err) {
			t.Errorf("%s, byte %d set: %v", name, off, err)
		}
	}
}

func TestMalformedEditIsDamage(t *testing.T) {
	s := newSample(t)
	h, _ := decodeFileHeader(s.name, s.file)
	after := chain(h.salt)
	b := slices.Clone(s.file[:s.snapshot])
	first, _ := decodeRecord(b[headerBytes:], h.salt)
	after = after.next(first.payload)
	for name, payload := range map[string][]byte{
		"unknown field":   appendField(nil, 99, nil),
		"does not fit":    appendEdit(nil, &Edit{RemoveLogs: []base.FileNum{5}}),
		"out of its room": appendEdit(nil, &Edit{LastSeq: base.SeqNumMax + 1}),
	} {
		bad := appendRecord(slices.Clone(b), h.salt, after, uint64(s.snapshot), payload)
		if _, err := load(s.with(t, s.name, bad)); !isDamage(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
