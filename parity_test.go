package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const sectorBytes = 4096

// dyingFS has a file whose sectors are dead, until another one takes its place.
type dyingFS struct {
	vfs.FS
	mu   sync.Mutex
	name string
	dead map[int64]bool
}

var errDeadSector = errors.New("dead sector")

func (d *dyingFS) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || filepath.Base(name) != d.name {
		return f, err
	}
	return dyingFile{f, d.dead}, nil
}

func (d *dyingFS) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if filepath.Base(to) == d.name {
		d.name = ""
	}
	return d.FS.Rename(from, to)
}

type dyingFile struct {
	vfs.File
	dead map[int64]bool
}

func (f dyingFile) ReadAt(b []byte, offset int64) (int, error) {
	for at := offset / sectorBytes; at*sectorBytes < offset+int64(len(b)); at++ {
		if f.dead[at] {
			return 0, errDeadSector
		}
	}
	return f.File.ReadAt(b, offset)
}

// parityDB is a closed database with parity, and what is in it.
type parityDB struct {
	disk        *memfs.FS
	want        map[string][]byte
	table, blob string // a table in the tree, one of large values
}

// withParity sets the options of the tests here.
func withParity(fsys vfs.FS) *lightning.Options {
	o := small(nil)
	o.FS = fsys
	o.ParityPercent = 10
	o.Compression, o.Tree.BlobBytes, o.Tree.BlockBytes = lightning.CompressionNone, 1000, 512
	return o
}

func newParityDB(t testing.TB) *parityDB {
	t.Helper()
	p := &parityDB{disk: memfs.New(), want: map[string][]byte{}}
	db, err := lightning.Open("db", withParity(p.disk))
	must(t, err)
	put := func(key string, n int) {
		value := bytes.Repeat([]byte(key), n)
		must(t, db.Put([]byte(key), value))
		p.want[key] = value
	}
	for i := range 300 {
		put(fmt.Sprintf("small%04d", i), 9)
	}
	for i := range 20 {
		put(fmt.Sprintf("value%04d", i), 150)
	}
	must(t, db.Compact(t.Context(), nil, nil))
	must(t, db.Close())
	names, err := p.disk.List("db")
	must(t, err)
	for _, name := range names {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		if bytes.Contains(readAllOf(t, p.disk, filepath.Join("db", name)), bytes.Repeat([]byte("value0000"), 5)) {
			p.blob = name
		} else {
			p.table = name
		}
	}
	if p.table == "" || p.blob == "" {
		t.Fatalf("no table of each sort among %q", names)
	}
	return p
}

// read gets and scans everything.
func (p *parityDB) read(db *lightning.DB) error {
	for key, want := range p.want {
		if got, err := db.Get([]byte(key)); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("get %s: %d bytes, %w", key, len(got), err)
		}
	}
	n := 0
	var bad error
	err := db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for key, value := range rows {
			if n++; !bytes.Equal(value, p.want[string(key)]) {
				bad = fmt.Errorf("scan finds %d bytes at %s", len(value), key)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	if n != len(p.want) {
		bad = fmt.Errorf("scan finds %d records of %d", n, len(p.want))
	}
	return bad
}

// heals opens the database, reads everything, and waits until the file is healed.
func (p *parityDB) heals(t *testing.T, fsys vfs.FS, what string) {
	t.Helper()
	healed := make(chan lightning.HealInfo, 100)
	o := withParity(fsys)
	o.EventListener = &lightning.EventListener{
		Healed:     func(info lightning.HealInfo) { healed <- info },
		Corruption: func(info lightning.CorruptionInfo) { t.Errorf("%s: told of %v", what, info.Err) },
	}
	db, err := lightning.Open("db", o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := p.read(db); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if r, err := db.Verify(context.Background(), lightning.VerifyOptions{}); err != nil || r.Err() != nil {
		t.Errorf("%s: %v, %v", what, err, r.Err())
	}
	// The file may be whole again before anybody has met the second of its lost sectors.
	if info := <-healed; info.Err != nil {
		t.Fatalf("%s: %v", what, info.Err)
	}
	for db.Metrics().Parity.Unhealed > 0 { // who had the old file open has met it there once more
		<-healed
	}
	if err := p.read(db); err != nil {
		t.Errorf("%s, healed: %v", what, err)
	}
	r, err := db.Verify(context.Background(), lightning.VerifyOptions{})
	if err != nil || r.Err() != nil || len(r.Healable) > 0 {
		t.Errorf("%s, healed: %v, %v, %v", what, err, r.Err(), r.Healable)
	}
	if m := db.Metrics().Parity; m.HealedFiles == 0 || m.LostSectors == 0 || m.Failures != 0 || m.Unhealed != 0 {
		t.Errorf("%s: %+v", what, m)
	}
	if h := db.Health(); h.Status != lightning.HealthOK {
		t.Errorf("%s: %+v", what, h)
	}
	must(t, db.Close())
}

// overwrite puts bytes into a file of the database.
func (p *parityDB) overwrite(t testing.TB, name string, at int64, b []byte) {
	t.Helper()
	f, err := p.disk.OpenReadWrite(filepath.Join("db", name))
	must(t, err)
	_, err = f.WriteAt(b, at)
	must(t, errors.Join(err, f.Close()))
}

// Each sector of a table and of one with large values, its parity and pages included, may be lost
// in each way: every read is answered, the file is what it was before the database is closed, and
// nothing is told as damage.
func TestParityHealsEverySector(t *testing.T) {
	p := newParityDB(t)
	for _, name := range []string{p.table, p.blob} {
		path := filepath.Join("db", name)
		was := readAllOf(t, p.disk, path)
		damages := map[string]func(sector []byte){
			"all zero":  func(b []byte) { clear(b) },
			"first bit": func(b []byte) { b[0] ^= 1 },
			"last byte": func(b []byte) { b[sectorBytes-1] ^= 0xff },
			"a middle":  func(b []byte) { copy(b[1000:], "this is not what was here") },
		}
		for at := 0; at < len(was); at += sectorBytes {
			for kind, damage := range damages {
				b := bytes.Clone(was[at : at+sectorBytes])
				if damage(b); bytes.Equal(b, was[at:at+sectorBytes]) {
					continue
				}
				what := fmt.Sprintf("%s at %d of %d: %s", name, at, len(was), kind)
				p.overwrite(t, name, int64(at), b)
				offline, err := lightning.Verify(t.Context(), "db", withParity(p.disk), lightning.VerifyOptions{})
				if err != nil || offline.Err() != nil || len(offline.Healable) != 1 || offline.Healable[0].Offset != int64(at) {
					t.Errorf("%s: offline %v, %v, %v", what, err, offline.Err(), offline.Healable)
				}
				p.heals(t, p.disk, what)
				if !bytes.Equal(readAllOf(t, p.disk, path), was) {
					t.Fatalf("%s: the file is not what it was", what)
				}
			}
			dying := &dyingFS{FS: p.disk, name: name, dead: map[int64]bool{int64(at / sectorBytes): true}}
			p.heals(t, dying, fmt.Sprintf("%s at %d of %d: dead", name, at, len(was)))
			if dying.name != "" || !bytes.Equal(readAllOf(t, p.disk, path), was) {
				t.Fatalf("%s at %d: the dead sector is still in use", name, at)
			}
		}
	}
}

// As many sectors as there are for parity may go at once; one more is damage as it is without
// parity: what lies there cannot be read, and the rest can.
func TestParityLimit(t *testing.T) {
	p := newParityDB(t)
	path := filepath.Join("db", p.blob)
	was := readAllOf(t, p.disk, path)
	p.overwrite(t, p.blob, sectorBytes, make([]byte, 2*sectorBytes))
	p.heals(t, p.disk, "two sectors")
	if !bytes.Equal(readAllOf(t, p.disk, path), was) {
		t.Fatal("the file is not what it was")
	}
	p.overwrite(t, p.blob, 0, make([]byte, len(was)/2))
	db, err := lightning.Open("db", withParity(p.disk))
	must(t, err)
	defer db.Close()
	_, err = db.Get([]byte("value0001"))
	if !errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("half of the file gone: %v", err)
	}
	if got, err := db.Get([]byte("small0001")); err != nil || !bytes.Equal(got, p.want["small0001"]) {
		t.Errorf("a sound table: %v", err)
	}
	r, err := db.Verify(t.Context(), lightning.VerifyOptions{})
	if must(t, err); len(r.Damage) == 0 {
		t.Error("nothing is reported")
	}
}

// Percentages that cannot be are named.
func TestParityOption(t *testing.T) {
	for _, percent := range []int{-1, 51} {
		o := small(memfs.New())
		o.ParityPercent = percent
		_, err := lightning.Open("db", o)
		var bad *lightning.OptionError
		if !errors.As(err, &bad) || bad.Field != "ParityPercent" {
			t.Errorf("%d: %v", percent, err)
		}
	}
}
