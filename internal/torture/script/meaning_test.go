package script

import (
	"errors"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
)

// TestMeaning applies one operation of each kind that changes something.
func TestMeaning(t *testing.T) {
	const before = "put key=\"a\" value=\"1\"\nput key=\"b\" value=\"2\"\nput key=\"c\" value=\"3\"\n" +
		"create-space in=\"s\"\nput in=\"s\" key=\"a\" value=\"4\"\n"
	for text, want := range map[string]string{
		`put key="d" value="5"`:               `{"a"="1" "b"="2" "c"="3" "d"="5" "s": "a"="4"}`,
		`put-long key="d" value="5"`:          `{"a"="1" "b"="2" "c"="3" "d"="5" "s": "a"="4"}`,
		`put-gone key="a" value="5"`:          `{"b"="2" "c"="3" "s": "a"="4"}`,
		`merge in="s" key="a" value="5"`:      `{"a"="1" "b"="2" "c"="3" "s": "a"="45"}`,
		`delete key="b"`:                      `{"a"="1" "c"="3" "s": "a"="4"}`,
		`delete-range key="a" upper="c"`:      `{"c"="3" "s": "a"="4"}`,
		`delete-range key="b"`:                `{"a"="1" "s": "a"="4"}`,
		`delete-range`:                        `{"s": "a"="4"}`,
		`overwrite key="a" value="x" count=3`: `{"a"="2:x" "b"="2" "c"="3" "s": "a"="4"}`,
		`fill in="s" key="f" value="x" count=5 every=2`: `{"a"="1" "b"="2" "c"="3" ` +
			`"s": "a"="4" "f0000"="0:x" "f0002"="1:x" "f0004"="2:x"}`,
		"fill key=\"f\" count=4\nsweep key=\"f\" count=9 every=3":           `{"a"="1" "b"="2" "c"="3" "s": "a"="4"}`,
		"fill key=\"f\" count=4\nsweep key=\"f\" count=8 every=3":           `{"a"="1" "b"="2" "c"="3" "f0001"="1:" "f0002"="2:" "s": "a"="4"}`,
		"batch\ndelete key=\"a\"\nput key=\"a\" value=\"6\"\nend":           `{"a"="6" "b"="2" "c"="3" "s": "a"="4"}`,
		"create-space in=\"s\"\ndrop-space in=\"s\"\ncreate-space in=\"t\"": `{"a"="1" "b"="2" "c"="3" "t":}`,
		"flush\ncompact\nget key=\"a\"\nreopen":                             `{"a"="1" "b"="2" "c"="3" "s": "a"="4"}`,
	} {
		var s model.State
		for _, o := range parse(t, before+text) {
			s = o.Apply(s)
		}
		if got := s.String(); got != want {
			t.Errorf("%s\nmakes %s\nnot   %s", text, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]error{
		`put key="a"`:                   nil,
		`put value="1"`:                 nil,
		`get`:                           nil,
		`delete key="a"*65537`:          lightning.ErrKeyTooLarge,
		`fill key="a"*65533 count=2`:    lightning.ErrKeyTooLarge,
		`fill key="a" count=2`:          nil,
		`overwrite count=1`:             nil,
		`delete-range`:                  nil,
		`delete-range key="b" upper=""`: nil,
		`scan key="b" upper="a"`:        lightning.ErrInvalidRange,
		`compact upper="a"*65537`:       lightning.ErrKeyTooLarge,
	} {
		o := parse(t, text)[0]
		if err := o.Check(); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// TestPossible takes out what a Session cannot do.
func TestPossible(t *testing.T) {
	s := parse(t, strings.ReplaceAll(`put in="s" key="a"
		create-space in="s"
		create-space in="s"
		merge in="s" key="a"
		merge key="a"
		put-gone in="s" key="a"
		batch
			put in="t" key="a"
			put in="s" key="a"
		end
		drop-space
		drop-space in="s"
		drop-space in="s"
		delete in="s" key="a"`, "\t", ""))
	want := `create-space in="s"; merge in="s" key="a"; batch; put in="s" key="a"; end; drop-space in="s"`
	var got []string
	for _, o := range s.Possible() {
		got = append(got, o.String())
	}
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("possible are\n%s\nnot\n%s", text, want)
	}
}
