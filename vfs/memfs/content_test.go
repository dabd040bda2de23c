package memfs

import (
	"bytes"
	"testing"
)

// FuzzContent reads its input as operations on a content and its copies, and
// compares all of them with plain byte slices.
func FuzzContent(f *testing.F) {
	f.Add([]byte{0, 1, 200, 2, 0, 0, 1, 3, 7, 1, 9, 0, 0, 250, 255})
	f.Add([]byte{0, 255, 255, 3, 0, 0, 1, 0, 9, 2, 255, 0, 0, 0, 128})
	f.Fuzz(func(t *testing.T, ops []byte) {
		contents, models := []content{{}}, [][]byte{nil}
		for ; len(ops) >= 3; ops = ops[3:] {
			k := int(ops[0]>>2) % len(contents)
			at, length := int(ops[1])*3000, int(ops[2])*70
			c, m := &contents[k], &models[k]
			switch ops[0] % 4 {
			case 0, 1:
				data := bytes.Repeat([]byte{ops[2] | 1}, length)
				if length == 0 {
					continue
				}
				c.writeAt(data, int64(at))
				if grow := at + length - len(*m); grow > 0 {
					*m = append(*m, make([]byte, grow)...)
				}
				copy((*m)[at:], data)
			case 2:
				c.resize(int64(at + length))
				next := make([]byte, at+length)
				copy(next, *m)
				*m = next
			case 3:
				if len(contents) < 5 {
					contents = append(contents, c.snapshot())
					models = append(models, bytes.Clone(models[k]))
				}
			}
		}
		for k := range contents {
			compareContent(t, &contents[k], models[k])
		}
	})
}

func compareContent(t *testing.T, c *content, model []byte) {
	t.Helper()
	if c.size != int64(len(model)) {
		t.Fatalf("size %d, want %d", c.size, len(model))
	}
	got := bytes.Repeat([]byte{0xee}, len(model)+10)
	if n := c.readAt(got, 0); n != len(model) || !bytes.Equal(got[:n], model) {
		t.Fatal("the bytes differ")
	}
	pages := int64(0)
	for n := range int64(len(c.chunks)) * pagesPerChunk {
		if pg := c.page(n); pg != nil {
			pages++
			if beyond := max(c.size-n*pageBytes, 0); beyond < pageBytes {
				if len(bytes.Trim(pg[beyond:], "\x00")) > 0 {
					t.Fatal("bytes behind the end are not zero")
				}
			}
			if n*pageBytes >= c.size {
				t.Fatal("a page behind the end was not dropped")
			}
		}
	}
	if got := c.countPages(0); got != pages {
		t.Fatalf("counted %d pages of %d", got, pages)
	}
}
