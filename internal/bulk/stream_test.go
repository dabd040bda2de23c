package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// record is one as it was added.
type record struct {
	kind       base.Kind
	key, value string
}

func randomRecords(rng *rand.Rand) (records []record) {
	for range rng.IntN(50) {
		r := record{base.KindSet, fmt.Sprint(rng.Uint32()), string(make([]byte, rng.IntN(300)))}
		if rng.IntN(4) == 0 {
			r.kind = base.KindSetExpiring
		}
		records = append(records, r)
	}
	return records
}

func (r record) is(rec *base.Record, prefix string) bool {
	return rec != nil && rec.Trailer == base.MakeTrailer(0, r.kind) && string(rec.Key) == prefix+r.key &&
		bytes.Equal(rec.Value, []byte(r.value))
}

// A chunk gives back what was added, in order, also when it is used again.
func TestChunk(t *testing.T) {
	var c chunk
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		want := randomRecords(rng)
		c.reset()
		for _, r := range want {
			c.add(r.kind, []byte("p"), []byte(r.key), []byte(r.value))
		}
		at := cursor{chunk: &c}
		for i, r := range want {
			if rec := at.next(); !r.is(rec, "p") {
				t.Fatalf("seed %d: record %d is %+v, want %+v", seed, i, rec, r)
			}
		}
		if at.next() != nil || at.next() != nil {
			t.Fatal("a record behind the last one")
		}
	}
	c.add(base.KindSet, nil, []byte("k"), make([]byte, 4*chunkBytes()))
	if c.reset(); cap(c.buf) > 0 {
		t.Errorf("the memory of a large value is kept: %d bytes", cap(c.buf))
	}
}

// What one goroutine puts into chunks another one reads, record by record.
func TestStream(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		s := newStream(t.Context())
		var want []record
		chunks := make([][]record, rng.IntN(8))
		for i := range chunks {
			chunks[i] = randomRecords(rng)
			want = append(want, chunks[i]...)
		}
		go func() {
			for i, records := range chunks {
				c := &chunk{}
				if i >= chunksMax {
					c = <-s.free
				}
				for _, r := range records {
					c.add(r.kind, nil, []byte(r.key), []byte(r.value))
				}
				s.full <- c
			}
			close(s.full)
		}()
		next := s.First
		for i, r := range want {
			if rec := next(); !r.is(rec, "") {
				t.Fatalf("seed %d: record %d is %+v, want %+v", seed, i, rec, r)
			}
			next = s.Next
		}
		if rec := next(); rec != nil || s.Err() != nil {
			t.Fatalf("seed %d: %+v, %v behind the last record", seed, rec, s.Err())
		}
	}
}

// A stream that is given up ends with the reason.
func TestStreamGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s := newStream(ctx)
	c := &chunk{}
	c.add(base.KindSet, nil, []byte("a"), nil)
	s.full <- c
	if rec := s.First(); rec == nil || string(rec.Key) != "a" {
		t.Fatalf("%+v is the first record", rec)
	}
	cancel(errGivenUp)
	if rec := s.Next(); rec != nil || !errors.Is(s.Err(), errGivenUp) {
		t.Errorf("%+v, %v", rec, s.Err())
	}
	if rec := s.Next(); rec != nil {
		t.Errorf("%+v behind an error", rec)
	}
}
