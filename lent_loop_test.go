//go:build !race && !invariants

package lightning_test

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestWalksOverOverwrittenKeysEnd writes into a lent key that has many versions, many
// deleted neighbours or many records under a range delete, each of which a walk passes
// with a seek. The seek goes by the key, so it leads back to where the walk has been; the
// walk ends all the same, in rows that run out or in an error.
func TestWalksOverOverwrittenKeysEnd(t *testing.T) {
	const rows, versions, rowsMax = 10, 100, 1000
	hides := map[string]func(db *lightning.DB){
		"nothing": func(db *lightning.DB) {},
		"range delete": func(db *lightning.DB) {
			must(t, db.DeleteRange([]byte("m"), []byte("n")))
		},
		"deletes": func(db *lightning.DB) {
			for i := range versions {
				must(t, db.Delete([]byte("m")))
				must(t, db.Delete(fmt.Appendf(nil, "m%02d", i)))
			}
		},
	}
	for name, hide := range hides {
		for _, written := range []byte{'a', 'z'} {
			t.Run(fmt.Sprintf("%s/%c", name, written), func(t *testing.T) {
				db := open(t, small(memfs.New()))
				for i := range rows {
					must(t, db.Put(fmt.Appendf(nil, "b%d", i), nil))
					must(t, db.Put(fmt.Appendf(nil, "y%d", i), nil))
				}
				for i := range versions {
					must(t, db.Put([]byte("m"), []byte("row")))
					must(t, db.Put(fmt.Appendf(nil, "m%02d", i), []byte("row")))
				}
				snap, err := db.Snapshot()
				must(t, err)
				defer snap.Close()
				it, err := db.Iterator(lightning.IterOptions{})
				must(t, err)
				defer it.Close()
				if !it.SeekGE([]byte("m")) {
					t.Fatal("no row")
				}
				key := it.Key()
				hide(db)
				key[0] = written
				walks := map[string]func(*lightning.Iterator, bool) bool{
					"forward": func(it *lightning.Iterator, first bool) bool {
						if first {
							return it.First()
						}
						return it.Next()
					},
					"backward": func(it *lightning.Iterator, first bool) bool {
						if first {
							return it.Last()
						}
						return it.Prev()
					},
				}
				for direction, move := range walks {
					it, err := db.Iterator(lightning.IterOptions{})
					must(t, err)
					seen := 0
					for ok := move(it, true); ok && seen < rowsMax; ok = move(it, false) {
						seen++
					}
					if seen >= rowsMax {
						t.Errorf("%s: %d rows, and no end", direction, seen)
					}
					t.Logf("%s: %d rows, %v", direction, seen, it.Err())
					_ = it.Close()
				}
			})
		}
	}
}
