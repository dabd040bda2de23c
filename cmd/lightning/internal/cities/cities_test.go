package cities

import (
	"errors"
	"testing"
)

func TestEachIsSortedAndComplete(t *testing.T) {
	count, previous := 0, ""
	var reykjavik City
	err := Each(func(c City) error {
		count++
		order := c.Country + "\x00" + c.Name + "\x00"
		if order < previous {
			t.Errorf("%q comes after %q", order, previous)
		}
		previous = order
		if c.Key() == "IS/Reykjavík/3413829" {
			reykjavik = c
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count != Count {
		t.Errorf("%d cities, want %d", count, Count)
	}
	want := City{"IS", "Reykjavík", "3413829", "39", 118918, 64.13548, -21.89541}
	if reykjavik != want {
		t.Errorf("got %+v, want %+v", reykjavik, want)
	}
}

func TestEachStopsAtAnError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	if err := Each(func(City) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

func TestParseRefusesDamage(t *testing.T) {
	for _, line := range []string{
		"", "IS\tx", "IS\tx\t1\t2\tPPL\tmany\t1.0\t2.0", "IS\tx\t1\t2\tPPL\t5\tnorth\t2.0",
		"IS\tx\t1\t2\tPPL\t5\t1.0\teast",
	} {
		if _, err := parse(line); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}
