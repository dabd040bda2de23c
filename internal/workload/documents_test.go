package workload

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
)

func TestDocuments(t *testing.T) {
	c := small()
	c.Records = 5000
	r := onLightning(t, c)
	o, err := r.Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Operations != c.Records || o.LiveBytes != o.InputBytes || o.InputBytes < 100*c.Records || o.Settling <= 0 {
		t.Errorf("%+v", o)
	}
	s, err := r.Store.Session()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var key [KeyBytes]byte
	Ascending.MakeKey(&key, 17)
	if err := s.Put(key[:], []byte("another")); err != nil {
		t.Fatal(err)
	}
	if r.checkDocuments(s) == nil {
		t.Error("another document is no wrong answer")
	}
}

// Documents must stay what they are, or sizes cannot be compared with those of another day.
func TestDocumentsStay(t *testing.T) {
	h := sha256.New()
	var doc []byte
	for n := range int64(10_000) {
		doc = AppendDocument(doc[:0], n)
		if len(doc) < 80 || len(doc) > 320 || bytes.Count(doc, []byte{'"'})%2 != 0 {
			t.Fatalf("%s", doc)
		}
		h.Write(doc)
	}
	const want = "b349a2e10e00f349"
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != want {
		t.Errorf("documents have the sum %s, not %s", got, want)
	}
}
