package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// Exists reports whether dir holds a database. A directory where the first
// Create was cut short holds none: CURRENT is missing, and no manifest has more
// in it than the snapshot of a new database, so no edit was ever acknowledged
// and Create may start again. Where CURRENT is missing but was there once,
// Exists returns true and the damage. Files that are not the manifest's, tables
// and logs, are for the caller to judge: before Create has succeeded there can
// be none that matters.
func Exists(fsys vfs.FS, dir string) (bool, error) {
	if _, err := fsys.Stat(filepath.Join(dir, CurrentName)); err == nil {
		return true, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look for %s: %w", CurrentName, err)
	}
	numbers, err := listManifests(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for _, n := range numbers {
		g, err := peek(fsys, dir, n)
		if err != nil {
			return false, err
		}
		if g.wasInForce || g.holdsData {
			return true, missing(CurrentName, fmt.Errorf("but %s is there", FileName(n)))
		}
	}
	return false, nil
}

// Load reads the state of the database in dir, where there are files of these names,
// as FS.List has them. It writes nothing. Damage is
// returned as *base.CorruptionError, all of it joined; a last record that was
// cut short before it was durable is no damage, and not part of the state.
func Load(fsys vfs.FS, dir string, names []string) (*State, error) {
	p, err := readCurrent(fsys, dir)
	if err != nil {
		return nil, err
	}
	name := FileName(p.num)
	b, err := readFile(fsys, dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(name, err)
	} else if err != nil {
		return nil, err
	}
	h, err := decodeFileHeader(name, b)
	if err == nil && (h.id != p.id || h.num != p.num || h.salt != p.salt) {
		err = errors.New("not the file that CURRENT names")
	}
	if err != nil {
		return nil, damage(name, "manifest header", 0, headerBytes, err)
	}
	state, err := replay(name, p, b)
	if err != nil {
		return nil, err
	}
	state.num, state.found = p.num, manifestsOf(names)
	return state, checkNewest(fsys, dir, p, state.found)
}

// checkNewest refuses a CURRENT that is older than a manifest of the same
// database that was in force, as when an old copy was put in its place.
func checkNewest(fsys vfs.FS, dir string, p pointer, found []base.FileNum) error {
	for _, n := range found {
		if n <= p.num {
			continue
		}
		g, err := peek(fsys, dir, n)
		if err != nil {
			return err
		}
		if g.wasInForce && g.id == p.id {
			return damage(CurrentName, "pointer to the manifest", -1, 0,
				fmt.Errorf("names %s, but %s was in force", FileName(p.num), FileName(n)))
		}
	}
	return nil
}

func listManifests(fsys vfs.FS, dir string) ([]base.FileNum, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list the database directory: %w", err)
	}
	return manifestsOf(names), nil
}

// manifestsOf returns the numbers of the manifests among files.
func manifestsOf(names []string) (numbers []base.FileNum) {
	for _, name := range names {
		if n, ok := ParseFileName(name); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// glimpse is what can be said about a manifest that CURRENT does not name.
type glimpse struct {
	id base.DBID
	// wasInForce: there is something after the snapshot, and nothing is
	// appended before CURRENT names a manifest durably.
	wasInForce bool
	// holdsData: the snapshot is not that of a new database.
	holdsData bool
}

// peek looks at a manifest. A file that was cut short while it was made, or
// that went meanwhile, says nothing. Nor does one with the header of another:
// before its own content has come to the disk, a new file may show what was on
// that part of the disk before, such as an older manifest.
func peek(fsys vfs.FS, dir string, n base.FileNum) (glimpse, error) {
	b, err := readFile(fsys, dir, FileName(n))
	if errors.Is(err, fs.ErrNotExist) {
		return glimpse{}, nil
	} else if err != nil {
		return glimpse{}, err
	}
	h, err := decodeFileHeader(FileName(n), b)
	if err != nil || h.num != n {
		return glimpse{}, nil
	}
	g := glimpse{id: h.id}
	first, ok := decodeRecord(b[headerBytes:], h.salt)
	if !ok {
		return g, nil
	}
	fresh := appendEdit(nil, newState(h.id).snapshot())
	g.holdsData = !bytes.Equal(first.payload, fresh)
	_, g.wasInForce = decodeRecord(b[headerBytes+first.sizeBytes:], h.salt)
	return g, nil
}

func readCurrent(fsys vfs.FS, dir string) (pointer, error) {
	b, err := readFile(fsys, dir, CurrentName)
	if errors.Is(err, fs.ErrNotExist) {
		return pointer{}, missing(CurrentName, err)
	} else if err != nil {
		return pointer{}, err
	}
	p, err := decodePointer(b)
	if err != nil {
		return p, damage(CurrentName, "pointer to the manifest", 0, int64(len(b)), err)
	}
	return p, nil
}

// replay builds the state from the records in b, the bytes of the manifest
// that p names. A bad record is rot if it was durable once, by the word of p
// or of a later record, and else the end of the file.
func replay(name string, p pointer, b []byte) (*State, error) {
	if p.synced > uint64(len(b)) {
		return nil, damage(name, "manifest", int64(len(b)), int64(p.synced)-int64(len(b)),
			fmt.Errorf("file has %d bytes, %d were durable", len(b), p.synced))
	}
	state := newState(p.id)
	after := chain(p.salt)
	var found []error
	for off := headerBytes; ; {
		rec, ok := decodeRecord(b[off:], p.salt)
		if !ok || rec.after != after || rec.synced > uint64(off) {
			end := nextRecord(b, p.salt, off)
			if end == len(b) && p.synced <= uint64(off) {
				break
			}
			found = append(found, damage(name, "manifest record", int64(off), int64(end-off),
				errors.New("not what was written")))
			if end == len(b) {
				break
			}
			rec, _ = decodeRecord(b[end:], p.salt)
			off = end
		}
		after = rec.after.next(rec.payload)
		if len(found) == 0 {
			next, err := applyPayload(state, rec.payload)
			if err != nil {
				return nil, damage(name, "manifest record", int64(off), int64(rec.sizeBytes), err)
			}
			state = next
		}
		off += rec.sizeBytes
	}
	if len(found) > 0 {
		return nil, errors.Join(found...)
	}
	return state, nil
}

func applyPayload(state *State, payload []byte) (*State, error) {
	e, err := decodeEdit(payload)
	if err != nil {
		return nil, err
	}
	return state.apply(e)
}

// nextRecord returns the offset of the first valid record behind the bad one
// at off that proves the bad one to have been durable, or the end of b.
func nextRecord(b []byte, salt uint64, off int) int {
	for o := off + 8; o+recordHeaderBytes <= len(b); o += 8 {
		synced := binary.LittleEndian.Uint64(b[o+16:])
		if synced <= uint64(off) || synced > maxFileBytes {
			continue
		}
		if _, ok := decodeRecord(b[o:], salt); ok {
			return o
		}
	}
	return len(b)
}

// readFile reads a file of at most maxFileBytes.
func readFile(fsys vfs.FS, dir, name string) ([]byte, error) {
	f, err := fsys.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	b, err := readAll(f, name)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", name, closeErr)
	}
	return b, err
}

func readAll(f vfs.File, name string) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	if size > maxFileBytes {
		return nil, damage(name, "file size", -1, 0, fmt.Errorf("%d bytes are too many", size))
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err != nil && !(errors.Is(err, io.EOF) && n == len(b)) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// damage wraps a finding, but hands on a FormatError as it is: a newer format
// is not damage.
func damage(name, kind string, offset, length int64, err error) error {
	if _, ok := errors.AsType[*base.FormatError](err); ok {
		return err
	}
	return &base.CorruptionError{File: name, Offset: offset, Length: length, Kind: kind, Err: err}
}

func missing(name string, err error) error {
	return &base.CorruptionError{File: name, Offset: -1, Kind: "missing file", Err: err}
}
