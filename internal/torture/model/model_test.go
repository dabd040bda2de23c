package model

import (
	"maps"
	"slices"
	"testing"
)

func TestStore(t *testing.T) {
	var empty Store
	a := empty.Put("b", "1").Put("a", "2").Put("c", "3")
	b := a.Change(func(rows map[string]string) { delete(rows, "b") }).Put("a", "4")
	if want := []Row{{"a", "2"}, {"b", "1"}, {"c", "3"}}; !slices.Equal(a.Rows("", ""), want) {
		t.Errorf("a = %v, want %v: a later write changed it", a.Rows("", ""), want)
	}
	if want := []Row{{"a", "4"}, {"c", "3"}}; !slices.Equal(b.Rows("", ""), want) {
		t.Errorf("b = %v, want %v", b.Rows("", ""), want)
	}
	if want := []Row{{"b", "1"}}; !slices.Equal(a.Rows("b", "c"), want) {
		t.Errorf("rows of [b, c) = %v, want %v", a.Rows("b", "c"), want)
	}
	c := a.Change(func(rows map[string]string) {
		maps.DeleteFunc(rows, func(key, _ string) bool { return key < "c" })
	})
	if c.Len() != 1 || !c.Equal(empty.Put("c", "3")) {
		t.Errorf("after a delete of two rows: %v", c.Rows("", ""))
	}
	if _, ok := empty.Get("a"); ok {
		t.Error("the empty store has a row")
	}
}
