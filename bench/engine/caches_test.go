package engine

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// Caches do what they take part in: what they are given is copied, and so is what they
// return.
func TestCaches(t *testing.T) {
	tried := 0
	for _, name := range Names() {
		e, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Cache {
			continue
		}
		tried++
		t.Run(name, func(t *testing.T) {
			o := &opened{t: t, engine: e, config: Config{Durability: Async, MemoryBytes: 64 << 20, DataBytes: 1 << 20}}
			o.open()
			defer o.close()
			checkCache(o)
			checkCacheSessions(t, o)
		})
	}
	if tried < 3 {
		t.Errorf("%d caches", tried)
	}
}

func checkCache(o *opened) {
	o.wantAbsent("a")
	key, value := []byte("a"), []byte("1")
	o.must(o.Put(key, value))
	key[0], value[0] = 'b', '2' // they are the caller's again
	o.wantGet("a", []byte("1"))
	o.wantAbsent("b")
	got, _, err := o.AppendGet(nil, []byte("a"))
	o.must(err)
	got[0] = 'X'
	o.wantGet("a", []byte("1"))
	large := bytes.Repeat([]byte("v"), 300)
	o.must(o.PutBatch([]Record{{Key: []byte("a"), Value: large}, {Key: []byte("c"), Value: []byte("3")}}))
	o.wantGet("a", large)
	o.wantGet("c", []byte("3"))
	roomy := make([]byte, 2, 1000)
	if got, found, err := o.AppendGet(roomy, []byte("c")); err != nil || !found || string(got) != "\x00\x003" {
		o.t.Errorf("into a larger buffer: %q, %v, %v", got, found, err)
	}
	o.must(o.Delete([]byte("a")))
	o.must(o.Delete([]byte("never there")))
	o.wantAbsent("a")
	for _, err := range []error{o.Scan(nil, 1, nil), o.DeleteRange(nil, nil)} {
		if !errors.Is(err, errOnlyACache) {
			o.t.Errorf("what needs order: %v", err)
		}
	}
}

func checkCacheSessions(t *testing.T, o *opened) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			s, err := o.db.Session()
			if err != nil {
				t.Error(err)
				return
			}
			var buf []byte
			for i := range 2000 {
				key := fmt.Appendf(nil, "k%d", i%50)
				if i%3 == g%3 {
					err = s.Put(key, key)
				} else if buf, _, err = s.AppendGet(buf[:0], key); len(buf) > 0 && !bytes.Equal(buf, key) {
					t.Errorf("%s is %s", key, buf)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
