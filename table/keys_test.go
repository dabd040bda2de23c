package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/catalogue"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Numbers of a sequence are given out once: by several handles, and after a crash, with
// gaps of less than a block for each handle.
func TestSequence(t *testing.T) {
	fs := memfs.New()
	met := map[uint64]bool{}
	var mu sync.Mutex
	for range 3 {
		db, err := lightning.Open("db", &lightning.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 2 {
			s, err := OpenSequence(t.Context(), db, "orders")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wg.Go(func() { takeNumbers(t, s, met, &mu) })
			}
		}
		wg.Wait()
		fs = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(met) != 3*4*300 || !met[1] {
		t.Errorf("%d numbers", len(met))
	}
	for n := range met {
		if n > 3*4*300+3*2*sequenceBlock {
			t.Errorf("%d is far away", n)
		}
	}
}

func takeNumbers(t *testing.T, s *Sequence, met map[uint64]bool, mu *sync.Mutex) {
	before := uint64(0)
	for range 300 {
		n, err := s.Next()
		mu.Lock()
		if err != nil || n <= before || met[n] {
			t.Errorf("%d comes after %d, was given before: %v, %v", n, before, met[n], err)
		}
		met[n], before = true, n
		mu.Unlock()
	}
}

// Taking numbers puts nobody in conflict, and neither do keys that are UUIDs.
func TestGeneratedKeysDoNotConflict(t *testing.T) {
	db := testDB(t)
	people := openPeople(t, db, "email")
	s, err := OpenSequence(t.Context(), db, "people")
	if err != nil {
		t.Fatal(err)
	}
	const workers, rows = 8, 100
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rows {
				n, err := s.Next()
				if err := errors.Join(err, people.Insert(person{ID: int64(n), Email: fmt.Sprintf("%x", NewUUID())})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := people.Query().Count(); n != workers*rows || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if m := db.Metrics().Transactions; m.Conflicts > 0 {
		t.Errorf("%d conflicts in %d commits", m.Conflicts, m.Commits)
	}
}

func TestSequencesThatCannotBe(t *testing.T) {
	db := testDB(t)
	if _, err := OpenSequence(t.Context(), db, "a/b"); !errors.As(err, new(*DefinitionError)) {
		t.Error(err)
	}
	if _, err := OpenSequence(t.Context(), nil, "a"); !errors.Is(err, lightning.ErrClosed) {
		t.Error(err)
	}
	if _, err := new(Sequence).Next(); !errors.Is(err, lightning.ErrClosed) {
		t.Error(err)
	}
}

// pair has an encoding of its own.
type pair struct{ a, b uint32 }

func (p pair) MarshalBinary() ([]byte, error) {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, p.a), p.b), nil
}

func (p *pair) UnmarshalBinary(data []byte) error {
	if len(data) != 8 {
		return errors.New("not a pair")
	}
	p.a, p.b = binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
	return nil
}

// message is what stands for proto.Message in these tests, note for a generated type,
// which must not be copied.
type message interface{ text() *string }

type note struct {
	lock sync.Mutex
	body string
}

func (n *note) text() *string { return &n.body }

func marshal(m message) ([]byte, error) { return []byte("note:" + *m.text()), nil }

func unmarshal(data []byte, m message) error {
	text, ok := strings.CutPrefix(string(data), "note:")
	*m.text() = text
	if !ok {
		return errors.New("not a note")
	}
	return nil
}

func TestCodecs(t *testing.T) {
	db := testDB(t)
	pairs, err := Open(t.Context(), db, Schema[pair, uint32]{
		Name: "pairs", Key: One("a", func(p pair) uint32 { return p.a }), Codec: Binary[pair](),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pairs.Put(pair{3, 4}); err != nil {
		t.Fatal(err)
	}
	if p, err := pairs.Get(3); err != nil || p.b != 4 {
		t.Errorf("got %+v, %v", p, err)
	}
	body := One("body", func(n *note) string { return n.body })
	notes, err := Open(t.Context(), db, Schema[*note, string]{
		Name: "notes", Key: body, Codec: Protobuf[note](marshal, unmarshal),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := notes.Put(&note{body: "hello"}); err != nil {
		t.Fatal(err)
	}
	if n, err := notes.Query().Where(body.Eq("hello")).First(); err != nil || n.body != "hello" {
		t.Errorf("got %v, %v", n, err)
	}
	if err := notes.rows.Put(catalogue.Key("x"), []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	if _, err := notes.Get("x"); err == nil {
		t.Error("what is no note was read")
	}
	wrong := Protobuf[pair](marshal, unmarshal)
	if _, err := wrong.Append(nil, &pair{}); err == nil {
		t.Error("a pair is no message")
	}
	if _, err := wrong.Decode(nil); err == nil {
		t.Error("a pair is no message")
	}
}
