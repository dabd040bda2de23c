package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/table"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func testWarehouse(t *testing.T) *Warehouse {
	t.Helper()
	db, err := lightning.Open("warehouse", &lightning.Options{FS: memfs.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := OpenWarehouse(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// runs runs a command line, with words split at |, and returns what it prints.
func runs(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), append(strings.Split(line, "|"), "--db", dir), &out)
	return out.String(), err
}

// The program from end to end, each command a process of its own.
func TestCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "inventory.db")
	for _, c := range []struct{ line, want string }{
		{"add|TEA-1|Green tea|40|--reorder|20", "40 of TEA-1\n"},
		{"add|TEA-2|--reorder|9|Black tea|4", "4 of TEA-2\n"},
		{"add|CUP-1|Cup|7|--reorder|8", "7 of CUP-1\n"},
		{"add|TEA-2|Another|1", "error: there is an item TEA-2 already"},
		{"move|TEA-1|-25|order 1042", "15 of TEA-1\n"},
		{"move|TEA-1|-16", "error: not enough in stock: 15 of TEA-1 are there, 16 were to be taken"},
		{"move|TEA-1|10", "25 of TEA-1\n"},
		{"move|TEA-9|1", "error: no such item: TEA-9"},
		{"list", "SKU    NAME       STOCK  TO ORDER\nTEA-2  Black tea  4      5\nCUP-1  Cup        7      1\nTEA-1  Green tea  25     0\n"},
		{"list|gREEN", "SKU    NAME       STOCK  TO ORDER\nTEA-1  Green tea  25     0\n"},
		{"list|x", "SKU  NAME  STOCK  TO ORDER\n"},
		{"low", "SKU    NAME       STOCK  TO ORDER\nTEA-2  Black tea  4      5\nCUP-1  Cup        7      1\n"},
		{"history|TEA-9", "error: no such item: TEA-9"},
		{"list|--cursor|x", "error: query: table items: not a cursor of this query"},
	} {
		out, err := runs(t, dir, c.line)
		if err != nil {
			out = "error: " + err.Error()
		}
		if out != c.want && !(err != nil && strings.HasPrefix(out, c.want)) {
			t.Errorf("%s:\n%s\nwant\n%s", c.line, out, c.want)
		}
	}
	out, err := runs(t, dir, "history|TEA-1")
	moves := regexp.MustCompile(`(?m)^\S+ \S+ +(\S+) +(\S+) *(.*)$`).FindAllStringSubmatch(out, -1)
	got := ""
	for _, m := range moves {
		got += fmt.Sprintf("%s %s %s|", m[1], m[2], m[3])
	}
	if want := "+10 25 |-25 15 order 1042|+40 40 first stock|"; err != nil || got != want {
		t.Errorf("history: %q, %v, want %q, of\n%s", got, err, want, out)
	}
}

// Pages follow one another by what the program prints at their end.
func TestPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "inventory.db")
	for n := range 7 {
		if _, err := runs(t, dir, fmt.Sprintf("add|SKU-%d|Box %d|0|--reorder|%d", n, n, n%3)); err != nil {
			t.Fatal(err)
		}
	}
	for command, want := range map[string]string{
		"list": "SKU-0 SKU-1 SKU-2 SKU-3 SKU-4 SKU-5 SKU-6", "low": "SKU-5 SKU-2 SKU-4 SKU-1",
	} {
		var got []string
		for line := command; line != ""; {
			out, err := runs(t, dir, line+"|--rows|2")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, regexp.MustCompile(`SKU-\d`).FindAllString(out, -1)...)
			_, cursor, more := strings.Cut(strings.TrimSpace(out), "more: --cursor ")
			if line = ""; more {
				line = command + "|--cursor|" + cursor
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s shows %s, want %s", command, got, want)
		}
	}
}

// Many take from the same items at a time: never more than there is, and no move is lost.
func TestMovesAtTheSameTime(t *testing.T) {
	w := testWarehouse(t)
	const items, stock, takers, takes = 3, 50, 8, 30
	for n := range items {
		if _, err := w.Add(Item{SKU: fmt.Sprint(n), Name: "box", Stock: stock}); err != nil {
			t.Fatal(err)
		}
	}
	var taken [items]atomic.Int64
	var all sync.WaitGroup
	for taker := range takers {
		all.Go(func() {
			for n := range takes {
				i := (taker + n) % items
				switch _, err := w.Move(fmt.Sprint(i), -1, "sold"); {
				case err == nil:
					taken[i].Add(1)
				case !errors.Is(err, ErrStock):
					t.Error(err)
				}
			}
		})
	}
	// Meanwhile each page shows items that fit their moves.
	all.Go(func() {
		for range takes {
			if page, err := w.Search("b", "", items); err != nil || len(page.Rows) != items {
				t.Errorf("a page of %d rows, %v", len(page.Rows), err)
			}
		}
	})
	all.Wait()
	for n := range items {
		item, err := w.Move(fmt.Sprint(n), 0, "count")
		if err != nil || int64(item.Stock) != stock-taken[n].Load() {
			t.Errorf("%d of item %d are left, %v; %d of %d were taken", item.Stock, n, err, taken[n].Load(), stock)
		}
		sum, left := 0, item.Stock
		for cursor, more := "", true; more; more = cursor != "" {
			page, err := w.History(fmt.Sprint(n), cursor, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Rows {
				if m.Left != left {
					t.Errorf("item %d: %d left after a move, and %d before the next", n, m.Left, left)
				}
				left -= m.Change
				sum += m.Change
			}
			cursor = page.Next
		}
		if sum != item.Stock {
			t.Errorf("the moves of item %d come to %d, its stock is %d", n, sum, item.Stock)
		}
	}
	if err := errors.Join(w.items.Check(), w.moves.Check()); err != nil {
		t.Error(err)
	}
}

// Two who add the same SKU at a time: one of them does.
func TestUniqueSKU(t *testing.T) {
	w := testWarehouse(t)
	var added, refused atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := w.Add(Item{SKU: "TEA-1", Name: "tea"}); {
			case err == nil:
				added.Add(1)
			case errors.Is(err, table.ErrDuplicate):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if added.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d were added, %d refused", added.Load(), refused.Load())
	}
	moves, err := w.moves.Query().Count()
	if err != nil || moves != 1 {
		t.Errorf("%d moves, %v", moves, err)
	}
}

func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"--help":       flag.ErrHelp.Error(),
		"--rows|0":     "--rows must be at least 1",
		"buy":          `no command "buy"`,
		"add|x":        "it is: add SKU NAME STOCK",
		"add|x|y|many": `the stock must be a number, not "many"`,
		"add|x|y|-1":   "impossible item",
		"move|x|y":     `the change must be a number, not "y"`,
		"list|--page":  "flag provided but not defined",
	} {
		out, err := runs(t, filepath.Join(t.TempDir(), "i.db"), line)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
		if help := errors.Is(err, flag.ErrHelp); help != strings.Contains(out, "go run ./examples/inventory") {
			t.Errorf("%s printed %q", line, out)
		}
	}
	if err := run(t.Context(), nil, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "a command is missing") {
		t.Errorf("without words: %v", err)
	}
}
