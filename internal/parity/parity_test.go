package parity

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const testFile = 7

// badDisk does not give back the sectors of a file that are in dead.
type badDisk struct {
	vfs.File
	dead map[int64]bool
}

var errDead = errors.New("sector is dead")

func (f badDisk) ReadAt(b []byte, offset int64) (int, error) {
	for at := offset / SectorBytes; at*SectorBytes < offset+int64(len(b)); at++ {
		if f.dead[at] {
			n := max(at*SectorBytes-offset, 0)
			_, _ = f.File.ReadAt(b[:n], offset)
			return int(n), errDead
		}
	}
	return f.File.ReadAt(b, offset)
}

// protected returns a file of random content, with its parity.
func protected(t testing.TB, contentBytes, percent int) (vfs.File, []byte, Layout) {
	t.Helper()
	f, err := memfs.New().Create("file")
	must(t, err)
	content := make([]byte, contentBytes)
	random := rand.NewChaCha8([32]byte{byte(contentBytes), byte(percent)})
	_, _ = random.Read(content)
	_, err = f.WriteAt(content, 0)
	must(t, err)
	l := Layout{ContentBytes: int64(contentBytes), Percent: percent}
	must(t, Append(f, testFile, l))
	size, err := f.Size()
	must(t, err)
	if size != l.FileBytes() {
		t.Fatalf("%d bytes, the layout says %d", size, l.FileBytes())
	}
	return f, content, l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// check opens the file, and reads all of it and a piece of each sector.
func check(f vfs.ReadFile, content []byte, l Layout) (lost int, err error) {
	found, has := Find(f, testFile, l.FileBytes())
	if !has || found != l {
		return 0, fmt.Errorf("found %v %+v, not %+v", has, found, l)
	}
	p, err := Open(f, testFile, l)
	if err != nil {
		return 0, err
	}
	p.Lost = func(int64) { lost++ }
	b := make([]byte, len(content))
	if n, err := p.ReadAt(b, 0); n < len(b) {
		return lost, err
	}
	if !bytes.Equal(b, content) {
		return lost, errors.New("content differs")
	}
	lost += len(p.Check())
	p.Lost = nil
	for at := 100; at < len(content); at += 7 * SectorBytes {
		piece := make([]byte, min(5000, len(content)-at))
		if n, err := p.ReadAt(piece, int64(at)); n < len(piece) || !bytes.Equal(piece, content[at:at+n]) {
			return lost, fmt.Errorf("piece at %d: %d bytes, %v", at, n, err)
		}
	}
	return lost, nil
}

// Every sector of a file, content, parity or page, may be lost in every way, and all content is
// read, the loss is told once, and the file can be rewritten as it was.
func TestEverySector(t *testing.T) {
	for _, contentBytes := range []int{1, SectorBytes, SectorBytes + 1, 20 * SectorBytes, stripeSectors*SectorBytes + 5000} {
		f, content, l := protected(t, contentBytes, 10)
		whole := make([]byte, l.FileBytes())
		_, _ = f.ReadAt(whole, 0)
		for sector := range l.FileBytes() / SectorBytes {
			if l.stripes() > 1 && sector > 2 && sector < stripeSectors-2 && sector%16 != 0 {
				continue // as others are
			}
			at := sector * SectorBytes
			was := bytes.Clone(whole[at:][:SectorBytes])
			for name, damage := range map[string]func(b []byte){
				"flip": func(b []byte) { b[int(sector*37)%SectorBytes] ^= 4 },
				"zero": func(b []byte) { clear(b) },
			} {
				b := bytes.Clone(was)
				if damage(b); bytes.Equal(b, was) {
					continue
				}
				_, err := f.WriteAt(b, at)
				must(t, err)
				if lost, err := check(f, content, l); err != nil || lost != 1 {
					t.Fatalf("%d bytes, sector %d, %s: %d lost, %v", contentBytes, sector, name, lost, err)
				}
				if l.stripes() == 1 {
					rewritten(t, f, l, whole)
				}
				_, err = f.WriteAt(was, at)
				must(t, err)
			}
			dead := badDisk{f, map[int64]bool{sector: true}}
			if lost, err := check(dead, content, l); err != nil || lost != 1 {
				t.Fatalf("%d bytes, sector %d dead: %d lost, %v", contentBytes, sector, lost, err)
			}
		}
	}
}

func rewritten(t *testing.T, f vfs.ReadFile, l Layout, whole []byte) {
	t.Helper()
	p, err := Open(f, testFile, l)
	must(t, err)
	dst, err := memfs.New().Create("healed")
	must(t, err)
	must(t, p.Rewrite(dst))
	b := make([]byte, len(whole))
	if n, err := dst.ReadAt(b, 0); n < len(b) || !bytes.Equal(b, whole) {
		t.Fatalf("rewritten file differs: %v", err)
	}
}

// A stripe gives back as many sectors as it has parity, whichever they are, and one more is an
// error and never wrong content. Each stripe counts for itself.
func TestUpToTheLimit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, percent := range []int{1, 10, MaxPercent} {
		f, content, l := protected(t, 2*stripeSectors*SectorBytes+30*SectorBytes, percent)
		for range 2 {
			dead := badDisk{f, map[int64]bool{}}
			lose := func(stripe, n int64) {
				first, count, parityFirst, parityCount := l.stripe(stripe)
				for _, i := range random.Perm(int(count + parityCount))[:n] {
					if at := int64(i); at < count {
						dead.dead[first+at] = true
					} else {
						dead.dead[parityFirst+at-count] = true
					}
				}
			}
			all := int64(0)
			for stripe := range l.stripes() {
				_, _, _, most := l.stripe(stripe)
				lose(stripe, most)
				all += most
			}
			if lost, err := check(dead, content, l); err != nil || int64(lost) != all {
				t.Fatalf("%d percent: %d lost of %d, %v", percent, lost, all, err)
			}
			clear(dead.dead)
			for i := range l.parityOf(stripeSectors) + 1 {
				dead.dead[i] = true
			}
			if _, err := check(dead, content, l); !errors.Is(err, ErrBeyond) {
				t.Fatalf("%d percent, one too many: %v", percent, err)
			}
		}
	}
}

// What no file can be is refused and not written.
func TestAppendRefuses(t *testing.T) {
	f, err := memfs.New().Create("file")
	must(t, err)
	for _, l := range []Layout{{}, {ContentBytes: 1}, {ContentBytes: 1, Percent: MaxPercent + 1}, {Percent: 1}} {
		if Append(f, testFile, l) == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if n, _ := f.Size(); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
}

// Pages of another file are not those of this one.
func TestOtherFile(t *testing.T) {
	f, _, l := protected(t, 10000, 10)
	if _, has := Find(f, testFile+1, l.FileBytes()); has {
		t.Error("the parity of another file was taken")
	}
	if _, err := Open(f, testFile+1, l); err == nil {
		t.Error("it was opened")
	}
}

// Decoding takes any bytes, and what it takes is a page.
func FuzzPage(f *testing.F) {
	l := Layout{ContentBytes: 123456, Percent: 10}
	f.Add(l.appendPage(nil, testFile, 0, []uint32{1, 2, 3}))
	f.Add(make([]byte, SectorBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, i, sums, err := decodePage(b, testFile)
		if err != nil {
			return
		}
		if !l.valid() || i >= l.pages() || l.FileBytes() <= l.ContentBytes {
			t.Errorf("%+v, page %d", l, i)
		}
		if again := l.appendPage(nil, testFile, i, sums); !bytes.Equal(again, b) {
			t.Error("a page that is encoded again differs")
		}
	})
}

// FuzzOpen has files of any bytes looked at.
func FuzzOpen(f *testing.F) {
	for _, n := range []int{1, 5000} {
		file, _, l := protected(f, n, 50)
		b := make([]byte, l.FileBytes())
		_, _ = file.ReadAt(b, 0)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := memfs.New().Create("file")
		must(t, err)
		_, err = file.WriteAt(b, 0)
		must(t, err)
		l, has := Find(file, testFile, int64(len(b)))
		if !has {
			return
		}
		p, err := Open(file, testFile, l)
		if err != nil {
			return
		}
		_, _ = p.ReadAt(make([]byte, l.ContentBytes), 0)
		p.Check()
	})
}

func BenchmarkAppend(b *testing.B) {
	f, _, l := protected(b, 8<<20, 10)
	b.SetBytes(l.ContentBytes)
	for b.Loop() {
		must(b, Append(f, testFile, l))
	}
}
