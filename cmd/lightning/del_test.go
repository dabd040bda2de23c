package main

import "testing"

func TestDel(t *testing.T) { runScripts(t, "del") }

func TestAfterPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"a": "b", "ab": "ac", "a\xff": "b", "a\xff\xffb\xff": "a\xff\xffc", "\xfe\xff": "\xff",
	} {
		if got := afterPrefix([]byte(prefix)); string(got) != want {
			t.Errorf("after %q: %q, want %q", prefix, got, want)
		}
	}
	if got := afterPrefix([]byte("\xff\xff")); got != nil {
		t.Errorf("after the last prefix: %q", got)
	}
}
