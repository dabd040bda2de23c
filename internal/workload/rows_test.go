package workload

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// traced are the rows whose first operations are fixed, with those that bench/
// makes of the methods of Runner. The operations of read-while-writing, whose
// sessions begin in any order, are those of get-uniform and put-1.
func traced() []Row {
	rows := []Row{
		{Name: "load-random", Run: loadBy(1)}, {Name: "load-batches", Run: loadBy(BatchRecords)},
		{Name: "load-sequential", Run: loadBy(BatchRecords)}, {Name: "sync-put-16", Run: PutsBy(16)},
		{Name: "sustained", Run: (*Runner).Sustained}, {Name: "cold-get-1", Run: ColdGetsBy(1)},
		{Name: "cold-scan", Run: (*Runner).ColdScans},
	}
	for _, row := range slices.Concat(Rows(), TransactionRows(), IteratorRows(), DeleteRows()) {
		if row.Name != "read-while-writing" && row.Name != "full-scan" {
			rows = append(rows, row)
		}
	}
	return rows
}

func isDeleteRow(name string) bool {
	return slices.ContainsFunc(DeleteRows(), func(row Row) bool { return row.Name == name })
}

func loadBy(batch int) func(*Runner, context.Context) (Outcome, error) {
	return func(r *Runner, ctx context.Context) (Outcome, error) { return r.Load(ctx, batch) }
}

// tracedConfig is that of the golden file: the time of a row is part of the seed.
func tracedConfig() Config {
	return Config{
		Records: 3001, ValueBytes: 40, Goroutines: 1, Time: 3 * time.Second, LoadLimit: time.Minute,
		SustainedTime: 10 * time.Second, SustainedRate: 5000,
	}
}

// The first operations of each row, goroutine by goroutine, are those that bench/
// has always done, so that measurements can be compared with earlier ones. Do not
// update testdata/operations.txt but for a row that is new.
func TestOperationsStay(t *testing.T) {
	var got strings.Builder
	for _, row := range traced() {
		store := newMemory()
		r := &Runner{Config: tracedConfig(), Store: store, Order: Order(row.Name == "load-sequential" || isDeleteRow(row.Name))}
		if !strings.HasPrefix(row.Name, "load-") {
			if err := r.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.warm = true
		}
		most, workers, skip := 12, 1, 0
		if i := strings.LastIndexByte(row.Name, '-'); strings.Contains(row.Name, "put-") || strings.HasPrefix(row.Name, "get-uniform-") {
			if _, err := fmt.Sscan(row.Name[i+1:], &workers); err != nil {
				t.Fatal(err)
			}
		}
		switch row.Name { // which add the versions up first, or have few batches
		case "tx-update-4":
			skip = int(r.Config.Records)
		case "tx-update-4-hot":
			skip = txContest
		case "load-batches", "load-sequential":
			most = 3
		}
		trace := store.note(most, workers, skip)
		if _, err := row.Run(r, t.Context()); !errors.Is(err, errEnough) {
			t.Fatalf("%s: %v", row.Name, err)
		}
		fmt.Fprintln(&got, row.Name)
		for i, s := range trace.sessions {
			lines := s.operations
			if i > 0 {
				lines = lines[:3]
			}
			for _, line := range lines {
				if i < 3 || i == 7 || i == 63 {
					fmt.Fprintf(&got, "  %d %s\n", i, line)
				}
			}
		}
	}
	const name = "testdata/operations.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the operations have changed: compare %s with\n%s", name, firstDifference(got.String(), string(want)))
	}
}

// firstDifference returns what is got where two texts first differ.
func firstDifference(got, want string) string {
	row := ""
	rest := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if !strings.HasPrefix(line, " ") {
			row = line
		}
		if i >= len(rest) || line != rest[i] {
			return fmt.Sprintf("%s, line %d: %s", row, i+1, line)
		}
	}
	return "less than is wanted"
}
